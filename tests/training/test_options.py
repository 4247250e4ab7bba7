import pytest
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epochs": 1.0}, "exactly one of epochs and max_steps"),
        ({"max_steps": None}, "exactly one of epochs and max_steps"),
        ({"tokens_per_batch": 0}, "greater than or equal to 1"),
        ({"save_steps": 15}, "save_steps must be a multiple of logging_steps"),
        ({"learning_rate": 0}, "greater than 0"),
    ],
)
def test_relations_are_refused_by_name(config, changed, said):
    sft = config.stages["sft"]
    with pytest.raises(ValidationError, match=said):
        type(sft).model_validate({**sft.model_dump(), **changed})


def test_the_control_takes_grpos_steps_whatever_sets_them():
    from tests.launching import config as made

    for words in ((), ("grpo.batch_size=4", "grpo.epochs=3")):
        if words:
            words = (*words, "grpo.max_steps=null")
        stages = made(*words).stages
        grpo, control = stages["grpo"], stages["sft_continued"]
        for name in ("batch_size", "epochs", "max_steps"):
            assert getattr(control, name) == getattr(grpo, name)
