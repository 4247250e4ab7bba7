"""A policy's model as one folder that plain transformers loads, and what saving it has changed."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from mllmrec.artifacts import write_json
from mllmrec.backbone.base import Backbone
from mllmrec.backbone.loading import DTYPES, dtype_of, load_model, load_tokenizer
from mllmrec.errors import Refusal
from mllmrec.policy.model import ends_of
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.scoring.attention import positions_of
from mllmrec.stage.base import Job, Metrics
from mllmrec.training.adapter import load_adapter
from mllmrec.training.merge import check_rows, logps
from mllmrec.training.options import Tolerance

log = logging.getLogger(__name__)

EXACT = {"dtype": "float32"}  # what is merged and compared, so that it is rounded once, at the end
LOUD = 0.5  # of what the adapter has changed: so much lost to rounding is warned of


def save_merged(
    job: Job, kind: str, samples: int, tolerances: Tolerance, room: int | None
) -> Metrics:
    """Leave the whole model, its tokenizer and ``generation_config.json`` in ``job.out``.

    ``kind`` is the type of the weights, or "backbone" for that in which the policy was evaluated.

    Raises:
        Refusal: log-probabilities differ by more than the tolerance from those of the policy.
    """
    backbone = job.group(Backbone)
    exact = backbone.model_copy(update=EXACT)
    base = job.inputs.get("model") or backbone.fetch()
    tokenizer: Any = load_tokenizer(base)
    model: Any = load_model(base, exact).eval()
    rows = check_rows(samples, job, tokenizer, positions_of(model))
    before = plain = [logps(model, row) for row in rows]
    if adapter := job.inputs.get("adapter"):
        model = load_adapter(model, adapter).eval()
        before = [logps(model, row) for row in rows]
        model = model.merge_and_unload()
    dtype = dtype_of(backbone) if kind == "backbone" else DTYPES[kind]
    model = model.to(dtype)
    model.config.use_cache = True  # training had switched it off
    model.generation_config = generation(model, tokenizer, room or longest(job, tokenizer))
    model.save_pretrained(job.out, safe_serialization=True)
    tokenizer.save_pretrained(job.out)
    make_portable(job.out)
    del model
    published = load_model(job.out, exact).eval()
    after = [logps(published, row) for row in rows]
    lost, moved = largest(before, after), largest(plain, before)
    check_lost(lost, moved, str(dtype).removeprefix("torch."), tolerances)
    size = float(sum(weight.numel() for weight in published.parameters()))
    return {"max_logp_difference": lost, "max_logp_change": moved, "parameters": size}


def largest(some: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    """The largest difference between log-probabilities, in nats."""
    return max(float((a - b).abs().max()) for a, b in zip(some, others, strict=True))


def check_lost(lost: float, moved: float, kind: str, tolerances: Tolerance) -> None:
    """Refuse a model that is not the policy any more; warn where rounding ate what was learnt."""
    tolerance = getattr(tolerances, kind)
    if not lost <= tolerance:
        raise Refusal(
            f"export: the saved model's log-probabilities differ by {lost:.2g} nats",
            allowed=f"at most export.tolerance.{kind}={tolerance:g}",
            do=f"type export.dtype=float32, or a larger export.tolerance.{kind}",
        )
    if moved and lost > LOUD * moved:
        log.warning(
            "export: rounding to %s moves log-probabilities by up to %.2g nats, the adapter did by"
            " %.2g: little of it may be left (export.dtype=float32 keeps all of it)",
            *(kind, lost, moved),
        )


def generation(model: Any, tokenizer: Any, room: int) -> GenerationConfig:
    """How a plain ``generate`` is to write: greedily, as evaluation does, and so many tokens.

    Nothing of the base's own sampling (temperature, top-k) is carried over.
    """
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=room,
        eos_token_id=sorted(ends_of(model, tokenizer)),
        pad_token_id=tokenizer.pad_token_id,
    )


def longest(job: Job, tokenizer: Any) -> int:
    """The tokens of the longest answer, with the end of its turn."""
    prompt, titles = job.group(Prompt), Prepared.of(job.inputs).titles
    texts = [prompt.answer_text(item, title) for item, title in titles.items()]
    return 1 + max(map(len, tokenizer(texts, add_special_tokens=False)["input_ids"]))


def make_portable(folder: Path) -> None:
    """Say in older words too what transformers 5 has new words for; 4.57 reads them.

    Without ``rope_theta`` an older reader would take its default, and be wrong in silence.
    """
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config |= {"torch_dtype": config["dtype"]} if "dtype" in config else {}
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type") == "default" and "rope_theta" in rope:
        config["rope_theta"] = rope["rope_theta"]
    write_json(file, config)
    file = folder / "tokenizer_config.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    for name in ("is_local", "local_files_only", "name_or_path"):  # of this machine
        told.pop(name, None)
    if told.get("tokenizer_class") == "TokenizersBackend":
        told["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(extra := told.get("extra_special_tokens"), list):
        told["additional_special_tokens"] = extra
        del told["extra_special_tokens"]
    write_json(file, told)
    for weights in folder.glob("*.safetensors"):  # written for their owner's eyes alone
        weights.chmod(file.stat().st_mode)
