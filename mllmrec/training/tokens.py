"""How long prompts and answers are to the backbone, which need not be there for it."""

from collections.abc import Sequence
from typing import Any

from mllmrec.backbone.base import Backbone
from mllmrec.backbone.loading import load_tokenizer
from mllmrec.backbone.tiny import Tiny
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.schema import Words
from mllmrec.stage.base import Job
from mllmrec.training.pretrain import build_tokenizer


def count(
    job: Job, prepared: Prepared, texts: Sequence[str], answers: Sequence[str]
) -> list[tuple[int, int]]:
    """The tokens of each prompt in the model's chat format, and of its answer with its end."""
    backbone, prompt = job.group(Backbone), job.group(Prompt)
    tokenizer: Any = (
        build_tokenizer(backbone, prepared, prompt, job.group(Words))
        if isinstance(backbone, Tiny)
        else load_tokenizer(backbone.fetch())
    )
    asked = prompt.encode_all(tokenizer, texts, thinking=prompt.inject == "completion")
    answered = [prompt.encode_answer(tokenizer, text) for text in answers]
    return [(len(a), len(b)) for a, b in zip(asked, answered, strict=True)]
