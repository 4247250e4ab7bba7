"""What may answer prompts that list nothing: by brute force, and as evaluation has it."""

from time import process_time

import numpy as np
import polars as pl
import pytest

from mllmrec.artifacts import Store
from mllmrec.dataset.full import Whole
from mllmrec.errors import Refusal
from mllmrec.records import Prepared
from mllmrec.scoring.choosers import Node
from mllmrec.training.catalogue import Catalogue, Others
from tests.launching import SMALL, config, launch, make

END = 2


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    store = Store(root=tmp_path_factory.mktemp("store"))
    few = ("dataset.users=25", "dataset.items=40", "prepare.train_protocol=full")
    return Prepared(make(store, "stage=prepare", *SMALL, *few)["prepare"].folder)


@pytest.fixture(scope="module")
def answers(prepared):
    """Of two or three tokens, beginnings shared."""
    ids = prepared.items["item_id"]
    return {item: [5 + n % 3, *([9] * (n % 2)), 100 + n, END] for n, item in enumerate(ids)}


@pytest.fixture(scope="module")
def catalogue(prepared, answers):
    return Catalogue(prepared, answers)


def paths(node: Node, before=()):
    """Every way from a node to an end."""
    if not node:
        return {before}
    return {path for token, below in node.items() for path in paths(below, (*before, token))}


def test_candidates_are_those_of_the_protocol_full(prepared, catalogue):
    samples = prepared.samples("train")
    whole, ids = Whole.of(prepared, samples), prepared.items["item_id"].to_list()
    owned = prepared.scan("owned").collect()
    has = dict(zip(owned["user_id"], map(set, owned["items"].to_list()), strict=True))
    for row, sample in enumerate(samples.iter_rows(named=True)):
        found = catalogue.candidates(sample["user_id"], sample["target"])
        others = has[sample["user_id"]] - {sample["target"]}
        assert [*found] == [item for item in ids if item not in others]
        barred = {ids[column] for column in whole.barred(row)}
        assert {*ids} - {*found} == barred and len(found) == whole.sizes[row]


def test_the_trie_of_a_sample_is_that_of_its_candidates_answers(prepared, catalogue, answers):
    before = paths(catalogue.root)
    for user, target in prepared.samples("train").select("user_id", "target").rows()[:30]:
        candidates = catalogue.candidates(user, target)
        found = catalogue.trie(user, target)
        assert paths(found) == {tuple(answers[item]) for item in candidates}
    assert paths(catalogue.root) == before == {*map(tuple, answers.values())}


def test_what_no_barred_answer_goes_through_is_shared_with_the_root(catalogue, prepared, answers):
    user, target = prepared.samples("train").select("user_id", "target").row(0)
    candidates = {*catalogue.candidates(user, target)}
    found, below = catalogue.trie(user, target), 0
    for item, (first, *rest) in answers.items():
        ours, root = found[first], catalogue.root[first]
        if rest[0] != 9 and item in candidates:
            below += ours[rest[0]] is root[rest[0]]
    assert below == sum(len(answers[item]) == 3 for item in candidates)


def test_a_view_is_a_sequence_of_what_is_left():
    """Of a to f, the places 1 and 4 barred: a, c, d, f."""
    view = Others("abcdef", {item: n for n, item in enumerate("abcdef")}, np.array([1, 4]))
    assert len(view) == 4 and [*view] == [*"acdf"] == [view[n] for n in range(4)]
    assert view[-1] == "f" and view[1:3] == ["c", "d"] and view.index("d") == 2
    assert "c" in view and "b" not in view and "x" not in view and None not in view
    with pytest.raises(IndexError):
        view[4]
    whole = Others("ab", {"a": 0, "b": 1}, np.array([], dtype=int))
    assert [*whole] == ["a", "b"] and "b" in whole


def test_training_lists_nothing_and_the_rest_is_as_it_was(prepared, tmp_path):
    store = Store(root=tmp_path)
    few = ("dataset.users=25", "dataset.items=40")
    listed = Prepared(make(store, "stage=prepare", *SMALL, *few)["prepare"].folder)
    table, other = prepared.samples("train"), listed.samples("train")
    assert table.schema["train"] == pl.List(pl.String) and table["train"].list.len().max() == 0
    assert table.drop("train").equals(other.drop("train"))
    for split in ("validation", "test"):
        assert prepared.samples(split).equals(listed.samples(split))


def test_rollouts_that_score_every_item_are_refused():
    for method, rollout in (("grpo", "enumerate"), ("exact", "exhaust")):
        with pytest.raises(Refusal, match=f"algorithm/rollout={rollout}") as said:
            config("stage=grpo", "prepare.train_protocol=full", f"algorithm={method}")
        assert "algorithm/rollout=sample algorithm.rollout.constraint=token" in said.value.do


def test_real_ratings_have_the_catalogue_that_the_experiment_says(shared_data, tmp_path):
    """Views and tries of 2,146 films cost next to nothing: 32 of each, in a blink."""
    words = ("experiment=catalogue", f"dataset.path={shared_data / 'movietweetings-100k'}")
    made = make(Store(root=tmp_path), *words, "stage=prepare", "tracking=off")
    prepared = Prepared(made["prepare"].folder)
    ids = prepared.items["item_id"]
    assert len(ids) == 2146 and prepared.samples("train").height == 42106
    catalogue = Catalogue(prepared, {item: [n, END] for n, item in enumerate(ids, END + 1)})
    some = prepared.samples("train")[::1300].select("user_id", "target").rows()
    began = process_time()
    for user, target in some:
        candidates, trie = catalogue.candidates(user, target), catalogue.trie(user, target)
        assert target in candidates and len(trie) == len(candidates) > 1500
    assert process_time() - began < 1


@pytest.mark.slow
def test_the_command_line_trains_and_measures_over_the_catalogue(tmp_path):
    words = (
        *("experiment=debug", "threads=1", "tracking=off", "cot_prob=0", "dataset.poster_size=16"),
        *("prepare.train_protocol=full", "grpo.probe.protocol=full"),
        *("evaluate.protocols=[full,uni9]", "evaluate.policies=[popularity,sft,grpo]"),
        *("evaluate.compare=[]", "stage=evaluate"),
    )
    token = ("algorithm/rollout=sample", "algorithm.rollout.constraint=token")
    for rollout in (token, ("algorithm/rollout=beam",)):
        done = launch(*words, *rollout, cwd=tmp_path, timeout=900)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        told = " ".join((done.stdout + done.stderr).split())
        assert "full: the whole catalogue" in told
        assert "uni9: sft, grpo learnt to answer prompts that list nothing" in told
    made = [a.manifest for a in Store(root=tmp_path / "artifacts") if a.stage == "grpo"]
    assert len(made) == 2
    for manifest in made:  # a miss within the catalogue is paid 0.3, what is outside it −1
        assert manifest["metrics"]["reward"] > 0.2999
        assert 0.3 <= manifest["metrics"]["probe/reward"] <= 1
