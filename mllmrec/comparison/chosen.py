"""Which launches are compared: named ones, or those found by folder, sweep, group or id."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mllmrec import launches, roots
from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.launches import Launch

POINTS = "points"  # of a sweep's folder: a launch's folder each
EVALUATE = "evaluate"
# What is typed and sets no run apart.
ASIDE = ("stage=", "hydra", "tracking", "artifacts=", "force=", "plan_only=", "yes=", "threads=")
Named = dict[str, Launch]


def known_to(store: Store) -> list[Launch]:
    """The launches that a store has noted and whose run folders are there."""
    noted = [Path(root["folder"]) for _, root in roots.notes(store) if root is not None]
    there = {folder for folder in noted if (folder / launches.RUN).is_file()}
    return launches.found(there)


def of_sweep(sweep: str, known: Iterable[Launch]) -> list[Launch]:
    """The points of a sweep by its folder, or by its name where one folder alone has it.

    Raises:
        Refusal: there is no such sweep, or several.
    """
    folder = Path(sweep).expanduser()
    if (folder / POINTS).is_dir():
        return launches.found([folder / POINTS])
    by: dict[Path, list[Launch]] = {}
    for launch in known:
        home = launch.folder.parent
        if home.name == POINTS:
            by.setdefault(home.parent, []).append(launch)
    own = {
        home: some for home, some in by.items() if re.match(rf"{re.escape(sweep)}($|-)", home.name)
    }
    if len(own) == 1:
        return next(iter(own.values()))
    told = ", ".join(str(home) for home in sorted(own or by)) or "none is known to this store"
    raise Refusal(
        f"compare.sweep={sweep}: {'several sweeps have this name' if own else 'no such sweep'}",
        allowed=f"a sweep's folder, or the name of one: {told}",
        do="type compare.sweep=DIR, the folder that stage=sweep named",
    )


def of_group(group: str, known: Iterable[Launch]) -> list[Launch]:
    """The launches of a tracking group.

    Raises:
        Refusal: there are none.
    """
    by: dict[str, list[Launch]] = {}
    for launch in known:
        own = (launch.told["config"].get("tracking") or {}).get("group")
        if own is not None:
            by.setdefault(own, []).append(launch)
    if group in by:
        return by[group]
    raise Refusal(
        f"compare.group={group}: no launch is of this group",
        allowed=", ".join(sorted(by)) or "no launch that is known here has a tracking.group",
        do="type compare.group=NAME, or compare.folders=[DIR] to say where to look",
    )


def of_ids(ids: Sequence[str], known: Sequence[Launch]) -> list[Launch]:
    """A launch an id: W&B's, or the name of the run folder.

    Of launches with one W&B id, which are one command repeated, the last one counts.

    Raises:
        Refusal: no launch has such an id, or several folders have such a name.
    """
    found = []
    for id in ids:
        own = [one for one in known if (one.told["wandb"] or {}).get("id") == id][-1:]
        own = own or [one for one in known if one.folder.name == id]
        if len(own) != 1:
            raise Refusal(
                f"compare.ids: {id}: "
                + ("several run folders have this name" if own else "no launch has this id"),
                allowed="ids of W&B runs, or names of run folders, of launches known here",
                do="type compare.ids=[ID,ID], or compare.folders=[DIR] to say where to look",
            )
        found += own
    return list({launch.folder: launch for launch in found}.values())


def compared(found: Sequence[Launch]) -> tuple[list[Launch], tuple[str, ...]]:
    """Those that evaluated something or were to, and what to say of the others.

    Launches with one W&B id are one command repeated: the last that evaluated stands for them.
    """
    meant = [one for one in found if has_evaluated(one) or is_unfinished(one)]
    by: dict[Any, list[Launch]] = {}
    for one in meant:
        by.setdefault((one.told["wandb"] or {}).get("id") or one.folder, []).append(one)
    last = [([one for one in some if has_evaluated(one)] or some)[-1] for some in by.values()]
    kept = {launch.folder for launch in last}
    notes = []
    if others := len(found) - len(meant):
        notes.append(f"left out: {others} launches that were not to evaluate")
    if again := len(meant) - len(kept):
        notes.append(f"left out: {again} earlier or later launches of commands that were repeated")
    return [one for one in meant if one.folder in kept], tuple(notes)


def has_evaluated(launch: Launch) -> bool:
    """Whether that was its goal: an export evaluates too, but only what stands in its card."""
    has_results = any(step["label"] == EVALUATE for step in launch.told["steps"])
    return launch.told["goal"] == EVALUATE and has_results


def is_unfinished(launch: Launch) -> bool:
    return launch.told["goal"] == EVALUATE and launch.state != "finished"


def named(found: Sequence[Launch]) -> Named:
    """Launches by what was typed and not of all alike, in the order of their folders.

    Where nothing was, or the same as of another, the folder below the one that holds them all says
    which is meant.
    """
    folders = [str(launch.folder) for launch in found]
    above = os.path.commonpath(folders) if len(folders) > 1 else str(Path(*folders).parent)
    below = {
        os.path.relpath(folder, above): one for folder, one in zip(folders, found, strict=True)
    }
    words = {name: own_words(one) for name, one in below.items()}
    common = set.intersection(*(set(own) for own in words.values()))
    told = {name: " ".join(w for w in own if w not in common) for name, own in words.items()}
    often = Counter(told.values())
    return {
        (f"{said} ({name})" if often[said] > 1 else said) if (said := told[name]) else name: one
        for name, one in sorted(below.items(), key=lambda both: natural(both[0]))
    }


def own_words(launch: Launch) -> list[str]:
    """The overrides that say what a launch did, and not where or how it was told."""
    words = launch.told["overrides"]
    return [word for word in words if not word.lstrip("+~").startswith(ASIDE)]


def natural(name: str) -> list[Any]:
    """A sort key by which run2 stands before run10."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def by_name(runs: Mapping[str, Path]) -> Named:
    """The launches of these folders.

    Raises:
        Refusal: a folder is no launch's, or that launch evaluated nothing.
    """
    found = {}
    for name, folder in runs.items():
        do = f"type compare.runs.{name}=DIR, the folder that a launch of stage=evaluate named"
        try:
            launch = launches.read(folder)
        except Refusal as error:
            raise Refusal(
                f"compare.runs.{name}={error.wrong}", allowed=error.allowed, do=do
            ) from error
        if not has_evaluated(launch):
            raise Refusal(
                f"compare.runs.{name}={folder}: that launch evaluated nothing ({launch.state})",
                allowed="launches of stage=evaluate",
                do=do,
            )
        found[name] = launch
    return found
