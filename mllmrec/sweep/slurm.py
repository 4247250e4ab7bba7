"""The runs of a sweep as jobs of a SLURM cluster, handed in through submitit."""

import json
import logging
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mllmrec.artifacts import write_json
from mllmrec.errors import Refusal
from mllmrec.sweep.jobs import NOT_HANDED_ON, command_line
from mllmrec.sweep.points import JOB, LOG, Run

log = logging.getLogger(__name__)

ASK = 5.0  # seconds between two questions to the queue
GONE = 30.0  # seconds out of the queue after which a job without a result has died


@dataclass(kw_only=True)
class SlurmJob:
    """A job by its number. It is over once its result is there or it has left the queue."""

    id: str
    result: Path
    asked: float = 0.0
    missing_since: float | None = None
    place: int | None = None  # the cluster's own

    def is_over(self) -> bool:
        if self.result.exists():
            return True
        now = time.monotonic()
        if now - self.asked >= ASK:
            self.asked = now
            gone = not self.is_queued()
            self.missing_since = (self.missing_since or now) if gone else None
        return self.missing_since is not None and now - self.missing_since >= GONE

    def is_queued(self) -> bool:
        """Whether the cluster has the job, waiting or running; True where it does not answer."""
        ask = ["squeue", "--noheader", "--format=%T", "--jobs", self.id]
        try:
            done = subprocess.run(ask, capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            return True
        if done.returncode:  # of a job that it has forgotten
            return "Invalid job id" not in done.stderr
        return bool(done.stdout.strip())

    def stop(self) -> None:
        for number in ("INT", "KILL"):
            how = ["scancel", f"--signal={number}", "--full"] if number == "INT" else ["scancel"]
            subprocess.run([*how, self.id], capture_output=True, timeout=30)
            until = time.monotonic() + 60
            while time.monotonic() < until and self.is_queued() and not self.result.exists():
                time.sleep(1)
            if self.result.exists() or not self.is_queued():
                return


@dataclass(kw_only=True)
class Slurm:
    """Jobs of a cluster, of which so many are handed in at once; each has the threads as cores."""

    places: int
    threads: int
    folder: Path
    asked: dict[str, Any]

    @property
    def said(self) -> str:
        each = f"{self.threads} core{'s' * (self.threads > 1)} each"
        return f"{self.places} jobs of SLURM at once, {each}"

    def start(self, run: Run, words: Sequence[str], place: int) -> SlurmJob:
        submitit = imported()
        run.folder.mkdir(parents=True, exist_ok=True)
        executor = submitit.SlurmExecutor(folder=self.folder, max_num_timeout=0)
        executor.update_parameters(
            job_name=f"{self.folder.parent.name}-{run.number}",
            cpus_per_task=self.threads,
            ntasks_per_node=1,
            stderr_to_stdout=True,
            additional_parameters=self.asked["more"],
            **{k: v for k, v in self.asked.items() if k != "more"},
        )
        job = executor.submit(
            submitit.helpers.CommandFunction(self.line(run, words), verbose=False)
        )
        write_json(run.folder / JOB, {"slurm": job.job_id, "result": str(job.paths.result_pickle)})
        return SlurmJob(id=job.job_id, result=job.paths.result_pickle)

    def line(self, run: Run, words: Sequence[str]) -> list[str]:
        """The launch with its output in its own folder, as that of a local run."""
        drop = [f"--unset={name}" for name in os.environ if name.startswith(NOT_HANDED_ON)]
        script = f'exec >>"$0" 2>&1; exec env {" ".join(drop)} "$@"'
        return ["sh", "-c", script, str(run.folder / LOG), *command_line(words)]

    def find(self, run: Run) -> SlurmJob | None:
        try:
            told = json.loads((run.folder / JOB).read_text(encoding="utf-8"))
            found = SlurmJob(id=told["slurm"], result=Path(told["result"]))
        except (OSError, ValueError, KeyError):
            return None
        return found if not found.result.exists() and found.is_queued() else None


def imported() -> Any:
    """submitit, which is an extra.

    Raises:
        Refusal: it is not installed.
    """
    try:
        import submitit
    except ImportError as error:
        raise Refusal(
            "sweep.executor=slurm: submitit is not installed",
            allowed="sweep.executor=local, or submitit beside us",
            do="type pip install 'mllmrec[slurm]'",
        ) from error
    return submitit
