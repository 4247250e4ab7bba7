"""What a training takes of the processor: seconds, from its first step on."""

import time
from typing import Any

from transformers import TrainerCallback

from mllmrec import ranks
from mllmrec.training.times import SECONDS


class Clock(TrainerCallback):
    """Charts the CPU seconds that the steps have taken, rollouts and all.

    The probe, checkpoints, loading and what a killed run did behind its last checkpoint are left
    out: a resumed run goes on from what that one had counted. It stands first among the callbacks,
    so that it stops before any other begins.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        told = [entry[SECONDS] for entry in state.log_history if SECONDS in entry]
        self.before, self.own = (told[-1] if told else 0.0), 0.0
        self.since: float | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.since = time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.since is not None:
            self.own += time.process_time() - self.since
            self.since = None

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Adds to what is logged, for the callbacks behind it and for the checkpoints."""
        seconds = self.before + sum(ranks.gathered(self.own))
        logs[SECONDS] = seconds
        state.log_history[-1][SECONDS] = seconds
