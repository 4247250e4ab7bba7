"""A study's tables and pictures in a page of Markdown, between the marks of its part."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mllmrec.comparison.figures import GROUPS, figures
from mllmrec.errors import Refusal
from mllmrec.training.times import SECONDS

NONE = "–"
PS = ("p samples (Holm)", "p seeds (Holm)")
Study = Mapping[str, Any]


def write_study(study: Study, page: Path, name: str, command: str) -> list[Path]:
    """Write part ``name`` of a page anew, pictures into a folder beside it that has its name.

    A page without such a part gets it at its end; a page that is not there is made.

    Returns:
        The page and its pictures.

    Raises:
        Refusal: the part's marks do not say where it begins and ends.
    """
    old = page.read_text(encoding="utf-8") if page.is_file() else f"# {page.stem}\n"
    place = part_of(old, page, name)
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = figures(study)
    for what, (svg, _) in drawn.items():
        (folder / f"{name}-{what}.svg").write_text(svg, encoding="utf-8")
    shown = {
        what: f"![{about}]({folder.name}/{name}-{what}.svg)" for what, (_, about) in drawn.items()
    }
    begin, end = marks(name)
    body = "\n\n".join([begin, *told(study, shown, command), end])
    before, after = (old[: place[0]], old[place[1] :]) if place else (f"{old.rstrip()}\n\n", "\n")
    page.write_text(f"{before}{body}{after}", encoding="utf-8")
    return [page, *(folder / f"{name}-{what}.svg" for what in drawn)]


def marks(name: str) -> tuple[str, str]:
    """Where part ``name`` begins and ends, each alone on its line."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def part_of(text: str, page: Path, name: str) -> tuple[int, int] | None:
    """Where a part begins and ends in a page's text; None where it has no such part.

    Raises:
        Refusal: one of the marks is missing, one is there twice, or the last comes first.
    """
    found = [
        [one.span() for one in re.finditer(f"(?m)^{re.escape(mark)}[ \\t]*$", text)]
        for mark in marks(name)
    ]
    begins, ends = found
    if not begins and not ends:
        return None
    if len(begins) == len(ends) == 1 and begins[0] < ends[0]:
        return begins[0][0], ends[0][1]
    begin, end = marks(name)
    order = ", the last one first" if len(begins) == len(ends) == 1 else ""
    raise Refusal(
        f"compare.study.page={page}: lines with {begin} alone: {len(begins)}, with {end} alone:"
        f" {len(ends)}{order}",
        allowed="one of each, in this order, or none of them",
        do=f"write them so in {page}, or type another compare.study.name",
    )


def told(study: Study, shown: Mapping[str, str], command: str) -> list[str]:
    """The part's paragraphs: the command, results, notes, curves, groups and costs."""
    order = ["gain", "rollouts", SECONDS, "tokens", "no_signal", "unique", "costs"]
    pictures = [shown[what] for what in order if what in shown]
    notes = ["\n".join(f"- {note}." for note in study["notes"])] if study["notes"] else []
    parts = [f"Written by `{command}`.", *tables(study), *notes]
    return [*parts, *pictures]


def tables(study: Study) -> list[str]:
    """Results, best first; and what each line took."""
    head, rows = results(study)
    found = [markdown(head, rows)]
    head, rows = efforts(study)
    return [*found, markdown(head, rows)]


def results(study: Study) -> tuple[list[str], list[list[str]]]:
    """A row a line: test metrics and the gain over SFT, with both intervals."""
    metrics = list(dict.fromkeys(name for one in study["lines"] for name in one["final"]))
    main, base = study["metric"], study["base"]
    head = ["algorithm", "seeds", *(f"{name.upper()} ({study['protocol']})" for name in metrics)]
    head += [f"{main.upper()} less {base}", "other samples", "other seeds", *PS, "verdict"]
    rows = []
    for one in best_first(study):
        own = one["gain"].get(main)
        row = [f"`{one['name']}`", seeds_of(one, main)]
        row += [plus_minus(one["final"].get(metric)) for metric in metrics]
        row += gain_cells(own) if own else [NONE] * 6
        rows.append(row)
    return head, rows


def best_first(study: Study) -> list[Mapping[str, Any]]:
    """The lines by their gain; those that have none last."""
    gains = [one["gain"].get(study["metric"]) for one in study["lines"]]
    order = sorted(range(len(gains)), key=lambda n: -(gains[n] or {"diff": -9.0})["diff"])
    return [study["lines"][n] for n in order]


def seeds_of(one: Mapping[str, Any], metric: str) -> str:
    """The seeds that its gain is of, or else its mean: 3, or 2 of 3."""
    known = one["gain"].get(metric) or one["final"].get(metric) or {"n": 0}
    return of_all(known["n"], len(one["seeds"]))


def of_all(n: int, every: int) -> str:
    return str(n) if n == every else f"{n} of {every}"


def gain_cells(own: Mapping[str, Any]) -> list[str]:
    """The gain, both intervals, both adjusted p, and the verdict."""
    ps = [NONE if own[name] is None else f"{own[name]:.3f}" for name in ("holm", "holm_seeds")]
    both = [interval(own["low"], own["high"]), interval(*own["seeds"])]
    return [f"{own['diff']:+.4f}", *both, *ps, own["verdict"]]


def efforts(study: Study) -> tuple[list[str], list[list[str]]]:
    """A row a line: rollouts, tokens and CPU seconds of training, and what became of its groups."""
    head = ["algorithm", "rollouts", "tokens read", "CPU seconds", "groups without signal"]
    head += ["distinct completions a group", "best probe NDCG@5"]
    rows = []
    for one in study["lines"]:
        row = [f"`{one['name']}`"]
        every = len(one["seeds"])
        row += [amount(one["spent"][name], every) for name in ("rollouts", "tokens", SECONDS)]
        row += [plus_minus((one["groups"].get(name) or {}).get("whole"), 3) for name in GROUPS]
        row.append(best(one["curve"]))
        rows.append(row)
    return head, rows


def best(curve: Mapping[str, Any] | None) -> str:
    """The highest mean over seeds of the probe, and its step."""
    if not curve:
        return NONE
    at = max(range(len(curve["mean"])), key=lambda n: curve["mean"][n])
    return f"{curve['mean'][at]:.4f} at step {curve['step'][at]}"


def plus_minus(bounds: Mapping[str, Any] | None, digits: int = 4) -> str:
    if not bounds:
        return NONE
    half = "" if bounds["low"] is None else f" ±{bounds['mean'] - bounds['low']:.{digits}f}"
    return f"{bounds['mean']:.{digits}f}{half}"


def amount(bounds: Mapping[str, Any] | None, every: int) -> str:
    """A mean over seeds, to one place where it is small and not whole: 12,800; 41.3.

    With how many of all seeds it is of, where some did not count.
    """
    if not bounds:
        return NONE
    mean = bounds["mean"]
    told = f"{mean:,.0f}" if mean >= 100 or mean == round(mean) else f"{mean:.1f}"
    return told if bounds["n"] == every else f"{told} ({of_all(bounds['n'], every)})"


def interval(low: float | None, high: float | None) -> str:
    return NONE if low is None or high is None else f"{low:+.4f} to {high:+.4f}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)
