"""What was answered at a cost, kept line by line, so that nothing is asked for twice.

A journal is a JSONL file that is only ever appended to, one record a line, found again by the
content of the request. All journals of a dataset lie in one folder: each artifact writes its own
and reads its neighbours'. A killed process loses no line; a power cut the last ``SECONDS`` at most.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

log = logging.getLogger(__name__)

LINES, SECONDS = 32, 1.0  # how much may wait for the disk, and how long


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What came of one request: a ``text``, or ``why`` there is none.

    Neither is there where work was broken off: such a record tells of its cost alone. With
    ``is_outage`` the reason is a server's fault, and not what was asked or answered.
    ``tokens_in``, ``tokens_out`` and ``seconds`` are sums over all ``calls``.
    """

    key: str
    id: str
    text: str | None = None
    why: str | None = None
    is_outage: bool = False
    finish_reason: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    calls: int = 0
    seconds: float = 0.0
    when: str = field(default_factory=now)


NAMES = frozenset(each.name for each in fields(Record))


@dataclass(kw_only=True)
class Totals:
    """What records cost together."""

    tokens_in: int = 0
    tokens_out: int = 0
    calls: int = 0
    seconds: float = 0.0

    def add(self, record: Record) -> None:
        self.tokens_in += record.tokens_in
        self.tokens_out += record.tokens_out
        self.calls += record.calls
        self.seconds += record.seconds


def key_of(value: Any) -> str:
    """The SHA-256, in hex, of a JSON value that may hold ``bytes``, whatever the order of its keys.

    All that can change an answer belongs into the value, and nothing else: no address, no secret.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=fingerprint)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(value: object) -> dict[str, str]:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} has no place in a key")
    return {"sha256": hashlib.sha256(value).hexdigest()}


class Journal:
    """The file ``own``, and what its neighbours ``*.jsonl`` hold; of several lines the last counts.

    A last line that was torn by a kill is dropped. A failure counts only where it is this
    artifact's own: another one tries again. An outage counts only until the journal is closed:
    the next launch tries again. ``spent`` is what the lines of ``own`` cost; ``known``, those of
    the whole folder.
    """

    def __init__(self, own: Path) -> None:
        self.own = own
        self.answers: dict[str, Record] = {}
        self.failures: dict[str, Record] = {}
        self.spent, self.known = Totals(), Totals()
        self.file: BinaryIO | None = None
        self.waiting = 0
        self.lock = threading.RLock()  # of the file
        self.timer: threading.Timer | None = None
        for path in sorted(own.parent.glob("*.jsonl")):
            if path.name != own.name:
                for record in read(path):
                    self.take(record, is_own=False)
        if own.exists():
            for record in read(own):
                self.take(record, is_own=True)
        self.failures = {k: r for k, r in self.failures.items() if not r.is_outage}

    def take(self, record: Record, *, is_own: bool) -> None:
        self.known.add(record)
        if is_own:
            self.spent.add(record)
        if record.text is not None:
            self.answers[record.key] = record
        elif record.why is not None and is_own:
            self.failures[record.key] = record

    def found(
        self, key: str, fault: Callable[[str], str | None] = lambda text: None
    ) -> Record | None:
        """An answer from any artifact that ``fault`` lets pass, or else our own failure."""
        answer = self.answers.get(key)
        if answer is not None and answer.text is not None and fault(answer.text) is None:
            return answer
        return self.failures.get(key)

    def add(self, record: Record) -> None:
        """Append one record; it is out of this process at once, and on the disk soon after."""
        self.take(record, is_own=True)
        with self.lock:
            file = self.file or self.opened()
            file.write(json.dumps(asdict(record)).encode() + b"\n")
            self.waiting += 1
            if self.waiting >= LINES:
                self.sync()
            elif self.timer is None:
                self.timer = threading.Timer(SECONDS, self.sync)
                self.timer.daemon = True  # a process that ends loses no line by itself
                self.timer.start()

    def opened(self) -> BinaryIO:
        """The own file at its end, cut back to its last whole line; made on the first record."""
        self.own.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.own.open("ab", buffering=0)
        self.file.truncate(whole(self.own.read_bytes()))
        return self.file

    def sync(self) -> None:
        """Wait until all lines are on the disk; the timer calls this in a thread of its own."""
        with self.lock:
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None
            if self.waiting and self.file is not None:
                os.fsync(self.file.fileno())
            self.waiting = 0

    def close(self) -> None:
        with self.lock:
            self.sync()
            if self.file is not None:
                self.file.close()
                self.file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def whole(content: bytes) -> int:
    """How many bytes the whole lines take: up to the last line end."""
    return content.rfind(b"\n") + 1


def read(path: Path) -> Iterator[Record]:
    """The records of a file, in order; what is no record is passed over, and counted in the log."""
    content = path.read_bytes()
    damaged = 0
    for line in content[: whole(content)].splitlines():
        try:
            said = json.loads(line)
            yield Record(**{name: said[name] for name in NAMES & said.keys()})
        except (ValueError, TypeError, AttributeError):
            damaged += 1
    if damaged:
        log.warning("%s: %d lines are no records and were passed over", path, damaged)
