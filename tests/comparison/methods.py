"""Runs of several algorithms and seeds, made by hand: what they logged, took and ranked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mllmrec.artifacts import write_json
from mllmrec.comparison.run import Run
from tests.comparison.study import OTHERS, Study, step

BATCH, GROUP = 4, 8  # prompts a step, completions of one
SFT_RANKS = [2] * 20


def looks(values: Sequence[float], every: int = 2, **more: float) -> list[dict[str, float]]:
    """A history: a look at the probe every so many steps, and counts at each."""
    found = []
    for n, value in enumerate(values):
        at = n * every
        if at:
            counts = {"rollouts": at * BATCH * GROUP, "tokens": at * 1000.0}
            found.append({"step": at, **counts, **more})
        found.append({"step": at, "probe/ndcg@5": value})
    return found


def times(steps: Sequence[int], each: float, **costs: float) -> dict[str, Any]:
    """A manifest's times: so many CPU seconds a step, and constant shares."""
    shares = {f"cost/{part}": [share] * len(steps) for part, share in costs.items()}
    return {"step": [*steps], "cpu_seconds": [at * each for at in steps], **shares}


class Methods(Study):
    """Launches that share one prepare and one SFT model, unless they say otherwise."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.made: dict[str, Path] = {}

    def model(
        self,
        label: str,
        seed: int,
        below: Mapping[str, Path],
        history: Sequence[Mapping[str, float]] = (),
        took: Mapping[str, Any] | None = None,
        **knobs: Any,
    ) -> Path:
        inputs = {name: folder.name for name, folder in below.items()}
        made = self.artifact(label, {"seed": seed, "inputs": inputs, "knobs": knobs})
        write_json(made / "history.json", [*history])
        if took:
            self.retold(made, times=dict(took))
        return made

    def retold(self, folder: Path, **more: Any) -> None:
        """Add to what a manifest says."""
        import json

        said = json.loads((folder / "manifest.json").read_text())
        write_json(folder / "manifest.json", {**said, **more})

    def run(
        self,
        algorithm: str,
        seed: int,
        *words: str,
        top: int = 42,
        sft: int = 0,
        match: str | None = None,
        knobs: Mapping[str, Any] | None = None,
        probe: Sequence[float] = (0.4, 0.5),
        ranks: Sequence[int] = tuple(SFT_RANKS),
        took: Mapping[str, Any] | None = None,
        others: Sequence[str] = OTHERS,
        drawn: Mapping[str, Any] | None = None,
        **more: float,
    ) -> Path:
        """A launch of one algorithm with one seed of GRPO; ``ranks`` are those of its model.

        ``knobs`` are of the model's identity, ``drawn`` of GRPO in the launch's config.
        """
        prepared = self.prepare(len(ranks), top, others)
        self.retold(prepared, identity={"seed": top, "inputs": {}, "samples": len(ranks)})
        base = self.model("sft", top, {"prepare": prepared}, steps=sft)
        merged = self.model("merge", top, {"adapter": base})
        below = {"prepare": prepared, "model": merged}
        history = looks(probe, **more)
        grpo = self.model("grpo", seed, below, history, took, algorithm=algorithm, **(knobs or {}))
        control = self.model(
            *("sft_continued", seed, {**below, **({"grpo": grpo} if match else {})}),
            *(looks([0.4, 0.41]), None),
            **({"match": match} if match else {}),
        )
        rows = {"sft": SFT_RANKS[: len(ranks)], "sft_continued": SFT_RANKS[: len(ranks)]}
        made = {p: self.rank(p, row, prepared, others=others) for p, row in rows.items()}
        made["grpo"] = self.rank("grpo", [*ranks], prepared, seed=top, others=others)
        edges = {policy: folder.name for policy, folder in made.items()}
        evaluated = self.artifact("evaluate", {"inputs": edges, "knobs": {"protocols": ["uni3"]}})
        stages = {"prepare": prepared, "sft": base, "merge": merged, "grpo": grpo}
        stages |= {"sft_continued": control, **{f"rank {p}": f for p, f in made.items()}}
        steps = [step(label, folder) for label, folder in stages.items()]
        steps.append(step("evaluate", evaluated) | {"inputs": edges})
        name = f"{len(self.made)}"
        typed = [f"algorithm={algorithm}", f"grpo.seed={seed}", *words]
        grpo_knobs = {"batch_size": BATCH, "num_generations": GROUP, **(drawn or {})}
        self.made[name] = self.write(name, typed, "finished", {"grpo": grpo_knobs}, steps, {})
        return self.made[name]

    def runs(self, **folders: Path) -> list[Run]:
        return super().runs(**(folders or self.made))
