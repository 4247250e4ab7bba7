"""Captions by a model of pictures and text that runs on this machine."""

from typing import ClassVar

from mllmrec.captioner.base import Asked
from mllmrec.local.options import Local


class Transformers(Asked):
    """``model`` is any model of transformers that takes pictures and writes text."""

    needs_torch: ClassVar[bool] = True

    model: Local

    @property
    def asker(self) -> Local:
        return self.model.at("captioner.model")
