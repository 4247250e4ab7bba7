"""Launches as tests begin them: knobs from conf/, and what W&B left of them."""

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from mllmrec.tracking.tracker import Tracker

CONF = Path(__file__).parents[2] / "conf" / "tracking"
KEY = "a1b2c3d4" * 5


def knobs(choice: str) -> dict[str, Any]:
    tree = yaml.safe_load((CONF / "offline.yaml").read_text())
    tree |= yaml.safe_load((CONF / f"{choice}.yaml").read_text())
    return {k: v for k, v in tree.items() if k not in {"_target_", "defaults"}}


def parts(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "here" / "wandb").glob("*run-*"))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [r for r in caplog.records if r.name.startswith("mllmrec")]
    return [r.getMessage() for r in ours if r.levelno >= logging.WARNING]


def folder_of(tracker: Tracker) -> Path:
    assert tracker.path is not None
    return tracker.path
