"""A comparison as tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mllmrec.comparison.pages import best_first, gain_cells, plus_minus, seeds_of
from mllmrec.report.tables import console

MOST = 20  # rows of a table; the others are in the files
NAMED = 3  # runs of a row
PS = ("p samples", "p seeds")  # both adjusted over the rows by Holm
KNOB = 12  # columns of a terminal that a knob is given
NARROW = 100  # below it a table tells one metric, and differences without bounds
Data = Mapping[str, Any]


def print_comparison(data: Data) -> None:
    """A table a policy and protocol, the best runs first; then what to beware of.

    A policy that came to the same in all runs is told in one line.
    """
    out = console()
    metric = data["primary"].rpartition("/")[2]
    for policy, own in pairs(data):
        keys = [key for key in data["tests"] if key.startswith(f"{policy}/{own}/")]
        keys = keys or [k for k in data["values"] if k.startswith(f"{policy}/{own}/")][-1:]
        if is_the_same(data, keys):
            out.print(escape(alike(data, policy, own, keys)))
            continue
        by = f"{policy}/{own}/{metric}"
        out.print(table(data, policy, own, keys, by if by in keys else keys[-1], out))
    for line in data["notes"]:
        out.print(escape(line))


def print_study(study: Data | None) -> None:
    """Algorithms side by side, seeds together, the largest gain over SFT first."""
    if study is None:
        return
    main, out = study["metric"], console()
    known = [one for one in best_first(study) if main in one["gain"]]
    if not known:
        return
    title = f"{named(f'//{main}')} under {study['protocol']}, less that of {study['base']}"
    made = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left")
    made.add_column("algorithm", overflow="fold")
    for name in ("seeds", "mean", "difference", "other samples", "other seeds", *PS):
        made.add_column(name, justify="right")
    for one in known:
        cells = gain_cells(one["gain"][main])[:-1]
        mean = plus_minus(one["final"].get(main))
        made.add_row(escape(one["name"]), seeds_of(one, main), mean, *cells)
    out.print(made)
    for note in study["notes"]:
        out.print(escape(note))


def pairs(data: Data) -> list[tuple[str, str]]:
    """The policies and protocols that have values."""
    keys = (key.split("/") for key in data["values"])
    return list(dict.fromkeys((policy, protocol) for policy, protocol, _ in keys))


def is_the_same(data: Data, keys: Sequence[str]) -> bool:
    """Whether all runs come to the same values."""
    return all(len({*data["values"][key]["mean"]}) == 1 for key in keys)


def alike(data: Data, policy: str, protocol: str, keys: Sequence[str]) -> str:
    told = ", ".join(f"{named(key)} {cell(data['values'][key], 0)}" for key in keys)
    return f"{policy} under {protocol} comes to the same in all {len(data['runs'])} runs: {told}"


def table(
    data: Data, policy: str, protocol: str, keys: Sequence[str], by: str, out: Console
) -> Table:
    """The best runs by one key, and the reference: knobs, values, the difference in that key.

    Runs that came to the same share a row; a knob in which they differ has ``*`` there.
    """
    reference, is_wide = data["reference"], out.width >= NARROW
    keys = keys if is_wide else [by]
    tests = data["tests"].get(by)
    title = f"{policy} under {protocol}, best {named(by)} first"
    if tests:
        name = data["runs"][reference]["name"]
        title += f"; differences from run {name}, p by Holm"
    made = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left")
    made.add_column("run", overflow="fold")
    rows = ranked(data, keys, by)
    shown = [row for n, row in enumerate(rows) if n < MOST or reference in row]
    longest = max(len(of_runs(data, row)) for row in shown)
    room = out.width - 4 - longest - 15 * len(keys) - bool(tests) * (36 if is_wide else 24)
    knobs = data["knobs"][: max(0, room // KNOB)]
    for knob in knobs:
        made.add_column(escape(knob["name"]), justify="right", overflow="fold")
    for name in [*map(named, keys), *(("difference", "p") if tests else ())]:
        made.add_column(name, justify="right", no_wrap=True)
    for row in shown:
        values = ({*(shown_knob(knob["values"][place]) for place in row)} for knob in knobs)
        cells = [of_runs(data, row), *(one.pop() if len(one) == 1 else "*" for one in values)]
        cells += [cell(data["values"][key], row[0]) for key in keys]
        made.add_row(*cells, *(difference(tests, row, reference, is_wide) if tests else ()))
    if len(rows) > len(shown):
        made.caption = f"and {len(rows) - len(shown)} more in the files"
    return made


def ranked(data: Data, keys: Sequence[str], by: str) -> list[list[int]]:
    """The runs that have a value, best first, those of equal values side by side."""
    found: dict[Any, list[int]] = {}
    for place, mean in enumerate(data["values"][by]["mean"]):
        if mean is not None:
            columns = (data["values"][key] for key in keys)
            told = tuple(one[name][place] for one in columns for name in ("mean", "low", "high"))
            tests = data["tests"].get(by)
            is_apart = tests and place != data["reference"] and tests["diff"][place] is None
            found.setdefault((told, is_apart), []).append(place)
    return sorted(found.values(), key=lambda row: -data["values"][by]["mean"][row[0]])


def of_runs(data: Data, row: Sequence[int]) -> str:
    """The names of the runs of a row."""
    more = f" +{len(row) - NAMED}" if len(row) > NAMED else ""
    return escape(", ".join(data["runs"][place]["name"] for place in row[:NAMED]) + more)


def named(key: str) -> str:
    return key.rpartition("/")[2].upper()


def shown_knob(value: Any) -> str:
    return "" if value is None else escape(str(value))


def cell(columns: Mapping[str, Any], place: int) -> str:
    """``0.312 ±0.021``, the mean alone where no interval is known, and nothing without it."""
    mean, low, high = (columns[name][place] for name in ("mean", "low", "high"))
    if mean is None:
        return ""
    return f"{mean:.3f}" if low is None else f"{mean:.3f} ±{(high - low) / 2:.3f}"


def difference(
    tests: Mapping[str, Any], row: Sequence[int], reference: int, bounds: bool
) -> tuple[str, str]:
    """``+0.012 [-0.003, +0.027]`` and its corrected p-value."""
    diff, low, high, p = (tests[name][row[0]] for name in ("diff", "low", "high", "holm"))
    if reference in row or diff is None:
        return ("the reference" if reference in row else "not tested"), ""
    told = f"{diff:+.4f} [{low:+.4f}, {high:+.4f}]" if bounds else f"{diff:+.4f}"
    return escape(told), f"{p:.3f}"
