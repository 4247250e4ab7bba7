"""Launches that evaluated, made by hand: their run folders, and the artifacts they stand on."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from mllmrec import ranking
from mllmrec.artifacts import Store, digest, write_json
from mllmrec.comparison.options import Options
from mllmrec.comparison.run import Run
from mllmrec.launches import RUN, Launch, read
from mllmrec.policy.measures import measure
from tests.launching import CONF

OTHERS = ["a", "b", "c"]  # beside the target t
LISTS = ("lines", "malformed", "repeated", "outside", "invalid")  # counted of a written list
PROMPT = yaml.safe_load((CONF / "prompt" / "plain.yaml").read_text(encoding="utf-8"))
KNOBS = {"cot_prob": 0.1, "seed": 42, "artifacts": "artifacts", "goal": "evaluate"}
OPTIONS: dict[str, Any] = {
    "policies": ["popularity", "sft", "grpo"],
    "k": [1, 2, 9],
    "metrics": ["hr@1", "ndcg@2"],
}


def options(**more: Any) -> Options:
    return Options.standard(CONF, **{"seed": 0, **OPTIONS, **more})


class Study:
    """A folder with a store and launches; ``prepared`` is what all of them stand on."""

    def __init__(self, folder: Path, titles: Mapping[str, str] | None = None) -> None:
        self.folder, self.store = folder, Store(root=folder / "artifacts")
        self.titles = {"t": "The Target", "a": "Alpha", "b": "Beta", "c": "Gamma", **(titles or {})}

    def artifact(self, stage: str, identity: Mapping[str, Any], dataset: str = "toy") -> Path:
        """A folder of the store whose manifest says this; what is there is kept."""
        made = self.store.folder(dataset, stage, digest({"stage": stage, **identity}))
        made.mkdir(parents=True, exist_ok=True)
        said = {"identity": identity, "files": {}, "metrics": {}, "seconds": 2.0, "label": stage}
        write_json(made / "manifest.json", said)
        return made

    def prepare(self, samples: int, seed: int = 42, others: Sequence[str] = OTHERS) -> Path:
        """Sample n has n + 1 training interactions, and targets an item chosen 10 times."""
        made = self.artifact("prepare", {"samples": samples, "seed": seed, "others": [*others]})
        ids, users = ([f"{c}{n}" for n in range(samples)] for c in "su")
        pl.DataFrame({"item_id": [*self.titles], "title": [*self.titles.values()]}).write_parquet(
            made / "items.parquet"
        )
        pl.DataFrame({"item_id": ["t", "a"], "weight": [10, 3]}).write_parquet(
            made / "popularity.parquet"
        )
        pl.DataFrame(
            {"user_id": users, "items": [["a"] * (n + 1) for n in range(samples)]}
        ).write_parquet(made / "sequences.parquet")
        pl.DataFrame(
            {
                "sample_id": ids,
                "user_id": users,
                "history": [["a", "b"]] * samples,
                "target": ["t"] * samples,
                "uni3": [[*others, "t"]] * samples,
            }
        ).write_parquet(made / "test.parquet")
        return made

    def rank(self, policy: str, row: Sequence[int], prepared: Path, **more: Any) -> Path:
        """Rankings that put the target at these places; 0: a written list without it."""
        others, seed = more.pop("others", OTHERS), more.pop("seed", 42)
        is_written = more.pop("written", False)
        identity = {
            "seed": seed,
            "inputs": {"prepare": prepared.name},
            "knobs": {"policy": policy, "samples": {"uni3": None}},
            "row": [*row],
        }
        if is_written:
            identity["knobs"]["generate"] = {"items": 3}
        if policy != "popularity":
            identity["groups"] = {
                "prompt": {},
                "words": {"kind": "Words", "noun": "movie", "nouns": "movies", "verb": "watched"},
            }
        made = self.artifact("rank", identity)
        ranked = [
            [*others[: place - 1], "t", *others[place - 1 :]] if place else [*others]
            for place in row
        ]
        rows = {"sample_id": [f"s{n}" for n in range(len(row))], "rank": [*row], "ranked": ranked}
        table = pl.DataFrame(rows)
        if is_written:
            counts = dict.fromkeys(LISTS, 0)
            table = table.with_columns(candidates=pl.lit(len(others) + 1), **counts)
        table.write_parquet(made / "uni3.parquet")
        return made

    def launch(
        self,
        name: str,
        ranks: Mapping[str, Sequence[int]],
        overrides: Sequence[str] = (),
        *,
        state: str = "finished",
        histories: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
        asked: Mapping[str, Any] | None = None,
        **config: Any,
    ) -> Path:
        """A launch that evaluated rankings with the target at these places, by policy."""
        seed, others = config.get("seed", 42), config.pop("others", OTHERS)
        count = len(next(iter(ranks.values())))
        prepared = self.prepare(count, seed, others)
        more = {"others": others, "seed": seed, "written": config.pop("written", False)}
        made = {p: self.rank(p, row, prepared, **more) for p, row in ranks.items()}
        edges = {policy: folder.name for policy, folder in made.items()}
        identity = {"inputs": edges, "knobs": {"protocols": ["uni3"], **(asked or {})}}
        evaluated = self.artifact("evaluate", identity)
        policies = {p: measure(ranking_of(row), (1, 2), 0) for p, row in ranks.items()}
        table = {"candidates": 4, "samples": count, "policies": policies}
        write_json(evaluated / "results.json", {"protocols": {"uni3": table}})
        steps = [step("prepare", prepared), *(step(f"rank {p}", f) for p, f in made.items())]
        for label, history in (histories or {}).items():
            trained = self.artifact(label, {"of": name})
            write_json(trained / "history.json", list(history))
            steps.append(step(label, trained))
        steps.append(step("evaluate", evaluated) | {"inputs": edges})
        columns = {
            f"eval/{policy}/uni3/{metric}": value["mean"]
            for policy, found in policies.items()
            for metric, value in found.items()
        }
        return self.write(name, overrides, state, config, steps, columns)

    def write(
        self,
        name: str,
        overrides: Sequence[str],
        state: str,
        config: Mapping[str, Any],
        steps: Sequence[Mapping[str, Any]],
        columns: Mapping[str, float],
    ) -> Path:
        """A run folder with these words in its ``run.json``."""
        folder = self.folder / "runs" / name
        folder.mkdir(parents=True)
        nodes = {"dataset": {"_target_": "mllmrec.dataset.toy.Toy"}, "prompt": PROMPT}
        nodes |= {"tracking": {"_target_": "mllmrec.tracking.Tracking", "group": None, "tags": []}}
        told = {
            "format": 1,
            "state": state,
            "goal": config.get("goal", "evaluate"),
            "began": f"2026-01-01T00:00:{len(list(folder.parent.iterdir())):02}+00:00",
            "ended": None,
            "seconds": 5.0,
            "peak_memory": 1000,
            **{"host": "elsewhere", "pid": 1, "start": "1"},
            "overrides": [*overrides],
            "config": {**KNOBS, **nodes, **config},
            "store": str(self.store.root),
            "wandb": {"id": f"wb-{name}", "url": None},
            "steps": [*steps],
            "columns": dict(columns),
        }
        (folder / RUN).write_text(json.dumps(told), encoding="utf-8")
        return folder

    def runs(self, **folders: Path) -> list[Run]:
        shared: dict[str, Any] = {}
        return [
            Run(name=name, launch=read(folder), store=self.store, artifacts=shared)
            for name, folder in folders.items()
        ]

    def launches(self, **folders: Path) -> dict[str, Launch]:
        return {name: read(folder) for name, folder in folders.items()}


def step(label: str, folder: Path) -> dict[str, Any]:
    """A step of a launch; it took two seconds."""
    told = {"label": label, "stage": label.split()[0], "id": folder.name, "folder": str(folder)}
    return {**told, "inputs": {}, "action": "build", "seconds": 2.0}


def ranking_of(row: Sequence[int]) -> Any:
    return pl.Series(row).to_numpy()


def measured(metric: str, row: Sequence[int]) -> Any:
    name, _, k = metric.partition("@")
    return (ranking.hit_rate if name == "hr" else ranking.ndcg)(ranking_of(row), int(k))
