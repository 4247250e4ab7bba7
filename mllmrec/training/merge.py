"""Merge an adapter into its base, and measure that nothing else has changed."""

from pathlib import Path
from typing import Any

import torch

from mllmrec.backbone.base import Backbone
from mllmrec.backbone.loading import load_model, load_tokenizer, sample_of
from mllmrec.backbone.pretrained import Pretrained
from mllmrec.errors import Refusal
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.rendering import fitted
from mllmrec.schema import Words
from mllmrec.scoring.attention import positions_of
from mllmrec.stage.base import Job, Metrics
from mllmrec.training.adapter import CONFIG, load_adapter
from mllmrec.training.data import answered_rows
from mllmrec.training.options import Tolerance

PICKLED = ("*.bin", "*.pt", "*.pth")


def run_merge(samples: int, tolerances: Tolerance, job: Job) -> Metrics:
    """Leave the merged model and its tokenizer in ``job.out``.

    Raises:
        Refusal: the merged model's log-probabilities differ by more than the tolerance.
    """
    backbone = job.group(Backbone)
    base = job.inputs.get("model") or backbone.fetch()
    tokenizer: Any = load_tokenizer(base)
    model = load_adapter(load_model(base, backbone), job.inputs["sft"]).eval()
    rows = check_rows(samples, job, tokenizer, positions_of(model))
    before = [logps(model, row) for row in rows]
    merged = model.merge_and_unload()
    merged.save_pretrained(job.out, safe_serialization=True)
    tokenizer.save_pretrained(job.out)
    del model, merged  # one of them at a time on the device
    published = load_model(job.out, backbone).eval()  # what later stages will read
    after = [logps(published, row) for row in rows]
    difference = max(float((a - b).abs().max()) for a, b in zip(before, after, strict=True))
    kind = str(published.dtype).removeprefix("torch.")
    tolerance = getattr(tolerances, kind)
    if not difference <= tolerance:
        raise Refusal(
            f"merge: the merged model's log-probabilities differ by {difference:.2g} nats",
            allowed=f"at most merge.tolerance.{kind}={tolerance:g}",
            do=f"type backbone.dtype=float32, or a larger merge.tolerance.{kind}",
        )
    return {"max_logp_difference": difference}


def check_rows(samples: int, job: Job, tokenizer: Any, limit: int) -> list[dict[str, list[int]]]:
    prepared, prompt = Prepared.of(job.inputs), job.group(Prompt)
    some = prepared.samples("validation").head(samples)
    targets = [prompt.answer_text(item, prepared.titles[item]) for item in some["target"]]
    room = max(len(prompt.encode_answer(tokenizer, text)) for text in targets)
    words, protocol = job.group(Words), some.columns[-1]
    fit = fitted(some, protocol, prepared, prompt, words, tokenizer, limit, room)
    texts = [one.text for one in fit.made]
    return answered_rows(texts, some["target"].to_list(), prepared, prompt, tokenizer)


@torch.inference_mode()
def logps(model: Any, row: dict[str, list[int]]) -> torch.Tensor:
    """The log-probability of every token of a row, given those before it; shape (tokens − 1,)."""
    ids = torch.tensor([row["input_ids"]], device=model.device)
    chosen = model(input_ids=ids).logits[:, :-1].float().log_softmax(-1)
    return chosen.gather(-1, ids[:, 1:, None])[0, :, 0]


def check_model(folder: Path) -> None:
    """Refuse a folder that does not hold a whole model with its tokenizer, and nothing else."""
    if (folder / CONFIG).exists():
        raise Refusal(
            f"{folder}: holds {CONFIG}, so that another base would be loaded in its place",
            allowed="a whole model, or an adapter alone",
            do="type sft.adopt=DIR for an adapter, or take the adapter's files out of the folder",
        )
    if pickled := [p.name for kind in PICKLED for p in sorted(folder.glob(kind))]:
        raise Refusal(
            f"{folder}: holds {sample_of(pickled)}, pickles that can run code when they are loaded",
            allowed="*.safetensors alone",
            do=f"save the model again with safetensors, without {', '.join(PICKLED)}",
        )
    model = Pretrained(
        path=str(folder),
        revision=None,
        hub="huggingface",
        dtype="auto",
        lora_targets="all-linear",
    )
    load_tokenizer(folder)
    load_model(folder, model)
