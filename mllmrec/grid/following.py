"""Follow the jobs of a multirun from the process that started them: done, running, left."""

import logging
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from tqdm.auto import tqdm

from mllmrec.compose import grid
from mllmrec.grid import gpus, jobs
from mllmrec.grid.jobs import WORKERS, Note, kind_of
from mllmrec.grid.table import print_jobs
from mllmrec.hardware import machine
from mllmrec.progress import lasting

log = logging.getLogger(__name__)

EVERY = 0.5  # seconds between two looks
# Joblib's tells its arguments, and every job at once; submitit's repeats itself at each look
# where a cluster keeps no accounts.
NOISY = {"hydra_plugins.hydra_joblib_launcher._core": logging.WARNING, "submitit": logging.ERROR}
RUNNING: list["Follower"] = []  # the multirun of this process, if it is one

LAUNCHERS = {
    **dict.fromkeys(WORKERS, "processes"),
    "SlurmLauncher": "SLURM",
    "LocalLauncher": "all",  # submitit's, which knows no limit
}


class Follow(Callback):
    """Hydra's word that a multirun begins; of its end it only tells where all went well."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        follower = Follower(config.hydra)
        RUNNING.append(follower)
        follower.start()


def end() -> None:
    """Stop following, and print what came of the jobs."""
    while RUNNING:
        RUNNING.pop().end()


class Follower:
    """Looks at the notes of the jobs, and says when their numbers have changed."""

    def __init__(self, hydra: DictConfig) -> None:
        self.folder = Path(str(hydra.sweep.dir)).absolute()
        kind = kind_of(hydra.launcher)
        self.launcher = LAUNCHERS.get(kind, "")
        self.at_once = at_once(hydra.launcher, kind)
        words = [str(word) for word in hydra.overrides.task]
        is_grid = str(hydra.sweeper.get("_target_", "")).endswith(".BasicSweeper")
        self.total = len(grid(words)) if is_grid else None
        self.began, self.said = time.monotonic(), ""
        self.numbers: str | None = None  # SLURM's, once it has given them
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.look_on, daemon=True)
        apart = bool(self.launcher)  # with jobs in this process, their own bars are there
        self.bar = tqdm(
            total=self.total,
            desc="jobs",
            unit="job",
            disable=not (apart and self.total and sys.stderr.isatty()),
        )

    def start(self) -> None:
        for old in jobs.notes(self.folder):  # of an earlier multirun in the same folder
            (old.folder / jobs.JOB).unlink()
        for name, level in NOISY.items():
            logging.getLogger(name).setLevel(level)
        log.info(self.plan())
        self.thread.start()

    def plan(self) -> str:
        """``jobs: 12, 2 at once in processes of their own, 4 threads each, in multirun/…``."""
        how = {
            "": "one after the other",
            "processes": f"{self.at_once} at once in processes of their own, {self.threads()}",
            "SLURM": f"{self.at_once} at once on SLURM",
            "all": "all at once in processes of their own",
        }[self.launcher]
        return f"jobs: {self.total or 'as many as the sweeper asks for'}, {how}, in {self.folder}"

    def threads(self) -> str:
        own = machine.gpus()
        each = gpus.threads_each(self.at_once)
        shared = f", a GPU each (of {len(own)})" if own else ""
        return f"{each} thread{'s' * (each > 1)} each unless threads= says otherwise{shared}"

    def look_on(self) -> None:
        while not self.stop.wait(EVERY):
            self.look()

    def look(self) -> None:
        """Say where the jobs are, if that has changed."""
        if self.launcher == "SLURM" and not self.numbers:
            self.tell_numbers()
        notes = jobs.notes(self.folder)
        told = self.told(notes)
        if told == self.said or not notes:
            return
        self.said = told
        over = sum(note.state != "running" for note in notes)
        self.bar.set_postfix_str(told, refresh=False)
        self.bar.update(over - self.bar.n)
        if self.bar.disable:
            left = self.left(over)
            log.info("jobs: %s%s", told, f", about {lasting(left)} left" if left else "")

    def told(self, notes: Sequence[Note]) -> str:
        """``3 of 12 done, 1 failed, 2 running, 6 left``."""
        states = [note.state for note in notes]
        lost = [f"{states.count(bad)} {bad}" for bad in ("failed", "killed") if bad in states]
        of = f" of {self.total}" if self.total else ""
        left = [f"{self.total - len(notes)} left"] if self.total else []
        done, running = states.count("done"), states.count("running")
        return ", ".join([f"{done}{of} done", *lost, f"{running} running", *left])

    def left(self, over: int) -> float | None:
        """Seconds, if the others take as long as those that are over."""
        if not over or not self.total or over == self.total:
            return None
        return (time.monotonic() - self.began) / over * (self.total - over)

    def tell_numbers(self) -> None:
        """SLURM's number of the array, by which other jobs can wait for it."""
        names = sorted(path.name for path in self.folder.glob(".submitit/[0-9]*"))
        if names:
            self.numbers = names[0].partition("_")[0]
            log.info(
                "SLURM job %s: squeue -j %s shows it, scancel %s ends it; what is to wait for it "
                "is typed with '+hydra.launcher.additional_parameters.dependency=\"afterok:%s\"'",
                *[self.numbers] * 4,
            )

    def end(self) -> None:
        self.stop.set()
        self.thread.join()
        self.look()
        self.bar.close()
        found = jobs.notes(self.folder)
        print_jobs(found, self.folder)
        if self.launcher == "SLURM" and self.total and len(ended(found)) < self.total:
            log.info("what is not done goes on in SLURM; scancel %s ends it", self.numbers)


def ended(notes: Sequence[Note]) -> list[Note]:
    return [note for note in notes if note.state != "running"]


def at_once(launcher: DictConfig, kind: str) -> int:
    """Jobs that run side by side under a launcher of Hydra's."""
    if kind in WORKERS:
        return gpus.workers(int(launcher.n_jobs))
    return int(launcher.array_parallelism) if kind == "SlurmLauncher" else 1
