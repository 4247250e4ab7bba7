"""The table at the end of a grid, from notes and launches that were written by hand."""

import json
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console

from mllmrec import locks
from mllmrec.grid import table
from mllmrec.grid.jobs import Note
from mllmrec.grid.table import metrics, print_jobs, short
from mllmrec.launches import FORMAT, RUN, Launch

BEGAN = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
KNOBS = {"policies": ["random", "sft", "grpo"], "protocols": ["uni9", "uni99"], "compare_k": 5}


def note(folder: Path, number: int, state: str, *words: str) -> Note:
    ended = None if state in ("running", "killed") else BEGAN + timedelta(seconds=12.4)
    own = ("stage=evaluate", *words)
    return Note(
        folder=folder / str(number),
        subdir=str(number),
        number=number,
        state=state,
        overrides=own,
        gpu=None,
        began=BEGAN,
        ended=ended,
    )


def launched(folder: Path, columns: dict[str, float], seconds: list[float | None]) -> None:
    folder.mkdir(parents=True)
    steps = [{"label": "sft", "id": str(n), "seconds": s} for n, s in enumerate(seconds)]
    told = {"state": "finished", "goal": "evaluate", "config": {"evaluate": KNOBS}, "format": 1}
    told |= {"began": "2026-01-01", "host": "h", "pid": 1, "start": "1", "store": "a"}
    told |= {"overrides": [], "wandb": None, "seconds": 1.0, "peak_memory": 1}
    told |= {"format": FORMAT, "began": BEGAN.isoformat(), "store": "artifacts", "wandb": None}
    told |= {**locks.me(), "overrides": [], "pid": 1, "seconds": 12.4, "peak_memory": 2**30}
    (folder / RUN).write_text(json.dumps({**told, "columns": columns, "steps": steps}))


def test_each_job_has_a_row_with_what_sets_it_apart(tmp_path, capsys):
    launched(tmp_path / "0", {"eval/grpo/uni9/ndcg@5": 0.51234, "eval/grpo/uni9/hr@5": 0.7}, [3, 1])
    launched(tmp_path / "1", {"eval/grpo/uni9/ndcg@5": 0.6, "eval/grpo/uni9/hr@5": 0.8}, [None, 1])
    found = [
        note(tmp_path, 0, "done", "grpo.beta=0.1", "seed=1"),
        note(tmp_path, 1, "done", "grpo.beta=0.2", "seed=1"),
        note(tmp_path, 2, "killed", "grpo.beta=0.4", "seed=1"),
    ]
    print_jobs(found, tmp_path)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    rows = {line.split()[0]: line.split() for line in lines if line.strip()[:1] in set("012")}
    assert rows["0"] == ["0", "grpo.beta=0.1", "done", "12", "2", "of", "2", "0.5123", "0.7000"]
    assert rows["1"] == ["1", "grpo.beta=0.2", "done", "12", "1", "of", "2", "0.6000", "0.8000"]
    assert rows["2"] == ["2", "grpo.beta=0.4", "killed"]
    assert "metrics: eval/grpo/uni9/ndcg@5, eval/grpo/uni9/hr@5" in lines
    assert f"compare them: python launch.py stage=compare 'compare.folders=[{tmp_path}]'" in lines


def test_a_narrow_terminal_still_tells_the_jobs_apart(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(table, "console", lambda: Console(width=80))
    columns = {f"eval/grpo/uni9/{name}": 0.5 for name in ("ndcg@5", "hr@5", "mrr")}
    launched(tmp_path / "0", columns, [3, 1])
    words = ("sft.learning_rate=0.001", "grpo.lora.alpha=16")
    print_jobs([note(tmp_path, 0, "done", *words), note(tmp_path, 1, "done", "seed=2")], tmp_path)
    out = capsys.readouterr().out
    assert "sft.learning_rate=0.001" in out and "grpo.lora.alpha=16" in out
    assert all(len(line) <= 80 for line in out.splitlines()[:5])


def test_the_policy_that_was_trained_last_is_shown():
    def launch(**columns: float) -> Launch:
        told = {"goal": "evaluate", "config": {"evaluate": KNOBS}, "columns": columns}
        return Launch(folder=Path(), told=told)

    only_sft = launch(**{"eval/sft/uni9/ndcg@5": 0.1, "eval/sft/uni99/hr@5": 0.2})
    assert metrics([only_sft]) == ["eval/sft/uni9/ndcg@5"]
    other_k = launch(**{"eval/grpo/uni9/ndcg@1": 0.1, "eval/grpo/uni9/mrr": 0.2})
    assert metrics([only_sft, other_k]) == ["eval/grpo/uni9/ndcg@1", "eval/grpo/uni9/mrr"]
    assert metrics([launch()]) == [] and metrics([]) == []


def test_metrics_of_another_goal():
    columns = {"sft/steps": 2.0, "sft/loss": 1.0, "sft/probe/ndcg@5": 0.3, "prepare/users": 9.0}
    launch = Launch(folder=Path(), told={"goal": "sft", "config": {}, "columns": columns})
    assert metrics([launch]) == ["sft/probe/ndcg@5", "sft/loss"]


def test_names_are_as_short_as_they_can_be():
    assert short(["eval/grpo/uni9/ndcg@5", "eval/grpo/uni9/hr@5"]) == ["ndcg@5", "hr@5"]
    assert short(["a/uni9/mrr", "a/uni99/mrr"]) == ["uni9/mrr", "uni99/mrr"]
    assert short([]) == []
