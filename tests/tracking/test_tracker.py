"""What is told is on disk, read back by a reader of the tests' own."""

import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mllmrec.tracking import record
from tests.tracking.begun import folder_of, parts, warnings
from tests.wandb_reader import read, records


def test_what_is_logged_is_on_disk(
    launch: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with launch(group="study", tags=["toy"], overrides=["stage=sft", "sft.lr=1e-4"]) as tracker:
        tracker.log({"loss": 0.5, "gap": math.nan}, 1, "sft")
        tracker.log({"loss": 0.25}, 2, "sft")
        tracker.log({"beta": 0.1}, 1, "grpo")
        tracker.summary({"eval/uni9/ndcg@10": 0.5})
        tracker.table("points", ["beta", "who"], [[0.1, "a"], ["-", None]])
    run = read(folder_of(tracker))
    assert (run.id, run.project, run.group, run.job_type) == (tracker.id, "mllmrec", "study", "sft")
    assert (run.tags, run.name, run.exit_code) == (["toy"], "sft sft.lr=1e-4", 0)
    assert run.config["sft"] == {"lr": 1e-4}
    assert run.config["overrides"] == ["stage=sft", "sft.lr=1e-4"]
    assert [row.get("sft/loss") for row in run.history] == [0.5, 0.25, None, None]
    assert math.isnan(run.history[0]["sft/gap"])
    assert [row.get("sft/step", row.get("grpo/step")) for row in run.history] == [1, 2, 1, None]
    assert run.step_metrics == {"sft/*": "sft/step", "grpo/*": "grpo/step"}
    assert run.summary["eval/uni9/ndcg@10"] == 0.5
    assert json.loads((tmp_path / "out" / "wandb.json").read_text()) == {
        "id": tracker.id,
        "mode": "offline",
        "path": str(tracker.path),
        "parts": [str(tracker.path)],
        "url": None,
    }
    how = f"send later with: python launch.py stage=sync tracking.dir={tmp_path / 'here'}"
    assert how in caplog.text
    assert "WANDB_DATA_DIR" not in os.environ
    assert parts(tmp_path) == [tracker.path]


@pytest.mark.slow
def test_wandb_reads_what_we_write_as_our_readers_do(
    launch: Callable[..., Any], tmp_path: Path
) -> None:
    with launch() as tracker:
        tracker.log({"x" * 40_000: 1.0}, 1, "sft")  # a record across blocks of 32 KiB
        tracker.summary({"best": 1})
    made = record.file_of(folder_of(tracker))
    file = tmp_path / "run-ours.wandb"
    record.write(file, record.read(made))
    told = subprocess.run(
        [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--json", file],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "WANDB_CACHE_DIR": str(tmp_path / "cache")},
    )
    theirs = [json.loads(line) for line in told.stdout.splitlines()]
    ours = [one.WhichOneof("record_type") for one in records(made)]
    assert [one["type"] for one in theirs] == ours
    items = [one["history"]["item"] for one in theirs if one["type"] == "history"]
    assert items == read(made).history
    torn = tmp_path / "torn.wandb"
    torn.write_bytes(file.read_bytes()[:-5])
    assert len(list(records(torn))) == len(ours) - 1


def test_lineage_is_kept_and_survives_in_the_config(
    launch: Callable[..., Any], tmp_path: Path
) -> None:
    store = tmp_path / "artifacts" / "toy"
    with launch() as tracker:
        tracker.lineage({"samples": store / "prepare" / "aa"}, {})
        tracker.lineage({}, {"sft": store / "sft" / "bb"})
    kept = json.loads((tmp_path / "out" / "lineage.json").read_text())
    assert kept["run"] == tracker.id
    assert kept["inputs"] == {
        "toy/prepare/aa": {"as": "samples", "path": str(store / "prepare" / "aa")}
    }
    run = read(folder_of(tracker))
    assert run.config["lineage"]["outputs"]["toy/sft/bb"]["as"] == "sft"
    assert run.artifacts == []


def test_only_rank_0_tracks(launch: Callable[..., Any], tmp_path: Path) -> None:
    with launch(is_main=False) as tracker:
        tracker.log({"loss": 1.0}, 1, "sft")
        tracker.lineage({"a": tmp_path}, {})
    assert tracker.id is tracker.path is tracker.url is None
    assert not (tmp_path / "here").exists() and not (tmp_path / "out").exists()


def test_a_failing_call_is_said_once_and_the_rest_is_logged(
    launch: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with launch() as tracker:
        tracker.log({"loss": "many"}, 1, "sft")
        tracker.log({"loss": "much"}, 2, "sft")
        tracker.log({"loss": 1.0}, 3, "sft")
    said = warnings(caplog)
    assert len(said) == 1 and "python launch.py stage=sync tracking.dir=" in said[0]
    assert [row["sft/step"] for row in read(folder_of(tracker)).history] == [3]
