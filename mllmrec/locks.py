"""A lock that says who holds it, and that can be taken over from the dead, also across nodes."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from mllmrec.artifacts import write_json

log = logging.getLogger(__name__)

BEAT = 5.0  # seconds between two heartbeats
GLANCE = 0.5  # seconds between two looks at a lock that another process holds
DEAD = 60.0  # seconds of silence after which a holder on another host counts as dead


def process_start(pid: int) -> str | None:
    """When a process of this host began, in the kernel's ticks; None if there is none.

    A process number is used again sooner or later; with its start it is unique until a reboot.
    What has ended and only waits for its parent to take note is none: it may wait for ever.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
    except OSError:
        return None
    else:
        fields = stat.rsplit(")", 1)[1].split()
        return None if fields[0] in "ZX" else fields[19]
    try:  # a system without /proc: existence is all that can be asked
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


def is_dead(path: Path) -> bool:
    """Whether the holder named in a lock file is gone, or the file is gone or unreadable."""
    try:
        holder = json.loads(path.read_text())
        host, pid, start = holder["host"], holder["pid"], holder["start"]
        silence = time.time() - path.stat().st_mtime
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return True
    if host == socket.gethostname():
        return process_start(pid) != start
    return silence > DEAD


def is_free(path: Path) -> bool:
    """Whether nobody who lives holds the lock, so that it could be taken at this moment."""
    return not path.exists() or is_dead(path)


def claim(path: Path) -> bool:
    """Take the lock if it is free or its holder is dead.

    The look and the taking happen under a short file lock, so that two processes that see the
    same dead holder do not both take over.
    """
    with filelock.FileLock(path.with_name(path.name + ".guard")):
        if path.exists():
            if not is_dead(path):
                return False
            log.warning("taking over %s from a process that died", path.name)
        write_json(path, me())
    return True


def me() -> dict[str, str | int | None]:
    """This process, as a lock file names its holder."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "start": process_start(pid)}


def release(path: Path) -> None:
    """Remove the lock, unless another process took it over while this one was suspended."""
    with filelock.FileLock(path.with_name(path.name + ".guard")):
        try:
            mine = json.loads(path.read_text()) == me()
        except (FileNotFoundError, ValueError):
            return
        if mine:
            path.unlink()


def keep_beating(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT):
        try:
            os.utime(path)
        except OSError:
            log.warning("the heartbeat of %s could not be written", path, exc_info=True)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock at ``path``, waiting for as long as a living process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    said = False
    while not claim(path):
        if not said:
            log.info("waiting for another process to finish %s", path.name)
            said = True
        time.sleep(GLANCE)
    stop = threading.Event()
    beat = threading.Thread(target=keep_beating, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        release(path)
