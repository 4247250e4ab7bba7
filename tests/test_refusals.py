"""Bad input through the real command line: one line in three beats, exit code 1, nothing made."""

import shutil
import subprocess

import pytest

from mllmrec.artifacts import Store
from tests.launching import SMALL, command, environment, launch, told

FILMS = "".join(f"{n:02d}::Film {n} (1999)::Crime\n" for n in range(40))
RATINGS = "".join(f"{u}::{(9 * u + n) % 40:02d}::8::{n}\n" for u in range(4) for n in range(7))
TITLES = "item,title\n" + "".join(f"{n},Film {n}\n" for n in range(40))
ROWS = "".join(f"{u}\t{' '.join(str((9 * u + n) % 40) for n in range(7))}\n" for u in range(4))
KNOBS = ("dataset.min_interactions=5", "prepare.protocols=[uni9]", "tracking=off")
TWEETINGS = ("dataset=movietweetings", "dataset.k_core=null", *KNOBS)
REFERENCE = ("dataset=reference", "prepare.history_length=4", *KNOBS)


def slow(*values, id=None):
    """A case like the others of its test, whose fault has a cheap test in tests/dataset."""
    return pytest.param(*values, id=id, marks=pytest.mark.slow)


def prepare(tmp_path, kind, **files):
    """Launch prepare on a small folder of data in which some files are others."""
    data = tmp_path / "data"
    data.mkdir()
    usual = {"movies.dat": FILMS, "ratings.dat": RATINGS}
    if kind == REFERENCE:
        usual = {"train.tsv": ROWS, "test.tsv": ROWS, "x_titles.csv": TITLES}
    for name, text in (usual | {n.replace("_dat", ".dat"): t for n, t in files.items()}).items():
        if text is not None:
            (data / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return launch("stage=prepare", *kind, "dataset.path=data", cwd=tmp_path)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(TWEETINGS, id="movietweetings"), slow(REFERENCE, id="reference")],
)
def test_the_small_folders_are_good(tmp_path, kind):
    """Else what follows would be refused for a reason of its own."""
    done = prepare(tmp_path, kind)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("files", "said"),
    [
        slow({"ratings_dat": None}, "ratings.dat: no such file", id="missing"),
        slow({"ratings_dat": ""}, "ratings.dat: the file is empty", id="empty"),
        pytest.param({"ratings_dat": RATINGS[:-9]}, "ratings.dat, line 28", id="truncated"),
        slow(
            {"ratings_dat": RATINGS.replace("::8::3\n", "::8::soon\n", 1)},
            "field timestamp, value 'soon'",
            id="time",
        ),
        slow({"ratings_dat": RATINGS + "1::99::8::9\n"}, "the item has no title", id="untitled"),
        slow(
            {"movies_dat": FILMS + "01::Other (2000)::\n"},
            "field item, value '01' with title",
            id="two-titles",
        ),
        pytest.param(
            {"movies_dat": FILMS.encode() + b"77::Am\xe9lie (2001)::\n"},
            "is not utf-8",
            id="encoding",
        ),
    ],
)
def test_bad_files(tmp_path, files, said):
    line = told(prepare(tmp_path, TWEETINGS, **files))
    assert said in line
    assert list(Store(root=tmp_path / "artifacts")) == []


@pytest.mark.parametrize(
    ("words", "said", "do"),
    [
        slow(["dataset.min_interactions=9"], "no user is long enough", "dataset.min_interactions"),
        slow(["prepare.protocols=[uni99]"], "uni99 needs 99 negatives", "prepare.protocols=[uni"),
        slow(["artifacts=/dev/null/x"], "artifacts=/dev/null/x: cannot be written", "artifacts="),
        (["artifacts=data/movies.dat/x"], "cannot be written (Not a directory)", "artifacts=DIR"),
    ],
)
def test_knobs_that_do_not_suit_the_data(tmp_path, words, said, do):
    data = tmp_path / "data"
    data.mkdir()
    (data / "movies.dat").write_text(FILMS)
    (data / "ratings.dat").write_text(RATINGS)
    done = launch("stage=prepare", *TWEETINGS, "dataset.path=data", *words, cwd=tmp_path)
    line = told(done)
    assert said in line and do in line
    assert list(Store(root=tmp_path / "artifacts")) == []


@pytest.mark.slow
def test_the_published_layout_is_refused_in_the_same_way(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.tsv").write_text("")
    line = told(launch("stage=prepare", *REFERENCE, "dataset.path=data", cwd=tmp_path))
    assert "train.tsv" in line or "titles.csv" in line


def tmpfs_is_permitted():
    call = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return shutil.which("unshare") and subprocess.run(call, capture_output=True).returncode == 0


def test_a_full_disk(tmp_path):
    """A file system of 300 KiB in a namespace of this test's own, then of 8 MiB."""
    if not tmpfs_is_permitted():
        pytest.skip("mounting a small file system is not permitted here")
    full, run = tmp_path / "full", " ".join(f"'{word}'" for word in command("stage=prepare"))
    full.mkdir()
    words = " ".join(f"'{word}'" for word in (*SMALL, "dataset.poster_size=64"))
    script = f"""
        mount -t tmpfs -o size=300k none {full}
        {run} {words} artifacts={full}/store > log; echo code $?
        find {full}/store -name manifest.json
        mount -o remount,size=8m {full}
        {run} {words} artifacts={full}/store > log; echo code $?
        find {full}/store -name manifest.json -printf '%f\\n'
    """
    call = ["unshare", "-rm", "sh", "-c", script]
    done = subprocess.run(call, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("mllmrec: ")]
    assert f"{full}/store" in line and "the disk is full" in line and "repeat the command" in line
    assert line.count(" · ") == 2 and "Traceback" not in done.stderr
    assert done.stdout.split() == ["code", "1", "code", "0", "manifest.json"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "files", "said"),
    [
        (
            ["stage=sft", "sft.adopt=given"],
            {"adapter_config.json": b"{}", "adapter_model.safetensors": b"\x40" + bytes(7) + b"{"},
            "adapter_model.safetensors: damaged",
        ),
        (
            ["stage=sft", "backbone=qwen3_0_6b", "backbone.path=given"],
            {"config.json": b'{"model_type": "qwen3"}'},
            "holds no tokenizer",
        ),
        (["stage=sft", "backbone=qwen3_0_6b", "backbone.path=./none"], {}, "no such folder"),
        (["stage=merge", "merge.adopt=given"], {"config.json": b"{}"}, "holds no tokenizer"),
    ],
    ids=["adapter", "no-tokenizer", "no-folder", "no-model"],
)
def test_models_from_outside(tmp_path, words, files, said):
    given = tmp_path / "given"
    given.mkdir()
    (given / "note").write_text("")
    for name, content in files.items():
        (given / name).write_bytes(content)
    line = told(launch(*words, *SMALL, cwd=tmp_path))
    assert said in line
    below = {"prepare", "caption", "pseudo_cot"}  # what is made before a model is looked at
    assert {a.stage for a in Store(root=tmp_path / "artifacts")} <= below
