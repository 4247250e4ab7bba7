import tracemalloc

import numpy as np
import polars as pl
import pytest

from mllmrec.dataset.candidates import Pool, as_drawn, parsed, stored_weights
from mllmrec.dataset.hard import Cooccurring, Ranked
from mllmrec.errors import Refusal
from tests.dataset import plans

PLAN = plans.plan(y="abcdefg", x="hijklab")
SOME = PLAN.targets("test", windows="last", min_history=1)
IDS = PLAN.described(SOME, 1)["sample_id"].to_list()


def pool(plan=PLAN, **over):
    knobs = {"exclude": "own", "history_length": 3, "popularity": plan.popularity, "hard": None}
    return Pool(plan=plan, **knobs | over)


def told(made, protocol, seed=0):
    return [
        "".join(made.item_ids.gather(row))
        for row in made.candidates(SOME, IDS, protocol, seed=seed)
    ]


def test_the_pool_is_what_occurs_and_counts_only_training():
    assert "".join(pool().item_ids) == "abcdefghijkl" and pool().size == 12
    assert pool().popularity.tolist() == [1] * 5 + [0, 0] + [1] * 5
    assert pool().weights("uni3").tolist() == [1] * 12


def test_candidates_hold_the_target_once_and_no_item_of_the_users_own():
    for listed, target, mine in zip(
        told(pool(), "uni5"), "gb", ("abcdefg", "hijklab"), strict=True
    ):
        assert len(set(listed)) == len(listed) == 6
        assert set(listed) & set(mine) == {target}


def test_the_published_rule_spares_what_is_shown_and_the_target_alone():
    seen = [set(), set()]
    for seed in range(40):
        for row, listed in enumerate(told(pool(exclude="history"), "uni5", seed)):
            seen[row] |= {*listed}
    assert seen == [{*"abcghijkl"}, {*"bcdefghij"}]  # without def, and kla


def test_popularity_draws_only_what_was_trained():
    assert not set("fg") & set(told(pool(), "pop3")[1]) - {"b"}


def test_fewer_items_than_candidates():
    with pytest.raises(Refusal, match=r"uni9 needs 9 negatives, but user 'y' leaves 5 of") as said:
        pool().check(SOME, "uni9")
    assert "prepare.protocols=[uni5] prepare.train_protocol=uni5" in said.value.do
    assert "(2 users leave too few)" in said.value.wrong
    pool().check(SOME, "uni5")
    pool(exclude="history").check(SOME, "uni8")
    with pytest.raises(Refusal, match="uni9 needs 9 negatives, but user 'y' leaves 8"):
        pool(exclude="history").check(SOME, "uni9")


def test_too_few_hard_ones_are_told_before_any_is_drawn():
    made = pool(hard=Cooccurring.of(PLAN, history_length=3, most=4))
    made.check(SOME, "hard4")
    with pytest.raises(Refusal, match="hard5 needs 5 negatives, but user 'y' leaves 4 of the 12"):
        made.check(SOME, "hard5")
    assert told(made, "hard4")[0].replace("g", "").strip("hijkl") == ""


@pytest.mark.parametrize("kind", ["cooccurrence", "ranked"])
def test_looking_at_what_is_left_copies_no_list_for_each_sample(kind):
    """A user of 3,000 items, each one a target: all lists for all samples were 9,000,000."""
    own = [("x", f"{n:04d}", n) for n in range(3000)]
    own += [(user, f"y{n}", n) for user in "vw" for n in range(20)]
    names = ["user_id", "item_id", "timestamp"]
    plan = plans.leave_one_out(plans.met(pl.DataFrame(own, schema=names, orient="row")))
    if kind == "ranked":
        best = pl.Series([plan.item_ids[-100:].to_list()] * 3)  # 80 of x's own
        made = Ranked.of(best, plan, most=9)
    else:
        made = Cooccurring(plan=plan, history_length=3, most=9, cosine=None, order=None)
    some = plan.targets("train", windows="sliding", min_history=1)
    asked = pool(plan, hard=made)
    tracemalloc.start()
    ((users, left),) = asked.left(some, "hard9")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(users) == 2997 + 2 * 17 and left.tolist() == [9] * len(users)
    assert peak < {"cooccurrence": 1e6, "ranked": 40e6}[kind]


def test_names_of_protocols():
    assert parsed("uni9") == ("uni", 9) and parsed("hard100") == ("hard", 100)


def weights(tmp_path, frame):
    frame.write_parquet(tmp_path / "w.parquet")
    return stored_weights(tmp_path / "w.parquet", pl.Series([*"abc"])).tolist()


def test_stored_weights_are_found_by_id(tmp_path, caplog):
    caplog.set_level("INFO")
    told = pl.DataFrame({"weight": [7, 2], "item_id": ["c", "z"], "more": [0, 0]})
    assert weights(tmp_path, told) == [0, 0, 7]
    assert "1 of 3 items have a weight in w.parquet" in caplog.text


@pytest.mark.parametrize(
    ("items", "numbers", "wrong"),
    [
        (["a", "a"], [1, 2], "an item twice"),
        (["a", "b"], [1, -2], "a weight below 0"),
        (["a", "b"], [1.5, 2.0], "Float64"),
        (["a", "b"], [None, 1], "Int64"),
        (["y", "z"], [1, 2], "weighs no item of this data"),
        (["a", "b"], [0, 0], "weighs no item of this data"),
    ],
)
def test_weights_that_are_none(tmp_path, items, numbers, wrong):
    with pytest.raises(Refusal, match=wrong) as said:
        weights(tmp_path, pl.DataFrame({"item_id": items, "weight": numbers}))
    assert "prepare.weights=FILE" in said.value.do


def test_another_table_is_no_table_of_weights(tmp_path):
    with pytest.raises(Refusal, match="cannot be read"):
        weights(tmp_path, pl.DataFrame({"item": ["a"]}))
    (tmp_path / "t.parquet").write_text("text")
    with pytest.raises(Refusal, match="cannot be read"):
        stored_weights(tmp_path / "t.parquet", pl.Series([*"abc"]))


def test_new_users_change_nobody_elses_candidates():
    """Over an unchanged pool, for draws by popularity with an unchanged table of weights."""
    more = plans.plan(y="abcdefg", n="cfaklb", x="hijklab")
    weights = np.arange(12) ** 3
    for protocol in ("uni4", "pop4"):
        before = told(pool(popularity=weights), protocol)
        made = pool(more, popularity=weights)
        some = more.targets("test", windows="last", min_history=1)
        ids = more.described(some, 1)["sample_id"].to_list()
        after = made.candidates(some, ids, protocol, seed=0)
        assert ["".join(made.item_ids.gather(row)) for row in after[[0, 2]]] == before


def test_a_protocol_that_nobody_draws_is_told_in_words():
    assert as_drawn("hard12") == "hard12"
    for name in ("uni0", "best9", "full", "uni9 "):
        with pytest.raises(ValueError, match=r"hardN with N negatives, such as uni9 \(full stands"):
            as_drawn(name)
