"""One function over many things by several processes, in order, few of them in flight."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from mllmrec.errors import Refusal
from mllmrec.hardware.machine import cores

T = TypeVar("T")
R = TypeVar("R")

FEW = 400  # things of which so many are done sooner than another process has started
PART = 16  # things handed over at once
AHEAD = 4  # parts a process that wait, are worked on, or are done and not yet taken


def mapped(
    work: Callable[[Sequence[T]], list[R]], things: Sequence[T], workers: int | None, knob: str
) -> Iterator[R]:
    """``work`` on parts of ``things``; what it makes of each, in order.

    ``workers`` processes, None: one a core; few things are done in this process. What waits is
    bounded, so memory does not grow with the number of things. ``knob`` names ``workers`` in the
    Refusal of a process that died.
    """
    number = workers or cores()
    parts = (things[start : start + PART] for start in range(0, len(things), PART))
    if number == 1 or len(things) < FEW:
        for part in parts:
            yield from work(part)
        return
    try:
        yield from spread(work, parts, number)
    except BrokenProcessPool as error:
        raise Refusal(
            f"{knob}={workers or 'null'}: one of {number} processes died, perhaps of too little "
            "memory",
            allowed="as many processes as the machine has memory for",
            do=f"type {knob}=1",
        ) from error


def spread(
    work: Callable[[Sequence[T]], list[R]], parts: Iterator[Sequence[T]], number: int
) -> Iterator[R]:
    # spawned, not forked: this process may have threads, and locks that they hold
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(number, mp_context=context) as pool:
        waiting: deque[Future[list[R]]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(work, part))
                if len(waiting) >= AHEAD * number:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
