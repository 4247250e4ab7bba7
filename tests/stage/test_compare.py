"""Runs side by side: their launches' folders, the store's rankings, paired differences."""

import json

import polars as pl
import pytest

from mllmrec.artifacts import Store, write_json
from mllmrec.errors import Refusal
from tests.launching import SMALL, asked, config, launch, told


def publish(store, folder, name, ranks, others="abc", dataset="toy", **asked):
    """A launch whose evaluation found these ranks of t among it and three others, by policy."""
    edges = {}
    for policy, row in ranks.items():
        made = store.folder(dataset, "rank", f"{name}-{policy}")
        made.mkdir(parents=True)
        rows = {"sample_id": [f"s{i}" for i in range(len(row))], "rank": row}
        rows["ranked"] = [[*others[: place - 1], "t", *others[place - 1 :]] for place in row]
        pl.DataFrame(rows).write_parquet(made / "uni3.parquet")
        edges[policy] = made.name
    made = store.folder(dataset, "evaluate", name)
    made.mkdir(parents=True)
    identity = {"inputs": edges, "knobs": {"protocols": ["uni3"], **asked}}
    write_json(made / "manifest.json", {"identity": identity, "files": {}, "metrics": {}})
    folder.mkdir()
    lineage = {"inputs": {}, "outputs": {"x": {"as": "evaluate", "path": str(made)}}}
    (folder / "lineage.json").write_text(json.dumps(lineage))
    return folder


@pytest.fixture
def runs(tmp_path):
    store = Store(root=tmp_path / "artifacts")
    first = publish(store, tmp_path / "one", "one", {"sft": [1, 4] * 20, "grpo": [4] * 40})
    second = publish(store, tmp_path / "two", "two", {"sft": [1, 1] * 20})
    return store, {"plain": first, "captions": second}


def compare(runs, *words):
    made = config("stage=compare", "compare.k=[1,2,9]", "compare.metrics=[hr@1]", *words).goal
    return made.model_copy(update={"runs": runs})


def test_a_row_a_run_and_policy_and_differences_from_the_first(runs, capsys):
    store, folders = runs
    compare(folders).execute(asked(store))
    said = capsys.readouterr().out
    assert "uni3: 4 candidates, 40 test samples" in said and "K = [9] left out" in said
    assert "plain: sft" in said and "captions: sft" in said and "plain: grpo" in said
    assert "captions: grpo" not in said  # that run has none
    # HR@1 is .5 and 1 on the same samples: +.5, certainly above
    assert "captions: sft is above plain: sft in HR@1: +0.5000" in said
    assert said.count(" in HR@1") == 1


def test_models_that_were_not_asked_the_same_are_told_of(runs, tmp_path, capsys):
    store, folders = runs
    hinted = publish(store, tmp_path / "three", "three", {"sft": [1, 1] * 20}, hint=True)
    compare({**folders, "hinted": hinted}).execute(asked(store))
    said = " ".join(capsys.readouterr().out.split())
    assert "hinted and plain differ in evaluate.hint: True and False" in said
    assert "captions and plain differ" not in said
    assert "grpo: not in captions, hinted" in said and "backbone: not in plain, captions" in said


def test_another_way_to_rank_the_catalogue_is_told_of_where_both_ranked_it(runs, tmp_path, capsys):
    store, folders = runs
    ranks, ways = {"sft": [1, 1] * 20}, ({"method": "exact"}, {"method": "beam"})
    exact, beam = (
        publish(store, tmp_path / way["method"], way["method"], ranks, full=way) for way in ways
    )
    compare({"exact": exact, "beam": beam, **folders}).execute(asked(store))
    said = " ".join(capsys.readouterr().out.split())
    assert "beam and exact differ in evaluate.full: {'method': 'beam'} and" in said
    assert said.count("evaluate.full") == 1


def test_what_cannot_be_compared_is_refused(runs, tmp_path):
    store, folders = runs
    with pytest.raises(Refusal, match="nothing to compare"):
        compare({"plain": folders["plain"]}).execute(asked(store))
    with pytest.raises(Refusal, match=r"no launch's folder \(lineage.json cannot be read\)"):
        compare({**folders, "x": tmp_path}).execute(asked(store))
    other = publish(store, tmp_path / "three", "three", {"sft": [1]})
    with pytest.raises(Refusal, match="not ranked on the same samples"):
        compare({**folders, "x": other}).execute(asked(store))
    (store.folder("toy", "evaluate", "two") / "manifest.json").unlink()
    with pytest.raises(Refusal, match="its evaluation is no longer there"):
        compare(folders).execute(asked(store))


def test_equal_ids_of_other_data_are_no_same_samples(runs, tmp_path):
    store, folders = runs
    ranks = {"sft": [1, 1] * 20}
    other = publish(store, tmp_path / "three", "three", ranks, others="abx")
    with pytest.raises(Refusal, match=r"uni3: x: sft and plain: sft were not .*another candidates"):
        compare({**folders, "x": other}).execute(asked(store))
    films = publish(store, tmp_path / "four", "four", ranks, dataset="films")
    with pytest.raises(Refusal, match="x evaluated on dataset=films, plain on dataset=toy") as told:
        compare({**folders, "x": films}).execute(asked(store))
    assert "compare.runs.x=DIR" in told.value.do


def test_a_launch_that_evaluated_nothing_is_told_so(tmp_path):
    for name in ("a", "b"):
        done = launch("stage=prepare", *SMALL, f"hydra.run.dir={tmp_path / name}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    words = [f"+compare.runs.{name}={tmp_path / name}" for name in ("a", "b")]
    line = told(launch("stage=compare", *words, cwd=tmp_path))
    assert "that launch evaluated nothing" in line and "compare.runs.a=DIR" in line
