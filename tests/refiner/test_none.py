"""Without a refiner the stage is not stood on."""

from tests.launching import ids

COT = ("stage=sft", "cot_prob=0.1")


def test_no_refinement_is_no_step_of_the_plan() -> None:
    assert "refine" not in ids(*COT, "refiner=none")
