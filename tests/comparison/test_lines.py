"""Runs that differ by their seeds alone are one line; means over seeds with Student's interval."""

import pytest

from mllmrec.artifacts import write_json
from mllmrec.comparison.lines import lines_of, over_seeds, without_model
from tests.comparison.methods import Methods

SEEDS = (0, 1, 2)


@pytest.fixture
def methods(tmp_path):
    return Methods(tmp_path)


def told(lines):
    return {line.name: [member.seed for member in line.members] for line in lines}


def test_the_interval_over_seeds_is_students():
    """Of 1, 2, 3: s = 1, so 2 ± 4.303 · 1 / √3 = 2 ± 2.484, where 4.303 is t's at 2 degrees."""
    mean, low, high = over_seeds([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert low == pytest.approx(2 - 2.4841, abs=1e-4) and high == pytest.approx(4.4841, abs=1e-4)
    assert over_seeds([0.5]) == (0.5, None, None)


def test_seeds_are_one_line_and_algorithms_are_not(methods):
    for algorithm in ("grpo", "riser"):
        for seed in SEEDS:
            methods.run(algorithm, seed)
    found = told(lines_of(methods.runs()))
    assert found == {"grpo": [0, 1, 2], "riser": [0, 1, 2], "sft_continued": [0, 1, 2]}


def test_a_seed_of_the_whole_chain_is_a_seed_too(methods):
    """Everything below has another id then, and is the same but for its seed."""
    for seed in SEEDS:
        methods.run("grpo", seed, top=seed)
    assert told(lines_of(methods.runs())) == {"grpo": [0, 1, 2], "sft_continued": [0, 1, 2]}


def test_what_several_runs_stand_on_is_there_once(methods):
    methods.run("grpo", 0)
    methods.run("grpo", 0, "evaluate.k=[1]")
    (line, control) = lines_of(methods.runs())
    assert [member.places for member in line.members] == [[0, 1]]
    assert [member.places for member in control.members] == [[0, 1]]


def test_another_chain_below_is_another_line(methods):
    methods.run("grpo", 0, "sft.max_steps=9", sft=9)
    methods.run("grpo", 1, "sft.max_steps=5", sft=5)
    assert set(told(lines_of(methods.runs()))) >= {"sft.max_steps=9", "sft.max_steps=5"}


def test_sft_for_as_many_tokens_is_a_line_of_its_own(methods):
    """Its runs share the GRPO model, so that one is not told twice."""
    for seed in SEEDS:
        methods.run("grpo", seed)
        methods.run("grpo", seed, "sft_continued.match=tokens", match="tokens")
    assert told(lines_of(methods.runs())) == {
        **{"grpo": [0, 1, 2], "sft_continued": [0, 1, 2]},
        "sft_continued, equal tokens": [0, 1, 2],
    }


def test_a_seed_without_a_model_is_no_line_of_its_own(methods):
    """Its sweep was interrupted before GRPO was done, or the model is gone since."""
    for seed in SEEDS:
        methods.run("riser", seed)
        methods.run("grpo", seed)
    runs = methods.runs()
    (runs[2].artifact("grpo").folder / "manifest.json").unlink()  # riser's seed 1
    runs = methods.runs()
    assert told(lines_of(runs)) == {
        **{"riser": [0, 2], "grpo": [0, 1, 2], "sft_continued": [0, 1, 2]},
    }
    assert (without_model(runs, "grpo"), without_model(runs, "sft_continued")) == (["2"], [])


def test_knobs_that_were_typed_name_a_line_and_seeds_do_not(methods):
    methods.run("grpo", 0, "grpo.beta=0.1", knobs={"beta": 0.1})
    methods.run("grpo", 1, "grpo.beta=0.2", knobs={"beta": 0.2})
    assert list(told(lines_of(methods.runs())))[:2] == ["grpo.beta=0.1", "grpo.beta=0.2"]


def test_one_line_alone_goes_by_its_algorithm(methods):
    methods.run("riser", 0, "cot_prob=0")
    assert told(lines_of(methods.runs())) == {"riser": [0], "sft_continued": [0]}


def test_what_is_known_between_two_steps_is_in_between(methods):
    """At step 3 of a run that counted 200 at 2 and 400 at 4: 300; before its first step nothing."""
    methods.run("grpo", 0)
    line = lines_of(methods.runs())[0]
    folder = line.members[0].run.artifact("grpo").folder
    write_json(folder / "history.json", [{"step": 2, "tokens": 200}, {"step": 4, "tokens": 400}])
    assert line.members[0].at("tokens", [0, 1, 3, 4]) == [0.0, 100.0, 300.0, 400.0]
    assert line.members[0].at("rollouts", [1]) is None
