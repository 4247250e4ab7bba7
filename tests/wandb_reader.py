"""Reads back what wandb wrote offline: a LevelDB-style log of protobuf records.

The format: a header of 7 bytes (``:W&B``, magic, version), then blocks of 32 KiB that hold chunks,
each ``crc32, length, type`` and data; type 1 is a whole record, 2 to 4 its first, middle and last
part. wandb itself has no reader in Python any more; ``wandb leet inspect --json`` is the check.
"""

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as pb

BLOCK = 32 * 1024
HEAD = struct.Struct("<IHB")
FULL, FIRST, LAST = 1, 2, 4


@dataclass
class Recorded:
    """One run as its file tells it."""

    id: str = ""
    project: str = ""
    group: str = ""
    job_type: str = ""
    name: str = ""
    tags: list[str] = field(default_factory=list)
    sweep: str = ""
    resume: bool = False
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    step_metrics: dict[str, str] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)
    exit_code: int | None = None


def records(path: Path) -> Iterator[pb.Record]:
    """All records of a file, up to a torn tail such as a kill leaves."""
    data = path.read_bytes()
    if data[:4] != b":W&B":
        raise ValueError(f"{path}: not a file of wandb's")
    at, whole = 7, b""
    while at + HEAD.size <= len(data):
        room = BLOCK - at % BLOCK
        if room < HEAD.size:  # too little room for a chunk: padding
            at += room
            continue
        _, length, kind = HEAD.unpack_from(data, at)
        at += HEAD.size
        if kind == 0 or at + length > len(data):
            return
        whole = data[at : at + length] if kind in (FULL, FIRST) else whole + data[at : at + length]
        at += length
        if kind in (FULL, LAST):
            yield pb.Record.FromString(whole)


def values(items: Iterable[Any]) -> dict[str, Any]:
    return {
        ".".join(item.nested_key) if item.nested_key else item.key: json.loads(item.value_json)
        for item in items
    }


def read(path: Path) -> Recorded:
    """What a run's file (or the one file in a run's folder) amounts to."""
    path = path if path.is_file() else next(path.glob("*.wandb"))
    run = Recorded()
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            told = record.run
            run.id, run.project, run.name = told.run_id, told.project, told.display_name
            run.group, run.job_type, run.tags = told.run_group, told.job_type, list(told.tags)
            run.sweep, run.resume = told.sweep_id, told.resume
            run.config |= values(told.config.update)
        elif kind == "config":
            run.config |= values(record.config.update)
        elif kind == "summary":
            run.summary |= values(record.summary.update)
        elif kind == "history":
            run.history.append(values(record.history.item))
        elif kind == "metric" and record.metric.glob_name:
            run.step_metrics[record.metric.glob_name] = record.metric.step_metric
        elif kind == "artifact":
            run.artifacts.append(record.artifact.name)
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run
