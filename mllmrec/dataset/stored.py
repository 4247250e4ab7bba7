"""The samples that the published scripts keep in ``processed/``, with their exact candidates.

A file ``train|test_…_seed42_neg9….json`` is a list, in one of two shapes: ``{"prompt": …,
"target_id": …, "candidates": […]}``, or ``{"messages": [{"content": prompt}, {"content":
answer}]}``. What no field tells is read from the prompt: ``1. [ITEM_id] title`` is history, the
first lines ``[ITEM_id] title`` without a number are the candidates, ``[ITEM_id] title`` is the
answer. The prompt's words are not used otherwise.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, TypeAdapter, model_validator

from mllmrec.dataset.published import Id, checked
from mllmrec.errors import Refusal

NAME = re.compile(r"(train|test)_.*?neg([1-9]\d*)(?!\d).*\.json")
ITEM = re.compile(r"(\d+\.\s*)?\[ITEM_([^\]\s]+)\]")
SHAPE = "a list of entries with prompt, target_id and candidates, or with messages"


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a file is for, as its name says: a split, and how many negatives."""

    split: Literal["train", "test"]
    negatives: int

    @property
    def protocol(self) -> str:
        return f"uni{self.negatives}"

    @property
    def column(self) -> str:
        """The column of candidates that it fills."""
        return "train" if self.split == "train" else self.protocol


class Stored(BaseModel):
    """A sample of theirs; ``user_id`` only where a field tells it, which the scripts do not."""

    user_id: Id | None = None
    history: list[Id] = []
    target_id: Id = ""
    candidates: list[Id] = []

    @model_validator(mode="before")
    @classmethod
    def read(cls, told: object) -> object:
        """What no field tells, from the texts."""
        if not isinstance(told, dict):
            return told
        messages = told.get("messages") or [{"content": told.get("prompt")}, {"content": ""}]
        parts = messages if isinstance(messages, list) else []
        contents = [one.get("content") if isinstance(one, dict) else None for one in parts]
        texts = [text for text in contents if isinstance(text, str)]
        if len(texts) != 2 or len(contents) != 2:
            raise ValueError("neither a prompt nor two messages, a prompt and its answer")
        history, candidates = listed(texts[0])
        answer = ITEM.match(texts[1])
        return {
            "user_id": told.get("user_id"),
            "history": told.get("history_ids", history),
            "target_id": told.get("target_id", answer[2] if answer else ""),
            "candidates": told.get("candidates", candidates),
        }

    @model_validator(mode="after")
    def check_candidates(self) -> Self:
        if not self.history:
            raise ValueError("no line of history, '1. [ITEM_id] title'")
        if len(set(self.candidates)) < len(self.candidates):
            raise ValueError("an item stands twice among the candidates")
        if self.target_id not in self.candidates:
            raise ValueError(f"the target '{self.target_id}' is not among the candidates")
        return self


STORED = TypeAdapter(list[Stored])


def listed(prompt: str) -> tuple[list[str], list[str]]:
    """The ids of the history and of the candidates in a prompt, each in their order."""
    history: list[str] = []
    candidates: list[str] = []
    for line in prompt.splitlines():
        found = ITEM.match(line.strip())
        if found and found[1] and not candidates:
            history.append(found[2])
        elif found and not found[1]:
            candidates.append(found[2])
        elif candidates:
            break
    return history, candidates


def read(file: Path, role: Role) -> list[Stored]:
    """The samples of a file; refuses what is none, and another number of candidates."""
    found: list[Stored] = checked(file, STORED, SHAPE, "prepare.adopt")
    for number, one in enumerate(found, start=1):
        if len(one.candidates) != role.negatives + 1:
            raise Refusal(
                f"{file}: entry {number}, field candidates: there are {len(one.candidates)}, its"
                f" target '{one.target_id}' among them",
                allowed=f"{role.negatives + 1}, as neg{role.negatives} in the file's name says",
                do="mend the file or its name, or type prepare.adopt=null",
            )
    return found


def files(paths: Path | Sequence[Path]) -> dict[Path, Role]:
    """The files of samples that a folder holds, or that are listed, by what they are for.

    Raises:
        Refusal: there is none, or a listed one is not there or is not named like one.
    """
    listed = [paths] if isinstance(paths, Path) else list(paths)
    whole = [path.expanduser() for path in listed]
    roles: dict[Path, Role] = {}
    for path in whole:
        inside = sorted(path.glob("*.json")) if path.is_dir() else [path]
        for file in inside:
            found = NAME.fullmatch(file.name)
            if found and file.is_file():
                split: Literal["train", "test"] = "train" if found[1] == "train" else "test"
                roles[file] = Role(split=split, negatives=int(found[2]))
            elif not path.is_dir():
                raise missing(file)
    if not roles:
        raise missing(whole[0] if whole else Path("[]"))
    return roles


def asked(found: Mapping[Path, Role], *, train: str, test: Sequence[str]) -> dict[Path, Role]:
    """The files of the protocol for training and of those for the test; refuses none."""
    wanted = {("train", train), *(("test", name) for name in test)}
    used = {file: role for file, role in found.items() if (role.split, role.protocol) in wanted}
    if not used:
        there = sorted({f"{role.split} {role.protocol}" for role in found.values()})
        raise Refusal(
            f"prepare.adopt: there are candidates for {', '.join(there)}, and none is asked for",
            allowed=f"prepare.train_protocol={train} or one of prepare.protocols={[*test]}",
            do=f"type prepare.protocols=[{there[0].split()[1]}]",
        )
    return used


def missing(path: Path) -> Refusal:
    return Refusal(
        f"prepare.adopt={path}: no file there that is named train_… or test_… and ends in"
        " neg9….json",
        allowed="the folder processed/ of the published scripts, or a list of its files",
        do="type prepare.adopt=DIR, or prepare.adopt=null to have candidates drawn",
    )
