"""What a card says of the base model: its name, and the licence that its own card states."""

import logging
from pathlib import Path
from typing import Any

import yaml

from mllmrec.backbone.base import Backbone
from mllmrec.backbone.pretrained import Pretrained

log = logging.getLogger(__name__)

CARD = "README.md"
OWN = "apache-2.0"  # of this repository, and so of what is built from nothing here


def hub_name(backbone: Backbone) -> str | None:
    """The base's name on a hub; None of a folder, and of one that is built here."""
    is_named = isinstance(backbone, Pretrained) and not backbone.folder.is_dir()
    return backbone.path if is_named else None  # type: ignore[attr-defined]


def told(backbone: Backbone) -> str:
    """The base in words, without a path of this machine."""
    if name := hub_name(backbone):
        return name
    if isinstance(backbone, Pretrained):
        return f"a model in a folder (content `{backbone.content}`)"
    return "none, it was built and pre-trained from the text of the data"


def licence_of(backbone: Backbone) -> str | None:
    """The licence by its short name; None where it is not known, which is logged."""
    if not isinstance(backbone, Pretrained):
        return OWN
    found = None
    if card := card_of(backbone):
        found = front_of(card).get("license")
    if not isinstance(found, str):
        log.warning(
            "export: the licence of the base is not known, its model card is not here; the new card"
            " says so (export.base_licence=NAME)"
        )
        return None
    return found


def card_of(backbone: Pretrained) -> Path | None:
    """The base's own model card, fetched from the hub if that can be reached."""
    if backbone.folder.is_dir():
        file = backbone.folder / CARD
        return file if file.is_file() else None
    if backbone.hub != "huggingface":
        return None
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(backbone.path, CARD, revision=backbone.revision))
    except Exception as error:  # the hub's client raises kinds of its own, and httpx's
        log.info("export: no model card of %s (%s)", backbone.path, type(error).__name__)
        return None


def front_of(card: Path) -> dict[str, Any]:
    """The YAML at the head of a model card; nothing where there is none."""
    parts = card.read_text(encoding="utf-8", errors="replace").split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        found = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}
