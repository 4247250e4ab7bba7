"""The whole catalogue by a language model: each item by itself in a plain forward, and by beams."""

import numpy as np
import polars as pl
import pytest
import torch
from transformers import Qwen3ForCausalLM

from mllmrec.artifacts import Store
from mllmrec.dataset import full
from mllmrec.dataset.candidates import FULL
from mllmrec.dataset.full import Whole
from mllmrec.policy.full import Way
from mllmrec.policy.model import ModelPolicy
from mllmrec.records import Prepared
from mllmrec.stage.base import Job
from mllmrec.training.options import ProbeOptions
from mllmrec.training.pretrain import build_tokenizer, save, shape
from mllmrec.training.probe import Probe
from tests.launching import SMALL, config, make
from tests.plain import eager, plain

EXACT = Way(method="exact", by="id", beam=1)
SAMPLES = 3


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    store = Store(root=tmp_path_factory.mktemp("store"))
    words = ("stage=prepare", *SMALL, "dataset.users=25", "dataset.items=40")
    return Prepared(make(store, *words)["prepare"].folder)


@pytest.fixture(scope="module", params=["item tokens", "text"])
def policy(request, prepared, tmp_path_factory):
    """A random model that is sure of its choices, as ``rank`` loads it; a small budget."""
    knobs = ["backbone.layers=1", "backbone.hidden_size=32", "backbone.vocab_size=512"]
    knobs.append(f"backbone.item_tokens={str(request.param == 'item tokens').lower()}")
    made = config(*knobs, "backbone.dtype=float32", "prompt.captions=false")
    groups = {name: made.groups[name] for name in ("backbone", "prompt", "words")}
    tokenizer = build_tokenizer(made.backbone, prepared, made.prompt, groups["words"])
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(shape(made.backbone, tokenizer))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3)
    folder = tmp_path_factory.mktemp("model")
    save(model, tokenizer, folder)
    inputs = {"prepare": prepared.folder, "model": folder}
    return ModelPolicy(Job(out=folder, inputs=inputs, groups=groups, seed=0), 200)


def prompts_of(policy, prepared, samples, as_text):
    """Histories as lines, or prompts without a section of candidates."""
    mouth, titles = policy.prompt, prepared.titles
    histories = samples["history"].to_list()
    if as_text:
        texts = [mouth.history_text(history, titles) for history in histories]
        return policy.tokenizer(texts, add_special_tokens=False)["input_ids"]
    words = policy.words.model_dump()
    texts = [mouth.render(history, [], titles, words) for history in histories]
    assert not any("Candidates:" in text for text in texts)
    return mouth.encode_all(policy.tokenizer, texts)


def answers_of(policy, prepared, by, as_text):
    mouth, items = policy.prompt, prepared.items["item_id"]
    texts = [f"[ITEM_{item}]" for item in items]
    if as_text and by == "answer":
        texts = [mouth.history_text([item], prepared.titles) for item in items]
    ids = policy.tokenizer(texts, add_special_tokens=False)["input_ids"]
    ends = [policy.tokenizer.eos_token_id] * (by == "answer" and not as_text)
    return [[*row, *ends] for row in ids]


@pytest.mark.parametrize("as_text", [False, True], ids=["prompt", "lines"])
@pytest.mark.parametrize("by", ["id", "answer"])
def test_exact_scores_are_those_of_every_item_by_itself(policy, prepared, by, as_text):
    samples = prepared.samples("test").head(SAMPLES)
    whole = Whole.of(prepared, samples)
    way = EXACT.model_copy(update={"by": by})
    scored = [*policy.whole(prepared, whole, way, as_text=as_text)]
    found = np.concatenate([table for _, table in scored])
    answers = answers_of(policy, prepared, by, as_text)
    prompts = prompts_of(policy, prepared, samples, as_text)
    expected = np.array(plain(eager(policy.model), prompts, [answers] * SAMPLES))
    assert expected.std(axis=1).min() > 0.5
    assert found == pytest.approx(expected, abs=1e-3)
    ours, theirs = (whole.rankings([(slice(0, SAMPLES), x)], seed=0) for x in (found, expected))
    assert ours.drop("scores").equals(theirs.drop("scores"))


@pytest.mark.parametrize("as_text", [False, True], ids=["prompt", "lines"])
@pytest.mark.parametrize("by", ["id", "answer"])
def test_a_beam_as_wide_as_the_catalogue_ranks_as_exact(policy, prepared, by, as_text):
    samples = prepared.samples("test").head(SAMPLES)
    whole = Whole.of(prepared, samples)
    ways = Way(method="exact", by=by, beam=1), Way(method="beam", by=by, beam=len(whole.ids))
    exact, beam = (
        whole.rankings(policy.whole(prepared, whole, way, as_text=as_text), seed=0) for way in ways
    )
    assert exact.drop("scores").equals(beam.drop("scores"))
    for ours, theirs in zip(exact["scores"], beam["scores"], strict=True):
        assert ours.to_list() == pytest.approx(theirs.to_list(), abs=1e-3)


def test_a_narrow_beam_finds_some_candidates_and_misses_the_rest(policy, prepared, monkeypatch):
    monkeypatch.setattr(full, "CELLS", 4 * len(prepared.items))  # four samples at once
    samples = prepared.samples("test")
    whole = Whole.of(prepared, samples)
    way = Way(method="beam", by="answer", beam=4)
    table = whole.rankings(policy.whole(prepared, whole, way), seed=0)
    for n, row in enumerate(table.iter_rows(named=True)):
        own = {whole.ids[int(column)] for column in whole.barred(n)}
        assert len(row["ranked"]) == 4 and not own & {*row["ranked"]}
        place = row["ranked"].index(row["target"]) + 1 if row["target"] in row["ranked"] else 0
        assert row["rank"] == place
    assert 0 < (table["rank"] == 0).mean() < 1


def test_the_probe_ranks_the_catalogue_as_evaluation_does(policy, prepared):
    """The same ranks by id, and the expected reward of draws among the same candidates."""
    rewards, words = config("stage=grpo").groups["reward"], config().groups["words"]
    options = ProbeOptions(samples=6, protocol=FULL, every=1, keep="last")
    probe = Probe(
        *(options, prepared, policy.prompt, words, policy.tokenizer, policy.limit, 3),
        rewards=rewards,
    )
    samples = prepared.chosen("validation", 6, 3, "probe")
    whole = Whole.of(prepared, samples)
    scores = np.concatenate([t for _, t in policy.whole(prepared, whole, EXACT)])
    expected = whole.rankings([(slice(0, 6), scores)], seed=3)["rank"]
    ranks, reward = probe.choices.look(policy.model, probe.views[""], 3)
    assert ranks.tolist() == expected.to_list() and len({*ranks.tolist()}) > 2
    paid = []
    for n, target in enumerate(whole.target):  # hit_format: 1 the target, 0.3 another candidate
        kept = np.setdiff1d(np.arange(len(whole.ids)), whole.barred(n))
        chance = np.exp(scores[n, kept] - np.logaddexp.reduce(scores[n, kept]))
        paid.append(0.3 + 0.7 * chance[kept == target].item())
    assert [*rewards] == ["hit_format"] and reward == pytest.approx(np.mean(paid), abs=1e-5)
    found = probe.measure(policy.model)
    assert found["probe/mrr"] == pytest.approx(np.mean(1 / ranks))
    assert found["probe/reward"] == reward


def test_a_hint_stands_in_the_prompt(policy, prepared):
    samples = prepared.samples("test").head(SAMPLES)
    whole = Whole.of(prepared, samples)
    hints = {samples["sample_id"][0]: "They like whatever is green and round."}
    plainly, hinted = (
        np.concatenate([t for _, t in policy.whole(prepared, whole, EXACT, told)])
        for told in ({}, hints)
    )
    other, *same = abs(plainly - hinted).max(axis=1)
    assert other > 0.01 and max(same) < 1e-3


def test_the_samples_own_candidates_are_not_looked_at(policy, prepared):
    samples = prepared.samples("test").head(SAMPLES)
    strange = samples.with_columns(pl.lit(["no item"]).alias(FULL))
    ours, theirs = (
        np.concatenate([t for _, t in policy.whole(prepared, Whole.of(prepared, some), EXACT)])
        for some in (samples, strange)
    )
    assert (ours == theirs).all()
