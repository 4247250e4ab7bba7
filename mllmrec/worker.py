"""One of several processes that carry out a stage; ``parallel.crew`` starts them by accelerate."""

import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mllmrec import locks, ranks
from mllmrec.artifacts import write_json
from mllmrec.errors import Refusal
from mllmrec.parallel.crew import EVENTS, JOB, RESULT
from mllmrec.performing import perform, ready_torch
from mllmrec.schema import Model
from mllmrec.stage.base import Job, Metrics, Stage

WATCH = 0.5  # seconds between two looks for those who started us
OTHERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK")
GONE = 3  # the exit code of a worker whose launch is gone


def written(stage: Stage, job: Job, parallel: Model, threads: int | None) -> dict[str, Any]:
    """A stage and its job as JSON, from which a worker makes them again."""
    groups = {
        name: {key: packed(one) for key, one in group.items()}
        if isinstance(group, Mapping)
        else packed(group)
        for name, group in job.groups.items()
    }
    return {
        "stage": packed(stage),
        "groups": groups,
        "out": str(job.out),
        "inputs": {name: str(folder) for name, folder in job.inputs.items()},
        "seed": job.seed,
        "top_seed": job.top_seed,
        "parallel": packed(parallel),
        "threads": threads,
    }


def packed(model: Model) -> dict[str, Any]:
    """A part's kind and its knobs; parts within it likewise, as a field tells their base alone."""
    kind = type(model)
    parts: dict[str, Any] = {}
    for name in kind.model_fields:
        value = getattr(model, name)
        if isinstance(value, Model):
            parts[name] = packed(value)
        elif isinstance(value, Mapping) and any(isinstance(one, Model) for one in value.values()):
            parts[name] = {key: packed(one) for key, one in value.items()}
    return {
        "kind": f"{kind.__module__}.{kind.__qualname__}",
        "knobs": model.model_dump(mode="json", exclude={*parts}),
        "parts": parts,
    }


def unpacked(node: Mapping[str, Any]) -> Any:
    """What ``packed`` was given; a named group is one such node a name."""
    if not isinstance(node.get("kind"), str):
        return {name: unpacked(one) for name, one in node.items()}
    module, _, name = node["kind"].rpartition(".")
    kind = getattr(import_module(module), name)
    if not issubclass(kind, Model):
        raise TypeError(f"{node['kind']} is no part of a config")
    parts = {name: unpacked(part) for name, part in node["parts"].items()}
    return kind.model_validate({**node["knobs"], **parts})


def main(folder: Path) -> int:
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    watch(json.loads(os.environ.pop("MLLMREC_LAUNCHED_BY")))
    write_json(folder / f"rank-{rank}.json", locks.me())
    try:
        metrics = carry_out(folder, rank, count)
        if rank == 0:
            write_json(folder / RESULT, metrics)
        ranks.leave()
    except Refusal as refusal:
        told = {"wrong": refusal.wrong, "allowed": refusal.allowed, "do": refusal.do}
        write_json(folder / f"error-{rank}.json", {"rank": rank, **told})
        return 1
    except BaseException:
        write_json(folder / f"error-{rank}.json", {"rank": rank, "trace": traceback.format_exc()})
        raise
    return 0


def carry_out(folder: Path, rank: int, count: int) -> Metrics:
    """Meet the others, and run the stage with them."""
    told = json.loads((folder / JOB).read_text())
    parallel = unpacked(told["parallel"])
    own_device(int(os.environ["LOCAL_RANK"]))
    ready_torch(told["threads"])
    ranks.join(rank, count, parallel.sharding)
    for name in [*os.environ]:  # from here on all libraries take this for a process by itself
        if name in OTHERS or name.startswith(("ACCELERATE_", "FSDP_", "TORCHELASTIC_")):
            del os.environ[name]
    voice = Voice(folder / EVENTS) if rank == 0 else None
    logging.basicConfig(level=logging.INFO if voice else logging.WARNING)
    logging.getLogger("mllmrec").addHandler(voice or logging.NullHandler())
    logging.getLogger("mllmrec").propagate = voice is None
    job = Job(
        out=Path(told["out"]),
        inputs={name: Path(path) for name, path in told["inputs"].items()},
        groups={name: unpacked(node) for name, node in told["groups"].items()},
        seed=told["seed"],
        top_seed=told["top_seed"],
        **({"log": voice.metrics} if voice else {}),
    )
    stage: Stage = unpacked(told["stage"])
    return perform(stage, job)


def own_device(local: int) -> None:
    """Leave this process one GPU to see, its own; nothing where there is none.

    Raises:
        Refusal: there are fewer GPUs than processes.
    """
    import torch

    visible = torch.cuda.device_count()  # asks the driver, and starts nothing on a device
    if not visible:
        return
    if local >= visible:
        raise Refusal(
            f"parallel.processes: process {local + 1} of this machine has no GPU, it has {visible}",
            allowed="at most one process a visible GPU",
            do=f"type parallel.processes={visible}",
        )
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = named.split(",") if named else [str(n) for n in range(visible)]
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[local]


def watch(launcher: Mapping[str, Any]) -> None:
    """End this process as soon as the launch, or what it started us by, is gone."""
    parent = os.getppid()

    def is_gone() -> bool:
        return os.getppid() != parent or has_ended(launcher)

    def look() -> None:
        while not is_gone():
            time.sleep(WATCH)
        os._exit(GONE)

    threading.Thread(target=look, daemon=True).start()


def has_ended(process: Mapping[str, Any]) -> bool:
    """Whether a process of this host, as ``locks.me`` names one, is gone."""
    return locks.process_start(process["pid"]) != process["start"]


class Voice(logging.Handler):
    """What rank 0 tells its launch: metrics and lines of the log, in the order they come."""

    def __init__(self, file: Path) -> None:
        super().__init__(logging.INFO)
        self.file = file.open("a", encoding="utf-8", buffering=1)  # line by line

    def emit(self, record: logging.LogRecord) -> None:
        line = {"name": record.name, "level": record.levelno, "text": record.getMessage()}
        self.tell({"log": line})

    def metrics(self, metrics: Metrics, step: int) -> None:
        self.tell({"metrics": metrics, "step": step})

    def tell(self, event: Mapping[str, Any]) -> None:
        self.file.write(json.dumps(event) + "\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
