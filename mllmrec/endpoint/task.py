"""One request on its way to a server."""

import random
from dataclasses import dataclass

from mllmrec.asking import Request
from mllmrec.journal import Record, Totals

LONGEST_WAIT = 30.0  # seconds between two calls


@dataclass(kw_only=True)
class Task:
    """A request on its way: what it cost so far, the calls it may lose, the time it has.

    ``wait`` is that before its next call where the server asks for none, in seconds.
    """

    key: str
    request: Request
    cost: Totals
    retries: int
    end: float
    wait: float
    draws: random.Random  # jitter, drawn from the content
    began: float = 0.0  # when its last call was made

    def record(
        self,
        text: str | None = None,
        why: str | None = None,
        finish_reason: str | None = None,
        *,
        is_outage: bool = False,
    ) -> Record:
        """The end of it, or what it cost where it came to none."""
        return Record(
            key=self.key,
            id=self.request.id,
            text=text,
            why=why,
            is_outage=is_outage,
            finish_reason=finish_reason,
            **vars(self.cost),
        )

    def backoff(self) -> float:
        """The seconds to wait before the next call, twice as many each time."""
        pause = self.wait * (0.5 + self.draws.random() / 2)
        self.wait = min(2 * self.wait, LONGEST_WAIT)
        return pause
