"""Comparisons made up for pages: any number of runs, in the form that a page takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

FILMS = ["The Long Valley", "A Winter Abroad", "Café Müller", "Night Train West", "Paper Lanterns"]
FILMS += ["Echoes of June", "The Quiet Ledger", "Salt & Iron", "Mirrorwork", "Low Tide", "Orchard"]
METRICS = ("ndcg@5", "hr@1", "hr@3", "hr@5", "mrr")
KEYS = tuple(
    f"{policy}/{protocol}/{metric}"
    for policy in ("grpo", "sft")
    for protocol in ("uni9", "uni99")
    for metric in METRICS
)
SHARES, BETAS = (0.0, 0.05, 0.1, 0.2), (0.0, 0.01, 0.04, 0.08)


def rounded(values: Any) -> list[float]:
    """Four significant decimals, as a comparison hands them over."""
    return [float(f"{value:.4g}") for value in np.asarray(values).tolist()]


def comparison(count: int, *, seed: int = 0, curves: int = 6) -> dict[str, Any]:
    """A made-up comparison of so many runs: a grid of rationales by beta, other knobs drawn."""
    draw = np.random.default_rng(seed)
    share = np.array([SHARES[at % 4] for at in range(count)])
    beta = np.array([BETAS[at // 4 % 4] for at in range(count)])
    rate = 10 ** draw.uniform(-6, -4, count)
    quality = 0.40 + 0.6 * share - 2 * share**2 - 12 * (beta - 0.03) ** 2
    quality += 0.02 * np.exp(-((np.log10(rate) + 5) ** 2)) + draw.normal(0, 0.012, count)
    knobs: dict[str, list[Any]] = {
        "cot_prob": share.tolist(),
        "grpo.beta": beta.tolist(),
        "grpo.learning_rate": rounded(rate),
        "reward": [["hit", "hit,in_candidates", "rank"][at % 3] for at in range(count)],
        "algorithm": [["grpo", "exact", None][at // 5 % 3] for at in range(count)],
        "seed": [at % 5 for at in range(count)],
    }
    values, tests = results(quality, draw)
    return {
        "title": f"{count} made-up runs of toy",
        "made": "2026-01-02T03:04:05+00:00",
        "reference": 0,
        "primary": KEYS[0],
        "runs": [told(at, knobs) for at in range(count)],
        "knobs": [{"name": name, "values": own} for name, own in knobs.items()],
        "same": {"dataset": "toy", "backbone": "tiny", "grpo.num_generations": 8},
        "values": values,
        "tests": tests,
        "costs": costs(count, draw),
        "curves": learnt(quality, draw)[: count * curves],
        "study": study(draw),
        "inflation": inflated(quality, beta, draw),
        "segments": segments(quality, draw),
        "cases": cases(min(count, 10), draw),
        "notes": ["grpo/uni99 of run-003 was ranked with another evaluate.mode."],
    }


def told(at: int, knobs: dict[str, list[Any]]) -> dict[str, Any]:
    typed = " ".join(f"{name}={own[at]}" for name, own in knobs.items() if own[at] is not None)
    return {
        "name": f"run-{at:03d}" + " · captions and rationales of a teacher" * (at % 7 == 0),
        "folder": f"outputs/2026-01-02/03-04-{at:02d}",
        "id": f"id{at:05d}",
        "url": f"https://wandb.example/run/{at}" if at % 3 == 0 else None,
        "state": "killed" if at % 29 == 28 else "finished",
        "began": f"2026-01-{1 + at % 28:02d}T{at % 24:02d}:00:00+00:00",
        "group": "cot_prob_x_beta" if at % 2 else None,
        "tags": ["toy"] if at % 2 else [],
        "command": f"python launch.py stage=evaluate {typed}",
    }


def results(quality: Any, draw: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    values, tests = {}, {}
    count = len(quality)
    for key in KEYS:
        mean = quality + draw.normal(0, 0.004, count) - (0.06 if key.startswith("sft") else 0)
        mean = mean - 0.2 * ("uni99" in key) + 0.05 * METRICS.index(key.split("/")[2])
        half = draw.uniform(0.010, 0.014, count)
        values[key] = {
            "mean": rounded(mean),
            "low": rounded(mean - half),
            "high": rounded(mean + half),
            "n": [2000] * count,
        }
        diff = mean - mean[0]
        p = np.clip(np.exp(-np.abs(diff) / 0.006), 1e-6, 1)
        tests[key] = {
            "diff": rounded(diff),
            "low": rounded(diff - half),
            "high": rounded(diff + half),
            "p": rounded(p),
            "holm": rounded(np.minimum(1, p * count)),
        }
        for column in tests[key].values():
            column[0] = None  # the reference is not held against itself
    return values, tests


def costs(count: int, draw: np.random.Generator) -> dict[str, Any]:
    built = draw.lognormal(7, 0.5, count)
    return {
        "seconds": rounded(built * draw.uniform(0.2, 1, count)),
        "built_seconds": rounded(built),
        "tokens": [int(n) for n in draw.integers(2e6, 4e7, count)],
        "memory": [int(n) for n in draw.integers(1e9, 9e9, count)],
    }


def learnt(quality: Any, draw: np.random.Generator) -> list[dict[str, Any]]:
    """Six curves a run, each of a hundred points: as many as a page is ever handed."""
    x, found = list(range(0, 1000, 10)), []
    rise = 1 - np.exp(-np.arange(100) / 25)
    for run, best in enumerate(quality):
        shapes = {
            "grpo/reward": best * (0.6 + 0.5 * rise),
            "grpo/probe/ndcg@5": best * (0.8 + 0.2 * rise),
            "grpo/kl": 0.1 * rise,
            "grpo/entropy": 2 - rise,
            "sft/loss": 3 - 2 * rise,
            "sft/probe/ndcg@5": best * (0.5 + 0.4 * rise),
        }
        for name, shape in shapes.items():
            noisy = shape + draw.normal(0, 0.02, 100)
            found.append({"run": run, "name": name, "x": x, "y": rounded(noisy)})
    return found


def study(draw: np.random.Generator) -> dict[str, Any]:
    """Algorithms of three seeds each, and SFT for as long beside them."""
    names = ("grpo", "dapo", "rere", "riser", "exact", "memory", "cispo", "gspo", "rl_plus")
    lines = [algorithm(name, draw) for name in (*names, "sft_continued")]
    told = {"base": "sft", "protocol": "uni9", "metric": "ndcg@5"}
    return {**told, "lines": lines, "notes": ["riser: its curve ends at step 60"]}


def algorithm(name: str, draw: np.random.Generator) -> dict[str, Any]:
    """A line of a study: curves, groups, costs, results."""
    is_grpo, steps = name != "sft_continued", np.arange(0, 65, 5)
    end, each = draw.uniform(0.0, 0.08), draw.uniform(0.3, 0.9)

    def around(mean: Any, half: float) -> dict[str, Any]:
        ends = {"low": rounded(mean - half), "high": rounded(mean + half)}
        return {"mean": rounded(mean), **ends}

    rise = 0.5 + end * (1 - np.exp(-steps / 20)) + draw.normal(0, 0.002, len(steps))
    share = around(draw.uniform(0.2, 0.6) + 0.1 * steps / 60, 0.02)
    whole = {"mean": 0.4, "low": 0.35, "high": 0.45, "n": 3}
    gain = {"diff": end, "low": end - 0.01, "high": end + 0.01, "p": 0.01, "holm": 0.09, "n": 3}
    gain |= {"seeds": [end - 0.02, end + 0.02], "p_seeds": 0.02, "holm_seeds": 0.2}
    gain |= {"verdict": "not distinguishable"}
    return {
        "name": name,
        "label": "grpo" if is_grpo else name,
        "seeds": [0, 1, 2],
        "runs": [0],
        "curve": {
            **{"step": steps.tolist(), "n": 3, **around(rise, 0.01)},
            **{"cpu_seconds": rounded(steps * each), "rollouts": rounded(steps * 256.0)},
            "tokens": rounded(steps * 8000.0),
        },
        "groups": {"groups/no_signal": {"step": steps.tolist(), "whole": whole, **share}}
        if is_grpo
        else {},
        "costs": {"rollout": 0.5, "policy": 0.3, "backward": 0.2} if is_grpo else {},
        "spent": {
            "cpu_seconds": {"mean": 60 * each, "low": None, "high": None, "n": 1},
            **{"rollouts": None, "tokens": None},
        },
        "final": {"ndcg@5": {"mean": 0.5 + end, "low": 0.48 + end, "high": 0.52 + end, "n": 3}},
        "gain": {"ndcg@5": gain},
    }


def inflated(quality: Any, beta: Any, draw: np.random.Generator) -> list[dict[str, Any]]:
    x, found = list(range(0, 1000, 50)), []
    rise = 1 - np.exp(-np.arange(20) / 5)
    for run, best in enumerate(quality):
        gap = 0.25 * np.exp(-beta[run] / 0.03) + draw.uniform(0, 0.05)
        lines = {"train": best * 0.7 + (0.1 + gap) * rise, "probe": best * 0.7 + 0.1 * rise}
        lines["hint"] = best * 0.75 + 0.12 * rise
        told = {name: rounded(line + draw.normal(0, 0.005, 20)) for name, line in lines.items()}
        found.append({"run": run, "x": x, **told, "ri": float(f"{gap:.4g}")})
    return found


def segments(quality: Any, draw: np.random.Generator) -> list[dict[str, Any]]:
    kinds = {
        "popularity of the target": ["1–3", "4–9", "10–29", "30–99", "100 and more"],
        "length of the history": ["1–4", "5–9", "10 and more"],
    }

    def row(run: int, bins: Sequence[str]) -> dict[str, Any]:
        mean = quality[run] * np.linspace(0.5, 1.3, len(bins)) + draw.normal(0, 0.01, len(bins))
        half = np.linspace(0.05, 0.02, len(bins))
        ends = {"low": rounded(mean - half), "high": rounded(mean + half)}
        n = [int(one) for one in np.linspace(100, 700, len(bins))]
        return {"run": run, "key": KEYS[0], "mean": rounded(mean), **ends, "n": n}

    return [
        {"name": name, "bins": bins, "rows": [row(run, bins) for run in range(len(quality))]}
        for name, bins in kinds.items()
    ]


def cases(count: int, draw: np.random.Generator) -> dict[str, Any]:
    samples = []
    for number in range(40):
        history = [str(film) for film in draw.choice(FILMS, 4, replace=False)]
        listed = [f"{film} ({1960 + number})" for film in FILMS[:10]]
        target = listed[number % 10]
        by = []
        for _ in range(count):
            ranked = [listed[at] for at in draw.permutation(10)]
            by.append({"ranked": ranked, "rank": ranked.index(target) + 1})
        samples.append(
            {
                "id": f"u{number}",
                "prompt": "A user watched, oldest first:\n" + "\n".join(f"- {f}" for f in history),
                "rationale": "They return to slow, quiet dramas." if number % 3 else None,
                "history": history,
                "target": target,
                "by": by,
            }
        )
    return {"policy": "grpo", "protocol": "uni9", "runs": [*range(count)], "samples": samples}
