"""Which launches are found, by each of the ways to name them."""

import pytest

from mllmrec import roots
from mllmrec.comparison import chosen
from mllmrec.errors import Refusal
from mllmrec.launches import found
from tests.comparison.study import Study

ROW = {"sft": [1, 2]}


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def of_group(name):
    return {"tracking": {"group": name, "tags": []}}


def test_a_sweep_is_found_by_its_folder_and_by_its_name(study):
    made = [
        study.launch(f"{home}/points/{n}", ROW) for home in ("beta-1", "reward") for n in (10, 9)
    ]
    known = found([study.folder])
    by_folder = chosen.of_sweep(str(made[0].parents[1]), [])
    assert [*chosen.named(by_folder)] == ["9", "10"]
    assert {one.folder for one in chosen.of_sweep("beta", known)} == {*made[:2]}
    with pytest.raises(Refusal, match=r"compare\.sweep=bet: no such sweep") as told:
        chosen.of_sweep("bet", known)
    assert "beta-1" in told.value.allowed
    study.launch("beta-2/points/0", ROW)
    with pytest.raises(Refusal, match="several sweeps have this name"):
        chosen.of_sweep("beta", found([study.folder]))


def test_a_group_and_ids(study):
    one = study.launch("one", ROW, **of_group("g"))
    two = study.launch("two", ROW, **of_group("h"))
    again = study.launch("x/one", ROW)
    known = found([study.folder])
    assert [launch.folder for launch in chosen.of_group("g", known)] == [one]
    with pytest.raises(Refusal, match="no launch is of this group") as told:
        chosen.of_group("k", known)
    assert told.value.allowed == "g, h"
    assert [launch.folder for launch in chosen.of_ids(["wb-two", "wb-x/one"], known)] == [
        two,
        again,
    ]
    with pytest.raises(Refusal, match="one: several run folders have this name"):
        chosen.of_ids(["one"], known)
    with pytest.raises(Refusal, match="nobody: no launch has this id"):
        chosen.of_ids(["wb-two", "nobody"], known)


def test_one_command_repeated_is_one_run_the_last(study):
    first, second = study.launch("a", ROW), study.launch("b", ROW)
    for folder in (first, second):
        path = folder / "run.json"
        path.write_text(path.read_text().replace(f"wb-{folder.name}", "same"))
    known = found([study.folder])
    assert [launch.folder for launch in chosen.of_ids(["same"], known)] == [second]


def test_a_killed_launch_gives_way_to_its_repetition_and_a_later_one_that_died_does_not(study):
    study.write("1-killed", [], "failed", {}, [], {})
    study.launch("2-done", ROW)
    study.write("3-died", [], "failed", {}, [], {})
    study.write("4-other", [], "failed", {}, [], {})
    for name in ("1-killed", "2-done", "3-died"):
        path = study.folder / "runs" / name / "run.json"
        path.write_text(path.read_text().replace(f"wb-{name}", "same"))
    kept, notes = chosen.compared(found([study.folder]))
    assert [launch.folder.name for launch in kept] == ["2-done", "4-other"]
    assert notes == ("left out: 2 earlier or later launches of commands that were repeated",)


def test_a_launch_goes_by_what_was_typed_for_it_alone(study):
    aside = ["stage=evaluate", "tracking.group=g", "hydra.run.dir=x", "experiment=debug"]
    typed = [["cot_prob=0.1", "grpo.beta=0.02"], ["cot_prob=0.1", "+x.y=1"], [], ["z=1"], ["z=1"]]
    for n, words in enumerate(typed):
        study.launch(f"points/{n}", ROW, [*aside, f"artifacts=/{n}", *words])
    assert [*chosen.named(found([study.folder]))] == [
        "cot_prob=0.1 grpo.beta=0.02",
        "cot_prob=0.1 +x.y=1",
        "2",
        "z=1 (3)",
        "z=1 (4)",
    ]


def test_a_store_knows_its_launches_where_they_are_still_there(study):
    one, gone = study.launch("one", ROW), study.folder / "gone"
    gone.mkdir()
    roots.remember(study.store, one, ["x"])
    roots.remember(study.store, gone, ["x"])
    assert [launch.folder for launch in chosen.known_to(study.store)] == [one]


def test_what_was_not_to_evaluate_is_counted_and_left_out(study):
    study.launch("done", ROW)
    study.write("dead", [], "failed", {}, [], {})
    study.write("prepared", [], "finished", {"goal": "prepare"}, [], {})
    study.write("broken", [], "failed", {"goal": "sft"}, [], {})
    kept, notes = chosen.compared(found([study.folder]))
    assert {launch.folder.name for launch in kept} == {"done", "dead"}
    assert notes == ("left out: 2 launches that were not to evaluate",)
    (study.folder / "runs" / "done" / "run.json").write_text("{")
    assert "done" not in {launch.folder.name for launch in found([study.folder])}
