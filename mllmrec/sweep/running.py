"""A sweep from its first run to its last: begun, followed, stopped where behind, gone on with."""

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import fmean
from types import FrameType

from mllmrec import probed
from mllmrec.progress import Bar, lasting
from mllmrec.sweep.dispatch import Missing, next_of
from mllmrec.sweep.jobs import Executor, Job
from mllmrec.sweep.points import Run
from mllmrec.sweep.pruning import behind, watched
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
        for run in self.roster.waiting() + self.running():
            self.roster.states[run.number] = "waiting"
            job = self.executor.find(run)
            if job is not None and len(self.begun) < self.executor.places:
                log.info("%s still runs: it is waited for", run.name)
                self.follow(run, job)
            elif job is not None:  # fewer at once than before: it goes on later
                job.stop()

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
            place = min({*range(self.executor.places)} - {one.place for one in self.begun.values()})
            log.info("[%d/%d] begins: %s", run.number + 1, self.roster.total, run.name)
            (run.folder / probed.STOP).unlink(missing_ok=True)
            self.follow(run, self.executor.start(run, self.words(run), place))
        return bool(self.begun)

    def follow(self, run: Run, job: Job) -> None:
        free = {*range(self.executor.places)} - {one.place for one in self.begun.values()}
        now = time.monotonic()
        self.begun[run.number] = Begun(run=run, job=job, place=min(free), since=now)
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
        state = self.roster.look(run)
        where = f"[{run.number + 1}/{self.roster.total}]"
        if state == "finished":
            self.took.append(seconds)
            value = self.roster.values[run.number]
            name = self.roster.frozen.grammar.metric.name
            log.info("%s done: %s: %s %.4f, %s", where, run.name, name, value, lasting(seconds))
            target = self.roster.frozen.grammar.metric.target
            self.is_closed |= target is not None and self.reaches(value, target)
        elif state == "stopped":
            log.info("%s stopped: %s: %s", where, run.name, run.why)
        else:
            self.failed.setdefault(run.number, run.why or f"it {state}, without a word")
            why = self.failed[run.number]
            log.warning("%s failed: %s: %s (%s)", where, run.name, why, run.folder)
            self.is_closed |= self.is_strict
        self.tell()

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
        """Ask the runs that are behind to end; each does at its next step."""
        asked = self.roster.frozen.grammar
        if asked.early_terminate is None or not (name := watched(asked.metric.name)):
            return
        histories = {run.number: run.looks(name) for run in self.roster.runs}
        going = [n for n, one in self.begun.items() if not (one.run.folder / probed.STOP).exists()]
        found = behind(histories, going, asked.early_terminate, asked.metric.goal)
        for number, why in found.items():
            stop = self.begun[number].run.folder / probed.STOP
            stop.write_text(f"{name}: {why}\n", encoding="utf-8")

    def stop_all(self) -> None:
        if self.begun:
            log.warning("ending %d runs; repeat the command to go on", len(self.begun))
        for one in self.begun.values():
            one.job.stop()


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
