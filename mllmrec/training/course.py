"""What a training has taken so far: rollouts, tokens, and each part of a step its time."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mllmrec.training.times import COST


class Course:
    """Counts over a whole run, kills included; ``clock`` times the parts of a step.

    A share is of the CPU seconds of this process and all of its threads. A part that runs within
    another is charged to itself alone.
    """

    def __init__(self) -> None:
        self.counts: dict[str, float] = defaultdict(float)
        self.spent: dict[str, float] = defaultdict(float)
        self.inner: list[float] = []

    @contextmanager
    def clock(self, part: str) -> Iterator[None]:
        """Charge the block to a part of the step."""
        began = time.process_time()
        self.inner.append(0.0)
        try:
            yield
        finally:
            took = time.process_time() - began
            self.spent[part] += took - self.inner.pop()
            if self.inner:
                self.inner[-1] += took

    @contextmanager
    def step(self, charts: Any) -> Iterator[None]:
        """A whole step: what no part has taken is the backward pass."""
        self.spent = defaultdict(
            float, dict.fromkeys(self.spent, 0.0)
        )  # known parts that do not run
        began = time.process_time()
        with self.clock("backward"):
            yield
        took = max(time.process_time() - began, 1e-9)
        for part, seconds in self.spent.items():
            charts[f"{COST}{part}"].append(seconds / took)

    def count(self, **more: float) -> None:
        for name, value in more.items():
            self.counts[name] += value

    def told(self) -> dict[str, float]:
        """The counts so far."""
        return dict(self.counts)

    def restore(self, told: dict[str, float]) -> None:
        self.counts = defaultdict(float, told)
