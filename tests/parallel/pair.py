"""One of two ranks that carry out several jobs one after the other: a start costs seconds.

``python -m tests.parallel.pair FOLDER RANK PORT``: FOLDER/jobs.json has the jobs, as
``mllmrec.worker.written`` makes them.
"""

import json
import os
import sys
from pathlib import Path

from mllmrec import ranks
from mllmrec.performing import perform, ready_torch
from mllmrec.stage.base import Job
from mllmrec.worker import unpacked


def main(folder: Path, rank: int, port: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    ready_torch(1)
    jobs = json.loads((folder / "jobs.json").read_text())
    ranks.join(rank, 2, None)
    for told in jobs:
        ranks._here = ranks.Here(rank=rank, count=2, sharding=unpacked(told["parallel"]).sharding)
        job = Job(
            out=Path(told["out"]),
            inputs={name: Path(path) for name, path in told["inputs"].items()},
            groups={name: unpacked(node) for name, node in told["groups"].items()},
            seed=told["seed"],
        )
        perform(unpacked(told["stage"]), job)
        ranks.wait()
    ranks.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
