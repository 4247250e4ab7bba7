"""Kill the default job at random moments, repeat its command, and compare with an unbroken run.

    python bench/kill.py [--kills 10] [--seed 0] [override ...]

Runs the job once without a break, then in another store with `kill -9` at so many random moments,
each followed by the same command. Prints every artifact whose files or metrics differ; exits with
0 if there is none. Takes about three times as long as the job.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LAUNCH = Path(__file__).parent.parent / "launch.py"


def start(folder: Path, overrides: list[str]) -> subprocess.Popen[bytes]:
    """Begin the job in a folder of its own, in a process group that dies as one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(LAUNCH), *overrides],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def finish(process: subprocess.Popen[bytes], folder: Path) -> None:
    if process.wait():
        sys.exit(f"the job failed:\n{(folder / 'log').read_text()[-2000:]}")


def kill_at_random(folder: Path, overrides: list[str], moments: list[float]) -> int:
    """Start and kill once for each moment (seconds after a start); the number that were alive."""
    alive = 0
    for number, moment in enumerate(moments, start=1):
        process = start(folder, overrides)
        time.sleep(moment)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            alive += 1
        process.wait()
        print(f"kill {number} of {len(moments)} after {moment:.1f} s: {doing(folder)}", flush=True)
    return alive


def doing(folder: Path) -> str:
    """What the log says was being done."""
    lines = (folder / "log").read_text(errors="replace").splitlines()
    steps = [line for line in lines if line.startswith("[")]
    return steps[-1] if steps else "nothing yet"


def results(folder: Path) -> dict[str, Any]:
    """Metrics and the hash of every file, by artifact."""
    found = {}
    for path in sorted((folder / "artifacts").glob("[!.]*/*/[!.]*/manifest.json")):
        said = json.loads(path.read_text())
        files = {name: file["sha256"] for name, file in said["files"].items()}
        found[f"{said['label']} {said['id']}"] = {"metrics": said["metrics"], "files": files}
    return found


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    told = [f"{name}: only in one of the two" for name in sorted(a.keys() ^ b.keys())]
    for name in sorted(a.keys() & b.keys()):
        if a[name]["metrics"] != b[name]["metrics"]:
            told.append(f"{name}: metrics differ")
        files, others = a[name]["files"], b[name]["files"]
        changed = [f for f in sorted(files.keys() | others.keys()) if files.get(f) != others.get(f)]
        told += [f"{name}: {file} differs" for file in changed]
    return told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary one by default")
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_args()
    work = args.folder or Path(tempfile.mkdtemp(prefix="mllmrec-kill-"))
    whole, broken = work / "whole", work / "broken"

    began = time.monotonic()
    finish(start(whole, args.overrides), whole)
    duration = time.monotonic() - began
    print(f"unbroken: {duration:.0f} s", flush=True)

    draw = random.Random(args.seed)
    moments = [draw.uniform(3, max(6, duration / 6)) for _ in range(args.kills)]
    alive = kill_at_random(broken, args.overrides, moments)
    finish(start(broken, args.overrides), broken)

    expected, found = results(whole), results(broken)
    told = differences(expected, found)
    print(*told, sep="\n")
    print(f"{alive} kills, {len(expected)} artifacts compared, {len(told)} differences, in {work}")
    sys.exit(bool(told) or not expected)


if __name__ == "__main__":
    main()
