"""What every test stands on: one thread, no network, no one's account, and the same draws."""

import importlib.util
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]

# Before anything imports torch, and inherited by every process that a test starts. Two OpenMP
# threads on a busy machine spin against each other: 70 times slower was seen.
os.environ.update(
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    POLARS_MAX_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_DATASETS_DISABLE_PROGRESS_BARS="1",
    WANDB_MODE="offline",
    WANDB_SILENT="true",
    NO_COLOR="1",
    COLUMNS="100",
)
# A developer's own settings must not decide what a test sees.
for name in [*os.environ]:
    if name in {"HYDRA_FULL_ERROR", "WORLD_SIZE", "RANK", "LOCAL_RANK"} or name.startswith(
        ("WANDB_API", "WANDB_BASE", "WANDB_ENTITY", "WANDB_PROJECT", "WANDB_RUN", "WANDB_SWEEP")
    ):
        del os.environ[name]


@pytest.fixture(autouse=True, scope="session")
def _wandb_stays_out_of_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs, staged artifacts and caches of W&B land in pytest's own folder."""
    home = tmp_path_factory.mktemp("wandb")
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        os.environ[name] = str(home)


@pytest.fixture(autouse=True)
def _same_draws() -> Iterator[None]:
    """Seed the global generators, for the libraries that still read them, and torch if it is in."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        torch.manual_seed(0)
        torch.set_num_threads(1)
    yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    """``-m gpu`` where there is no CUDA device skips with a word instead of failing."""
    if item.get_closest_marker("gpu") is None:
        return
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and torch sees none")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout: launch.py, conf/ and mllmrec/ lie there."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; skips where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder}, which is not there")
    return folder
