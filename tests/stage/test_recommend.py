"""Lists for a history, a user, a file: by policies that need no model."""

import json
import shutil

import polars as pl
import pytest

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.records import Prepared
from mllmrec.serving import lists
from mllmrec.stage.base import Job
from mllmrec.training.rationales import drafts
from tests.launching import SMALL, config, launch, make, steps

BY = ("stage=recommend", *SMALL, "recommend.policy=popularity")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A store that has the data, prepared."""
    root = tmp_path_factory.mktemp("store")
    make(Store(root=root), "stage=prepare", *SMALL)
    return root


@pytest.fixture(scope="module")
def prepared(root):
    return Prepared(next((root / "toy" / "prepare").glob("[!.]*")))


def recommended(root, *words):
    """The folder of the lists, and the requests in it."""
    folder = make(Store(root=root), *BY, *words)["recommend"].folder
    lines = (folder / "recommendations.jsonl").read_text(encoding="utf-8").splitlines()
    return folder, [json.loads(line) for line in lines]


def best_of(prepared, barred):
    """Items by their count in training, and the counts."""
    counts = prepared.sequences["items"].explode().value_counts()
    found = dict(counts.iter_rows())
    return {i: found.get(i, 0) for i in prepared.titles if i not in barred}


def test_the_list_is_of_what_is_most_popular_and_not_in_the_history(root, prepared):
    top = max(best_of(prepared, ()).items(), key=lambda pair: pair[1])[0]
    folder, (line,) = recommended(root, f"recommend.history=[{top},2]", "recommend.top=5")
    counts = best_of(prepared, {top, "2"})
    names = [one["item_id"] for one in line["recommended"]]
    assert top not in names and line["history"] == [top, "2"]
    assert [one["score"] for one in line["recommended"]] == sorted(counts.values())[:-6:-1]
    assert all(one["score"] == counts[one["item_id"]] for one in line["recommended"])
    assert all(one["title"] == prepared.titles[one["item_id"]] for one in line["recommended"])
    rows = pl.read_csv(folder / "recommendations.csv", schema_overrides={"item_id": pl.String})
    assert rows["place"].to_list() == [1, 2, 3, 4, 5] and rows["item_id"].to_list() == names
    assert pl.read_parquet(folder / "recommendations.parquet")["item_id"].to_list() == names


def test_a_user_is_known_by_id_and_gets_nothing_that_is_there_in_any_split(root, prepared):
    sample = prepared.samples("test").row(0, named=True)
    user = sample["user_id"]
    _, (line,) = recommended(root, f"recommend.user={user}", "recommend.top=500")
    owned = prepared.scan("owned").filter(user_id=user).collect()["items"][0].to_list()
    assert line["history"] == owned and owned[-1] == sample["target"]
    names = {one["item_id"] for one in line["recommended"]}
    assert names == {*prepared.titles} - {*owned}


def test_among_candidates_only_they_are_ranked(root, prepared):
    title = prepared.titles["4"].upper()
    words = ("recommend.history=[1]", f'recommend.candidates=[3,"{title}",1]')
    _, (line,) = recommended(root, *words)
    assert {one["item_id"] for one in line["recommended"]} == {"3", "4"}


@pytest.mark.slow
def test_a_rationale_stands_beside_the_list_and_changes_none(root):
    _, (plain,) = recommended(root, "recommend.history=[1,2]")
    _, (line,) = recommended(root, "recommend.history=[1,2]", "recommend.rationale=shown")
    assert "would fit next" in line.pop("rationale") and line == plain


@pytest.mark.parametrize("rationale", ["shown", "hint"])
def test_only_a_hint_is_handed_to_the_model(root, prepared, tmp_path, rationale):
    words = ("recommend.history=[1,2]", f"recommend.rationale={rationale}")
    made = config("stage=recommend", *SMALL, *words)
    asked = make(Store(root=root), *BY, *words[:1])["requests"].folder / "requests.parquet"
    groups = {name: made.groups[name] for name in made.goal.uses}
    job = Job(out=tmp_path, inputs={"prepare": prepared.folder}, groups=groups, seed=0)
    samples = lists.samples_of(pl.read_parquet(asked), 8)
    found = made.goal.hinted(samples, prepared, job)
    if rationale == "shown":
        assert found is job
    else:  # where a policy's scorer looks for them
        assert "would fit next" in drafts(found.inputs["hints"])["1"]


def many(folder, prepared, count=7):
    users = prepared.samples("test")["user_id"].to_list()
    rows = [f"r{n},{users[n]}," if n % 2 else f"r{n},,{n + 1}|{n + 2}" for n in range(count)]
    file = folder / "asked.csv"
    file.write_text("\n".join(["id,user,history", *rows, ""]))
    return file


def test_a_file_of_many_goes_on_where_it_was_killed(root, prepared, tmp_path, monkeypatch):
    file = many(tmp_path, prepared)
    words = (f"recommend.file={file}", "recommend.top=2")
    _, whole = recommended(root, *words)
    assert [line["id"] for line in whole] == [f"r{n}" for n in range(7)]
    _, (alone,) = recommended(root, "recommend.history=[3,4]", "recommend.top=2")
    alike = [line for line in whole if line["history"] == ["3", "4"]]
    scores = [[one["score"] for one in line["recommended"]] for line in (alone, *alike)]
    assert len(scores) == 2 and scores[0] == scores[1]

    monkeypatch.setattr(lists, "BLOCK", 3)
    done, rank = [], lists.in_order
    killed_at = [2]

    def ranks(block, *more):
        done.append(block["sample_id"].to_list())
        if len(done) == killed_at[0]:
            raise KeyboardInterrupt
        return rank(block, *more)

    monkeypatch.setattr(lists, "in_order", ranks)
    other = tmp_path / "store"
    shutil.copytree(root / "toy" / "prepare", other / "toy" / "prepare")
    with pytest.raises(KeyboardInterrupt):
        recommended(other, *words)
    killed_at[0] = 0
    assert steps(Store(root=other), *BY, *words)[-1].action == "resume"
    folder, again = recommended(other, *words)
    assert again == whole
    assert done == [["r0", "r1", "r2"], ["r3", "r4", "r5"], ["r3", "r4", "r5"], ["r6"]]
    assert not (folder / ".scratch").exists()


def test_bad_rows_are_refused_by_line_or_left_out_and_counted(root, tmp_path):
    file = tmp_path / "asked.csv"
    file.write_text("history\n1|2\nNowhere\n3\n")
    with pytest.raises(Refusal, match=r"asked.csv, line 3: 'Nowhere' is no item") as refusal:
        recommended(root, f"recommend.file={file}")
    assert "recommend.max_bad_rows=1" in refusal.value.do
    words = (f"recommend.file={file}", "recommend.max_bad_rows=1")
    made = make(Store(root=root), *BY, *words)
    assert made["requests"].manifest["metrics"] == {"requests": 2.0, "bad_rows": 1.0}
    assert made["recommend"].manifest["metrics"]["requests"] == 2


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["recommend.user=7", "recommend.history=[1]"], "recommend.history and recommend.user"),
        (["recommend.file=nowhere.csv"], "recommend.file=nowhere.csv: no such file"),
        (["recommend.user=7", "recommend.policy=grp"], "recommend.policy=grp: no policy"),
        (["recommend.user=7", "recommend.policy=oracle"], "recommend.policy=oracle: no policy"),
        (["recommend.user=7", "recommend.out=a.doc"], "recommend.out=a.doc: no kind of file"),
        (["recommend.user=7", "recommend.rationale=hint"], "recommend.policy=popularity with"),
        (["recommend.user=7", 'recommend.separator=";"'], "recommend.separator: has no effect"),
        (["recommend.user=7", "recommend.max_bad_rows=1"], "recommend.max_bad_rows: has no"),
        (["recommend.history=[1.5]"], "recommend.history.0=1.5"),
        (["recommend.user=7", "recommend.top=0"], "recommend.top=0"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(words, wrong):
    with pytest.raises(Refusal) as refusal:
        config(*BY, *words)
    assert wrong in refusal.value.wrong and refusal.value.allowed and refusal.value.do


def test_asked_for_nobody_it_asks_back(tmp_path):
    with pytest.raises(Refusal, match="for whom") as refusal:
        steps(Store(root=tmp_path), *BY)
    assert "recommend.user=ID" in refusal.value.do


@pytest.mark.slow
def test_the_command_prints_a_table_and_copies_without_overwriting(root, prepared, tmp_path):
    store, out = f"artifacts={root}", tmp_path / "lists.csv"
    title = prepared.titles["1"].lower()
    words = (*BY, store, f'recommend.history=["{title}",2]', f"recommend.out={out}")
    done = launch(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "recommended by popularity (score: training interactions)" in done.stdout
    rows = pl.read_csv(out, schema_overrides={"item_id": pl.String})
    assert len(rows) == 10
    assert all(title in done.stdout for title in rows["title"])
    assert "\x1b" not in done.stdout + done.stderr
    made = config(*words, "recommend.top=3")
    with pytest.raises(Refusal, match="is there already") as refusal:
        made.goal.ready(made)  # before anything is built
    assert "recommend.overwrite=true" in refusal.value.do


def test_a_copy_is_known_again_and_what_one_asked_with_is_never_replaced(root, tmp_path):
    (asked := tmp_path / "asked.csv").write_text("history\n1|2\n")
    folder, _ = recommended(root, f"recommend.file={asked}", "recommend.top=2")
    shorter, _ = recommended(root, f"recommend.file={asked}", "recommend.top=1")

    def goal(out):
        return config(*BY, f"recommend.out={out}", "recommend.overwrite=true").goal

    for kind in ("csv", "jsonl", "parquet"):
        out = tmp_path / f"lists.{kind}"
        goal(out).show(folder)
        goal(out).show(shorter)
        assert out.read_bytes() == (shorter / f"recommendations.{kind}").read_bytes()
    with pytest.raises(Refusal, match="is not an earlier file of lists"):
        goal(asked).show(folder)
    assert asked.read_text() == "history\n1|2\n"
