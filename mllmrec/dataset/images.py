"""Pictures that lie in a folder, one an item, called by the item's id: ``images/<item>.jpg``."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from mllmrec.dataset.base import shaped
from mllmrec.dataset.bundle import sha256
from mllmrec.errors import Refusal
from mllmrec.records import ITEMS

log = logging.getLogger(__name__)
KINDS = (".jpg", ".jpeg", ".png", ".webp")
OUTSIDE = pl.col("picture").str.contains(r"^\s*[/\\]|\\|^[A-Za-z]:|(?:^|/)\.\.(?:/|$)|\x00")


class Illustrated:
    """What a dataset has whose items may have pictures, in a folder beside its files."""

    def images(self) -> Path:
        """The folder of the pictures, which need not be there."""
        raise NotImplementedError

    def pictures(self) -> dict[str, Path]:
        """The pictures that are there, by item id."""
        return pictures(self.images())

    def picture_hashes(self) -> dict[str, str]:
        """The hash of each picture's bytes by item id, as a part of `content`."""
        found = self.pictures()
        return {item: sha256(found[item]) for item in sorted(found)}

    @property
    def has_pictures(self) -> bool:
        """None, too, while ``dataset.path`` names no data, which `content` refuses."""
        try:
            return bool(self.pictures())
        except Refusal:
            return False


def pictures(folder: Path) -> dict[str, Path]:
    """The pictures in a folder by item id; none where there is no such folder.

    Links are followed, also out of the folder: copies from a hub are made of such. What is no
    file (a folder, a link to nothing) is left out, with a word in `illustrated`.
    """
    return {file.stem: file for file in named(folder) if file.is_file()}


def named(folder: Path) -> list[Path]:
    """All of a folder that is called a picture; those of one id in a fixed order.

    The folder may lie in a zip (``bundle.Member``).
    """
    files = folder.iterdir() if folder.is_dir() else ()
    pictures = (file for file in files if file.suffix.lower() in KINDS)
    return sorted(pictures, key=lambda file: file.name, reverse=True)


def illustrated(items: pl.DataFrame, folder: Path, out: Path) -> pl.DataFrame:
    """ITEMS, with a copy (``out/pictures``) of the picture of each item that has one.

    ``items`` has at least ``item_id`` and ``title``. A copy keeps the name of its file, which is
    a name within a folder: an id from the data is only compared with it, never taken for a path.
    """
    for path in named(folder):
        if not path.is_file():
            log.warning("%s: no file, so that item %s has no picture", path, path.stem)
    return shaped(placed(items, pictures(folder), out), ITEMS)


def named_in(folder: Path, rows: pl.DataFrame) -> dict[str, Path]:
    """The pictures that are there, by item id; ``rows`` name them (``item_id``, ``picture``).

    Names are relative to the folder; one that leads out of it is none. Of several for an item the
    first counts.
    """
    inside = rows.filter(~OUTSIDE & (pl.col("picture").str.strip_chars() != ""))
    once = inside.unique("item_id", keep="first", maintain_order=True)
    files = {item: folder / name.strip() for item, name in once.select("item_id", "picture").rows()}
    return {item: file for item, file in files.items() if file.is_file()}


def told_missing(items: pl.DataFrame, files: Mapping[str, Path]) -> None:
    """Log how many of the pictures that items name are not there, and some of them."""
    wanted = items.filter(pl.col("picture").str.strip_chars() != "")
    gone = wanted.filter(~pl.col("item_id").is_in([*files]))
    if len(gone):
        some = ", ".join(gone["picture"].head(5))
        log.warning("%d of %d pictures are not there, such as %s", len(gone), len(wanted), some)


def placed(items: pl.DataFrame, files: Mapping[str, Path], out: Path) -> pl.DataFrame:
    """The items with a column ``picture``, and empty columns where ITEMS has more.

    A copy keeps its name, or has a number before it where another file has taken that name.
    """
    names: list[str | None] = []
    taken: dict[str, Path] = {}
    for item_id in items["item_id"]:
        file = files.get(item_id)
        name = file.name if file else ""
        while file and taken.setdefault(name, file) != file:
            name = f"{len(taken)}_{name}"
        names.append(f"pictures/{name}" if file else None)
        if file:
            (out / "pictures").mkdir(parents=True, exist_ok=True)
            with file.open("rb") as whole, (out / "pictures" / name).open("wb") as copy:
                shutil.copyfileobj(whole, copy)
    empty = {
        "genres": pl.lit([], pl.List(pl.String)),
        "year": pl.lit(None, pl.Int32),
    }
    more = [value.alias(name) for name, value in empty.items() if name not in items.columns]
    return items.with_columns(pl.Series("picture", names, pl.String), *more)
