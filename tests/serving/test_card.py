"""The model card: what hubs read of it, and what it must own up to."""

import re

import pytest
import yaml
from huggingface_hub import ModelCard

from mllmrec.dataset.origin import ORIGINS
from mllmrec.schema import Words
from mllmrec.serving.card import Facts, card

MEAN = {"mean": 0.51234, "low": 0.4, "high": 0.6}
RESULTS = {
    "protocols": {
        "uni9": {
            "candidates": 10,
            "samples": 300,
            "policies": {"popularity": {"hr@3": MEAN}, "grpo": {"hr@3": MEAN, "mrr": MEAN}},
        }
    },
    "differences": [
        {"protocol": "uni9", "first": "grpo", "second": "popularity", "metric": "ndcg@5"}
        | {"mean": 0.1, "low": 0.05, "high": 0.15, "p": 0.001, "verdict": "above"}
    ],
    "warnings": ["uni9: only 3 test samples"],
    "notes": ["uni9: uniform negatives flatter popularity"],
}
RESULTS["protocols"]["uni9"]["policies"]["popularity"]["mrr"] = MEAN


def artifact(label, inputs, knobs, groups=None, **metrics):
    identity = {"seed": 7, "inputs": inputs, "knobs": knobs, "groups": groups or {}}
    told = {"label": label, "stage": label, "id": f"id-{label}", "identity": identity}
    git = {"commit": "abc", "dirty": label == "grpo"}
    return told | {"metrics": metrics, "versions": {}, "git": git}


def facts(**more):
    split = {"split": "leave_one_out", "history_length": 8, "train_protocol": "uni9"}
    reasoner = {"reasoner": {"reveal_target": more.pop("reveal", False)}}
    line = [
        artifact("prepare", {}, split, users=1500.0, items=300.0, interactions=9000.0),
        artifact("pseudo_cot", {"prepare": "id-prepare"}, {}, reasoner),
        artifact("sft", {"prepare": "id-prepare"}, {"learning_rate": 0.001, "cot_prob": 0.1}),
        artifact("grpo", {"model": "id-sft"}, {"beta": 0.05}, {"reward": {"hit": {"weight": 1}}}),
    ]
    known = {
        "policy": "grpo",
        "words": Words(noun="film", nouns="films", verb="seen"),
        "metrics": {"parameters": 1234567.0, "max_logp_difference": 2e-6},
        "architecture": "Qwen3ForCausalLM",
        "dtype": "bfloat16",
        "line": line,
        "results": RESULTS,
        "origin": ORIGINS["movietweetings"],
        "base": "some/model",
        "base_name": "some/model",
        "base_licence": "mit",
        "example": "Recommend.\n[ITEM_1] A title",
    }
    return Facts(**(known | more))


def test_hubs_read_its_head():
    head = ModelCard(card(facts())).data
    assert head.license == "mit" and head.base_model == "some/model"
    assert head.library_name == "transformers" and "grpo" in head.tags
    found = {one.metric_type: one.metric_value for one in head.eval_results}
    assert found == {"hr@3": 0.5123, "mrr": 0.5123}


def test_it_tells_data_recipe_results_and_lineage():
    text = card(facts())
    assert "next film from what a user has seen" in text and "1,234,567 parameters" in text
    assert "1,500 users, 300 items, 9,000 interactions" in text
    assert "| **grpo** | 0.512 [0.400, 0.600] | 0.512 [0.400, 0.600] |" in text
    assert "grpo is above popularity in NDCG@5: +0.1000 [+0.0500, +0.1500]" in text
    recipe = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    assert recipe == {
        "sft": {"learning_rate": 0.001, "cot_prob": 0.1},
        "grpo": {"beta": 0.05},
        "reward": {"hit": {"weight": 1}},
    }
    assert "Seed 7." in text and "at commit `abc`, with changes of its own" in text
    assert "| grpo | `id-grpo` | model |" in text
    assert "uni9: only 3 test samples" in text and "flatter popularity" in text


@pytest.mark.parametrize(
    ("base", "data", "licence"),
    [
        ("mit", "movietweetings", "mit"),
        ("apache-2.0", "movietweetings", "other"),  # whoever publishes has to settle it
        (None, "movietweetings", "other"),
        (None, "movielens", "other"),
        ("mit", "movielens", "other"),
    ],
)
def test_a_licence_is_claimed_only_where_base_and_data_have_one(base, data, licence):
    made = facts(base_licence=base, origin=ORIGINS[data])
    assert ModelCard(card(made)).data.license == licence
    assert ORIGINS[data].terms in card(made)
    assert ("not known here" in card(made)) == (base is None)


def test_it_owns_up_to_a_leak_and_to_no_evaluation():
    leak = "was told the targets"
    assert leak in card(facts(reveal=True)) and leak not in card(facts())
    text = card(facts(results=None))
    assert "Not evaluated" in text and ModelCard(text).data.eval_results is None


def test_a_title_cannot_break_out_of_its_block():
    text = card(facts(example="[ITEM_1] ```\n# Not a heading\n````"))
    assert re.search(r"^`{5}text\n.*?^`{5}$", text, re.DOTALL | re.MULTILINE)
