"""The file in which W&B keeps a run: read, written, and the parts of a resumed run made one.

The format is LevelDB's log: a header of 7 bytes (``:W&B``, magic, version), then blocks of 32 KiB
that hold chunks, each ``crc32, length, type`` and data. Type 1 is a whole record, 2 to 4 are its
first, middle and last part; the checksum is of the type and the data. A record is protobuf.
"""

import json
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEADER = b":W&B\xe1\xbe\x00"
BLOCK = 32 * 1024
HEAD = struct.Struct("<IHB")
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def file_of(part: Path) -> Path:
    """The one record file of a run's folder; FileNotFoundError where there is none."""
    found = sorted(part.glob("run-*.wandb"))
    if not found:
        raise FileNotFoundError(f"{part}: no run-*.wandb")
    return found[0]


def read(file: Path) -> Iterator[Any]:
    """All records of a file, up to a torn tail such as a kill leaves.

    Raises:
        ValueError: it is no file of W&B's.
    """
    from wandb.proto import wandb_internal_pb2

    data = file.read_bytes()
    if data[: len(HEADER)] != HEADER:
        raise ValueError(f"{file}: not a run that W&B recorded")
    for whole in pieces(data):
        yield wandb_internal_pb2.Record.FromString(whole)


def pieces(data: bytes) -> Iterator[bytes]:
    """The records of a log as bytes; ends where a checksum fails."""
    at, whole = len(HEADER), b""
    while at + HEAD.size <= len(data):
        room = BLOCK - at % BLOCK
        if room < HEAD.size:  # too little room for a chunk: padding
            at += room
            continue
        told, length, kind = HEAD.unpack_from(data, at)
        at += HEAD.size
        part = data[at : at + length]
        if len(part) < length or checksum(kind, part) != told:
            return
        at += length
        whole = part if kind in (WHOLE, FIRST) else whole + part
        if kind in (WHOLE, LAST):
            yield whole


def write(file: Path, records: Iterable[Any]) -> None:
    """Write records as W&B does."""
    with file.open("wb") as out:
        out.write(HEADER)
        at = len(HEADER)
        for record in records:
            left, kind = record.SerializeToString(), FIRST
            while True:
                room = BLOCK - at % BLOCK
                if room < HEAD.size:
                    at += out.write(bytes(room))
                    continue
                part, left = left[: room - HEAD.size], left[room - HEAD.size :]
                if not left:
                    kind = WHOLE if kind == FIRST else LAST
                at += out.write(HEAD.pack(checksum(kind, part), len(part), kind) + part)
                if not left:
                    break
                kind = MIDDLE


def checksum(kind: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(bytes([kind])))


def joined(parts: Sequence[Path], there: Collection[float]) -> Iterator[Any]:
    """The records of all parts of a run, without the rows that the server has, as those of one run.

    ``there`` are the moments of the rows of its history that the server has; none: it knows none of
    the run. Each row is looked for by itself, as a part may reach the server before an older one,
    and another machine's clock may be behind. Steps and run times go on from part to part, and
    begin at 0 for the first row that goes: W&B adds them to what the server has.
    """
    from wandb.proto import wandb_internal_pb2

    gone, count = Counters(), 0  # what goes to the server
    for number, part in enumerate(parts):
        file = file_of(part)
        until, past = last_there(file, there)
        ahead = gone - past
        for record in read(file):
            kind = record.WhichOneof("record_type")
            if kind == "run" and number == 0:
                record.run.resume, record.run.resumed = bool(there), False
            elif kind == "run":  # what its config says anew, and no more
                record = wandb_internal_pb2.Record(config=record.run.config)
            elif kind == "history":
                if moment(record) in there:
                    continue
                ahead = Counters(gone.step - record.history.step.num, ahead.seconds)
                record.history.step.num = gone.step
                shift(record.history.item, ahead)
                runtime = value(record.history.item, "_runtime", gone.seconds)
                gone = Counters(gone.step + 1, max(gone.seconds, runtime))
            elif kind == "summary":
                shift(record.summary.update, ahead)
            if is_said_already(record, kind, until, number, len(parts)):
                continue
            count += 1
            record.num = count
            yield record


@dataclass(frozen=True)
class Counters:
    """W&B's own count of steps and of seconds, at some place of a run."""

    step: int = 0
    seconds: float = 0.0

    def __sub__(self, other: "Counters") -> "Counters":
        return Counters(self.step - other.step, self.seconds - other.seconds)


def moment(row: Any) -> float:
    """When a row was logged, to the microsecond: no run logs two in one."""
    return round(value(row.history.item, "_timestamp", 0.0), 6)


def last_there(file: Path, there: Collection[float]) -> tuple[float | None, Counters]:
    """When the last row of a part was logged that the server has, and where that row ended."""
    until, past = None, Counters()
    for record in read(file) if there else ():
        if record.WhichOneof("record_type") == "history" and moment(record) in there:
            runtime = value(record.history.item, "_runtime", 0.0)
            until, past = moment(record), Counters(record.history.step.num + 1, runtime)
    return until, past


def is_said_already(record: Any, kind: str, until: float | None, number: int, of: int) -> bool:
    """Whether a record is one that a run has once, or a measure of the machine that was sent."""
    if kind == "stats":
        return until is not None and record.stats.timestamp.ToNanoseconds() / 1e9 <= until
    return (kind == "header" and number > 0) or (kind == "exit" and number < of - 1)


def name_of(item: Any) -> str:
    return ".".join(item.nested_key) or item.key


def value(items: Iterable[Any], name: str, otherwise: float) -> float:
    return next((json.loads(i.value_json) for i in items if name_of(i) == name), otherwise)


def shift(items: Iterable[Any], by: Counters) -> None:
    """Move W&B's own counters on."""
    for item in items:
        if name_of(item) == "_step":
            item.value_json = json.dumps(max(json.loads(item.value_json) + by.step, 0))
        elif name_of(item) in ("_runtime", "_wandb.runtime"):
            moved = max(json.loads(item.value_json) + by.seconds, 0.0)
            item.value_json = json.dumps(moved if name_of(item) == "_runtime" else int(moved))


def rows(part: Path) -> int:
    """How many rows of the history a part holds."""
    return sum(record.WhichOneof("record_type") == "history" for record in read(file_of(part)))


def run_of(part: Path) -> Any:
    """What a part says of its run: id, project, entity, sweep and the like.

    Raises:
        ValueError: it says nothing of it.
    """
    for record in read(file_of(part)):
        if record.WhichOneof("record_type") == "run":
            return record.run
    raise ValueError(f"{part}: holds no run")
