"""Models that cannot be had or cannot do what is asked, told by the knob that named them."""

from collections.abc import Iterator
from contextlib import contextmanager

from mllmrec.backbone.pretrained import OTHERS
from mllmrec.errors import Refusal


@contextmanager
def typed_as(knob: str) -> Iterator[None]:
    """Refusals about a backbone, told of the knob that names this model instead."""
    try:
        yield
    except Refusal as refusal:
        raise Refusal(
            refusal.wrong.replace("backbone.", f"{knob}."),
            allowed=refusal.allowed,
            do=refusal.do.replace(OTHERS["huggingface"], "").replace("backbone.", f"{knob}."),
        ) from refusal


def blind(path: str | None) -> Refusal:
    return Refusal(
        f"backbone.path={path}: this model sees no pictures, and is to be shown some",
        allowed="a model of images and text, such as Qwen3-VL",
        do="type backbone.path=DIR with one",
    )
