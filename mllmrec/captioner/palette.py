"""Captions from measurements: colours, shapes and how they lie, without any model."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt

from mllmrec.asking import Reply
from mllmrec.captioner.base import Captioner, Pictured
from mllmrec.captioner.pool import mapped
from mllmrec.pictures import BadPicture, opened
from mllmrec.progress import Bar
from mllmrec.schema import NoEffect

log = logging.getLogger(__name__)


class Palette(Captioner):
    """What pixels tell by themselves (``scene.described``): the same words for the same picture."""

    size: Annotated[int, Field(ge=32, le=1024)]
    colours: PositiveInt
    least_share: Annotated[float, Field(gt=0, le=1)]
    workers: Annotated[PositiveInt | None, NoEffect()]

    def write(self, items: Sequence[Pictured], journal: Path) -> list[Reply]:
        """Nothing is kept in the journal: to look again takes milliseconds."""
        work, made = partial(captioned, self), []
        with Bar("captions", len(items), "picture") as bar:
            for reply in mapped(work, items, self.workers, "captioner.workers"):
                made.append(reply)
                bar.step()
        log.info("captions: %s", bar.pace())
        return made


def captioned(palette: Palette, items: Sequence[Pictured]) -> list[Reply]:
    """A part of the work; a function of the module, as another process finds it by its name."""
    return [caption(palette, item) for item in items]


def caption(palette: Palette, item: Pictured) -> Reply:
    try:
        image = opened(item.picture, palette.size)
    except BadPicture as error:
        return Reply(id=item.item_id, why=str(error))
    from mllmrec.captioner.scene import described  # here, as every launch would wait for SciPy

    text = described(image, palette.size, palette.colours, palette.least_share)
    return Reply(id=item.item_id, text=text)
