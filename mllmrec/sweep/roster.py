"""The list of a sweep's runs: which there are, how each stands, what it has found."""

import json
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mllmrec.errors import Refusal
from mllmrec.sweep.frozen import Frozen
from mllmrec.sweep.points import Run, note, noted
from mllmrec.sweep.pruning import together, watched
from mllmrec.sweep.space import DRAWS, Tried, Values, apart, grid, suggested

log = logging.getLogger(__name__)

POINTS, JOURNAL = "points", "points.jsonl"
OVER = ("finished", "stopped")  # what is not tried again

Prepare = Callable[[int, Values, Path], Run]  # composes and plans a run, or refuses it


def key_of(values: Values) -> str:
    """A point, whatever its seed, as text."""
    return json.dumps(apart(values), sort_keys=True)


@dataclass(kw_only=True)
class Roster:
    """All runs by their number, in W&B's order of a grid, or as a search has chosen them.

    ``at_once`` is how many points a search has open at a time: point n is chosen by what the
    first n - at_once + 1 have found, whichever of the others are done by then, so that the points
    do not hang on which is faster. ``trials`` bounds the points.
    """

    frozen: Frozen
    prepare: Prepare
    seed: int
    at_once: int
    trials: int | None
    runs: list[Run] = field(default_factory=list)
    states: list[str] = field(
        default_factory=list
    )  # of the runs, waiting where there is more to do
    values: dict[int, float] = field(default_factory=dict)  # what finished runs have found
    is_spent: bool = False  # a search that has drawn every point there is

    def load(self) -> None:
        """Name every run that can be named now; whatever did not end well is waiting again."""
        asked = self.frozen.grammar
        if asked.is_search:
            for entry in noted(self.frozen.folder / JOURNAL):
                self.check_new(entry["values"])
                self.add(entry["values"])
            return
        points = grid(asked)[: asked.run_cap]
        kept = list(dict.fromkeys(map(key_of, points)))[: self.trials]
        once = {json.dumps(values, sort_keys=True): values for values in points}
        for values in once.values():
            if key_of(values) in kept:
                self.append(values)

    def check_new(self, values: Values) -> None:
        """Refuse a journal that names a point twice: its folders could not be told apart."""
        if key_of(values) in self.points:
            raise Refusal(
                f"{self.frozen.folder / JOURNAL}: {key_of(values)} is there twice",
                allowed="each point of a search once",
                do="type sweep.folder=DIR for a sweep of its own",
            )

    def append(self, values: Values) -> None:
        number = len(self.runs)
        run = self.prepare(number, values, self.frozen.folder / POINTS / str(number))
        self.runs.append(run)
        self.states.append("waiting")
        with suppress(Refusal):  # without the metric's column it waits, and says so when it ends
            self.look(run)

    def add(self, values: Values) -> None:
        """A point of a search, with every seed."""
        asked = self.frozen.grammar
        for one in [{**values, asked.seed: seed} for seed in asked.seeds] or [values]:
            self.append(one)

    def look(self, run: Run) -> str:
        """Take in how a run stands; what ended badly counts as waiting.

        Raises:
            Refusal: it has finished without the metric's column; it too counts as waiting.
        """
        state = run.state
        self.states[run.number] = "waiting"
        if state == "finished" and math.isfinite(value := self.found(run)):
            self.values[run.number] = value
        self.states[run.number] = state if state in (*OVER, "running") else "waiting"
        return state

    def found(self, run: Run) -> float:
        """What a finished run found; it may be no number, and is no result then.

        Raises:
            Refusal: it has no column of the metric's name.
        """
        launch, name = run.launch, self.frozen.grammar.metric.name
        columns = launch.columns if launch else {}
        if name not in columns:
            raise Refusal(
                f"metric.name={name}: {run.folder} has no such column",
                allowed=", ".join(sorted(columns)) or "none, as it built nothing",
                do="write one of these into the sweep's file",
            )
        return float(columns[name])

    @property
    def most(self) -> int:
        """How many points a search chooses."""
        asked = self.frozen.grammar
        bounds = [self.trials, asked.run_cap and max(1, asked.run_cap // self.many)]
        return len(self.points) if self.is_spent else min(bound for bound in bounds if bound)

    @property
    def many(self) -> int:
        """Runs a point."""
        return max(1, len(self.frozen.grammar.seeds))

    @property
    def total(self) -> int:
        """How many runs there will have been."""
        return self.most * self.many if self.frozen.grammar.is_search else len(self.runs)

    @property
    def points(self) -> dict[str, list[Run]]:
        """The runs of each point, in the order in which points were first named."""
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            found.setdefault(key_of(run.values), []).append(run)
        return found

    def waiting(self) -> list[Run]:
        return [run for run in self.runs if self.states[run.number] == "waiting"]

    def choose(self, settled: Callable[[Run], bool]) -> bool:
        """Choose the next point of a search; False where there is none to choose yet or any more.

        ``settled`` says of a run that no more will come of it.
        """
        groups = list(self.points.values())
        number = len(groups)
        known = max(0, number - self.at_once + 1)
        if not self.frozen.grammar.is_search or number >= self.most:
            return False
        if not all(settled(run) for group in groups[:known] for run in group):
            return False
        told = [self.tried(group, n < known) for n, group in enumerate(groups)]
        values = self.drawn([one for one in told if one is not None], number)
        if values is None:
            log.info("all %d points are drawn: there is no other", number)
            self.is_spent = True
            return False
        self.add(values)
        note(self.frozen.folder / JOURNAL, {"number": number, "values": values})
        return True

    def drawn(self, tried: list[Tried], number: int) -> Values | None:
        """A point that was not there before; None where so many draws gave none."""
        for draw in range(DRAWS):
            values = suggested(self.frozen.grammar, tried, number, self.seed, draw)
            if key_of(values) not in self.points:
                return values
        return None

    def tried(self, group: list[Run], is_known: bool) -> Tried | None:
        """What a search knows of a point; None of one that failed."""
        values = apart(group[0].values)
        if not is_known:
            return Tried(values=values, found=None)
        found = [self.values[run.number] for run in group if run.number in self.values]
        if len(found) == len(group):
            return Tried(values=values, found=math.fsum(found) / len(found))
        name = watched(self.frozen.grammar.metric.name)
        stopped = [run for run in group if self.states[run.number] == "stopped"]
        looks = dict(enumerate(together([run.looks(name) for run in group]))) if name else {}
        looks = looks if stopped else {}
        return Tried(values=values, found=None, looks=looks) if looks else None

    def best(self) -> tuple[Run, float] | None:
        """The finished run with the best value."""
        sign = 1 if self.frozen.grammar.metric.goal == "maximize" else -1
        number = max(self.values, key=lambda n: (sign * self.values[n], -n), default=None)
        return None if number is None else (self.runs[number], self.values[number])
