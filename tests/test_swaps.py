"""What files say of an algorithm's parts: in place of those that were typed, or so that none is."""

import shlex
from pathlib import Path

import pytest
import yaml

from mllmrec.compose import check
from mllmrec.errors import Refusal
from mllmrec.swaps import PLAIN
from tests.launching import CONF


@pytest.fixture
def files(tmp_path: Path) -> str:
    for name in ("ratings.dat", "movies.dat"):
        (tmp_path / name).touch()
    return f"dataset.path={tmp_path}"


def refused(*words: str) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        check(words, CONF)
    assert str(refusal.value).count(" · ") >= 2
    return refusal.value


def test_the_plain_composition_is_the_default() -> None:
    root = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    assert {"algorithm": PLAIN} in root["defaults"]


@pytest.mark.parametrize(
    ("words", "does"),
    [
        (["experiment=catalogue", "algorithm=rere"], "algorithm/rollout=beam"),
        (
            ["experiment=catalogue", "algorithm=latent_r3", "grpo.beta=0"],
            "algorithm/rollout=latent algorithm.rollout.constraint=null",
        ),
        (  # beams have neither
            ["experiment=published", "algorithm=rere"],
            "algorithm/rollout=beam algorithm.rollout.temperature=1.0 '~algorithm.rollout.top_p'",
        ),
    ],
)
def test_an_experiment_puts_no_part_in_place_of_what_makes_a_method(words, does, files):
    refusal = refused(*words, files)
    assert f"{words[0]} puts algorithm/rollout=sample in place of its own" in refusal.wrong
    assert refusal.do == f"type {does} as well"
    check([*words, files, *shlex.split(does)], CONF)  # what is advised is taken


def test_a_part_that_is_the_default_s_too_is_the_experiment_s(files):
    check(["experiment=catalogue", "algorithm=riser", files], CONF)
    typed = ["experiment=catalogue", "algorithm=rere", "algorithm/rollout=sample"]
    check([*typed, files], CONF)  # typed: it is what is wanted


@pytest.mark.parametrize(
    ("said", "wrong", "do"),
    [
        ("algorithm: riser", "algorithm='riser'", "`- override /algorithm: riser`"),
        ("algorithm: {policy: cispo}", "algorithm.policy='cispo'", "type algorithm/policy=cispo,"),
        (
            "algorithm: {shaping: {memory: {k: 3}}}",
            "algorithm.shaping.memory: this part is not chosen",
            "type 'algorithm/shaping=[memory]'",
        ),
        (
            "algorithm: {shaping: memory}",
            "algorithm.shaping='memory': knobs belong here",
            "type 'algorithm/shaping=[memory]'",
        ),
        ("algorithm: {polcy: {epsilon: 3}}", "algorithm.polcy: no kind", "write policy for polcy"),
    ],
)
def test_an_experiment_that_chooses_no_part_is_told_how(said, wrong, do, tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text(f"# @package _global_\n{said}\n")
    words = ["--config-dir", str(tmp_path), "experiment=own"]
    refusal = refused(*words)
    assert wrong in refusal.wrong and do in refusal.do and ";" not in refusal.wrong
    if "shaping: {" in said:
        check([*words, "algorithm/shaping=[memory]"], CONF)


def test_compositions_and_parts_of_ones_own_are_seen(tmp_path, monkeypatch):
    shipped = CONF / "algorithm"
    (tmp_path / "algorithm" / "policy").mkdir(parents=True)
    (tmp_path / "algorithm" / "mine.yaml").write_text((shipped / "dapo.yaml").read_text())
    own = (shipped / "policy" / "kl_cov.yaml").read_text()
    (tmp_path / "algorithm" / "policy" / "owncov.yaml").write_text(own)
    folder = ["--config-dir", str(tmp_path)]
    assert refused(*folder, "algorithm.policy=owncov").do == "type algorithm/policy=owncov"
    refusal = refused(*folder, "algorithm.policy.ratio=0.1")
    assert refusal.allowed == "algorithm/policy=kl_cov, owncov has it"
    words = ["algorithm=mine", "algorithm/policy=owncov"]
    said = "algorithm=mine with algorithm/policy=owncov: it sets algorithm.policy.epsilon_high"
    assert said in refused(*folder, *words).wrong
    monkeypatch.setenv("MLLMREC_CONF", str(tmp_path))
    assert said in refused(*words).wrong
    monkeypatch.delenv("MLLMREC_CONF")
    assert "there is no such choice" in refused(*words).wrong
