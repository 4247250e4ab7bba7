"""Which run begins next: worked by hand on a small grid, and on odd ones."""

from mllmrec.artifacts import MANIFEST
from mllmrec.locks import held
from mllmrec.plan import lock_of
from mllmrec.sweep.dispatch import Missing, next_of
from mllmrec.sweep.points import Need, Run


def run(folder, number, **needs):
    """A run that needs these artifacts, each made from those named."""
    made = (
        Need(id=name, label=name, folder=folder / name, inputs=tuple(inputs.split()))
        for name, inputs in needs.items()
    )
    return Run(number=number, values={}, words=(), folder=folder, needs=tuple(made))


def build(folder, *names):
    for name in names:
        (folder / name).mkdir(exist_ok=True)
        (folder / name / MANIFEST).write_text("{}")


def point(folder, number, share, beta):
    model, policy = f"sft{share}", f"grpo{share}{beta}"
    needs = {"data": "", "counts": "data", model: "data", policy: model}
    return run(folder, number, **needs)


def grid(folder):
    """Two shares by two betas: data, a count of them, a model a share, then a policy a point."""
    return [point(folder, 2 * s + b, s, b) for s in range(2) for b in range(2)]


def test_nobody_waits_beside_one_who_builds_what_all_need(tmp_path):
    runs = grid(tmp_path)
    assert next_of(runs, [], Missing()) is runs[0]
    assert next_of(runs[1:], [runs[0]], Missing()) is None


def test_another_model_comes_before_another_policy_of_one_that_is_being_built(tmp_path):
    runs = grid(tmp_path)
    build(tmp_path, "data", "counts")
    with held(lock_of(tmp_path / "sft0")):
        assert next_of(runs[1:], [runs[0]], Missing()) is runs[2]
        with held(lock_of(tmp_path / "sft1")):
            assert next_of([runs[1], runs[3]], [runs[0], runs[2]], Missing()) is None


def test_a_run_that_shares_all_but_its_end_may_help_with_another_branch(tmp_path):
    runs = grid(tmp_path)
    build(tmp_path, "data")
    with held(lock_of(tmp_path / "counts")):
        assert next_of(runs[1:2], [runs[0]], Missing()) is runs[1]  # it takes sft0
        with held(lock_of(tmp_path / "sft0")):
            assert next_of(runs[1:2], [runs[0]], Missing()) is None


def test_once_the_models_are_there_all_policies_may_begin(tmp_path):
    runs = grid(tmp_path)
    build(tmp_path, "data", "counts", "sft0", "sft1")
    assert next_of(runs[1:], [runs[0]], Missing()) is runs[1]


def test_the_longest_comes_first(tmp_path):
    short, long = run(tmp_path, 0, a=""), run(tmp_path, 1, b="", c="b")
    assert next_of([short, long], [], Missing()) is long


def test_a_run_with_nothing_to_build_may_always_begin(tmp_path):
    runs = grid(tmp_path)
    done = run(tmp_path, 9)
    assert next_of([done], runs, Missing()) is done
    assert next_of([], runs, Missing()) is None
