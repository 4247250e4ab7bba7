"""One sweep, from its file to its table: what ``stage=sweep`` does."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
from rich import box
from rich.table import Table

from mllmrec.comparison.chosen import has_evaluated
from mllmrec.comparison.files import NAMES
from mllmrec.comparison.options import Options
from mllmrec.comparison.write import write
from mllmrec.errors import Refusal
from mllmrec.hardware import machine
from mllmrec.overrides import quoted, typed_keys
from mllmrec.report.tables import console
from mllmrec.stage.command import Asked
from mllmrec.sweep import frozen, reading, table
from mllmrec.sweep.checked import (
    Planner,
    check_bounded,
    check_typed,
    refuse_under_agent,
    shared_out,
)
from mllmrec.sweep.frozen import Frozen
from mllmrec.sweep.grammar import Grammar
from mllmrec.sweep.jobs import Executor, Local
from mllmrec.sweep.points import LOG, Run
from mllmrec.sweep.roster import OVER, Roster
from mllmrec.sweep.running import Runner
from mllmrec.sweep.slurm import Slurm
from mllmrec.sweep.table import Row
from mllmrec.sweep.tracked import Told, told

if TYPE_CHECKING:
    from mllmrec.stage.sweep import Sweep

log = logging.getLogger(__name__)

PAGE = "compare"  # the folder of the comparison, in the sweep's
LOCK = ".lock"
SLURM_JOBS = 8  # handed in at once where nobody says


def run_sweep(knobs: "Sweep", asked: Asked) -> None:
    """Run what is left of a sweep, and tell what came of all of it.

    Raises:
        Refusal: the file, a point or the machine does not allow it; or points failed.
    """
    refuse_under_agent()
    if knobs.file is None:
        raise Refusal(
            "sweep.file=null: which sweep?",
            allowed="a file in W&B's grammar of sweeps",
            do="type sweep=NAME, one of `python launch.py --help`, or sweep.file=PATH",
        )
    file = knobs.file.expanduser().absolute()
    question, grammar = reading.read(file)
    typed = [word for word in asked.overrides if not frozen.is_own(word)]
    check_typed([*grammar.parameters], typed)
    check_forced(asked)
    words = frozen.common_words(grammar, asked.overrides)
    if asked.config.top.plan_only:
        would = frozen.thawed(file, grammar, question, words, asked.conf)
        show_plan(roster_of(knobs, asked, would, 1))
        return
    folder = (knobs.folder or frozen.folder_of(file, grammar, words)).expanduser().absolute()
    with alone(folder):
        sweep = frozen.freeze(folder, file, words, asked.conf)
        check_same(sweep, grammar, words)
        tell_changes(sweep, asked.conf)
        carry_out(knobs, asked, sweep)


def check_forced(asked: Asked) -> None:
    """Refuse to build anew what the points share: every one of them would."""
    if forced := asked.config.top.force:
        raise Refusal(
            f"force={forced}: every point would build that anew",
            allowed="force=[]: the points of a sweep share what they can",
            do=f"type python launch.py force=[{','.join(forced)}] first, and then the sweep",
        )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a sweep's folder, so that no other process runs the same sweep.

    Raises:
        Refusal: one does at this moment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = filelock.FileLock(folder / LOCK, timeout=0).acquire()
    except filelock.Timeout as error:
        raise Refusal(
            f"{folder}: another process runs this sweep",
            allowed="one process a sweep; it begins sweep.jobs points at once",
            do="wait for it, or type sweep.folder=DIR for a sweep of its own",
        ) from error
    with lock:
        yield


def check_same(sweep: Frozen, grammar: Grammar, words: Sequence[str]) -> None:
    """Refuse a folder that holds another sweep."""
    if sweep.grammar != grammar or sweep.words != tuple(words):
        raise Refusal(
            f"sweep.folder={sweep.folder}: {sweep.name}, another sweep, began there",
            allowed="its own folder for each sweep: the file and the overrides are what it is",
            do="type sweep.folder=DIR, or leave it out",
        )


def tell_changes(sweep: Frozen, conf: Path) -> None:
    """Say which configs were edited since the sweep began: its points do not see that."""
    if names := frozen.changed(sweep, conf):
        log.warning(
            "frozen at %s, changed since and not heeded: %s; for a sweep of what is there now, "
            "type sweep.folder=DIR",
            sweep.began,
            ", ".join(names[:5]) + (" …" if len(names) > 5 else ""),
        )


def roster_of(knobs: "Sweep", asked: Asked, sweep: Frozen, places: int) -> Roster:
    """All runs that can be named, each composed, validated and planned."""
    planner = Planner(sweep, asked.store, is_local=knobs.executor == "local")
    if sweep.grammar.is_search:
        check_bounded(knobs.trials, sweep.grammar)
        planner.check_ends()
    roster = Roster(
        frozen=sweep,
        prepare=planner,
        seed=asked.config.top.seed,
        at_once=places,
        trials=knobs.trials,
    )
    roster.load()
    return roster


def executor_of(knobs: "Sweep", asked: Asked, sweep: Frozen) -> Executor:
    """What runs are begun on: processes here, or jobs of a cluster."""
    threads = asked.config.top.threads
    if knobs.executor == "slurm":
        return Slurm(
            places=knobs.jobs or SLURM_JOBS,
            threads=threads or knobs.slurm.cores,
            folder=sweep.folder / "slurm",
            asked=knobs.slurm.parameters,
        )
    places, own = shared_out(knobs.jobs, knobs.gpus)
    return Local(places=places, threads=threads or max(1, machine.cores() // places), gpus=own)


def carry_out(knobs: "Sweep", asked: Asked, sweep: Frozen) -> None:
    """Run what is left, and tell what came of all of it."""
    executor = executor_of(knobs, asked, sweep)
    roster = roster_of(knobs, asked, sweep, executor.places)
    asked.store.make_writable()
    introduce(roster, executor)
    with told(roster, asked) as tell:
        runner = Runner(
            roster=roster,
            executor=executor,
            minutes=knobs.timeout,
            is_strict=knobs.on_failure == "stop",
            tell=lambda: settle(roster, executor.threads, tell),
            words=lambda run: launch_words(run, roster.frozen, executor.threads),
        )
        runner.work()
        found, best = settle(roster, executor.threads, tell)
        table.show(roster, found, best)
        print(f"table: {sweep.folder / table.TABLE}.csv")
        tell.end(found, best)
    if page := compare(found, asked, sweep):
        print(f"page: {page}")
    refuse_failures(runner)


def introduce(roster: Roster, executor: Executor) -> None:
    """Say what is about to happen, in two lines."""
    sweep = roster.frozen
    done = sum(state in OVER for state in roster.states)
    needs = {need.id: need for run in roster.runs for need in run.needs}
    missing = sum(not need.is_built for need in needs.values())
    log.info("%s: %s", sweep.name, sweep.question)
    share = f"{len(needs)} artifacts, {missing} to build, each once"
    log.info(
        "%d runs, %d of them done; %s; %s; in %s",
        *(roster.total, done, share if needs else "points chosen one by one"),
        *(executor.said, sweep.folder),
    )


def launch_words(run: Run, sweep: Frozen, threads: int) -> list[str]:
    """The command line of a run: its overrides, composed from the frozen configs."""
    keys = typed_keys(run.words)
    group = [] if "tracking.group" in keys else [f"tracking.group={quoted(sweep.name)}"]
    folder = f"hydra.run.dir={quoted(str(run.folder))}"
    own = [f"threads={threads}", *group, *sweep.search, folder]
    return ["--config-path", str(sweep.conf), *run.words, *own]


def settle(roster: Roster, threads: int, tell: Told) -> tuple[list[Row], str | None]:
    """Write the table as it stands, so that a sweep can be read while it runs."""
    found = table.rows(roster)
    best = table.again(found, threads)
    table.write(roster.frozen.folder, roster, found, best)
    tell.so_far(roster)
    return found, best


def compare(found: Sequence[Row], asked: Asked, sweep: Frozen) -> Path | None:
    """The page of ``stage=compare`` over all finished runs; None where none has evaluated."""
    runs = [run for row in found for run in row.runs if run.state == "finished"]
    launches = {run.name: run.launch for run in runs}
    there = {name: one for name, one in launches.items() if one and has_evaluated(one)}
    if not there:
        return None
    metric = sweep.grammar.metric.name
    more = {"primary": metric.removeprefix("eval/")} if metric.startswith("eval/") else {}
    options = Options.standard(asked.conf, seed=asked.config.top.seed, **more)
    title = sweep.question or sweep.name
    write(there, options, sweep.folder / PAGE, store=asked.store, title=title)
    return sweep.folder / PAGE / NAMES["page"]


def show_plan(roster: Roster) -> None:
    """The points, and for each how much it would build that none before it has."""
    names = sorted(roster.frozen.grammar.parameters)
    lines = Table(*names, "to build", box=box.SIMPLE_HEAD)
    seen: set[str] = set()
    for run in roster.runs:
        new = [need for need in run.needs if not need.is_built and need.id not in seen]
        seen.update(need.id for need in new)
        labels = ", ".join(dict.fromkeys(need.label for need in new)) or "nothing more"
        lines.add_row(*(str(run.values[name]) for name in names), labels)
    out = console()
    if lines.row_count:
        out.print(lines)
        out.print(f"{roster.total} runs; {len(seen)} artifacts to build, each once")
    else:
        out.print(
            f"{roster.total} runs, whose points a search chooses one by one; what they build is "
            "known as they are chosen"
        )


def refuse_failures(runner: Runner) -> None:
    """End with the failed runs, once all others are told."""
    if not runner.failed:
        return
    named = {run.number: run for run in runner.roster.runs}
    number, why = next(iter(runner.failed.items()))
    raise Refusal(
        f"{len(runner.failed)} of {runner.roster.total} runs failed; {named[number].name}: {why}",
        allowed=f"each tells in its folder, {named[number].folder}/{LOG}",
        do="mend that and repeat the command: what is done is not run again",
    )
