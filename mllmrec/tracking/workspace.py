"""The project's own workspace and report in W&B: what people of this project look at first.

They are made by ``wandb-workspaces`` and saved under names that follow from the project and their
title, so that saving them again changes them in place. A view that someone made by hand has
another name and is never touched.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from mllmrec.errors import Refusal
from mllmrec.tracking.access import ask

VIRIDIS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")  # even to the colour-blind
FIND = """
query View($entityName: String, $name: String, $viewType: String, $viewName: String) {
    project(name: $name, entityName: $entityName) {
        allViews(viewType: $viewType, viewName: $viewName) {
            edges { node { id name displayName } }
        }
    }
}
"""
SAVE = """
mutation UpsertView2($id: ID, $entityName: String, $projectName: String, $type: String,
    $name: String, $displayName: String, $description: String, $spec: String) {
    upsertView(input: {id: $id, entityName: $entityName, projectName: $projectName, name: $name,
        displayName: $displayName, description: $description, type: $type, spec: $spec,
        createdUsing: WANDB_SDK}) {
        view { id name }
        inserted
    }
}
"""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to show: the ``metric`` of the summary that counts, and the knobs that it hangs on.

    ``across`` and ``down`` are the two knobs of the map; ``bars`` the columns of the summary that
    stand beside one another; ``title`` names workspace and report.
    """

    title: str
    metric: str
    knobs: Sequence[str]
    across: str
    down: str
    bars: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class View:
    """A workspace (``project-view``) or a report (``runs``), as W&B keeps it."""

    kind: str
    title: str
    description: str
    spec: dict[str, Any]

    def write(self, folder: Path) -> Path:
        """The specification as a file."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / ("workspace.json" if self.kind == "project-view" else "report.json")
        file.write_text(json.dumps(self.spec, indent=1) + "\n", encoding="utf-8")
        return file

    def save(self, entity: str, project: str) -> tuple[str, bool]:
        """Make it, or change it in place; its name at the server, and whether it is new.

        Raises:
            ConnectionError: the server does not answer, or refuses us.
            Refusal: the project is not there.
        """
        name = name_of(self.kind, entity, project, self.title)
        at = {"entityName": entity, "projectName": project}
        asked = {"entityName": entity, "name": project, "viewType": self.kind, "viewName": name}
        found = ask(FIND, **asked).get("project")
        if found is None:
            raise Refusal(
                f"tracking.project={project}: {entity} has no such project",
                allowed="a project with at least one run",
                do="type stage=sync to send the runs that are on disk, then repeat the command",
            )
        nodes = [edge["node"] for edge in found["allViews"]["edges"]]
        known = [node["id"] for node in nodes if node["name"] == name]
        about = {"displayName": self.title, "description": self.description, "type": self.kind}
        about |= {"id": known[0]} if known else {}
        saved = ask(SAVE, **at, **about, name=name, spec=json.dumps(self.spec))
        return saved["upsertView"]["view"]["id"], not known


def name_of(kind: str, entity: str, project: str, title: str) -> str:
    """The name that a view of ours goes by; that of a workspace is part of its address."""
    text = json.dumps([kind, entity, project, title])
    short = hashlib.sha256(text.encode()).hexdigest()[:11]
    return f"nw-{short}-v" if kind == "project-view" else f"mllmrec-{short}"


def address(app: str, entity: str, project: str, view: View, id: str) -> str:
    """Where a browser finds a saved view."""
    if view.kind == "project-view":
        short = name_of(view.kind, entity, project, view.title)[len("nw-") : -len("-v")]
        return f"{app}/{entity}/{project}?nw={short}"
    return f"{app}/{entity}/{project}/reports/{view.title.replace(' ', '-')}--{id.rstrip('=')}"


def workspace(wanted: Wanted, entity: str, project: str) -> View:
    """The project's workspace."""
    ws = import_module("wandb_workspaces.workspaces")

    shown = [f"config:{knob}" for knob in wanted.knobs] + [f"summary:{wanted.metric}"]
    made = ws.Workspace(
        entity=entity,
        project=project,
        name=wanted.title,
        sections=[
            ws.Section(name=name, panels=panels, is_open=True, pinned=number == 0)
            for number, (name, panels) in enumerate(panels_of(wanted).items())
        ],
        settings=ws.WorkspaceSettings(max_runs=100, remove_legends_from_panels=False),
        runset_settings=ws.RunsetSettings(pinned_columns=["run:displayName", *shown]),
    )
    return View(kind="project-view", title=wanted.title, description="", spec=spec_of(made))


def report(wanted: Wanted, entity: str, project: str) -> View:
    """The project's report; without an entity its charts are those of the project it lies in."""
    wr = import_module("wandb_workspaces.reports.v2")

    own = {"entity": entity, "project": project} if entity else {}
    blocks: list[Any] = [
        wr.TableOfContents(),
        wr.P(
            f"Runs of {project}, by {wanted.metric}. Written by `python launch.py stage=workspace`,"
            " which changes it in place."
        ),
    ]
    for name, panels in panels_of(wanted).items():
        grid = wr.PanelGrid(runsets=[wr.Runset(name="runs", **own)], panels=laid_out(panels))
        blocks += [wr.H1(text=name), wr.P(ABOUT[name]), grid]
    made = wr.Report(
        project=project,
        entity=entity or "offline",
        title=wanted.title,
        description=f"by {wanted.metric}",
        blocks=blocks,
        width="fluid",
    )
    return View(kind="runs", title=wanted.title, description=made.description, spec=spec_of(made))


def spec_of(made: Any) -> dict[str, Any]:
    """What wandb-workspaces would send; building it asks no server."""
    return json.loads(made._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))


def laid_out(panels: Sequence[Any]) -> list[Any]:
    """Panels two by two, the first as wide as both."""
    wr = import_module("wandb_workspaces.reports.v2")

    panels[0].layout = wr.Layout(x=0, y=0, w=24, h=10)
    for number, panel in enumerate(panels[1:]):
        row, place = divmod(number, 2)
        panel.layout = wr.Layout(x=12 * place, y=10 * (row + 1), w=12, h=10)
    return list(panels)


ABOUT = {
    "Knobs": "Every line, and every dot, is a run; colour is the metric. A knob that the parallel"
    " coordinates cross without order has little to say.",
    "Policies": "The trained policies beside those that any recommender must beat.",
    "Reward inflation": "A train reward that rises while the held-out one does not is inflated.",
    "Training": "What was learned from, by each stage's own steps.",
    "Sweeps": "The tables of sweeps; each sweep's own run has the best point and its command.",
}


def panels_of(wanted: Wanted) -> dict[str, list[Any]]:
    """The panels by the name of their section, made anew at each call."""
    wr = import_module("wandb_workspaces.reports.v2")

    metric = wr.SummaryMetric(wanted.metric)
    gradient = [
        wr.GradientPoint(color=color, offset=25 * place) for place, color in enumerate(VIRIDIS)
    ]
    columns = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(knob)) for knob in wanted.knobs]
    own = wr.ParallelCoordinatesPlotColumn(metric=metric, display_name=wanted.metric)

    def line(title: str, stage: str, *names: str) -> Any:
        return wr.LinePlot(title=title, x=f"{stage}/step", y=[f"{stage}/{name}" for name in names])

    return {
        "Knobs": [
            wr.ParallelCoordinatesPlot(
                title=f"Knobs and {wanted.metric}", columns=[*columns, own], gradient=gradient
            ),
            wr.ScatterPlot(
                title=f"{wanted.down} × {wanted.across}: {wanted.metric}",
                x=wr.Config(wanted.across),
                y=wr.Config(wanted.down),
                z=metric,
                gradient=gradient,
            ),
            wr.ParameterImportancePlot(with_respect_to=wanted.metric),
            wr.RunComparer(diff_only="split"),
        ],
        "Policies": [
            wr.BarPlot(title="Policies", metrics=list(wanted.bars), max_runs_to_show=20),
            wr.ScalarChart(title=wanted.metric, metric=metric, groupby_aggfunc="mean"),
        ],
        "Reward inflation": [
            line("Train and held-out reward", "grpo", "probe/train_reward", "probe/reward"),
            line("Reward inflation", "grpo", "probe/inflation"),
            line("Held-out NDCG@5", "grpo", "probe/ndcg@5"),
            line("With the hint", "grpo", "probe/hint/reward", "probe/hint/ndcg@5"),
        ],
        "Training": [
            line("SFT: loss", "sft", "loss"),
            line("SFT: held-out NDCG@5", "sft", "probe/ndcg@5"),
            line("GRPO: reward", "grpo", "reward"),
            line("GRPO: KL to the SFT model", "grpo", "kl"),
        ],
        "Sweeps": [
            wr.WeavePanelSummaryTable(table_name="sweep/points"),
            line("Sweep: best so far", "sweep", "best"),
        ],
    }
