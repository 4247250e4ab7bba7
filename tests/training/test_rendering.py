"""Prompts that are too long: refused, or without the fewest of their oldest history items."""

import logging
import re
from collections import Counter

import polars as pl
import pytest

from mllmrec.errors import Refusal
from mllmrec.rendering import fitted, render_all, shortened
from mllmrec.stage.base import Job

NAMES = ["1", "2", "03", "x y"]


def dropping(config):
    return config.prompt.model_copy(update={"too_long": "drop_oldest"})


@pytest.fixture
def samples():
    """Histories of 1 to 12 items, and one that repeats an item to its end."""
    histories = [[NAMES[(3 * i + n) % 4] for i in range(n)] for n in range(1, 13)] + [["2"] * 9]
    return pl.DataFrame(
        {
            "sample_id": [f"u{n}:1" for n in range(len(histories))],
            "history": histories,
            "target": ["03"] * len(histories),
            "train": [["2", "03", "x y"]] * len(histories),
        }
    )


@pytest.fixture
def fit(config, prepared, tokenizer, samples):
    def run(limit, room=3, too_long="drop_oldest", some=samples, rationales=None, numbered=False):
        prompt = config.prompt.model_copy(update={"too_long": too_long, "numbered": numbered})
        words = config.groups["words"]
        made = fitted(
            some, "train", prepared, prompt, words, tokenizer, limit, room, rationales=rationales
        )
        return made, prompt, words

    return run


def lengths(fit):
    return [len(one.ids) for one in fit(10**6)[0].made]


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("rationales", [None, {"u7:1": "likes storms " * 4}])
def test_the_fewest_oldest_items_go(
    fit, samples, prepared, tokenizer, numbered, rationales, subtests
):
    kinds = {"rationales": rationales, "numbered": numbered}
    whole = [len(one.ids) + 3 for one in fit(10**6, **kinds)[0].made]
    shortest = max(
        len(one.ids) + 3
        for one in fit(10**6, some=samples.with_columns(pl.col("history").list.tail(1)), **kinds)[
            0
        ].made
    )
    for limit in range(shortest, max(whole) + 1, 5):
        with subtests.test(limit=limit):
            made, prompt, words = fit(limit, **kinds)
            assert made.samples.drop("history").equals(samples.drop("history"))  # candidates too
            texts = render_all(made.samples, "train", prepared, prompt, words, rationales)
            assert [one.text for one in made.made] == texts
            assert [one.ids for one in made.made] == prompt.encode_all(tokenizer, texts)
            gone = 0
            for row, (before, after) in enumerate(
                zip(samples["history"], made.samples["history"], strict=True)
            ):
                before, after = before.to_list(), after.to_list()
                dropped = len(before) - len(after)
                assert after and after == before[dropped:]
                assert len(made.made[row].ids) + 3 <= limit
                if dropped:
                    one_more = samples[[row]].with_columns(
                        pl.Series("history", [before[dropped - 1 :]])
                    )
                    assert len(fit(10**6, some=one_more, **kinds)[0].made[0].ids) + 3 > limit
                gone += dropped
            short = sum(length > limit for length in whole)
            assert made.counts == {"shortened_prompts": short, "dropped_items": gone}


def test_what_fits_is_left_as_it_is(fit, samples):
    limit = max(lengths(fit)) + 3
    for too_long, counts in (
        ("error", {}),
        ("drop_oldest", {"shortened_prompts": 0, "dropped_items": 0}),
    ):
        made, *_ = fit(limit, too_long=too_long)
        assert made.samples.equals(samples)
        assert made.counts == counts


def test_a_prompt_over_the_limit_is_refused_by_name(fit):
    sizes = lengths(fit)
    longest = max(sizes) + 3
    sample = f"u{sizes.index(max(sizes))}:1"
    count = sum(size + 3 > longest - 1 for size in sizes)
    said = (
        f"{count} of these 13 prompts .* that of sample {sample} has {longest} tokens, "
        rf"the model takes {longest - 1} .*type prompt.too_long=drop_oldest"
    )
    with pytest.raises(Refusal, match=said):
        fit(longest - 1, too_long="error")


def test_the_newest_item_is_never_dropped(fit, samples):
    bare = min(lengths(fit)) + 3  # the first sample's, with the one item that it has
    with pytest.raises(Refusal, match=r"13 of these 13 .*one history item left.*prompt\.title_w"):
        fit(bare - 10)
    fit(bare, some=samples.head(1))


def test_one_line_says_how_much_was_left_out(fit, caplog):
    with caplog.at_level(logging.INFO, logger="mllmrec.rendering"):
        made, *_ = fit(max(lengths(fit)) - 10)
    (line,) = caplog.messages
    told = (made.counts["shortened_prompts"], made.counts["dropped_items"])
    assert told[0] > 1 and told[1] > told[0]
    assert line.startswith(f"{told[0]:.0f} of these 13 prompts shortened")
    assert f": {told[1]:.0f} oldest" in line


def test_only_what_is_too_long_is_made_again(config, samples):
    asked = []

    def make(some):
        asked.append(len(some))
        return [history.to_list() for history in some["history"]]

    made = shortened(samples, make, dropping(config), 9, size=len)
    assert asked[0] == 13 and max(asked[1:]) == 3 and len(asked) < 7
    assert [len(one) for one in made.made] == [*range(1, 10), 9, 9, 9, 9]


# What every reader of prompts makes of it.


def tight(prepared, config, tokenizer, room):
    """A limit under which the first sample's history of two fits one item, and samples all do."""
    texts = [
        render_all(
            prepared.samples("train").with_columns(pl.col("history").list.tail(items)),
            "train",
            prepared,
            config.prompt,
            config.groups["words"],
        )
        for items in (1, 2)
    ]
    one, two = ([len(row) for row in config.prompt.encode_all(tokenizer, t)] for t in texts)
    assert max(one) < max(two)
    return max(max(one), max(two) - 1) + room


def job_of(config, folder, too_long="drop_oldest", **inputs):
    prompt = config.prompt.model_copy(update={"too_long": too_long})
    groups = {**config.groups, "backbone": config.backbone, "prompt": prompt}
    return Job(out=folder, inputs=inputs, groups=groups, seed=1)


def test_sft_learns_the_history_that_the_prompt_shows(prepared, config, tokenizer, tmp_path):
    from mllmrec.training.sft import row_maker

    options, words = config.stages["sft"], config.groups["words"]
    answer = len(config.prompt.encode_answer(tokenizer, "[ITEM_03]"))
    limit = tight(prepared, config, tokenizer, answer)
    asked = (options, job_of(config, tmp_path), prepared, dropping(config), words, tokenizer)
    counts, samples = Counter(), prepared.samples("train")
    rows = row_maker(*asked, limit, "sft", counts)(samples)
    assert counts["dropped_items"] > 0
    for row, history in zip(rows, samples["history"], strict=True):
        assert len(row["input_ids"]) <= limit
        learnt = tokenizer.decode([label for label in row["labels"] if label != -100])
        kept = next(
            shown
            for start in range(len(history))
            if (shown := shown_history(config, prepared, words, history[start:])) in learnt
        )
        assert learnt.startswith(kept) and kept in tokenizer.decode(row["input_ids"])
    with pytest.raises(Refusal, match=r"prompt\.too_long=drop_oldest"):
        row_maker(*asked[:3], config.prompt, *asked[4:], limit, "sft", counts)(samples)


def shown_history(config, prepared, words, history):
    return config.prompt.listed_history(history.to_list(), prepared.titles, words.model_dump())


def test_grpos_rows_hold_the_shortened_prompt(prepared, config, tokenizer):
    from mllmrec.training.grpo import row_maker

    limit, words = tight(prepared, config, tokenizer, 4), config.groups["words"]
    prompt = dropping(config)
    counts = Counter()
    make = row_maker(prepared, prompt, words, tokenizer, limit, 4, {}, counts)
    rows = make(prepared.samples("train"))
    assert counts["dropped_items"] > 0
    texts = [row["prompt"][0]["content"] for row in rows]
    assert prompt.encode_all(tokenizer, texts) == [row["ids"] for row in rows]
    assert max(len(row["ids"]) for row in rows) + 4 <= limit


def test_the_probe_ranks_by_the_shortened_prompt(prepared, config, tokenizer):
    from mllmrec.training.options import ProbeOptions
    from mllmrec.training.probe import Probe

    options = ProbeOptions(samples=2, protocol="uni2", every=1, keep="last")
    words = config.groups["words"]
    room = max(len(config.prompt.encode_answer(tokenizer, f"[ITEM_{i}]")) for i in ("2", "x%20y"))
    limit = tight(prepared, config, tokenizer, room)
    probe = Probe(options, prepared, dropping(config), words, tokenizer, limit, 1)
    assert max(map(len, probe.views[""])) + room <= limit
    with pytest.raises(Refusal, match=r"prompt\.too_long=drop_oldest"):
        Probe(options, prepared, config.prompt, words, tokenizer, limit, 1)


@pytest.mark.parametrize("way", ["by_prompt", "by_text"])
def test_a_policy_scores_by_the_shortened_history(
    prepared, config, tokenizer, model, samples, tmp_path, way
):
    from mllmrec.policy.model import ModelPolicy

    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")

    policy = ModelPolicy(job_of(config, tmp_path, model=tmp_path / "model"), 4096)

    def scores(some, too_long, limit):
        policy.prompt = config.prompt.model_copy(update={"too_long": too_long})
        policy.limit = limit
        return getattr(policy, way)(prepared, some, "train")

    some = samples.tail(4)
    short = some.with_columns(pl.col("history").list.tail(1))
    with pytest.raises(Refusal) as refused:
        scores(short, "error", 1)
    limit = int(re.search(r"has (\d+) tokens", str(refused.value))[1])  # what one item needs
    expected = scores(short, "error", limit)
    assert scores(some, "drop_oldest", limit) == expected
    assert scores(some, "error", 4096) != expected
    with pytest.raises(Refusal, match=r"prompt\.too_long=drop_oldest"):
        scores(some, "error", limit)
