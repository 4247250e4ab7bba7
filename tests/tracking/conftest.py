"""A home of each test's own, no W&B settings from outside, and launches to begin."""

import os
import shutil
import sys
import time
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


@pytest.fixture(scope="session")
def made_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recorded")


@pytest.fixture
def once(made_before: Path, tmp_path: Path) -> Callable[[str, Callable[[], object]], None]:
    """Record runs into ``here`` once for all tests that ask for them by one name: W&B is slow."""

    def recorded(name: str, record: Callable[[], object]) -> None:
        kept, here = made_before / name, tmp_path / "here"
        if not kept.exists():
            record()
            shutil.copytree(here, kept, symlinks=True)
        else:
            shutil.copytree(kept, here, symlinks=True)

    return recorded


@pytest.fixture
def at_most(launch: Callable[..., Any], tmp_path: Path) -> Callable[[float], float]:
    """The seconds that a launch may take that waits so many for a server.

    W&B's process is started again on disk then, which on a busy machine takes its time: as long as
    an offline launch takes here and now, and a few times that, as load comes and goes.
    """

    def seconds(waits: float) -> float:
        began = time.monotonic()
        with launch(dir=tmp_path / "for its time", folder=tmp_path / "out for its time") as tracker:
            tracker.log({"loss": 1.0}, 1, "sft")
        return waits + max(8.0, 6 * (time.monotonic() - began))

    return seconds
