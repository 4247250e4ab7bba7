"""What the probe of a running launch says, line by line in its run folder, and how it is stopped.

A sweep reads ``probe.jsonl`` of its points while they run, and asks one that is behind to end by
a file ``stop``: files work across machines, and a launch that is alone is the same launch.
"""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

log = logging.getLogger(__name__)

PROBE, STOP = "probe.jsonl", "stop"
STOPPED = 3  # the exit code of a launch that was asked to end


def follow(folder: Path, send: Callable[[Mapping[str, float], int, str], None]) -> "OnMetrics":
    """Hand metrics on, keep those of a probe, and end the launch where it is asked to.

    ``send`` takes metrics, their step and the label of their stage.

    Returns:
        What takes a label, metrics and a step.
    """

    def heard(label: str, metrics: Mapping[str, float], step: int) -> None:
        send(metrics, step, label)
        looks = {f"{label}/{name}": v for name, v in metrics.items() if name.startswith("probe/")}
        if looks:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / PROBE).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"stage": label, "step": step, **looks}) + "\n")
        if (folder / STOP).exists():
            log.warning("%s: stopped at step %d, as the run was asked to", label, step)
            raise SystemExit(STOPPED)

    return heard


OnMetrics = Callable[[str, Mapping[str, float], int], None]


def looks(folder: Path, name: str) -> list[float]:
    """The values that a launch's probe has had under one name, by their steps.

    A step that was logged again after a kill counts once; a line that is being written not yet.
    """
    found: dict[int, float] = {}
    try:
        lines = (folder / PROBE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if name in told:
            found[told["step"]] = told[name]
    return [found[step] for step in sorted(found)]
