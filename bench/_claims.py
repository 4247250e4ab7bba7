"""Claims: their command line, and the two files that hold them."""

import argparse
import ast
import json
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _measure import Timing

HERE = Path(__file__).parent
SHAPES = ("tiny", "mid")
PACKAGES = ("torch", "transformers", "trl", "peft")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """How many times better; ``equal``: whether what can be equal was, None if nothing can.

    ``figures`` are what stands behind the ratio, each with its unit in its name.
    """

    claim: str
    ratio: float
    goal: float | None = None
    equal: bool | None = None
    ratio_wall: float | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        return None if self.goal is None else self.ratio >= self.goal and self.equal is not False


def faster(
    claim: str,
    ours: Timing,
    theirs: Timing,
    *,
    per: int = 1,
    goal: float | None = None,
    equal: bool | None = None,
    figures: Mapping[str, Any] | None = None,
) -> Claim:
    """The ratio of medians in CPU time, and in wall; ms for one of ``per`` that were timed."""
    times = {
        "ours, ms CPU": ours.cpu * 1e3 / per,
        "theirs, ms CPU": theirs.cpu * 1e3 / per,
        "ours, ms wall": ours.wall * 1e3 / per,
        "theirs, ms wall": theirs.wall * 1e3 / per,
    }
    return Claim(
        claim=claim,
        ratio=theirs.cpu / ours.cpu,
        ratio_wall=theirs.wall / ours.wall,
        goal=goal,
        equal=equal,
        figures={**times, **(figures or {})},
    )


def options(about: str | None, repeats: int = 3) -> argparse.ArgumentParser:
    """The arguments that all scripts share."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shape", choices=[*SHAPES, "both"], default="both")
    parser.add_argument("--repeats", type=int, default=repeats, help="rounds; the median counts")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--quick", action="store_true", help="small sizes; writes nothing")
    return parser


def shapes(args: argparse.Namespace) -> list[str]:
    return [*SHAPES] if args.shape == "both" else [args.shape]


def rounds(shape: str, args: argparse.Namespace) -> int:
    """How often each side runs: mid only stands beside tiny, and takes ten times as long."""
    return args.repeats if shape == "tiny" else min(args.repeats, 2)


def record(file: str, claims: Sequence[Claim], args: argparse.Namespace, device: str = "") -> None:
    """Print the claims of a script and put them in place of its old ones.

    Exits with 1 where something that must be equal was not.
    """
    script = Path(file).name
    where = {
        "script": script,
        "command": " ".join(["python", f"bench/{script}", *sys.argv[1:]]),
        "machine": machine() + (f", {device}" if device else ""),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "date": datetime.now(UTC).date().isoformat(),
    }
    made = [{**rounded(asdict(one)), "met": one.met, **where} for one in claims]
    print(*table(made), sep="\n")
    if not args.quick:
        write(script, made, HERE, shapes(args))
    if any(one.equal is False for one in claims):
        sys.exit(f"{script}: what must be equal was not")


def write(
    script: str, made: Sequence[dict[str, Any]], folder: Path, ran: Sequence[str] = SHAPES
) -> None:
    """Replace the claims of one script in both files; those of shapes that did not run stay."""
    others = tuple(f"{shape}:" for shape in SHAPES if shape not in ran)
    file = folder / "results.json"
    old = json.loads(file.read_text()) if file.exists() else []
    kept = [one for one in old if one["script"] != script or one["claim"].startswith(others)]
    every = sorted([*kept, *made], key=lambda one: (one["script"], one["claim"].startswith("mid:")))
    file.write_text(json.dumps(every, indent=1, ensure_ascii=False) + "\n")
    (folder / "RESULTS.md").write_text("\n".join(page(every)) + "\n")


def page(every: Sequence[dict[str, Any]]) -> list[str]:
    """RESULTS.md."""
    lines = [
        "# What the benchmarks measured",
        "",
        "Written by `make bench`; `results.json` says the same to programs. A ratio is how many",
        "times better this package is than what it is held against: medians of runs by turns, in",
        "CPU time of the whole process, or in peak memory. Goals are for the shape `tiny`.",
    ]
    for script in dict.fromkeys(one["script"] for one in every):
        own = [one for one in every if one["script"] == script]
        about = (ast.get_docstring(ast.parse((HERE / script).read_text())) or "").split("\n")[0]
        lines += ["", f"## {script}", "", about, ""]
        lines += [*dict.fromkeys(map(circumstances, own))]
        lines += ["", *table(own)]
    return lines


def circumstances(one: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in one["versions"].items())
    return f"- `{one['command']}` · {one['date']} · {one['machine']} · {versions}"


def table(made: Sequence[dict[str, Any]]) -> list[str]:
    rows = ["| claim | ratio | in wall | goal | met | equal | figures |", "|---" * 7 + "|"]
    for one in made:
        figures = " · ".join(f"{name} {said(told)}" for name, told in one["figures"].items())
        keys = ("claim", "ratio", "ratio_wall", "goal", "met", "equal")
        rows.append("| " + " | ".join([*(said(one[key]) for key in keys), figures]) + " |")
    return rows


def said(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(told) for name, told in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def machine() -> str:
    """The processor, how many of them, and the memory, as far as the system tells."""
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = re.findall(r"^model name\s*: (.+)$", told, re.MULTILINE) or [platform.processor()]
    memory = Path("/proc/meminfo").read_text() if Path("/proc/meminfo").exists() else ""
    size = re.search(r"^MemTotal:\s+(\d+)", memory, re.MULTILINE)
    return f"{max(len(names), 1)} × {names[0]}" + (f", {int(size[1]) >> 20} GiB" if size else "")
