"""A home of each test's own, no W&B settings from outside, and launches to begin."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mllmrec.tracking.knobs import Tracking
from mllmrec.tracking.opening import open_run
from tests.tracking.begun import knobs


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A home of the test's own, and no W&B settings from outside."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setattr(sys, "argv", ["launch.py"])
    monkeypatch.chdir(tmp_path)  # wandb's command line leaves its log in the working directory
    yield
    if "wandb" in sys.modules and sys.modules["wandb"] is not None:
        sys.modules["wandb"].teardown()
    assert not list((tmp_path / "home").rglob("*")), "the home folder is not ours to write into"


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., Any]:
    def begin(choice: str = "offline", /, **given: Any) -> Any:
        fields = {f: given.pop(f) for f in list(given) if f in Tracking.model_fields}
        tracking = Tracking(**{**knobs(choice), "dir": tmp_path / "here", **fields})
        asked: dict[str, Any] = {
            "config": {"sft": {"lr": 1e-4}}, "goal": "sft", "overrides": [], "run_id": None,
            "folder": tmp_path / "out", "is_main": True,
        }  # fmt: skip
        return open_run(tracking, **{**asked, **given})

    return begin
