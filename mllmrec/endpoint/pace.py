"""When calls may begin at a server that asked to be left in peace: one clock for all workers."""

import time

SPREAD = 0.1  # most that jitter adds to an announced wait, as a share of it
SHRINK = 0.95  # of the gap, an answer
LONGEST = 30.0  # seconds that a server is given beyond what it asks for


class Pace:
    """No call before ``not_before``, and ``gap`` seconds from one to the next, for all together.

    Each pause doubles the gap and each answer shortens it, so that the calls of ``at_once``
    workers, who all wait for the same moment, come about as fast as the server takes them. It is
    0 as long as no wait was announced, and a pause adds no more to it than was announced.
    ``jitter`` is a draw from [0, 1).
    """

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.gap = self.not_before = self.next = 0.0
        self.told = self.wait = 0.0  # of the last pause: when it was asked for, and how long

    def turn(self, jitter: float) -> float:
        """The moment (``time.monotonic``) of one more call, which is thereby taken.

        It is void where it comes before a ``not_before`` that was set in the meantime.
        """
        moment = max(time.monotonic(), self.not_before, self.next)
        self.next = moment + self.gap * (0.5 + jitter)
        return moment

    def pause(self, wait: float, began: float, jitter: float) -> None:
        """A call that ``began`` then was told to wait so many seconds.

        What calls are told that were under way at the time is the same pause. After one that
        brought no answer the next is at least twice as long, whatever the server says.
        """
        now = time.monotonic()
        if began >= self.told:
            wait = max(wait, min(2 * self.wait, LONGEST))
            self.gap = min(max(2 * self.gap, wait / self.at_once), self.gap + wait)
            self.told, self.wait, self.next = now, wait, 0.0
        self.not_before = max(self.not_before, now + wait * (1 + SPREAD * jitter))

    def answered(self) -> None:
        """The server takes calls."""
        self.gap, self.wait = self.gap * SHRINK, 0.0
