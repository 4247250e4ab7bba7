"""How far a long job is: a bar on a terminal, a line in the log now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from tqdm.auto import tqdm

log = logging.getLogger(__name__)

EVERY = 15.0  # seconds between two lines of a log
QUICK = 0.5  # seconds in which a job is over before anybody has read its bar


def lasting(seconds: float) -> str:
    """A time as people say it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"


class Bar:
    """``total`` units of work under a ``label``; says rate and time left by itself.

    Where nobody knows the total (None), it says how many are done.
    """

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done, self.began = 0, time.monotonic()
        self.told = self.began
        self.outer = OUTER.get()
        hidden = self.outer is not None or not sys.stderr.isatty()
        self.bar = tqdm(total=total, desc=label, unit=unit, disable=hidden)

    def step(self, count: int = 1, more: str = "") -> None:
        """So many units are done; ``more`` is shown beside the rate."""
        self.done += count
        if self.outer:
            self.outer.step(count, more)
            return
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
        if self.total is None:
            return f"{self.done} {self.unit}s, {rate:.3g} a second"
        left = (self.total - self.done) / max(rate, 1e-9)
        told = f"{self.done} of {self.total} {self.unit}s, {rate:.3g} a second"
        return f"{told}, {lasting(left)} left" if self.done < self.total else told

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.close()


OUTER: ContextVar[Bar | None] = ContextVar("OUTER", default=None)


@contextmanager
def within(bar: Bar) -> Iterator[None]:
    """Bars that are made in here are parts of ``bar``: what they count, it counts."""
    token = OUTER.set(bar)
    try:
        yield
    finally:
        OUTER.reset(token)
