"""Jobs in processes of joblib's, where one that is killed does not take the others with it.

Joblib's own launcher ends a whole grid when the system kills one of its processes, for want of
memory say. Here each job that was running is begun once more, on its own, from what it had left in
the store: one that is killed then too is given up.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from mllmrec.grid import gpus, jobs

log = logging.getLogger(__name__)

Jobs = Mapping[int, Sequence[str]]


class ProcessesLauncher(Launcher):
    """``n_jobs`` processes, each for one job after the other."""

    def __init__(self, n_jobs: int) -> None:
        self.n_jobs = n_jobs

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        folder = Path(str(self.config.hydra.sweep.dir))
        folder.mkdir(parents=True, exist_ok=True)
        left = {initial_job_idx + n: list(words) for n, words in enumerate(job_overrides)}
        found: dict[int, JobReturn] = {}
        cut: list[int] = []  # when a process was killed, its own or another
        while left:
            batch = {cut[0]: left[cut[0]]} if cut else self.batch(left)
            try:
                for number, made in self.results(batch):
                    found[number] = made
                    del left[number]
            except TerminatedWorkerError as error:
                if cut:  # it was on its own
                    found[cut[0]] = killed(cut[0], left.pop(cut[0]), error)
                else:
                    cut = running(folder, batch)
                    log.warning("a process was killed: jobs %s once more, one by one", cut)
            cut = [number for number in cut if number in left]
        return [found[number] for number in sorted(found)]

    def batch(self, left: Jobs) -> Jobs:
        """All jobs, or one where one at a time was asked for: joblib runs a lone one in here."""
        return left if gpus.workers(self.n_jobs) > 1 else dict([next(iter(left.items()))])

    def results(self, some: Jobs) -> Iterator[tuple[int, JobReturn]]:
        """The jobs' numbers and results as they come."""
        from hydra_plugins.hydra_joblib_launcher._core import execute_job
        from joblib import Parallel, delayed, parallel_config

        state, at_once = Singleton.get_state(), gpus.workers(self.n_jobs)
        # of joblib's kinds of process the one that Hydra can be in
        with parallel_config("loky", inner_max_num_threads=gpus.threads_each(at_once)):
            started = Parallel(
                n_jobs=max(2, at_once),
                pre_dispatch="n_jobs",
                batch_size=1,
                return_as="generator_unordered",
            )(
                delayed(execute_job)(
                    number, words, self.hydra_context, self.config, self.task_function, state
                )
                for number, words in some.items()
            )
            for made in started:
                yield int(made.hydra_cfg.hydra.job.num), made


def running(folder: Path, left: Jobs) -> list[int]:
    """Which of the jobs were running when their process ended; all, where nothing tells."""
    cut = [note.number for note in jobs.notes(folder) if note.state in ("killed", "running")]
    return [number for number in cut if number in left] or list(left)


def killed(number: int, words: Sequence[str], error: Exception) -> JobReturn:
    """The result of a job that could not be finished."""
    told: Any = CompactHydraException(
        f"mllmrec: job {number}: its process was killed twice ({type(error).__name__}), as a rule "
        "for want of memory · allowed: jobs that fit the memory · type a smaller tokens_per_batch "
        "of the stage, and repeat the command"
    )
    return JobReturn(overrides=words, status=JobStatus.FAILED, _return_value=told)
