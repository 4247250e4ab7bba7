"""What a launch tells of itself in its run folder, ``run.json``, and how launches are found again.

Sweeps and comparisons read these files and nothing else of a run folder, so that they work without
W&B, on any set of folders.
"""

import json
import os
import resource
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any

from mllmrec import locks
from mllmrec.artifacts import write_json
from mllmrec.errors import Refusal
from mllmrec.redact import Scrubber

RUN = "run.json"
FORMAT = 1
# What is read of a launch, and what each of it is.
KEYS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("state", "goal", "began", "host", "store"), (str,)),
    **dict.fromkeys(("seconds", "peak_memory"), (int, float, NoneType)),
    **dict.fromkeys(("config", "columns"), (dict,)),
    **dict.fromkeys(("overrides", "steps"), (list,)),
    **{"pid": (int,), "start": (str, NoneType), "wandb": (dict, NoneType)},
}


@dataclass(kw_only=True)
class Launch:
    """One launch: ``told`` is what its ``run.json`` holds.

    ``state`` is running, finished, refused, failed or interrupted; ``steps`` are those of its plan
    with the seconds that this launch spent on building them (null: it built none of it);
    ``choices`` what was chosen of groups whose config does not tell it (``algorithm``);
    ``columns`` the final metrics of all of them, as in W&B's summary; ``config`` the composed
    config without secrets.
    """

    folder: Path
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """As told, or killed: its process is gone and could not say so."""
        said = str(self.told["state"])
        is_here = self.told["host"] == socket.gethostname()
        gone = is_here and locks.process_start(self.told["pid"]) != self.told["start"]
        return "killed" if said == "running" and gone else said

    @property
    def columns(self) -> Mapping[str, float]:
        return self.told["columns"]

    def knob(self, name: str) -> Any:
        """The value of a dotted knob; KeyError where this launch had none of that name."""
        return self.knobs[name]

    @property
    def knobs(self) -> dict[str, Any]:
        """Every knob of the config by its dotted name."""
        return dict(flat(self.told["config"]))

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / RUN, self.told)


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a config by their dotted names; an empty node is a leaf."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@contextmanager
def told(
    folder: Path, *, config: Mapping[str, Any], overrides: Sequence[str], store: Path
) -> Iterator[Launch]:
    """Keep the ``run.json`` of a launch from here to the end of the block, however it ends."""
    scrub, clock = Scrubber(os.environ), time.monotonic()
    launch = Launch(folder=folder.absolute())
    launch.told = {
        "format": FORMAT,
        "state": "running",
        "goal": config["goal"],
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "ended": None,
        "seconds": None,
        "peak_memory": None,
        "peak_gpu_memory": None,
        **locks.me(),
        "overrides": [scrub.override(word) for word in overrides],
        "config": scrub.tree(config),
        "choices": {},
        "store": str(store),
        "wandb": None,
        "steps": [],
        "columns": {},
    }
    launch.write()
    state = "failed"
    try:
        yield launch
        state = "finished"
    except Refusal:
        state = "refused"
        raise
    except (KeyboardInterrupt, SystemExit):
        state = "interrupted"
        raise
    finally:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        seconds = round(time.monotonic() - clock, 1)
        launch.told |= {"state": state, "ended": now, "seconds": seconds}
        launch.told |= {"peak_memory": peak_memory(), "peak_gpu_memory": peak_gpu_memory()}
        launch.write()


def peak_memory() -> int:
    """The most bytes of main memory that this process, or one that it started, held at once."""
    unit = 1 if sys.platform == "darwin" else 1024
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(who).ru_maxrss for who in both) * unit


def peak_gpu_memory() -> int | None:
    """The most bytes that this process held at once on one GPU; None where it used none."""
    torch = sys.modules.get("torch")  # nothing was on a GPU where nobody has loaded it
    if torch is None or not torch.cuda.is_available():
        return None
    return max(torch.cuda.max_memory_allocated(n) for n in range(torch.cuda.device_count())) or None


def read(folder: Path) -> Launch:
    """The launch of a run folder.

    Raises:
        Refusal: the folder has no ``run.json``, or a damaged one, or one of another format.
    """
    try:
        found = json.loads((folder / RUN).read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']}")
        for name, kinds in KEYS.items():
            if not isinstance(found[name], kinds):
                raise TypeError(name)
        return Launch(folder=folder.absolute(), told=found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refusal(
            f"{folder}: no launch's folder ({RUN} cannot be read)",
            allowed="outputs/DATE/TIME-…, or what hydra.run.dir was",
            do="give the folder of a launch; each names it when it begins",
        ) from error


def found(folders: Iterable[Path]) -> list[Launch]:
    """All launches in these folders and below, oldest first; what cannot be read is left out."""
    paths = {path.parent for folder in folders for path in folder.rglob(RUN)}
    launches = []
    for path in paths:
        try:
            launches.append(read(path))
        except Refusal:
            continue
    return sorted(launches, key=lambda launch: (launch.told["began"], str(launch.folder)))
