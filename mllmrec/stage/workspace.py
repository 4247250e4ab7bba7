"""Goal ``workspace``: the project's workspace and report in W&B."""

import difflib
import logging
from typing import Annotated

from pydantic import AfterValidator, Field

from mllmrec.errors import Refusal
from mllmrec.report.tables import console
from mllmrec.schema import GROUPS, STAGES, Top
from mllmrec.stage.command import Asked, Command
from mllmrec.tracking import access
from mllmrec.tracking.folders import own_folders
from mllmrec.tracking.knobs import Tracking
from mllmrec.tracking.workspace import View, Wanted, address, report, workspace

log = logging.getLogger(__name__)

NODES = (*Top.model_fields, *GROUPS, *STAGES)


def known(name: str) -> str:
    """The dotted name of a knob itself; ValueError where none begins like that."""
    if name.split(".")[0] not in NODES:
        near = difflib.get_close_matches(name.split(".")[0], NODES, n=1)
        raise ValueError(f"no knob of this name{f', did you mean {near[0]}?' if near else ''}")
    return name


Name = Annotated[str, Field(min_length=1)]
Knob = Annotated[str, AfterValidator(known)]


class Workspace(Command):
    """Makes them, or changes them in place, under ``tracking=online``.

    Their specifications are written into the launch's folder always, which is all that happens
    under the other choices of ``tracking``.
    """

    title: Annotated[str, Field(min_length=1, max_length=128)]
    metric: Annotated[str, Field(pattern=r"^eval/[^/]+/[^/]+/\S+$")]
    columns: Annotated[list[Knob], Field(min_length=1)]
    across: Knob
    down: Knob
    policies: Annotated[list[Name], Field(min_length=1)]

    def execute(self, asked: Asked) -> None:
        with own_folders(asked.config.tracking.home):
            self.make(asked)

    def make(self, asked: Asked) -> None:
        tracking = asked.config.tracking
        is_online = tracking.mode == "online"
        if is_online:
            access.refuse_without_key()
        try:
            entity = tracking.entity or (access.default_entity() if is_online else "")
            views = self.views(entity, tracking.project)
            for view in views:
                console().print(f"wrote {view.write(asked.folder)}", soft_wrap=True)
            if is_online:
                save(views, entity, tracking)
            else:
                console().print("to send them to W&B, type: stage=workspace tracking=online")
        except ConnectionError as error:
            raise Refusal(
                str(error),
                allowed="a server that takes them, and a key of an account there",
                do="repeat the command later, or type tracking=offline to write their files alone",
            ) from error

    def views(self, entity: str, project: str) -> list[View]:
        wanted = Wanted(
            title=self.title,
            metric=self.metric,
            knobs=self.columns,
            across=self.across,
            down=self.down,
            bars=[self.of(policy) for policy in self.policies],
        )
        return [workspace(wanted, entity or "offline", project), report(wanted, entity, project)]

    def of(self, policy: str) -> str:
        """The same metric of another policy: ``eval/<policy>/<protocol>/<metric>``."""
        prefix, _, rest = self.metric.split("/", 2)
        return f"{prefix}/{policy}/{rest}"


def save(views: list[View], entity: str, tracking: Tracking) -> None:
    for view in views:
        id, is_new = view.save(entity, tracking.project)
        kind = "workspace" if view.kind == "project-view" else "report"
        at = address(access.app(), entity, tracking.project, view, id)
        log.info("%s %s: %s", "made the" if is_new else "changed the", kind, at)
