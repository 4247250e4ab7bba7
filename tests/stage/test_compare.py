"""``stage=compare`` through the command line: files, tables, refusals."""

import json

import pytest

from mllmrec import roots
from mllmrec.errors import Refusal
from tests.comparison.methods import Methods
from tests.comparison.study import Study
from tests.launching import asked, config, launch, told

HALF, BEST = [1, 4] * 20, [1] * 40
WORDS = ("stage=compare", "compare.k=[1,2,9]", "compare.metrics=[hr@1]")


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


@pytest.mark.slow
def test_named_runs_make_a_table_a_csv_and_a_page(study, tmp_path):
    one = study.launch("one", {"sft": HALF, "grpo": HALF}, ["cot_prob=0"], cot_prob=0)
    two = study.launch("two", {"sft": BEST}, ["cot_prob=0.1"], cot_prob=0.1)
    words = [f"+compare.runs.plain={one}", f"+compare.runs.captions={two}"]
    done = launch(*WORDS, *words, "compare.out=told", "compare.title=A study", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "sft under uni3" in done.stdout and "+0.5000" in done.stdout
    assert "K = [9] left out" in done.stdout and "grpo: not in captions" in done.stdout
    assert "page: told/compare.html" in done.stdout
    data = json.loads((tmp_path / "told" / "compare.json").read_text(encoding="utf-8"))
    assert [run["name"] for run in data["runs"]] == ["plain", "captions"]
    assert data["knobs"][0] == {"name": "cot_prob", "values": [0, 0.1], "also": []}
    assert data["tests"]["sft/uni3/hr@1"]["diff"] == [None, 0.5]
    assert data["title"] == "A study"
    page = (tmp_path / "told" / "compare.html").read_text(encoding="utf-8")
    assert "A study" in page and page.lstrip().lower().startswith("<!doctype html>")
    assert len((tmp_path / "told" / "compare.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_a_name_that_looks_like_a_number_is_one():
    words = ["reference=1", "cases=[0,1]", "group=7", "ids=[12345678]", "sweep=3", "title=2026"]
    named = "+compare.runs={1: a, 2: b}"
    made = config("stage=compare", *(f"compare.{word}" for word in words), named).goal
    assert (made.reference, made.cases, made.group) == ("1", ["0", "1"], "7")
    assert (made.ids, made.sweep, made.title) == (["12345678"], "3", "2026")
    assert [*made.runs] == ["1", "2"]


@pytest.mark.slow
def test_an_id_that_became_a_number_is_refused_and_one_in_quotes_is_not():
    with pytest.raises(Refusal, match="put the name in quotes"):
        config("stage=compare", "compare.ids=[12e45678]")
    made = config("stage=compare", 'compare.ids=["12e45678"]').goal
    assert made.ids == ["12e45678"]


def test_where_nothing_is_named_it_is_all_that_the_store_has_noted(study):
    for name, row in (("a", HALF), ("b", BEST)):
        folder = study.launch(name, {"grpo": row}, [f"x={name}"])
        roots.remember(study.store, folder, ["x"])
    assert names(compare(study)) == ["x=a", "x=b"]


def compare(study, *words, **runs):
    made = config("stage=compare", "compare.k=[1,2,9]", "compare.metrics=[hr@1]", *words).goal
    made = made.model_copy(update={"runs": runs, "out": study.folder / "out"})
    made.execute(asked(study.store))
    return json.loads((study.folder / "out" / "compare.json").read_text(encoding="utf-8"))


def names(data):
    return [run["name"] for run in data["runs"]]


@pytest.mark.slow
def test_runs_are_found_in_folders_by_sweep_and_by_group(study, capsys):
    for n, group in enumerate("ggh"):
        tracking = {"group": group, "tags": []}
        study.launch(f"s/points/{n}", {"grpo": [1] * n + [4] * (20 - n)}, tracking=tracking)
    study.write("prepared", [], "finished", {"goal": "prepare"}, [], {})
    folder = f"compare.folders=[{study.folder / 'runs'}]"
    data = compare(study, folder)
    assert "left out: 1 launches that were not to evaluate" in capsys.readouterr().out
    assert names(data) == ["0", "1", "2"] and data["title"] == "3 runs"
    data = compare(study, folder, "compare.group=g", "compare.reference='1'")
    assert names(data) == ["0", "1"] and data["title"] == "g" and data["reference"] == 1
    for sweep in (study.folder / "runs" / "s", "s"):
        words = [folder] if sweep == "s" else []
        assert names(compare(study, f"compare.sweep={sweep}", *words)) == ["0", "1", "2"]
    data = compare(study, folder, "compare.ids=[wb-s/points/2,'0']")
    assert names(data) == ["0", "2"]
    one = study.folder / "runs" / "s" / "points" / "1"
    data = compare(study, folder, "compare.group=g", base=one)  # named ones stand first, once
    assert names(data) == ["base", "0"]


def test_what_cannot_be_compared_is_refused(study):
    one = study.launch("one", {"sft": HALF})
    films = {"dataset": {"_target_": "mllmrec.dataset.movielens.MovieLens"}}
    two = study.launch("two", {"sft": HALF}, **films)
    idle = study.write("idle", [], "finished", {"goal": "prepare"}, [], {})
    with pytest.raises(Refusal, match="compare: no run: nothing to compare") as told:
        compare(study)
    assert "compare.folders=[DIR]" in told.value.do
    with pytest.raises(Refusal, match="compare: a: nothing to compare"):
        compare(study, a=one)
    with pytest.raises(Refusal, match=r"compare\.runs\.b=.*that launch evaluated nothing") as told:
        compare(study, a=one, b=idle)
    assert "compare.runs.b=DIR" in told.value.do
    with pytest.raises(Refusal, match="runs of several datasets: 1 on toy, as a; 1 on") as told:
        compare(study, a=one, b=two)
    assert "compare.dataset=toy" in told.value.do
    with pytest.raises(Refusal, match="compare: a: nothing to compare"):
        compare(study, "compare.dataset=toy", a=one, b=two)
    with pytest.raises(Refusal, match=r"compare\.folders: nowhere: no such folder"):
        compare(study, "compare.folders=[nowhere]")


@pytest.mark.slow
def test_a_folder_that_is_no_launchs_is_told_of_in_one_line(study, tmp_path):
    one = study.launch("one", {"sft": HALF})
    line = told(launch(*WORDS, f"+compare.runs.a={one}", "+compare.runs.x=nowhere", cwd=tmp_path))
    assert "compare.runs.x=nowhere: no launch's folder" in line and "compare.runs.x=DIR" in line


def test_algorithms_are_written_into_a_page_with_the_command(tmp_path, capsys):
    methods = Methods(tmp_path)
    for algorithm, best in (("grpo", 5), ("riser", 15)):
        for seed in range(2):
            row = [1] * (best + seed) + [2] * (20 - best - seed)
            methods.run(algorithm, seed, ranks=row)
    folder, page = f"compare.folders=[{tmp_path / 'runs'}]", tmp_path / "docs" / "page.md"
    words = ["compare.metrics=[ndcg@2]", f"compare.study.page={page}", "compare.study.name=toy"]
    data = compare(methods, folder, *words)
    out = capsys.readouterr().out
    assert "NDCG@2 under uni3, less that of sft" in out and f"study: {page}" in out
    text = page.read_text(encoding="utf-8")
    assert "<!-- toy -->" in text and "`python launch.py" in text
    assert text.index("| `riser` | 2 |") < text.index("| `grpo` | 2 |")  # the best first
    assert (page.parent / "page" / "toy-gain.svg").is_file()
    assert [one["name"] for one in data["study"]["lines"]] == ["grpo", "riser", "sft_continued"]


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_compared(study, tmp_path):
    for name in ("page", "page.html", "docs"):
        with pytest.raises(Refusal, match=r"is not a page of Markdown; name a file that ends in"):
            compare(study, f"compare.study.page={tmp_path / name}")
    (page := tmp_path / "page.md").write_text("<!-- study -->\n")
    one, two = study.launch("one", {"sft": HALF}), study.launch("two", {"sft": BEST})
    with pytest.raises(Refusal, match=r"with <!-- end of study --> alone: 0"):
        compare(study, f"compare.study.page={page}", a=one, b=two)
    assert not (study.folder / "out").exists()


def test_a_page_of_algorithms_wants_runs_with_a_probe(study, tmp_path):
    one, two = study.launch("one", {"sft": HALF}), study.launch("two", {"sft": BEST})
    with pytest.raises(Refusal, match=r"none of these runs' GRPO looked at a probe") as told:
        compare(study, f"compare.study.page={tmp_path / 'page.md'}", a=one, b=two)
    assert "compare.study.page=null" in told.value.do
