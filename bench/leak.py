"""What a leak does, and what the gate does to it: GRPO on toy with rationales that name the target.

Three launches that share what they can: the leak (`experiment=leak`), the same with the gate on,
and rationales whose writer was not told the target. Prints where each begins and ends, and draws
`docs/leak.svg` from their histories. About a quarter of an hour on two cores.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RUNS = {
    "leak, gate off": ("experiment=leak",),
    "leak, gate on": ("experiment=leak", "assess.gate=true"),
    "writer not told": ("experiment=leak", "reasoner.reveal_target=false"),
}
TRAIN, PLAIN, HINTED = "probe/train_reward", "probe/reward", "probe/hint/reward"
NDCG = "probe/ndcg@5"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "leak.svg")
    parser.add_argument("overrides", nargs="*", help="handed to every launch")
    args = parser.parse_args()
    found = {name: history(name, [*words, *args.overrides]) for name, words in RUNS.items()}
    print(*table(found), sep="\n")
    draw(found, args.out)
    print(f"drawn: {args.out}")


def history(name: str, words: Sequence[str]) -> list[dict[str, float]]:
    """What GRPO logged in a launch, by its lineage."""
    folder = ROOT / "outputs" / "leak" / name.replace(", ", "-").replace(" ", "-")
    command = [sys.executable, "launch.py", "stage=grpo", f"hydra.run.dir={folder}", *words]
    print("$ python", *command[1:], flush=True)
    subprocess.run(command, cwd=ROOT, check=True)
    told = json.loads((folder / "lineage.json").read_text())
    edges = {**told["inputs"], **told["outputs"]}.values()
    (made,) = (edge["path"] for edge in edges if edge["as"] == "grpo")
    return json.loads((Path(made) / "history.json").read_text())


def looks(entries: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    return [entry for entry in entries if NDCG in entry]


def table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    rows = [
        "| | train reward | probe reward | … with hint | probe NDCG@5 | inflation |",
        "|---" * 6 + "|",
    ]
    for name, entries in found.items():
        seen = looks(entries)
        cells = [span(seen, key) for key in (TRAIN, PLAIN, HINTED, NDCG)]
        rows.append(f"| {name} | {' | '.join(cells)} | {seen[-1].get('probe/inflation', 0):+.3f} |")
    return rows


def span(seen: Sequence[Mapping[str, float]], key: str) -> str:
    values = [look[key] for look in seen if key in look]
    return f"{values[0]:.3f} → {values[-1]:.3f}" if values else "–"


def draw(found: Mapping[str, Sequence[Mapping[str, float]]], out: Path) -> None:
    """A panel a run: train reward, and the reward on the probe without the hint and with it."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "leak"  # the same bytes for the same numbers
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(found), figsize=(11, 3.4), sharey=True)
    lines = {TRAIN: "train", PLAIN: "probe, no hint", HINTED: "probe, with hint"}
    for panel, (name, entries) in zip(panels, found.items(), strict=True):
        seen: Any = looks(entries)
        for key, label in lines.items():
            points = [(look["step"], look[key]) for look in seen if key in look]
            if points:
                panel.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)
        panel.set_title(name)
        panel.set_xlabel("GRPO step")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("mean reward")
    panels[0].legend()
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
