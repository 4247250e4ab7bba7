"""A study's tables and pictures in a page of Markdown, between the marks of its part."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mllmrec.comparison.figures import GROUPS, figures
from mllmrec.errors import Refusal
from mllmrec.training.times import SECONDS

NONE = "–"
Study = Mapping[str, Any]


def write_study(study: Study, page: Path, name: str, command: str) -> list[Path]:
    """Write part ``name`` of a page anew, pictures into a folder beside it that has its name.

    A page without such a part gets it at its end; a page that is not there is made.

    Returns:
        The page and its pictures.

    Raises:
        Refusal: the page has the mark of where the part begins, and not of where it ends.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    old = page.read_text(encoding="utf-8") if page.is_file() else f"# {page.stem}\n"
    if (begin in old) != (end in old):
        raise Refusal(
            f"compare.study.page={page}: one of {begin} and {end} is not there",
            allowed="both, each on a line of its own, or none of them",
            do=f"write the other one into {page}",
        )
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = figures(study)
    for what, (svg, _) in drawn.items():
        (folder / f"{name}-{what}.svg").write_text(svg, encoding="utf-8")
    shown = {
        what: f"![{about}]({folder.name}/{name}-{what}.svg)" for what, (_, about) in drawn.items()
    }
    body = "\n\n".join([begin, *told(study, shown, command), end])
    if begin in old:
        place = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
        new = place.sub(lambda _: body, old)
    else:
        new = f"{old.rstrip()}\n\n{body}\n"
    page.write_text(new, encoding="utf-8")
    return [page, *(folder / f"{name}-{what}.svg" for what in drawn)]


def told(study: Study, shown: Mapping[str, str], command: str) -> list[str]:
    """The part's paragraphs: the command, results, curves, groups and costs."""
    order = ["gain", "rollouts", SECONDS, "tokens", "no_signal", "unique", "costs"]
    pictures = [shown[what] for what in order if what in shown]
    parts = [f"Written by `{command}`.", *tables(study)]
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
    head += [f"{main.upper()} less {base}", "other samples", "other seeds", "p (Holm)", "verdict"]
    rows = []
    for one in best_first(study):
        own = one["gain"].get(main)
        row = [f"`{one['name']}`", str(len(one["seeds"]))]
        row += [plus_minus(one["final"].get(metric)) for metric in metrics]
        row += gain_cells(own) if own else [NONE] * 5
        rows.append(row)
    return head, rows


def best_first(study: Study) -> list[Mapping[str, Any]]:
    """The lines by their gain; those that have none last."""
    gains = [one["gain"].get(study["metric"]) for one in study["lines"]]
    order = sorted(range(len(gains)), key=lambda n: -(gains[n] or {"diff": -9.0})["diff"])
    return [study["lines"][n] for n in order]


def gain_cells(own: Mapping[str, Any]) -> list[str]:
    p = NONE if own["holm"] is None else f"{own['holm']:.3f}"
    both = [interval(own["low"], own["high"]), interval(*own["seeds"])]
    return [f"{own['diff']:+.4f}", *both, p, own["verdict"]]


def efforts(study: Study) -> tuple[list[str], list[list[str]]]:
    """A row a line: rollouts, tokens and CPU seconds of training, and what became of its groups."""
    head = ["algorithm", "rollouts", "tokens read", "CPU seconds", "groups without signal"]
    head += ["distinct completions a group", "best probe NDCG@5"]
    rows = []
    for one in study["lines"]:
        row = [f"`{one['name']}`"]
        row += [amount(one["spent"][name]) for name in ("rollouts", "tokens", SECONDS)]
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


def amount(bounds: Mapping[str, Any] | None) -> str:
    """A mean over seeds, to one place where it is small and not whole: 12,800; 41.3."""
    if not bounds:
        return NONE
    mean = bounds["mean"]
    return f"{mean:,.0f}" if mean >= 100 or mean == round(mean) else f"{mean:.1f}"


def interval(low: float | None, high: float | None) -> str:
    return NONE if low is None or high is None else f"{low:+.4f} to {high:+.4f}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)
