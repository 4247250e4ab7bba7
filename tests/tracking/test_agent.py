"""Runs that were chosen from outside."""

from collections.abc import Callable
from typing import Any

import pytest

from mllmrec.errors import Refusal
from mllmrec.tracking.agent import refuse_multirun_under_agent
from tests.tracking.begun import folder_of
from tests.wandb_reader import read


def test_under_an_agent_its_id_and_sweep_win(
    launch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SWEEP_ID": "sw1", "RUN_ID": "fixed001", "PROJECT": "theirs"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    with launch(run_id="abc") as tracker:
        pass
    run = read(folder_of(tracker))
    assert (run.id, run.sweep, run.project) == ("fixed001", "sw1", "theirs")
    assert tracker.id == "fixed001"


@pytest.mark.parametrize("name", ["WANDB_SWEEP_ID", "WANDB_RUN_ID"])
def test_a_multirun_under_an_agent_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_multirun_under_agent()
    monkeypatch.setenv(name, "fixed001")
    with pytest.raises(Refusal, match=f"{name}=fixed001.*unset {name}"):
        refuse_multirun_under_agent()
