"""Results as tables for the terminal."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from mllmrec.plan import Step


LISTS = (
    "Lists that models wrote: INVALID, REPEATED and OUTSIDE are shares of their lines (malformed, "
    "an item named before, no candidate), EMPTY of the samples (no well-formed line)."
)
FOUND = "FOUND is the share of targets that the beam search found; the others are missed."
HINTS = "The models' test prompts carried rationales: evaluate.hint=true."
SIGNS = {"above": "above", "below": "BELOW", "not distinguishable": "not distinguishable from"}


def console() -> Console:
    """Standard output; wide enough for a table where it is not a terminal."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=200)


def print_results(results: Mapping[str, Any]) -> None:
    """A table a protocol: policies by metrics, means with half the width of the 95 % interval.

    Of policies that wrote lists it also tells what was wrong with these. Then how rankings hang on
    the order of the candidates, the comparisons, and at the end what to beware of.
    """
    out, asked = console(), results.get("asked")
    for protocol, found in results["protocols"].items():
        for table in tables_of(protocol, found, out.width):
            out.print(table)
        if left := results["left_out"].get(protocol):
            most = f", and at most the {asked} that are asked for" if asked else ""
            out.print(
                f"{protocol}: K = {left} left out, K must be below the number of candidates{most}"
            )
        for line in found.get("dependence", ()):
            out.print(escape(line))
        for policy, orders in found.get("permutations", {}).items():
            out.print(reordered(protocol, policy, orders))
    if asked:
        out.print(LISTS)
    if any("found" in rates for rates in lists_in(results)):
        out.print(FOUND)
    if results.get("hint"):
        out.print(HINTS)
    for line in results["differences"]:
        out.print(sentence(line))
    for line in results.get("notes", ()):
        out.print(escape(line))
    for line in results.get("warnings", ()):
        out.print(escape(f"WARNING: {line}"))


def tables_of(protocol: str, found: Mapping[str, Any], width: int) -> list[Table]:
    """One protocol's table, or one of hit rates and one of the rest where both are too wide.

    The candidates of ``full`` differ between users, so it has a most.
    """
    first = next(iter(found["policies"].values()))
    names = sorted((name for name in first if name != "ndcg@1"), key=place)  # it is HR@1
    lists = found.get("lists", {})
    rates = list(next(iter(lists.values()), {}))
    longest = max(map(len, found["policies"]))
    whole = "the whole catalogue, up to " if protocol == "full" else ""
    samples = f"{found['samples']} test sample" + "s" * (found["samples"] != 1)
    title = (
        f"{protocol}: {whole}{found['candidates']} candidates, {samples} ("
        "± half of the 95 % interval)"
    )
    if longest + 4 + 15 * len(names) + 11 * len(rates) <= width:
        return [table_of(found, names, rates, title)]
    hits = [name for name in names if name.startswith("hr@")]
    rest = [name for name in names if name not in hits]
    return [table_of(found, hits, rates, title), table_of(found, rest, [], protocol)]


def table_of(
    found: Mapping[str, Any], names: Sequence[str], rates: Sequence[str], title: str
) -> Table:
    """Policies by some of the metrics, and by the rates of lists."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("policy", no_wrap=True)
    lists = found.get("lists", {})
    for name in [*names, *rates]:
        table.add_column(name.upper(), justify="right", no_wrap=True)
    for policy, metrics in found["policies"].items():
        shares = (f"{lists[policy][name]:.3f}" if policy in lists else "" for name in rates)
        table.add_row(policy, *(cell(metrics[name]) for name in names), *shares)
    return table


def lists_in(results: Mapping[str, Any]) -> list[Mapping[str, float]]:
    """The rates of all policies under all protocols."""
    found = (table.get("lists", {}) for table in results["protocols"].values())
    return [rates for lists in found for rates in lists.values()]


def reordered(protocol: str, policy: str, orders: Mapping[str, float]) -> str:
    """What other orders of the same candidates do to a policy, in one line."""
    rates = [name for name in sorted(orders, key=place) if name.startswith(("hr@", "ndcg@"))]
    means = ", ".join(f"{name.upper()} {orders[name]:.3f}" for name in rates if name != "ndcg@1")
    return (
        f"{protocol}: {policy} over {orders['orders']:.0f} orders of {orders['samples']:.0f} "
        f"samples: {means}; the first item changes in {orders['first_changes']:.1%}, "
        f"ranks spread over {orders['rank_spread']:.2f} places"
    )


def place(metric: str) -> tuple[str, int]:
    """Hit rates first, by K, then NDCG, then MRR."""
    name, _, k = metric.partition("@")
    return {"hr": "1", "ndcg": "2"}.get(name, "3"), int(k or 0)


def cell(metric: Mapping[str, float]) -> str:
    return f"{metric['mean']:.3f} ±{(metric['high'] - metric['low']) / 2:.3f}"


def sentence(line: Mapping[str, Any]) -> str:
    """One paired comparison in words."""
    return (
        f"{line['protocol']}: {line['first']} is {SIGNS[line['verdict']]} {line['second']} "
        f"in {line['metric'].upper()}: {line['mean']:+.4f} "
        f"[{line['low']:+.4f}, {line['high']:+.4f}], p = {line['p']:.3f}"
    )


def print_assessment(file: Path) -> None:
    """How many rationales were kept, their confidence as a histogram, the best and the worst."""
    found, out = json.loads(file.read_text()), console()
    counts = found["counts"]
    out.print(
        f"{counts['rationales']} rationales, {counts['kept']} kept, "
        f"{counts['leaks']} name the target"
    )
    most = max(1, *(bar["rationales"] for bar in found["histogram"]))
    for bar in found["histogram"]:
        line = "█" * round(40 * bar["rationales"] / most)
        out.print(f"  {bar['from']:.2f} {line:40} {bar['rationales']}")
    for name in ("best", "worst"):
        columns = ("confidence", "modality", "prediction", "leak", "text")
        table = Table(*columns, title=f"the {name}", box=box.SIMPLE_HEAD, title_justify="left")
        for row in found[name]:
            numbers = (f"{row[key]:.3f}" for key in columns[:3])
            table.add_row(*numbers, escape(row["leak"] or ""), escape(shorten(row["text"], 120)))
        out.print(table)


def print_texts(file: Path, failures: Path, most: int = 5) -> None:
    """The first texts of a table that a writer made, how many there are, and what failed."""
    import polars as pl

    texts, failed, out = pl.read_parquet(file), pl.read_parquet(failures), console()
    table = Table(*texts.columns[:2], box=box.SIMPLE_HEAD)
    for row in texts.head(most).iter_rows():
        table.add_row(escape(row[0]), escape(shorten(row[1], 160)))
    out.print(table)
    out.print(f"{len(texts)} texts, {len(failed)} failures, in {file.parent}")
    for id, why in failed.head(most).iter_rows():
        out.print(escape(f"no text for {id}: {why}"))


def print_plan(steps: "Sequence[Step]", dropped: Sequence[str]) -> None:
    """What would be reused and built, and why; what the stages that train will take."""
    table, out = Table(box=box.SIMPLE_HEAD), console()
    for name in ("stage", "id", "action"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", overflow="fold", ratio=1)
    for step in steps:
        table.add_row(step.label, step.id, step.action, escape(step.why))
    out.print(table)
    for step in steps:
        if step.forecast:
            out.print(escape(f"{step.label}: {step.forecast}"))
    if dropped:
        out.print(f"set by the experiment, not part of this goal: {', '.join(dropped)}")


def human(size: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
