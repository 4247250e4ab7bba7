"""What a sweep is held to: words, the folder they lead to, and configs as they were."""

import os
import shutil
from pathlib import Path

from mllmrec.sweep import frozen
from mllmrec.sweep.points import note, noted
from mllmrec.sweep.reading import parse
from mllmrec.sweep.whole import check_same
from tests.launching import CONF
from tests.sweep.files import tree, write


def words(*typed, **more):
    return frozen.common_words(parse(tree(**more), "s"), typed)


def test_what_is_typed_comes_after_the_command_and_in_its_place():
    assert words("stage=sweep", "sweep=a", "seed=3", "hydra.run.dir=x", "threads=2") == (
        "stage=prepare",
        "seed=3",
    )
    command = [
        "${env}",
        "${interpreter}",
        "${program}",
        "stage=sft",
        "seed=1",
        "${args_no_hyphens}",
    ]
    assert words("seed=3", "dataset=table", command=command) == (
        "stage=sft",
        "seed=3",
        "dataset=table",
    )


def test_tracking_is_that_of_the_sweep_and_the_project_that_of_its_file():
    assert words("tracking=off") == ("stage=prepare", "tracking=off")
    assert words(project="p", entity="e") == (
        *("stage=prepare", "tracking.project=p", "tracking.entity=e"),
    )
    assert words("tracking.project=q", project="p") == ("stage=prepare", "tracking.project=q")


def test_the_folder_follows_from_what_is_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = parse(tree(), "s")
    one = frozen.folder_of(Path("a.yaml"), asked, ["seed=1", "tracking=off"])
    assert one.parent == tmp_path / "outputs" / "sweeps" and one.name.startswith("a-")
    assert one == frozen.folder_of(Path("a.yaml"), asked, ["seed=1"])  # told, not asked
    assert one != frozen.folder_of(Path("a.yaml"), asked, ["seed=2"])
    assert one != frozen.folder_of(Path("a.yaml"), parse(tree(run_cap=1), "s"), ["seed=1"])


def test_configs_are_kept_as_they_were_when_the_sweep_began(tmp_path):
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    file = write(tmp_path / "s.yaml")
    sweep = frozen.freeze(tmp_path / "sweep", file, ["seed=1"], conf)
    assert frozen.changed(sweep, conf) == [] and not (sweep.conf / "schema").exists()
    (conf / "stage" / "sft.yaml").write_text("changed: 1\n")
    (conf / "dataset" / "mine.yaml").write_text("new: 1\n")
    again = frozen.freeze(tmp_path / "sweep", file, ["seed=1"], conf)
    assert again == sweep
    assert frozen.changed(again, conf) == ["dataset/mine.yaml", "stage/sft.yaml"]
    assert (sweep.conf / "stage" / "sft.yaml").read_text() != "changed: 1\n"
    check_same(again, parse(tree(), "s"), ["seed=1"])


def test_what_a_kill_left_of_a_freeze_is_in_nobodys_way(tmp_path):
    half = tmp_path / "sweep" / f".{frozen.FROZEN}-{os.getpid()}"
    half.mkdir(parents=True)
    (half / "sweep.yaml").write_text("half")
    sweep = frozen.freeze(tmp_path / "sweep", write(tmp_path / "s.yaml"), ["seed=1"], CONF)
    assert sweep.words == ("seed=1",) and not half.exists()


def test_a_journals_torn_line_is_written_over(tmp_path):
    path = tmp_path / "points.jsonl"
    path.write_text('{"number": 0}\n{"numb')
    assert noted(path) == [{"number": 0}]
    note(path, {"number": 1, "title": "é"})
    note(path, {"number": 2})
    assert noted(path) == [{"number": 0}, {"number": 1, "title": "é"}, {"number": 2}]
