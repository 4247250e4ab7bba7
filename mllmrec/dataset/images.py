"""Pictures that lie in a folder, one an item, called by the item's id: ``images/<item>.jpg``."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from mllmrec.dataset.base import shaped
from mllmrec.records import ITEMS

log = logging.getLogger(__name__)
KINDS = (".jpg", ".jpeg", ".png", ".webp")


def pictures(folder: Path) -> dict[str, Path]:
    """The pictures in a folder by item id; none where there is no such folder.

    Links are followed, also out of the folder: copies from a hub are made of such. What is no
    file (a folder, a link to nothing) is left out, with a word in `illustrated`.
    """
    return {file.stem: file for file in named(folder) if file.is_file()}


def named(folder: Path) -> list[Path]:
    """All of a folder that is called a picture; those of one id in a fixed order."""
    files = sorted(folder.glob("*"), reverse=True)
    return [file for file in files if file.suffix.lower() in KINDS]


def illustrated(items: pl.DataFrame, folder: Path, out: Path) -> pl.DataFrame:
    """ITEMS, with a copy (``out/pictures``) of the picture of each item that has one.

    ``items`` has at least ``item_id`` and ``title``. A copy keeps the name of its file, which is
    a name within a folder: an id from the data is only compared with it, never taken for a path.
    """
    for path in named(folder):
        if not path.is_file():
            log.warning("%s: no file, so that item %s has no picture", path, path.stem)
    return shaped(placed(items, pictures(folder), out), ITEMS)


def placed(items: pl.DataFrame, files: Mapping[str, Path], out: Path) -> pl.DataFrame:
    """The items with a column ``picture``, and empty columns where ITEMS has more."""
    names: list[str | None] = []
    for item_id in items["item_id"]:
        file = files.get(item_id)
        names.append(f"pictures/{file.name}" if file else None)
        if file:
            (out / "pictures").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, out / "pictures" / file.name)
    empty = {
        "genres": pl.lit([], pl.List(pl.String)),
        "year": pl.lit(None, pl.Int32),
    }
    more = [value.alias(name) for name, value in empty.items() if name not in items.columns]
    return items.with_columns(pl.Series("picture", names, pl.String), *more)
