"""A stage in processes of its own: start them by accelerate, hear what they tell, end with them.

They share a folder: ``job.json`` says what is to be done, rank 0 appends to ``events.jsonl`` and
leaves ``result.json``, each rank names its process in ``rank-N.json`` and what ended it, if
anything did, in ``error-N.json``.
"""

import json
import logging
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from mllmrec import locks
from mllmrec.artifacts import write_json
from mllmrec.errors import Refusal
from mllmrec.hardware.machine import cores
from mllmrec.parallel.base import Parallel

log = logging.getLogger(__name__)

JOB, EVENTS, RESULT, CONFIG, LOG = (
    *("job.json", "events.jsonl", "result.json", "accelerate.yaml", "log.txt"),
)
FOLDER = "workers"  # of a job's scratch
EVERY = 0.1  # seconds between two looks at what is told
GRACE = 40.0  # seconds that they have to end when asked to; torch gives its workers 30 of them
DIED = re.compile(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+)")
Hear = Callable[[Mapping[str, Any]], None]


def work(
    parallel: Parallel, folder: Path, job: Mapping[str, Any], threads: int | None, hear: Hear
) -> dict[str, float]:
    """Have a job carried out from a fresh ``folder``; ``hear`` is given what rank 0 tells.

    Raises:
        Refusal: one of the processes was refused something, or died.
        RuntimeError: one of them met a fault of ours.
    """
    wait_for_others(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(folder / JOB, {**job, "leader": locks.me(), "token": secrets.token_hex(8)})
    lend(parallel, folder, threads, hear)
    return dict(json.loads((folder / RESULT).read_text()))


def lend(parallel: Parallel, folder: Path, threads: int | None, hear: Hear) -> None:
    """Start this machine's processes, and wait for their end, whichever it is."""
    process = start(parallel, folder, threads)
    told = Told(folder / EVENTS, hear)
    try:
        while process.poll() is None:
            time.sleep(EVERY)
            told.read()
        told.read()
    finally:
        end(process)
    if process.returncode:
        raise failure(folder, parallel)


def start(parallel: Parallel, folder: Path, threads: int | None) -> "subprocess.Popen[bytes]":
    """Accelerate's launcher, in a session of its own: an interrupt reaches it through us alone."""
    config = own(parallel, folder / CONFIG)
    config.write_text(yaml.safe_dump(dict(parallel.config(port=0))), encoding="utf-8")
    processes = parallel.total() // getattr(parallel, "machines", 1)
    each = threads or max(1, cores() // processes)
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)),
        *("--num_cpu_threads_per_process", str(each), "--module", "mllmrec.worker", str(folder)),
    ]
    me = json.dumps(locks.me())
    package = str(Path(__file__).parents[2])  # the workers find us wherever they are started
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PYTHONPATH": paths, "MLLMREC_LAUNCHED_BY": me}
    log.info("%s processes, %s threads each", parallel.total(), each)
    with own(parallel, folder / LOG).open("wb") as file:
        return subprocess.Popen(
            command, env=env, stdout=file, stderr=file, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip


def own(parallel: Parallel, path: Path) -> Path:
    """This machine's file of a name: they share a folder."""
    rank = getattr(parallel, "rank", 0)
    return path.with_name(f"{rank}-{path.name}") if rank else path


def end(process: "subprocess.Popen[bytes]") -> None:
    """End the launcher, which ends its workers; those look for it too, should it be killed."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Told:
    """The lines of a file that another process appends to, each handed on once it is whole."""

    def __init__(self, file: Path, hear: Hear) -> None:
        self.file, self.hear, self.place = file, hear, 0

    def read(self) -> None:
        if not self.file.exists():
            return
        with self.file.open("rb") as file:
            file.seek(self.place)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self.place += len(line)
                self.hear(json.loads(line))


def wait_for_others(folder: Path) -> None:
    """Wait until the processes of an earlier, killed launch are gone: they write here, too.

    Raises:
        Refusal: one of them is still there after a while.
    """
    until = time.monotonic() + GRACE
    for file in sorted(folder.glob("rank-*.json")):
        if json.loads(file.read_text())["host"] != socket.gethostname():
            continue  # those of other machines end with their rendezvous
        while not locks.is_dead(file):
            if time.monotonic() > until:
                raise Refusal(
                    f"{file}: this process of an earlier launch does not end",
                    allowed="a folder that nobody else writes to",
                    do="end it (its number is in the file), and repeat the command",
                )
            time.sleep(0.2)


def failure(folder: Path, parallel: Parallel) -> Exception:
    """What ended the processes, as an error of this launch: the first that one of them told."""
    found = sorted(folder.glob("error-*.json"), key=lambda path: path.stat().st_mtime_ns)
    errors = [json.loads(path.read_text()) for path in found]
    total = parallel.total()
    for error in errors:
        if "wrong" in error:
            return Refusal(error["wrong"], allowed=error["allowed"], do=error["do"])
    log_file = own(parallel, folder / LOG)
    text = log_file.read_text(errors="replace") if log_file.exists() else ""
    for code, rank in DIED.findall(text):
        if int(code) < 0:  # by a signal: it could tell nothing itself, and the others only of it
            return Refusal(
                f"rank {rank} of {total} was killed (signal {-int(code)}); the others were ended",
                allowed="processes that live until the stage is done; signal 9 without a hand "
                "behind it is lack of main memory",
                do=f"repeat the command to go on from the last checkpoint; {log_file} has the rest",
            )
    if errors:
        return RuntimeError(f"rank {errors[0]['rank']} of {total}: {errors[0]['trace']}")
    lines = text.strip().splitlines()[-15:]
    return RuntimeError("\n".join([f"{total} processes could not be started:", *lines]))
