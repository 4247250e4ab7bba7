"""A sweep from its first run to its last: begun, followed, stopped where behind, gone on with."""

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import fmean
from types import FrameType

from mllmrec import probed
from mllmrec.errors import Refusal
from mllmrec.progress import Bar, lasting
from mllmrec.sweep.dispatch import Missing, next_of
from mllmrec.sweep.jobs import Executor, Job
from mllmrec.sweep.points import Run
from mllmrec.sweep.pruning import behind, together, watched
from mllmrec.sweep.roster import OVER, Roster

log = logging.getLogger(__name__)

GLANCE = 0.3  # seconds between two looks at what runs


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A run that goes on, in one of the executor's places."""

    run: Run
    job: Job
    place: int
    since: float


@dataclass(kw_only=True)
class Runner:
    """Brings the runs of a roster to their end.

    ``minutes`` bounds each; with ``is_strict`` none is begun after a failure. ``tell`` is
    called whenever a run has ended.
    """

    roster: Roster
    executor: Executor
    minutes: float | None
    is_strict: bool
    tell: Callable[[], object]
    words: Callable[[Run], list[str]]
    failed: dict[int, str] = field(default_factory=dict)  # in this process, which tries them once
    begun: dict[int, Begun] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    missing: Missing = field(default_factory=Missing)
    looks: dict[int, list[float]] = field(default_factory=dict)  # of probes, by a run's number
    is_closed: bool = False  # nothing more is begun

    def work(self) -> None:
        """Begin and follow runs until none is left; those that go on are ended with this."""
        with ended_by_signals(), self.bar() as bar:
            try:
                self.adopt()
                while self.begin() or self.begun:
                    for one in list(self.begun.values()):
                        if one.job.is_over() or self.is_late(one):
                            self.end(one)
                            self.say(bar)
                    self.prune()
                    time.sleep(GLANCE)
            except BaseException:
                self.stop_all()
                raise

    def bar(self) -> AbstractContextManager[Bar | None]:
        """A bar on a terminal; a log gets lines instead."""
        if not sys.stderr.isatty():
            return nullcontext()
        bar = Bar(self.roster.frozen.name, self.roster.total, "run")
        bar.step(self.over)
        return bar

    def say(self, bar: Bar | None) -> None:
        """Tell how the sweep stands."""
        if bar is None:
            log.info("%s", self.standing())
        else:
            bar.step(1, self.standing())

    @property
    def over(self) -> int:
        """How many runs have come to their end, of this process and of those before it."""
        return sum(state in OVER for state in self.roster.states)

    def adopt(self) -> None:
        """Go on with the runs that an earlier process of this sweep began and that still run."""
        found = []
        for run in self.roster.waiting() + self.running():
            self.roster.states[run.number] = "waiting"
            if (job := self.executor.find(run)) is not None:
                found.append((run, job))
        for run, job in sorted(found, key=lambda one: one[1].place is None):  # those choose last
            place = job.place if job.place in self.free else min(self.free, default=None)
            if place is None:  # fewer at once than before: it goes on later
                job.stop()
            else:
                log.info("%s still runs: it is waited for", run.name)
                self.follow(run, job, place)

    @property
    def free(self) -> set[int]:
        """The places that no run has."""
        return {*range(self.executor.places)} - {one.place for one in self.begun.values()}

    def running(self) -> list[Run]:
        states = self.roster.states
        return [run for run in self.roster.runs if states[run.number] == "running"]

    def begin(self) -> bool:
        """Fill the free places; whether anything is still to be begun."""
        while len(self.begun) < self.executor.places and not self.is_closed:
            waiting = [run for run in self.roster.waiting() if run.number not in self.failed]
            if not waiting and self.roster.choose(self.is_settled):
                continue
            going = [one.run for one in self.begun.values()]
            run = next_of(waiting, going, self.missing)
            if run is None:
                return bool(waiting) or bool(self.begun)
            place = min(self.free)
            log.info("[%d/%d] begins: %s", run.number + 1, self.roster.total, run.name)
            (run.folder / probed.STOP).unlink(missing_ok=True)
            self.follow(run, self.executor.start(run, self.words(run), place), place)
        return bool(self.begun)

    def follow(self, run: Run, job: Job, place: int) -> None:
        now = time.monotonic()
        self.begun[run.number] = Begun(run=run, job=job, place=place, since=now)
        self.roster.states[run.number] = "running"

    def is_settled(self, run: Run) -> bool:
        return self.roster.states[run.number] in OVER or run.number in self.failed

    def is_late(self, one: Begun) -> bool:
        """Whether a run has had its minutes; then it is ended."""
        seconds = time.monotonic() - one.since
        if self.minutes is None or seconds < 60 * self.minutes:
            return False
        one.job.stop()
        self.failed[one.run.number] = f"not done within sweep.timeout={self.minutes:g} minutes"
        return True

    def end(self, one: Begun) -> None:
        """Take in what a run has come to, and say it in one line."""
        run, seconds = one.run, time.monotonic() - one.since
        del self.begun[run.number]
        self.looks.pop(run.number, None)
        try:
            state = self.roster.look(run)
        except Refusal as refusal:
            state = "ended"
            self.failed[run.number] = f"{refusal.wrong} · {refusal.allowed} · {refusal.do}"
        if state in OVER:
            self.failed.pop(run.number, None)  # it was done just as its time was up
        where = f"[{run.number + 1}/{self.roster.total}]"
        if state == "finished":
            self.took.append(seconds)
            self.tell_value(run, where, seconds)
        elif state == "stopped":
            log.info("%s stopped: %s: %s", where, run.name, run.why)
        else:
            self.failed.setdefault(run.number, run.why or f"it {state}, without a word")
            why = self.failed[run.number]
            log.warning("%s failed: %s: %s (%s)", where, run.name, why, run.folder)
            self.is_closed |= self.is_strict
        self.tell()

    def tell_value(self, run: Run, where: str, seconds: float) -> None:
        """Say what a finished run has found; the file's target may end the sweep."""
        metric = self.roster.frozen.grammar.metric
        value = self.roster.values.get(run.number)
        if value is None:
            log.warning("%s done: %s: %s is no number: no result", where, run.name, metric.name)
            return
        log.info("%s done: %s: %s %.4f, %s", where, run.name, metric.name, value, lasting(seconds))
        self.is_closed |= metric.target is not None and self.reaches(value, metric.target)

    def reaches(self, value: float, target: float) -> bool:
        """Whether a value is as good as the one at which the file ends the sweep."""
        maximize = self.roster.frozen.grammar.metric.goal == "maximize"
        return value >= target if maximize else value <= target

    def standing(self) -> str:
        """``3 done, 2 running, 7 left; best …; about 4 min left``."""
        left = self.roster.total - self.over - len(self.begun) - len(self.failed)
        parts = [f"{self.over} done, {len(self.begun)} running, {left} left"]
        parts[0] += f", {len(self.failed)} failed" if self.failed else ""
        if best := self.roster.best():
            run, value = best
            parts.append(f"best {self.roster.frozen.grammar.metric.name} {value:.4f} at {run.name}")
        if self.took and (more := left + len(self.begun)):
            seconds = fmean(self.took) * more / self.executor.places
            parts.append(f"about {lasting(seconds)} left")
        return "; ".join(parts)

    def prune(self) -> None:
        """Ask the runs of points that are behind to end; each does at its next step.

        A point has a result where every seed has one. So it is its seeds together that are held
        against other points, and once one of its runs was stopped the others end too.
        """
        asked = self.roster.frozen.grammar
        if asked.early_terminate is None or not (name := watched(asked.metric.name)):
            return
        groups = dict(enumerate(self.roster.points.values()))
        histories = {n: together([self.seen(run, name) for run in g]) for n, g in groups.items()}
        asked_to_end = {
            n: [one for one in g if self.is_asked_to_end(one)] for n, g in groups.items()
        }
        going = [
            n
            for n, group in groups.items()
            if not asked_to_end[n] and any(run.number in self.begun for run in group)
        ]
        found = behind(histories, going, asked.early_terminate, asked.metric.goal)
        said = {n: f"{name}: {why}" for n, why in found.items()}
        said |= {n: f"another seed was: {runs[0].why}" for n, runs in asked_to_end.items() if runs}
        for number, why in said.items():
            for run in groups[number]:
                self.ask_to_end(run, why)

    def seen(self, run: Run, name: str) -> list[float]:
        """What a run's probe has said; of one that does not run it is read once."""
        if run.number in self.begun or run.number not in self.looks:
            self.looks[run.number] = run.looks(name)
        return self.looks[run.number]

    def is_asked_to_end(self, run: Run) -> bool:
        """Whether a run was stopped, or goes on to be."""
        is_going = run.number in self.begun and (run.folder / probed.STOP).exists()
        return is_going or self.roster.states[run.number] == "stopped"

    def ask_to_end(self, run: Run, why: str) -> None:
        """Stop a run that goes on, and have one that has not begun never begin."""
        is_left = self.roster.states[run.number] not in OVER and run.number not in self.failed
        if not is_left or (run.number in self.begun and self.is_asked_to_end(run)):
            return
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / probed.STOP).write_text(f"{why}\n", encoding="utf-8")
        if run.number not in self.begun:
            self.roster.states[run.number] = run.state

    def stop_all(self) -> None:
        """End what runs, all at once: each may take its time, and Ctrl-C may come again."""
        if not self.begun:
            return
        log.warning("ending %d runs; repeat the command to go on", len(self.begun))
        with ThreadPoolExecutor(len(self.begun)) as pool:
            list(pool.map(lambda one: one.job.stop(), self.begun.values()))


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have a polite kill end the runs too, as Ctrl-C does."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
