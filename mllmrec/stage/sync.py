"""Goal ``sync``: send to W&B what runs have recorded on disk."""

import logging
import os
from typing import Annotated

from pydantic import Field
from rich import box
from rich.table import Table

from mllmrec.errors import Refusal
from mllmrec.progress import Bar
from mllmrec.redact import Scrubber
from mllmrec.report.tables import console
from mllmrec.stage.command import Asked, Command
from mllmrec.tracking.access import refuse_without_key
from mllmrec.tracking.folders import own_folders
from mllmrec.tracking.sync import Kept, alone, kept, send

log = logging.getLogger(__name__)


class Sync(Command):
    """Sends every run of ``tracking.dir`` that the server does not have, or not all of it.

    Each run goes as a whole, the oldest first, and is marked then; repeated, or killed and
    repeated, nothing is there twice. ``plan_only=true`` lists the runs and sends none. ``timeout``
    are the seconds that one run may take.
    """

    timeout: Annotated[float, Field(gt=0)]

    def execute(self, asked: Asked) -> None:
        home = asked.config.tracking.home
        runs = {run: run.state(home) for run in kept(home)}
        unsent = [run for run, state in runs.items() if state == "unsent"]
        counts = {state: [*runs.values()].count(state) for state in ("sent", "unsent", "running")}
        told = ", ".join(f"{count} {state}" for state, count in counts.items())
        console().print(f"{len(runs)} runs in {home}: {told}")
        if asked.config.top.plan_only:
            show(unsent)
            return
        if unsent:
            with own_folders(home), alone(home):
                refuse_without_key()
                self.send_all(unsent, asked)

    def send_all(self, unsent: list[Kept], asked: Asked) -> None:
        home, failed = asked.config.tracking.home, {}
        with Bar("sync", len(unsent), "run") as bar:
            for run in unsent:
                try:
                    send(run, home, self.timeout)
                except (OSError, ValueError) as error:
                    failed[run] = Scrubber(os.environ).text(str(error))
                    log.warning("%s: not sent (%s)", run.id, failed[run])
                    if isinstance(error, ConnectionError):
                        break  # no use in asking once more for each of the others
                else:
                    log.info("%s: sent, %d part(s)", run.id, len(run.parts))
                bar.step(1, run.id)
        if failed:
            raise Refusal(
                f"run {next(iter(failed)).id} was not sent: {next(iter(failed.values()))}"
                + (f", and {len(failed) - 1} more" if len(failed) > 1 else ""),
                allowed="a server that takes it; what was sent is marked and stays so",
                do="repeat the command, or type sync.timeout=SECONDS if they need longer",
            )
        console().print(f"sent {len(unsent)} runs")


def show(unsent: list[Kept]) -> None:
    if unsent:
        table = Table("run", "began", "parts", "first folder", box=box.SIMPLE_HEAD)
        for run in unsent:
            table.add_row(run.id, run.began, str(len(run.parts)), run.parts[0].name)
        console().print(table)
