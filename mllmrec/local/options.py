"""A model that answers on this machine: its knobs, and how a pile of requests is worked off."""

import logging
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from mllmrec.artifacts import digest, file_digest, folder_files
from mllmrec.asking import Asker, Fault, Reply, Request, tokens_in
from mllmrec.errors import Refusal
from mllmrec.journal import Journal, Record, key_of
from mllmrec.local.answers import why_not
from mllmrec.progress import Bar
from mllmrec.schema import NoEffect

if TYPE_CHECKING:
    from mllmrec.local.models import Loaded

log = logging.getLogger(__name__)

Count = Annotated[int, Field(ge=1)]
PICTURE_LENGTH = 4000  # characters that a picture counts for where batches of like length are made


class Local(Asker):
    """A model of transformers, by folder or by its name on the Hugging Face hub, asked greedily.

    ``dtype=auto`` is bfloat16 on a GPU and float32 on a CPU. An answer of ``max_new_tokens``
    that did not end is written once more with room for ``retry_tokens``; one that ended by itself
    would be the same again. ``picture_size`` is the longest side of a picture as the model sees
    it, in pixels.
    """

    needs_torch: ClassVar[bool] = True

    path: str | None
    revision: str | None
    dtype: Literal["auto", "float32", "bfloat16"]
    batch_size: Annotated[int, Field(ge=1), NoEffect()]
    max_new_tokens: Count
    retry_tokens: Count
    picture_size: Annotated[int, Field(ge=16)]

    _knob: str = PrivateAttr("local")

    @model_validator(mode="after")
    def _more_room_again(self) -> Self:
        if self.retry_tokens < self.max_new_tokens:
            raise ValueError("must hold: max_new_tokens <= retry_tokens")
        return self

    def ready(self) -> None:
        _ = self.name

    @property
    def name(self) -> str:
        """The folder or the hub's name.

        Raises:
            Refusal: there is none.
        """
        if self.path is None:
            raise Refusal(
                f"{self.knob}.path=null: no model is named",
                allowed="a folder with a model of transformers, or its name on the hub",
                do=f"type {self.knob}.path=DIR, or {self.knob}.path=OWNER/NAME",
            )
        return self.path

    @cached_property
    def identity(self) -> dict[str, str | None]:
        """Which model it is: a folder by its content, a name by its revision."""
        if self.path is not None and Path(self.path).expanduser().is_dir():
            return {"path": digest(folder_files(Path(self.path).expanduser())), "revision": None}
        return {"path": self.path, "revision": self.revision}

    def knobs(self) -> dict[str, Any]:
        return {**super().knobs(), **self.identity}

    def ask(
        self, requests: Sequence[Request], journal: Path, label: str, fault: Fault
    ) -> list[Reply]:
        """One reply a request, in their order; the journal gains a line an answer, batch by batch.

        A request that several samples share is asked once. A picture that cannot be read makes
        its request a failure.

        Raises:
            Refusal: there is no such model, or it cannot do what is asked of it.
        """
        name = self.name  # refused before any work
        keys = [self.key(request) for request in requests]
        with Journal(journal) as book:
            missing = {
                key: request
                for key, request in zip(keys, requests, strict=True)
                if book.found(key, fault) is None
            }
            log.info(
                "%s: %d to write, %d of %d found in the journal",
                *(label, len(missing), sum(key not in missing for key in keys), len(keys)),
            )
            if missing:
                log.info("%s: %s", label, self.estimate([*missing.values()]))
                log.info("%s: loading %s", label, name)
                self.work_off(missing, book, label, fault)
            records = [book.found(key, fault) for key in keys]
        return [
            Reply(id=request.id, text=record.text, why=record.why)
            for request, record in zip(requests, records, strict=True)
            if record is not None
        ]

    def estimate(self, requests: list[Request]) -> str:
        """One sentence on what these requests will take; how fast, the first batch will tell."""
        into, assumed = tokens_in(requests, self.picture_size)
        return (
            f"{len(requests)} answers of {self.path}: about {into} tokens in {assumed}, at most "
            f"{len(requests) * self.max_new_tokens} out, and {self.retry_tokens} more for each "
            f"that does not end; {self.batch_size} at once"
        )

    def key(self, request: Request) -> str:
        """What an answer hangs on, as a key of the journal; not whose request it is."""
        pictures = [file_digest(path) if path.is_file() else None for path in request.pictures]
        return key_of({"model": self.knobs(), "text": request.text, "pictures": pictures})

    def work_off(
        self, missing: dict[str, Request], book: Journal, label: str, fault: Fault
    ) -> None:
        from mllmrec.local.models import load

        needs_eyes = any(request.pictures for request in missing.values())
        model = load(self, needs_eyes=needs_eyes)
        with Bar(label, len(missing), "answer") as bar:
            for keys in batches(missing, self.batch_size):
                for record in self.answer({key: missing[key] for key in keys}, model, fault):
                    book.add(record)
                is_first = not bar.done
                bar.step(len(keys))
                if is_first:
                    log.info("%s: %s", label, bar.pace())

    def answer(self, batch: dict[str, Request], model: "Loaded", fault: Fault) -> Iterator[Record]:
        """The records of one batch, what did not end asked for once more."""
        began = time.monotonic()
        keys, requests = [*batch], [*batch.values()]
        answers = model.answers(requests, self.max_new_tokens)
        cut = [place for place, answer in enumerate(answers) if answer.is_cut]
        room = self.max_new_tokens
        if cut and self.retry_tokens > room:
            room = self.retry_tokens
            again = model.answers([requests[place] for place in cut], room)
            for place, answer in zip(cut, again, strict=True):
                answers[place] = answer
        seconds = round((time.monotonic() - began) / len(keys), 3)
        for place, (key, request, answer) in enumerate(zip(keys, requests, answers, strict=True)):
            why = why_not(answer, room, fault)
            yield Record(
                key=key,
                id=request.id,
                text=None if why else answer.text,
                why=why,
                finish_reason="length" if answer.is_cut else "stop",
                tokens_in=answer.tokens_in,
                tokens_out=answer.tokens_out,
                calls=2 if place in cut else 1,
                seconds=seconds,
            )


def batches(requests: dict[str, Request], size: int) -> Iterator[list[str]]:
    """Keys in batches of like length, the longest first, with and without pictures apart.

    What is too large for the memory is so in the first batch.
    """

    def bulk(key: str) -> tuple[bool, int]:
        request = requests[key]
        return bool(request.pictures), len(request.text) + PICTURE_LENGTH * len(request.pictures)

    for has_pictures in (True, False):
        keys = [key for key in requests if bool(requests[key].pictures) is has_pictures]
        keys.sort(key=bulk, reverse=True)
        yield from (keys[start : start + size] for start in range(0, len(keys), size))
