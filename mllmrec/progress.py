"""How far a long job is: a bar on a terminal, a line in the log now and then elsewhere."""

import logging
import sys
import time
from types import TracebackType
from typing import Self

from tqdm.auto import tqdm

log = logging.getLogger(__name__)

EVERY = 15.0  # seconds between two lines of a log


class Bar:
    """``total`` units of work under a ``label``; says rate and time left by itself."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done, self.began = 0, time.monotonic()
        self.told = self.began
        self.bar = tqdm(total=total, desc=label, unit=unit, disable=not sys.stderr.isatty())

    def step(self, count: int = 1, more: str = "") -> None:
        """So many units are done; ``more`` is shown beside the rate."""
        self.done += count
        if more:
            self.bar.set_postfix_str(more, refresh=False)
        self.bar.update(count)
        now = time.monotonic()
        if self.bar.disable and now - self.told >= EVERY:
            self.told = now
            log.info("%s: %s%s", self.label, self.pace(), f", {more}" if more else "")

    def pace(self) -> str:
        """``120 of 300 pictures, 40 a second, 4 s left``."""
        rate = self.done / max(time.monotonic() - self.began, 1e-9)
        left = (self.total - self.done) / max(rate, 1e-9)
        told = f"{self.done} of {self.total} {self.unit}s, {rate:.3g} a second"
        return f"{told}, {left:.0f} s left" if self.done < self.total else told

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.close()
