"""What a run's model was shown of a sample: the prompt, rendered again, and its rationale."""

from pathlib import Path
from typing import Any

import polars as pl

from mllmrec.artifacts import Artifact
from mllmrec.comparison.ranks import Ranks
from mllmrec.comparison.run import Run
from mllmrec.errors import Refusal
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.rendering import render_all
from mllmrec.schema import Words, component
from mllmrec.training.rationales import drafts

Asked = dict[str, str | None]
NOTHING: Asked = {"prompt": None, "rationale": None}
AS_TEXT = "backbone_text"  # reads the history as it was pre-trained on, and no prompt
STAGES = {"prepare": "prepare", "captions": "caption", "hints": "hints"}  # by the name of an input


def asked_of(run: Run, one: Ranks, protocol: str, samples: pl.DataFrame) -> list[Asked]:
    """The prompt and, if it had one, the rationale of each of these samples, by this run.

    The prompt is whole: what ``may_shorten`` has left out of it only the model's tokenizer tells.
    Null where the policy reads no prompt, or what its prompt was made of is gone.
    """
    identity = one.artifact.manifest["identity"]
    inputs = folders_of(run, one.artifact)
    prompt = prompt_of(run, "captions" in identity["inputs"])
    if "words" not in identity.get("groups", {}) or inputs is None or prompt is None:
        return [NOTHING] * len(samples)
    prepared = Prepared.of(inputs)
    told = drafts(inputs["hints"]) if "hints" in inputs else {}
    if identity["knobs"]["policy"] == AS_TEXT:
        known = prepared.titles, prepared.captions
        rows = samples["history"].to_list()
        return [{**NOTHING, "prompt": prompt.history_text(row, *known)} for row in rows]
    words = Words.model_validate(
        {k: v for k, v in identity["groups"]["words"].items() if k != "kind"}
    )
    texts = texts_of(prompt, samples, protocol, prepared, words, told)
    if asked := identity["knobs"].get("generate"):
        texts = [prompt.asking(text, asked["items"], words.model_dump()) for text in texts]
    return [
        {"prompt": text, "rationale": told.get(id)}
        for id, text in zip(samples["sample_id"], texts, strict=True)
    ]


def texts_of(
    prompt: Prompt,
    samples: pl.DataFrame,
    protocol: str,
    prepared: Prepared,
    words: Words,
    told: dict[str, str],
) -> list[str]:
    """The prompts; under a protocol that draws no candidates they list none."""
    if protocol not in samples.columns:
        empty: Any = pl.lit([], dtype=pl.List(pl.String))
        samples = samples.with_columns(empty.alias(protocol))
    return render_all(samples, protocol, prepared, prompt, words, told)


def folders_of(run: Run, ranking: Artifact) -> dict[str, Path] | None:
    """The folders that the prompts of a ranking were made from; None where one is gone."""
    home, inputs = ranking.folder.parents[1], ranking.manifest["identity"]["inputs"]
    found = {
        name: run.at(home / kind / inputs[name]) for name, kind in STAGES.items() if name in inputs
    }
    there = {name: one.folder for name, one in found.items() if one}
    return there if len(there) == len(found) else None


def may_shorten(run: Run) -> bool:
    """Whether a prompt over the model's limit was read without the oldest items."""
    prompt = run.launch.told["config"].get("prompt")
    return isinstance(prompt, dict) and prompt.get("too_long") == "drop_oldest"


def prompt_of(run: Run, captions: bool) -> Prompt | None:
    """The launch's prompt; None where it is of a version that knew other knobs."""
    try:
        made = component(run.launch.told["config"]["prompt"], "prompt", "prompt")
    except (Refusal, ValueError, KeyError):
        return None
    return made.model_copy(update={"captions": captions}) if isinstance(made, Prompt) else None
