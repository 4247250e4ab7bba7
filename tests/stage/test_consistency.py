"""The components of a rationale's confidence, by a small model with random weights."""

import math

import polars as pl
import pytest

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.records import RATIONALES, Prepared
from mllmrec.stage.base import Job
from mllmrec.stage.consistency import COMPONENTS
from tests.launching import SMALL, config, ids, make

WORDS = ("stage=assess", *SMALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Records and captions, and beside them a model of the tiny shape."""
    import torch
    from transformers import Qwen3ForCausalLM

    from mllmrec.training.pretrain import build_tokenizer, save, shape

    store = Store(root=tmp_path_factory.mktemp("store"))
    found = make(store, "stage=caption", *SMALL)
    conf = config(*WORDS, "backbone.layers=2", "backbone.hidden_size=32")
    inputs = {"prepare": found["prepare"].folder, "captions": found["caption"].folder}
    data, groups = Prepared.of(inputs), conf.groups
    tokenizer = build_tokenizer(conf.backbone, data, conf.prompt, groups["words"])
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    save(Qwen3ForCausalLM(shape(conf.backbone, tokenizer)), tokenizer, folder)
    groups = {name: groups[name] for name in ("backbone", "prompt", "words")}
    return {**inputs, "model": folder}, groups


@pytest.fixture
def components(made, tmp_path):
    """A function from texts, for the first training samples, to the table of components."""
    inputs, groups = made

    def run(texts, **over):
        folder, out = tmp_path / "rationales", tmp_path / "out"
        for one in (folder, out):
            one.mkdir(exist_ok=True)
        ids = Prepared.of(inputs).samples("train")["sample_id"].to_list()
        rows = [
            {"sample_id": id, "text": text, "writer": "me"}
            for id, text in zip(ids, texts, strict=False)
        ]
        pl.DataFrame(rows, schema=RATIONALES).write_parquet(folder / "rationales.parquet")
        conf = config(*WORDS)
        stage = conf.goal.inputs(conf)["components"].model_copy(update=over)
        job = Job(out=out, inputs={**inputs, "rationales": folder}, groups=groups, seed=0)
        assert stage.run(job) == {"rationales": len(texts)}
        return pl.read_parquet(out / COMPONENTS)

    return run


def test_prediction_is_that_of_each_answer_scored_by_itself(made, components):
    """c_p by a plain forward of prompt and answer, one candidate at a time."""
    import torch
    from transformers import AutoModelForCausalLM

    from mllmrec.backbone.loading import load_tokenizer
    from mllmrec.rendering import render_all

    inputs, groups = made
    text = "Mostly drama; lately teal circles."
    found = components([text])["prediction"][0]
    data, prompt = Prepared.of(inputs), groups["prompt"]
    tokenizer = load_tokenizer(inputs["model"])
    model = AutoModelForCausalLM.from_pretrained(inputs["model"]).eval()
    one = data.samples("train").head(1)
    (asked,) = render_all(one, "train", data, prompt, groups["words"], {one["sample_id"][0]: text})
    assert text in asked
    start, means = prompt.encode(tokenizer, asked), []
    for item in one["train"][0]:
        answer = prompt.encode_answer(tokenizer, prompt.answer_text(item, data.titles[item]))
        with torch.no_grad():
            logits = model(torch.tensor([[*start, *answer]])).logits[0].log_softmax(-1)
        places = range(len(start) - 1, len(start) + len(answer) - 1)
        told = [logits[p, t].item() for p, t in zip(places, answer, strict=True)]
        means.append(sum(told) / len(told))
    target = one["train"][0].to_list().index(one["target"][0])
    others = [m for i, m in enumerate(means) if i != target]
    average = math.log(sum(map(math.exp, others)) / len(others))
    assert found == pytest.approx(1 / (1 + math.exp(average - means[target])), abs=1e-5)


def test_gain_and_sigmoid_are_different_questions(components):
    texts = ["teal circles", "crimson stripes"]
    assert set(components(texts, prediction="gain")["prediction"]) <= {n / 20 for n in range(20)}
    assert all(0 < value < 1 for value in components(texts)["prediction"])


def test_modality_prefers_what_the_history_shows(made, components):
    data = Prepared.of(made[0])
    history = data.samples("train")["history"][0]
    own = "; ".join(data.captions[item] for item in history)
    table = components([own, "nothing of the kind"])
    assert table["modality"][0] > 0.5 > table["modality"][1]


def test_an_embedding_model_takes_the_place_of_tfidf(made, components):
    table = components(["teal circles", "crimson stripes"], embedder=str(made[0]["model"]))
    assert all(0 <= value <= 1 for value in table["modality"])
    assert table["modality"].to_list() != components(["teal circles", "x"])["modality"].to_list()


def test_the_plain_sft_is_the_sft_of_no_rationales():
    words = ("stage=sft", "cot_prob=0.1", "assess.scorer=sft_plain")
    assert ids(*words)["sft_plain"] == ids("stage=sft", "cot_prob=0")["sft"]
    assert "sft_plain" not in ids("stage=sft", "cot_prob=0.1")


def test_an_embedding_model_is_known_by_its_content(tmp_path):
    def id_with(folder, text):
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(text)
        return ids("stage=assess", f"assess.embedder={folder}")["consistency"]

    first = id_with(tmp_path / "a", "{}")
    assert first == id_with(tmp_path / "b", "{}") != id_with(tmp_path / "a", "{ }")


def test_no_rationale_at_all_is_refused(components):
    with pytest.raises(Refusal, match="there is no rationale to assess"):
        components([])
