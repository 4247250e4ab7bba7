"""Reward files merge by name, and each names a class that takes all its fields."""

from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "reward").glob("*.yaml"))


def composed(tmp_path, *overrides):
    (tmp_path / "reward").symlink_to(CONF / "reward")
    (tmp_path / "config.yaml").write_text("defaults:\n  - reward: [hit_format]\n  - _self_\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        return OmegaConf.to_container(compose("config", list(overrides)).reward)


@pytest.mark.parametrize("name", NAMES)
def test_each_file_builds_its_reward(tmp_path, name):
    (found,) = composed(tmp_path, f"reward=[{name}]").items()
    assert found[0] == name
    module, _, kind = found[1].pop("_target_").rpartition(".")
    assert module == f"mllmrec.reward.{name}"
    assert getattr(import_module(module), kind).model_validate(found[1]).weight == 1.0


def test_a_list_takes_the_place_of_the_default_and_names_stay_reachable(tmp_path):
    found = composed(tmp_path, "reward=[hit,in_candidates]", "reward.hit.weight=0.2")
    assert list(found) == ["hit", "in_candidates"]
    assert found["hit"]["weight"] == 0.2
