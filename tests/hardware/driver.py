"""A driver that tells of GPUs which are not there: what ``nvidia-smi`` would print."""

from pathlib import Path

H100 = "NVIDIA H100 80GB HBM3"


def pretend(folder: Path, count: int, name: str = H100, mebibytes: int = 81559) -> Path:
    """A folder for PATH whose ``nvidia-smi`` knows so many GPUs."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(f"{id}, {name}, {mebibytes}" for id in range(count))
    file = folder / "nvidia-smi"
    file.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\n")
    file.chmod(0o755)
    return folder
