"""A server of language models that speaks the protocol of OpenAI's chat completions."""

import asyncio
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from mllmrec.asking import Asker, Fault, Reply, Request
from mllmrec.endpoint.budget import Budget, Price
from mllmrec.endpoint.line import Line
from mllmrec.endpoint.progress import Progress, estimate
from mllmrec.endpoint.work import Work
from mllmrec.errors import Refusal
from mllmrec.journal import Journal, Record, key_of
from mllmrec.redact import HIDDEN, Scrubber
from mllmrec.schema import NoEffect

log = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # of an environment variable
LONGEST_NAME = 40  # characters; what is longer may be the key itself
FIXED = {"messages", "model", "n", "stream"}  # what `extra` may not touch
Room = Literal["max_tokens", "max_completion_tokens"]

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Server(Asker):
    """Where the model is served, what it is asked with, and what that may cost.

    The key is read from the environment variable ``key_env`` when the server is asked, and is
    never kept. An answer has room for ``max_tokens``, at the second attempt ``retry_tokens``; the
    server calls that ``room_field``. ``extra`` are further fields of a call; one that is null is
    left out of it.
    """

    url: Annotated[str | None, NoEffect()]
    model: str | None
    key_env: Annotated[str | None, NoEffect()]
    temperature: Annotated[float, Field(ge=0)]
    max_tokens: Count
    retry_tokens: Count
    room_field: Annotated[Room, NoEffect()]
    concurrency: Annotated[int, Field(ge=1), NoEffect()]
    timeout: Annotated[Seconds, NoEffect()]
    deadline: Annotated[Seconds, NoEffect()]
    retries: Annotated[int, Field(ge=0), NoEffect()]
    budget: Annotated[Budget, NoEffect()]
    price: Annotated[Price, NoEffect()]
    picture_size: Count
    extra: dict[str, Any]

    @model_validator(mode="after")
    def consistent(self) -> Self:
        if self.retry_tokens < self.max_tokens:
            raise ValueError(f"retry_tokens={self.retry_tokens} is less than max_tokens")
        if self.budget.max_usd is not None and not self.price.is_known:
            raise ValueError("budget.max_usd needs price.input and price.output")
        if taken := FIXED & self.extra.keys():
            raise ValueError(f"extra.{min(taken)} cannot be set")
        for room in get_args(Room):
            if self.extra.get(room) is not None:  # the second attempt would have no more of it
                raise ValueError(f"extra.{room} cannot be set: max_tokens=N room_field={room} does")
        return self

    def ask(
        self, requests: Sequence[Request], journal: Path, label: str, fault: Fault
    ) -> list[Reply]:
        keys = [self.key(request) for request in requests]
        with Journal(journal) as kept:
            found = {key: kept.found(key, fault) for key in keys}
            wanted: dict[str, Request] = {}
            for key, request in zip(keys, requests, strict=True):
                if found[key] is None:
                    wanted.setdefault(key, request)
            if wanted:
                log.info("%s: %d of %d known", label, len(found) - len(wanted), len(found))
                single = [r for r in found.values() if r and r.text is not None and r.calls == 1]
                found |= self.fetch(wanted, kept, single, label, fault)
        return [reply(request.id, found[key]) for request, key in zip(requests, keys, strict=True)]

    def fetch(
        self,
        wanted: Mapping[str, Request],
        kept: Journal,
        known: Sequence[Record],
        label: str,
        fault: Fault,
    ) -> dict[str, Record | None]:
        """What came of each request, by its key; ``known`` are calls that were answered before.

        Raises:
            Refusal: the work was broken off.
        """
        url, secret = self.reachable()
        log.info("%s: %s", label, self.typed(estimate(self, [*wanted.values()], known)))
        progress = Progress(label, len(wanted), self.price)
        work = Work(self, Line(url, secret, self.key_env), kept, known, fault, progress)
        try:
            asyncio.run(work.run(wanted.items()))
        except Refusal as refusal:
            answered = sum(kept.found(key, fault) is not None for key in wanted)
            raise Refusal(
                f"{label}: {answered} of {len(wanted)} answered, then {self.typed(refusal.wrong)}",
                allowed=refusal.allowed,
                do=self.typed(refusal.do),
            ) from refusal
        finally:
            progress.bar.close()
        log.info("%s: %s", label, progress.cost(work.spent))
        return {key: kept.found(key, fault) or work.unsent.get(key) for key in wanted}

    def typed(self, text: str) -> str:
        """A text of this folder, with its knobs as they are typed: under ``self.knob``."""
        return re.sub(r"(?<![\w.])endpoint\.(?=[a-z])", f"{self.knob}.", text)

    def ready(self) -> None:
        self.reachable()

    def reachable(self) -> tuple[str, str | None]:
        """The address and the key, if all that a call needs is there.

        Raises:
            Refusal: something is not set, or cannot be what it should.
        """
        for knob, value, such_as in (
            ("url", self.url, "http://HOST:PORT/v1"),
            ("model", self.model, "NAME"),
        ):
            if not value:
                raise Refusal(
                    f"{self.knob}.{knob}={value}: not set",
                    allowed="a server of chat completions, and a model that it serves",
                    do=f"type {self.knob}.{knob}={such_as}",
                )
        url = str(self.url)
        if not re.match(r"(?i)https?://[^/\s]", url):
            shown = Scrubber({}).text(re.sub(r"[^/@\s]+@", f"{HIDDEN}@", url))
            raise Refusal(
                f"{self.knob}.url={shown}: no address of a server",
                allowed="one that begins with http:// or https://",
                do=f"type {self.knob}.url=http://HOST:PORT/v1",
            )
        return url, self.secret()

    def secret(self) -> str | None:
        """The key, if one is to be sent.

        Raises:
            Refusal: there is none; what was typed is told only where it cannot be the key itself.
        """
        if not (name := self.key_env):
            return None
        is_name = NAME.fullmatch(name) is not None
        if is_name and (secret := os.environ.get(name)):
            return secret
        knob = f"{self.knob}.key_env"
        do = f"export NAME=KEY, and type {knob}=NAME; or type {knob}=null"
        if not is_name:
            wrong = f"{knob}: what was typed is no name of an environment variable"
        elif len(name) > LONGEST_NAME or name.lower().startswith("sk_"):
            wrong = f"{knob}: no environment variable has the name that was typed"
        else:
            wrong = f"{knob}={name}: no such environment variable, or it is empty"
            do = f"export {name}=KEY, or type {knob}=null"
        raise Refusal(
            wrong,
            allowed="the name of one that holds the key; null where the server needs none",
            do=do,
        )

    def key(self, request: Request) -> str:
        """What an answer is found by again: all that can change it."""
        pictures = [content(path) for path in request.pictures]
        shown = {"pictures": pictures, "size": self.picture_size} if pictures else {}
        asked = {"model": self.model, "temperature": self.temperature, "extra": self.extra}
        room = [self.max_tokens, self.retry_tokens]
        return key_of({**asked, "room": room, "text": request.text, **shown})

    def body(self, asked: list[dict[str, Any]], room: int) -> dict[str, Any]:
        """The fields of a call."""
        fields = {"model": self.model, "messages": asked, "temperature": self.temperature}
        fields |= {self.room_field: room, **self.extra}
        return {name: value for name, value in fields.items() if value is not None}


def content(path: Path) -> bytes | str:
    """The bytes of a picture; of one that is not there, which is never sent, its path."""
    try:
        return path.read_bytes()
    except OSError:
        return str(path)


def reply(id: str, record: Record | None) -> Reply:
    if record is None:
        raise LookupError(f"{id}: neither answered nor failed")
    return Reply(id=id, text=record.text, why=record.why if record.text is None else None)
