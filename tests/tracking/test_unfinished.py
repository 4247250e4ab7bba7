"""The id of a launch that is to go on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import pytest

from tests.tracking.begun import folder_of
from tests.wandb_reader import read


@pytest.mark.slow
def test_a_failed_launch_resumes_its_id_and_a_finished_one_gets_another(
    launch: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="killed"), launch(run_id="abc") as killed:
        raise OSError("killed")
    unfinished = tmp_path / "here" / "wandb" / "unfinished"
    with filelock.FileLock(unfinished / "abc.lock"), launch(run_id="abc") as twin:
        pass  # what a second process sees while the first one runs
    with launch(run_id="abc") as again:
        told = json.loads((tmp_path / "out" / "wandb.json").read_text())
    assert told["parts"] == [str(killed.path), str(again.path)]
    with launch(run_id="abc") as later:
        pass
    assert again.id == killed.id and again.path != killed.path
    assert len({killed.id, twin.id, later.id}) == 3
    assert read(folder_of(again)).resume
    assert not list(unfinished.glob("*.json"))


def test_a_broken_memory_of_the_launch_is_as_good_as_none(
    launch: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "here" / "wandb" / "unfinished" / "abc.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"id": ')
    with launch(run_id="abc") as tracker:
        assert json.loads(file.read_text())["id"] == tracker.id
