"""The entrypoint as tests use it: composed within this process, or run as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from mllmrec.artifacts import Artifact, Store
from mllmrec.build import carry_out
from mllmrec.compose import compose_one, typed_keys
from mllmrec.plan import Step, plan
from mllmrec.schema import GROUPS, Config, validate
from mllmrec.stage.command import Asked

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
CHOICES = {*GROUPS, "stage", "experiment", "hardware"}
SMALL = ("dataset.users=60", "dataset.items=120", "dataset.poster_size=16")
SMALL += ("prepare.protocols=[uni9]", "tracking=off")


@cache
def composed(*choices: str) -> Any:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return compose("config", overrides=list(choices))


@cache
def config(*words: str) -> Config:
    """The validated config of these overrides.

    Knobs are set on a composed tree that is kept, which is ten times as fast as to compose anew.
    """
    heads = {word: word.partition("=")[0].partition("/")[0] for word in words}
    choices = [word for word in words if word[0] in "+~" or heads[word] in CHOICES]
    tree = composed(*choices).copy()
    for knob in OverridesParser.create().parse_overrides([w for w in words if w not in choices]):
        OmegaConf.update(tree, knob.key_or_group, knob.value(), merge=False)
    plain: Any = OmegaConf.to_container(tree, resolve=True)
    return validate(plain, typed=typed_keys(words))


def compose_typed(*words: str, search: Sequence[str] = ()) -> Config:
    """The validated config as the command line composes it; raises Refusal as that does."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return compose_one(words, search, "config")


def steps(store: Store, *words: str) -> list[Step]:
    return plan(config(*words), store)


def ids(*words: str, store: Path = Path("nowhere")) -> dict[str, str]:
    """The identity of every step of a plan, by its label."""
    return {step.label: step.id for step in steps(Store(root=store), *words)}


def make(store: Store, *words: str) -> dict[str, Artifact]:
    """Carry a plan out in this process; the artifacts by their label."""
    planned = steps(store, *words)
    done = carry_out(planned, config(*words), lambda label, metrics, step: None)
    return {step.label: done[step.id].artifact for step in planned if step.id in done}


def asked(store: Store, *words: str, folder: Path = Path("nowhere")) -> Asked:
    """What a command is handed, by a config of these overrides."""
    return Asked(store=store, config=config(*words), overrides=words, folder=folder, conf=CONF)


def command(*words: str) -> list[str]:
    return [sys.executable, str(ROOT / "launch.py"), *words]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def launch(
    *words: str, cwd: Path, timeout: float = 120, **more: Any
) -> subprocess.CompletedProcess[str]:
    """``python launch.py WORDS`` in a folder; capital keywords are environment variables."""
    env = environment(**{name: more.pop(name) for name in [*more] if name.isupper()})
    return subprocess.run(
        command(*words), cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, **more
    )


def told(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refusal, having checked that it is one: exit code, beats, no traceback."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and '  File "' not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("mllmrec: ")]
    assert len(lines) == 1, done.stderr
    assert len(lines[0].split(" · ")) >= 3, lines[0]
    return lines[0]
