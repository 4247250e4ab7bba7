"""Lists in blocks: best first, nothing that is barred, and the same ones after a kill."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from mllmrec.serving import lists
from mllmrec.serving.lists import ranked, samples_of
from mllmrec.serving.requests import REQUESTS

ITEMS = [f"i{n}" for n in range(7)]
PREPARED = SimpleNamespace(items=pl.DataFrame({"item_id": ITEMS}))


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(lists, "BLOCK", 3)
    closed = np.zeros(len(ITEMS), bool)
    closed[6] = True  # nobody's candidate
    monkeypatch.setattr(lists, "in_pool", lambda prepared: ~closed)


def requests(count):
    """Every other one names candidates; the first so many items are in the history."""
    rows = []
    for n in range(count):
        had = ITEMS[: 1 + n % 3]
        rows.append((f"r{n}", None, had, had, ["i5", "i3", "i4"] if n % 2 else None))
    return pl.DataFrame(rows, schema=REQUESTS, orient="row")


class Scores:
    """Scores by the number of the request and of the item; even items of r0 are not found."""

    def __init__(self, fail_at=None):
        self.blocks, self.fail_at = 0, fail_at

    def __call__(self):
        return self

    def of(self, id, item):
        return -abs(int(item[1:]) - int(id[1:]) % 5) - 0.1 * int(item[1:])

    def listed(self, samples, column):
        rows = zip(samples["sample_id"], samples[column].to_list(), strict=True)
        return [[self.of(id, item) for item in row] for id, row in rows]

    def whole(self, asked):
        self.blocks += 1
        if self.blocks == self.fail_at:
            raise KeyboardInterrupt
        for n, id in enumerate(asked.samples["sample_id"]):
            row = [self.of(id, item) for item in ITEMS]
            if id == "r0":
                row = [v if i % 2 else -np.inf for i, v in enumerate(row)]
            yield slice(n, n + 1), np.array([row])


def listed(folder, scores, count=8, top=2):
    samples = samples_of(requests(count), 9)
    return ranked(samples, scores, PREPARED, top=top, seed=0, parts=folder)


def test_lists_are_the_best_of_what_may_be_recommended(tmp_path):
    found = listed(tmp_path, scores := Scores())
    assert found["id"].to_list() == [f"r{n}" for n in range(8)]
    for n, (id, names, values) in enumerate(found.iter_rows()):
        open_ = (
            ["i5", "i3", "i4"] if n % 2 else [i for i in ITEMS[:6] if i not in ITEMS[: 1 + n % 3]]
        )
        if id == "r0":
            open_ = [item for item in open_ if int(item[1:]) % 2]
        best = sorted(open_, key=lambda item: -scores.of(id, item))[:2]
        assert names == best
        assert values == pytest.approx([scores.of(id, item) for item in best])


def test_a_list_is_as_short_as_what_there_is(tmp_path):
    found = listed(tmp_path, Scores(), top=50)
    assert len(found["ranked"][1]) == 3 and len(found["ranked"][2]) == 3
    assert len(found["ranked"][0]) == 3  # of r0 the even items were not found


def test_a_killed_run_goes_on_after_its_last_block_and_the_lists_are_the_same(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        listed(tmp_path / "killed", Scores(fail_at=3))
    again = Scores()
    found = listed(tmp_path / "killed", again)
    assert again.blocks == 1
    assert found.equals(listed(tmp_path / "whole", whole := Scores()))
    assert whole.blocks == 3


def test_equal_scores_do_not_hang_on_the_blocks(tmp_path, monkeypatch):
    scores = Scores()
    scores.of = lambda id, item: 0.0
    found = listed(tmp_path / "a", scores)
    monkeypatch.setattr(lists, "BLOCK", 100)
    assert found.equals(listed(tmp_path / "b", scores))
    assert len({tuple(row) for row in found["ranked"].to_list()}) > 3


def test_only_the_last_items_are_read():
    found = samples_of(requests(3), 2)
    assert found["history"].to_list() == [["i0"], ["i0", "i1"], ["i1", "i2"]]
    assert found["barred"].to_list()[2] == ["i0", "i1", "i2"]
