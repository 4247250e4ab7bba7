"""What a launch tells of itself; a failure in that is said once, and the launch goes on."""

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from mllmrec.artifacts import write_json
from mllmrec.redact import Scrubber
from mllmrec.tracking import record, sent
from mllmrec.tracking.patience import abandon, side_by_side, within
from mllmrec.tracking.unfinished import Unfinished

log = logging.getLogger(__name__)


class Tracker:
    """What a launch tells of itself; without a W&B run it keeps the lineage file and no more.

    ``id``, ``path`` (the run's folder) and ``url`` (online only) are None where there is none.
    ``patience`` are the seconds that this launch still waits for a server. Where W&B is lost (no
    answer in that time, a refusal, its process gone), ``rescue`` begins another part of the run on
    disk, and what failed is repeated there: nothing is lost, and nothing is waited for again.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        scrub: Scrubber,
        run: Any = None,
        launch: Unfinished | None = None,
        patience: float = 0.0,
        rescue: Callable[[], Any] | None = None,
    ) -> None:
        self.folder, self.scrub, self.run, self.launch = folder, scrub, run, launch
        self.patience, self.rescue = patience, rescue
        self.online = run is not None and not run.offline
        self.id: str | None = run.id if run else None
        self.path: Path | None = Path(run.settings.sync_dir) if run else None
        self.url: str | None = run.url if self.online else None
        self.stages: set[str] = set()
        self.rows: deque[Callable[[Any], object]] = deque(maxlen=1000)  # more than W&B holds back
        self.logged = 0
        self.columns: dict[str, Any] = {}
        self.edges: dict[str, dict[str, Any]] = {"inputs": {}, "outputs": {}}
        self.said = False

    def log(self, metrics: Mapping[str, float], step: int, stage: str) -> None:
        """Chart metrics of one step as ``<stage>/<metric>`` over the stage's own step counter."""

        def send(run: Any) -> None:
            row = {f"{stage}/{name}": float(value) for name, value in metrics.items()}
            if stage not in self.stages:
                run.define_metric(f"{stage}/step", hidden=True)
                run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
                self.stages.add(stage)
            run.log({**row, f"{stage}/step": step})

        self.attempt("log", send, is_row=True)

    def summary(self, values: Mapping[str, Any]) -> None:
        """Set columns of the run's table, under the keys given."""
        self.columns |= self.scrub.tree(values)
        self.attempt("summary", lambda run: run.summary.update(self.scrub.tree(values)))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log a table; cells are numbers, text, true, false or None."""

        def send(run: Any) -> None:
            import wandb

            cells = self.scrub.tree(rows)
            table = wandb.Table(columns=list(columns), data=cells, allow_mixed_types=True)
            run.log({name: table})

        self.attempt("table", send, share=1.0, is_row=True)

    def figure(self, name: str, figure: Mapping[str, Any]) -> None:
        """Log a chart that is drawn already: plotly's ``data`` and ``layout``."""

        def send(run: Any) -> None:
            import wandb

            drawn = import_module("plotly.graph_objects").Figure(self.scrub.tree(figure))
            run.log({name: wandb.Plotly(drawn)})

        self.attempt("figure", send, share=1.0, is_row=True)

    def link(self, text: str) -> None:
        """Add a line to the notes of the run, which W&B shows as Markdown above its charts."""

        def send(run: Any) -> None:
            run.notes = "\n\n".join(filter(None, [run.notes, self.scrub.text(text)]))

        self.attempt("link", send)

    def lineage(self, inputs: Mapping[str, Path], outputs: Mapping[str, Path]) -> None:
        """Keep which artifact folders this launch stood on and which it made.

        Goes into ``lineage.json`` of the launch's folder, always; into the run's config, so that
        it survives ``wandb sync``; online also as W&B artifacts that refer to the folders (none
        of their content is uploaded). Calls add up.

        Args:
            inputs: folders ``…/<dataset>/<stage>/<id>`` by the name that the launch knows them by.
            outputs: the same for what was made.
        """
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for side, folders in (("inputs", inputs), ("outputs", outputs)):
            for name, path in folders.items():
                self.edges[side][label(path)] = {"as": name, "path": str(path.absolute())}
        write_json(self.folder / "lineage.json", {"run": self.id, **self.edges})
        self.attempt(
            "lineage", lambda run: run.config.update({"lineage": self.edges}, allow_val_change=True)
        )
        if self.online:
            self.attempt("lineage", lambda run: refer(run, inputs, outputs), share=0.5)

    def close(self, exit_code: int) -> None:
        """End the W&B run; a launch that ended well will not be resumed."""

        def finish(run: Any) -> None:
            import wandb

            run.finish(exit_code=exit_code)
            wandb.teardown()  # the file is whole only once W&B's process has gone

        self.attempt("finish", finish, share=1.0)
        if self.online and self.run is not None and self.path:
            sent.mark(self.path)
        if exit_code == 0 and self.launch:
            self.launch.finished()

    def attempt(
        self,
        what: str,
        work: Callable[[Any], object],
        *,
        share: float = 0.0,
        is_row: bool = False,
    ) -> None:
        """Carry out a call of W&B, on disk if W&B is lost; whatever happens, the launch goes on.

        ``share`` is how much of the patience left the call may use up, if it may wait for a server;
        a call that adds a row to the history is kept for a while, as W&B writes a little later.
        """
        if self.run is None:
            return
        try:
            self.carry_out(work, share)
            if is_row:
                self.rows.append(work)
                self.logged += 1
        except (TypeError, ValueError) as error:  # what was given is at fault
            self.say(what, error)
        except Exception as error:
            self.say(what, error)
            if share != 0.5:
                self.go_on_disk(what, work)

    def carry_out(self, work: Callable[[Any], object], share: float) -> None:
        if not (share and self.online):
            work(self.run)
            return
        began, run = time.monotonic(), self.run
        try:
            within(share * self.patience, lambda: work(run))
        finally:
            self.patience = max(self.patience - (time.monotonic() - began), 0.0)

    def go_on_disk(self, what: str, work: Callable[[Any], object]) -> None:
        """Begin another part of the run without a server, and repeat there what failed."""
        self.run, self.online, self.stages = None, False, set()
        rescue, self.rescue = self.rescue, None
        try:
            abandon()
            if rescue and self.path:
                lost = self.logged - record.rows(self.path)
                self.run = run = rescue()
                self.path = Path(run.settings.sync_dir)
                run.summary.update(self.columns)
                run.config.update({"lineage": self.edges}, allow_val_change=True)
                for row in [*self.rows][-lost:] if lost > 0 else []:
                    row(run)
                work(run)
        except Exception as error:
            self.run = None
            log.warning("W&B failed again in %s (%s)", what, self.cause(error))

    def say(self, what: str, error: Exception) -> None:
        """Tell of the first failure of W&B."""
        if not self.said:
            self.said = True
            wrong = "W&B failed in %s (%s); the run goes on"
            how = sent.command(self.path.parent) if self.path else "python launch.py stage=sync"
            log.warning(f"{wrong}. To send what it recorded, type: %s",
                        what, self.cause(error), how)  # fmt: skip

    def cause(self, error: Exception) -> str:
        return self.scrub.text(" ".join(f"{type(error).__name__}: {error}".split()))


def refer(run: Any, inputs: Mapping[str, Path], outputs: Mapping[str, Path]) -> None:
    """Link a run at the server to the artifacts that it made and stood on."""
    for path in outputs.values():
        run.log_artifact(reference(path))
    used = [partial(run.use_artifact, reference(path)) for path in inputs.values()]
    side_by_side(used)  # each waits for the server


def label(path: Path) -> str:
    """``<dataset>/<stage>/<id>`` of an artifact's folder."""
    return "/".join(path.absolute().parts[-3:])


def reference(path: Path) -> Any:
    """A W&B artifact that names a folder without taking in its content."""
    import wandb

    name = re.sub(r"[^\w.-]", "-", label(path))[-128:]
    made = wandb.Artifact(name, type=path.parent.name, metadata={"path": str(path.absolute())})
    made.add_reference(path.absolute().as_uri(), checksum=False)
    return made
