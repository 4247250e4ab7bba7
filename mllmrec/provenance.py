"""What a manifest tells of how an artifact came to be: versions, threads, git state."""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("mllmrec", "torch", "transformers", "trl", "peft", "accelerate", "polars", "numpy")


def threads() -> int:
    """The threads that torch computes with, or those of the machine where it is not loaded."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else os.cpu_count() or 1


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@cache
def git_state() -> dict[str, Any] | None:
    """The commit of the code and whether the tree differs from it; None outside a checkout."""
    here = Path(__file__).parent
    try:
        commit = git("rev-parse", "HEAD", at=here)
        return {"commit": commit, "dirty": bool(git("status", "--porcelain", at=here))}
    except (OSError, subprocess.CalledProcessError):
        return None


def git(*words: str, at: Path) -> str:
    done = subprocess.run(["git", *words], cwd=at, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def record() -> dict[str, Any]:
    """Everything of the above, for a manifest."""
    return {
        "threads": threads(),
        "versions": versions(),
        "platform": platform.platform(),
        "git": git_state(),
    }
