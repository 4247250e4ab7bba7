"""``stage=workspace``: its specification on disk, and at a server that it changes in place."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.stage.workspace import Workspace
from mllmrec.tracking.workspace import name_of
from tests.fake_wandb import serving
from tests.launching import asked, command, config, environment, launch, told

KEY = "a1b2c3d4" * 5
METRIC = "eval/grpo/uni9/ndcg@5"


def panels(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """All panels of a workspace or a report."""
    if "section" in spec:
        sections = spec["section"]["panelBankConfig"]["sections"]
        return [panel for section in sections for panel in section["panels"]]
    grids = [block["metadata"] for block in spec["blocks"] if block["type"] == "panel-grid"]
    return [panel for grid in grids for panel in grid["panelBankSectionConfig"]["panels"]]


def test_the_shipped_knobs_are_valid() -> None:
    assert isinstance(config("stage=workspace").goal, Workspace)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("workspace.across=gprp.beta", "no knob of this name, did you mean grpo?"),
        ("workspace.columns=[beta]", "no knob of this name"),
        ("workspace.metric=ndcg@5", "string should match pattern"),
    ],
)
def test_what_could_not_be_shown_is_refused(word: str, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        config("stage=workspace", word)
    assert said in str(caught.value)


def test_offline_it_writes_the_specifications(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ("stage=workspace", "workspace.across=grpo.learning_rate", f"tracking.dir={tmp_path}")
    handed = asked(Store(root=tmp_path / "store"), *words, folder=tmp_path / "out")
    (tmp_path / "out").mkdir()
    handed.config.goal.execute(handed)
    assert "stage=workspace tracking=online" in capsys.readouterr().out
    for name in ("workspace", "report"):
        found = panels(json.loads((tmp_path / "out" / f"{name}.json").read_text()))
        kinds = {panel["viewType"] for panel in found}
        wanted = {"Parallel Coordinates Plot", "Scatter Plot", "Run History Line Plot", "Bar Chart"}
        assert kinds >= wanted, kinds
        (lines,) = [p["config"] for p in found if p["viewType"] == "Parallel Coordinates Plot"]
        accessors = [column["accessor"] for column in lines["columns"]]
        assert accessors[0] == "config:sft.value.cot_prob" and accessors[-1] == f"summary:{METRIC}"
        (dots,) = [p["config"] for p in found if p["viewType"] == "Scatter Plot"]
        assert (dots["xAxis"], dots["yAxis"], dots["zAxis"]) == (
            "config:grpo.value.learning_rate", "config:sft.value.cot_prob", f"summary:{METRIC}"
        )  # fmt: skip
        (bars,) = [p["config"] for p in found if p["viewType"] == "Bar Chart"]
        assert {"eval/popularity/uni9/ndcg@5", METRIC} <= {*bars["metrics"]}
        charted = {y for p in found for y in p["config"].get("metrics", []) if "probe" in y}
        assert {"grpo/probe/inflation", "grpo/probe/reward"} <= charted
    assert not (tmp_path / ".cache").exists() and not (tmp_path / ".config").exists()


def test_another_title_is_another_view() -> None:
    one, other = (name_of("runs", "us", "mllmrec", title) for title in ("Ours", "Mine"))
    assert one != other and one == name_of("runs", "us", "mllmrec", "Ours")


@pytest.mark.slow
def test_without_a_key_nothing_is_asked(tmp_path: Path) -> None:
    gone = {name: value for name, value in environment().items() if not name.startswith("WANDB_")}
    env = {**gone, "HOME": str(tmp_path), "NETRC": str(tmp_path / "no")}
    env["WANDB_BASE_URL"] = "http://127.0.0.1:9"
    words = command("stage=workspace", "tracking=online")
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    said = told(done)
    assert "no key for the W&B server http://127.0.0.1:9" in said and "type wandb login" in said


@pytest.mark.slow
def test_online_it_is_made_once_and_changed_in_place(tmp_path: Path) -> None:
    with serving() as server:
        own = {"HOME": str(tmp_path), "WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url}
        own["WANDB_ERROR_REPORTING"] = "false"
        for number, more in enumerate(("workspace.across=grpo.beta", "workspace.across=seed")):
            done = launch("stage=workspace", "tracking=online", more, cwd=tmp_path, **own)
            assert done.returncode == 0, done.stderr
            verb = "changed" if number else "made"
            assert f"{verb} the workspace: {server.url}/us/mllmrec?nw=" in done.stdout
            assert f"{verb} the report: {server.url}/us/mllmrec/reports/" in done.stdout
            assert sorted(view["type"] for view in server.views.values()) == [
                "project-view",
                "runs",
            ]
        for view in server.views.values():
            (dots,) = [
                p for p in panels(json.loads(view["spec"])) if p["viewType"] == "Scatter Plot"
            ]
            assert dots["config"]["xAxis"] == "config:seed.value"
        server.status = 500
        refused = told(launch("stage=workspace", "tracking=online", cwd=tmp_path, **own))
        assert "no answer from" in refused and "tracking=offline" in refused
    assert server.unknown == []
