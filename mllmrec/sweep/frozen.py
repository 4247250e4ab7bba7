"""What a sweep is held to from its first point to its last: its file, the words, the configs."""

import filecmp
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from mllmrec.artifacts import digest, write_json
from mllmrec.overrides import quoted, typed_keys
from mllmrec.sweep import reading
from mllmrec.sweep.grammar import Grammar

FROZEN, TOLD, FILE, CONF, SEARCH = "frozen", "sweep.json", "sweep.yaml", "conf", "search"
HOME = Path("outputs") / "sweeps"
OWN = ("stage", "sweep", "plan_only", "yes", "threads")  # words that are the sweep's, no point's


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A sweep's folder, and what every point of it is composed from.

    ``words`` are the overrides that all points share: those of the file's command, then what was
    typed. ``began`` tells when the configs were copied, ``conf`` and ``places`` where they lie.
    """

    folder: Path
    name: str
    question: str
    grammar: Grammar
    words: tuple[str, ...]
    began: str

    conf: Path
    places: tuple[Path, ...]

    @property
    def search(self) -> list[str]:
        """The override that has Hydra look into the user's own groups."""
        listed = ",".join(quoted(f"file://{place}") for place in self.places)
        return [f"hydra.searchpath=[{listed}]"] if self.places else []


def common_words(asked: Grammar, typed: Sequence[str]) -> tuple[str, ...]:
    """What all points share, the file's command first; of two words on one key the typed one.

    The command's ``tracking`` is for W&B's agent: here that of the sweep's own launch counts.
    """
    own = [word for word in typed if not is_own(word)]
    if not any(key.startswith("tracking") for key in typed_keys(own)):
        named = {"project": asked.project, "entity": asked.entity}
        own = [f"tracking.{key}={value}" for key, value in named.items() if value] + own
    keys = {*typed_keys(own), "tracking"}
    return (*(word for word in asked.words if typed_keys([word])[0] not in keys), *own)


def is_own(word: str) -> bool:
    (key,) = typed_keys([word])
    return key in OWN or key.startswith(("sweep.", "hydra.", "hydra/"))


def folder_of(file: Path, asked: Grammar, words: Sequence[str]) -> Path:
    """Where a sweep lies that nobody gave a folder: by its name, and by what it asks."""
    said = [word for word in words if not typed_keys([word])[0].startswith("tracking")]
    id = digest({"file": asked.model_dump(mode="json"), "words": said})
    return (HOME / f"{file.stem}-{id[:8]}").absolute()


def freeze(folder: Path, file: Path, words: Sequence[str], conf: Path) -> Frozen:
    """The sweep of a folder: as it was frozen when it began, or frozen now.

    The copy is made beside its place and put there by one rename, so that a kill leaves none or
    a whole one.
    """
    place = folder / FROZEN
    if not place.exists():
        for old in folder.glob(f".{FROZEN}-*"):  # of one that was killed; the folder is ours
            shutil.rmtree(old)
        half = folder / f".{FROZEN}-{os.getpid()}"
        half.mkdir(parents=True)
        shutil.copyfile(file, half / FILE)
        shutil.copytree(conf, half / CONF, ignore=shutil.ignore_patterns("schema"))
        for number, source in enumerate(sources(conf)):
            shutil.copytree(source, half / f"{SEARCH}{number:02}")
        began = datetime.now(UTC).isoformat(timespec="seconds")
        told = {"name": file.stem, "words": list(words), "began": began, "conf": str(conf)}
        write_json(half / TOLD, told)
        half.rename(place)
    return read(folder)


def thawed(file: Path, asked: Grammar, question: str, words: Sequence[str], conf: Path) -> Frozen:
    """A sweep as it would be frozen now; nothing is written."""
    return Frozen(
        folder=Path(os.devnull),
        name=file.stem,
        question=question,
        grammar=asked,
        words=tuple(words),
        began="",
        conf=conf,
        places=tuple(sources(conf)),
    )


def read(folder: Path) -> Frozen:
    """The sweep of a folder that was frozen before."""
    told: dict[str, Any] = json.loads((folder / FROZEN / TOLD).read_text(encoding="utf-8"))
    question, grammar = reading.read(folder / FROZEN / FILE)
    return Frozen(
        folder=folder,
        name=told["name"],
        question=question,
        grammar=grammar,
        words=tuple(told["words"]),
        began=told["began"],
        conf=folder / FROZEN / CONF,
        places=tuple(sorted((folder / FROZEN).glob(f"{SEARCH}*"))),
    )


def sources(conf: Path) -> list[Path]:
    """The folders of the user's own groups, those that count first first."""
    if not HydraConfig.initialized():
        return []
    found = HydraConfig.get().runtime.config_sources
    paths = [Path(one.path) for one in found if one.schema == "file"]
    return [path for path in paths if path != conf and path.is_dir()]


def changed(sweep: Frozen, conf: Path) -> list[str]:
    """The configs, the user's own groups too, that are no longer what the sweep was frozen with."""
    pairs = [(conf, sweep.conf), *zip(sources(conf), sweep.places, strict=False)]
    return [name for now, then in pairs for name in apart_in(now, then)]


def apart_in(now: Path, then: Path) -> list[str]:
    """The files that two folders of configs do not have alike."""
    found = {path.relative_to(folder) for folder in (now, then) for path in folder.rglob("*.yaml")}
    return [
        str(name)
        for name in sorted(found)
        if not all((folder / name).is_file() for folder in (now, then))
        or not filecmp.cmp(now / name, then / name, shallow=False)
    ]
