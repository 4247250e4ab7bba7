"""The tables as they are written, held against plain loops over the same data."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmrec.dataset import sampled
from mllmrec.dataset.audit import Audit
from mllmrec.dataset.negatives import SHUFFLE, keys, uniforms
from mllmrec.dataset.sampled import Sampled, write_owned, write_popularity, write_sequences
from mllmrec.dataset.split import SPLITS, as_published
from mllmrec.records import OWNED
from tests.dataset import plans
from tests.dataset.test_candidates import pool
from tests.dataset.test_negatives import by_loops

COLUMNS = {"uni": "uni3", "pop": "pop2"}


def write(plan, folder, seed=5):
    audit, prints = Audit(plan=plan, items=len(plan.item_ids)), {}
    write_popularity(folder, plan)
    write_sequences(folder, plan)
    write_owned(folder, plan)
    for split in SPLITS:
        targets = plan.targets(split, windows="sliding", min_history=1)
        one = Sampled(split=split, targets=targets, columns=COLUMNS)
        prints |= one.write(folder, pool(plan, history_length=2), audit, seed=seed)
    return prints


def by_hand(own, split, seed=5):
    """Rows of a split: all that is known of a sample, by the definitions."""
    ids = sorted({item for word in own.values() for item in word})
    trained = [item for word in own.values() for item in word[:-2]]
    weights = {"uni": [1] * len(ids), "pop": [trained.count(item) for item in ids]}
    behind = {"train": 3, "validation": 2, "test": 1}[split]
    for user, word in own.items():
        last = len(word) - behind
        for at in range(1 if split == "train" else max(last, 1), last + 1):
            sample, listed = f"{user}:{at}", []
            for name, protocol in COLUMNS.items():
                (key,) = keys(seed, protocol, [sample])
                mine, count = {ids.index(item) for item in word}, int(protocol[3:])
                negatives = [ids[n] for n in by_loops(weights[name], mine, count, key)]
                chance = uniforms(np.array([key]), SHUFFLE + np.arange(count + 1, dtype=np.uint64))
                among = [word[at], *negatives]
                listed.append([among[place] for place in np.argsort(chance, kind="stable")])
            yield (sample, user, [*word[:at][-2:]], word[at], *listed)


@settings(max_examples=10, deadline=None)
@given(
    words=st.lists(st.text("abcdefg", min_size=4, max_size=7), min_size=1, max_size=5),
    size=st.sampled_from([1, 3, 1 << 14]),
)
def test_the_same_as_by_plain_loops(words, size, tmp_path_factory):
    # three users more, so that everybody leaves enough to draw from, by popularity too
    own = {f"u{number}": "".join(dict.fromkeys(word)) for number, word in enumerate(words)}
    own |= {"v0": "hijkab", "v1": "lmnocd", "v2": "pqrsef"}
    rows = [(user, item, at) for user, word in own.items() for at, item in enumerate(word)]
    names = ["user_id", "item_id", "timestamp"]
    plan = plans.leave_one_out(plans.met(pl.DataFrame(rows, schema=names, orient="row")))
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampled, "ROWS", size)
        patch.setattr(sampled, "ENTRIES", size)
        write(plan, folder)
    for split in SPLITS:
        assert pl.read_parquet(folder / f"{split}.parquet").rows() == list(by_hand(own, split))
    told = [(user, [*word[:-2]], [*range(len(word) - 2)]) for user, word in own.items()]
    trained = [row for row in told if row[1]]
    assert pl.read_parquet(folder / "sequences.parquet").rows() == trained
    everything = [(user, [*word]) for user, word in own.items()]
    assert pl.read_parquet(folder / "owned.parquet").rows() == everything


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_of_published_lines_a_user_owns_all_items_of_all(tmp_path, monkeypatch, size):
    monkeypatch.setattr(sampled, "ENTRIES", size)
    lines = [("x", [*"cab"], "train"), ("y", [*"bcd"], "validation"), ("x", [*"ae"], "test")]
    plan = as_published(pl.DataFrame(lines, schema=["user_id", "items", "part"], orient="row"))
    write_owned(tmp_path, plan)
    told = pl.read_parquet(tmp_path / "owned.parquet")
    assert told.rows() == [("x", [*"abce"]), ("y", [*"bcd"])] and told.schema == OWNED


def test_the_size_of_the_parts_changes_nothing(tmp_path, monkeypatch):
    plan = plans.plan(u="abcdef", v="hijkab", w="hikjcd", x="ijhkef")
    made = []
    for size in (1, 1 << 14):
        monkeypatch.setattr(sampled, "ROWS", size)
        folder = tmp_path / str(size)
        folder.mkdir()
        prints = write(plan, folder)
        made.append([prints, *(pl.read_parquet(folder / f"{split}.parquet") for split in SPLITS)])
    assert made[0][0] == made[1][0]
    assert all(one.equals(two) for one, two in zip(*(rest[1:] for rest in made), strict=True))
    assert set(made[0][0]) == {f"{split}/{name}" for split in SPLITS for name in COLUMNS}


def test_adopted_candidates_may_be_of_items_that_nobody_chose(tmp_path):
    plan = plans.plan(u="abcd", v="bcda")
    targets = plan.targets("test", windows="last", min_history=1)
    one = Sampled(split="test", targets=targets, columns={"uni2": "uni2"})
    told = pl.DataFrame({"row": [1], "uni2": [["z", "a", "0"]]})
    one = one.taken(told)
    assert one.drawn == [] and one.targets.row.tolist() == [1]
    assert one.met(pool(plan)).to_list() == [*"abcd", "0", "z"]
    audit = Audit(plan=plan, items=6)
    one.write(tmp_path, pool(plan, history_length=2), audit, seed=0)
    read = pl.read_parquet(tmp_path / "test.parquet")
    assert read.rows() == [("v:3", "v", ["c", "d"], "a", ["z", "a", "0"])]
    assert audit.counts["own_items_as_negatives"] == 0
    assert audit.counts["target_not_among_candidates"] == 0
