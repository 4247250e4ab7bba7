"""When calls may begin at a server that asked to be left in peace: one clock for all workers."""

import time

SPREAD = 0.1  # most that jitter adds to an announced wait, as a share of it
FEW = 3  # answers after a pause that tell little yet
SLOWLY, FAST = 0.95, 0.5  # what an answer leaves of the gap: one of those few, and a later one


class Pace:
    """No call before ``not_before``, and ``gap`` seconds from one to the next, for all together.

    A pause lasts as long as the server asks for. One that comes after answers doubles the gap, and
    each answer shortens it, so that the calls of ``at_once`` workers, who all wait for the same
    moment, come about as fast as the server takes them. The gap is 0 as long as no wait was
    announced, and a pause adds no more to it than was announced. ``jitter`` is a draw from [0, 1).
    """

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.gap = self.not_before = self.next = 0.0
        self.told = 0.0  # when the last pause was asked for
        self.answers = 0  # to calls since then

    def turn(self, jitter: float) -> float:
        """The seconds until one more call may begin; the turn is taken where they are 0."""
        now = time.monotonic()
        if (moment := max(self.not_before, self.next)) > now:
            return moment - now
        self.next = now + self.gap * (0.5 + jitter)
        return 0.0

    def pause(self, wait: float, began: float, jitter: float) -> None:
        """A call that ``began`` then was told to wait so many seconds.

        What calls are told that were under way at the time is the same pause.
        """
        now = time.monotonic()
        if began >= self.told:
            if self.answers or not self.gap:  # else calls are too early, and not too many
                self.gap = min(max(2 * self.gap, wait / self.at_once), self.gap + wait)
            self.told, self.next, self.answers = now, 0.0, 0
        self.not_before = max(self.not_before, now + wait * (1 + SPREAD * jitter))

    def answered(self, began: float) -> None:
        """The server took a call that ``began`` then: the next may come sooner."""
        if began < self.told:
            return
        self.answers += 1
        self.gap *= SLOWLY if self.answers <= FEW else FAST
        self.next = min(self.next, time.monotonic() + self.gap)
