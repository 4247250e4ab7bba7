"""The W&B run of a sweep's own: its grid, its table, the best point, and links to all runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mllmrec.artifacts import digest
from mllmrec.stage.command import Asked
from mllmrec.sweep.roster import OVER, Roster
from mllmrec.sweep.space import words_of
from mllmrec.sweep.table import Row
from mllmrec.tracking.opening import open_run
from mllmrec.tracking.tracker import Tracker

LINKS = 50  # lines of notes that people still read; the table has all runs
GOAL = "sweep"  # the job type, and what the run's columns begin with


@dataclass(kw_only=True)
class Told:
    """Tells W&B how far the sweep is, and at its end what it found."""

    tracker: Tracker
    metric: str
    over: int = 0

    def so_far(self, roster: Roster) -> None:
        """A point of the charts: how many runs are over, and the best value so far."""
        over = sum(state in OVER for state in roster.states)
        if over == self.over:
            return
        self.over = over
        best = roster.best()
        self.tracker.log({"done": over, **({"best": best[1]} if best else {})}, over, GOAL)

    def end(self, found: Sequence[Row], again: str | None) -> None:
        """The table, the best point and the command that reruns it, and every run's own id."""
        names = list(dict.fromkeys(name for row in found for name in row.values))
        columns = [*names, self.metric, "low", "high", "seeds", "state", "seconds", "runs"]
        self.tracker.table(f"{GOAL}/points", columns, [cells(row, names) for row in found])
        if again is not None and found[0].mean is not None:
            best = {f"{GOAL}/best/{name}": value for name, value in found[0].values.items()}
            own = {f"{GOAL}/best/{self.metric}": found[0].mean, f"{GOAL}/best/command": again}
            self.tracker.summary({**best, **own})
            self.tracker.link(f"Best: `{found[0].name}`, again by\n\n    {again}")
        linked = [(row, run.launch) for row in found for run in row.runs if run.launch]
        lines = [f"- {row.name}: {link_of(launch)}" for row, launch in linked[:LINKS]]
        self.tracker.link("\n".join(lines)) if lines else None


def cells(row: Row, names: Sequence[str]) -> list[Any]:
    """A row of the table; a value that is a list as its text."""
    values = [row.values.get(name) for name in names]
    plain = [str(one) if isinstance(one, list) else one for one in values]
    links = ", ".join(link_of(run.launch) for run in row.runs if run.launch)
    return [*plain, row.mean, row.low, row.high, row.seeds, row.state, row.seconds, links]


def link_of(launch: Any) -> str:
    """Where to see a run: its address in W&B, its id there, or its folder."""
    known = launch.told["wandb"] or {}
    return str(known.get("url") or known.get("id") or launch.folder)


@contextmanager
def told(roster: Roster, asked: Asked) -> Iterator[Told]:
    """Track a sweep from here to the end of the block; killed and repeated it is the same run."""
    sweep, tracking = roster.frozen, asked.config.tracking
    own = {
        "name": sweep.name,
        "question": sweep.question,
        "file": sweep.grammar.model_dump(mode="json", exclude_none=True),
        "words": list(sweep.words),
        "points": [" ".join(words_of(run.values)) for run in roster.runs],
        "folder": str(sweep.folder),
        "frozen": sweep.began,
    }
    with open_run(
        tracking.model_copy(update={"group": tracking.group or sweep.name}),
        config={GOAL: own},
        goal=GOAL,
        overrides=asked.overrides,
        run_id=digest({GOAL: str(sweep.folder)}),
        folder=sweep.folder,
        is_main=True,
    ) as tracker:
        yield Told(tracker=tracker, metric=sweep.grammar.metric.name)
