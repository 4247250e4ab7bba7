"""Pictures and rationales through the real command line, a server's calls counted at the server."""

import json
import signal
import subprocess
import time

import polars as pl
import pytest

from mllmrec.artifacts import Store
from tests.bad_server import BadServer, Call, Said, completion, failed
from tests.launching import SMALL, command, environment, launch, told

FOUR = "Step 1: dramas.\nStep 2: dark ones.\nStep 3: lighter of late.\nStep 4: a bright drama."


def four_steps(call: Call) -> Said:
    return Said(body=completion(f"{FOUR} {abs(hash(call.text)) % 97}"))


def words(url: str, *more: str) -> list[str]:
    return [
        *("reasoner=endpoint", f"reasoner.endpoint.url={url}", "reasoner.endpoint.model=m"),
        *(*SMALL, "stage=pseudo_cot", "pseudo_cot.samples=40", *more),
    ]


def made(folder, stage):
    return next(a for a in Store(root=folder / "artifacts") if a.stage == stage)


def test_a_killed_launch_asks_nothing_twice(tmp_path):
    """`kill -9` in the middle, then the same command: only what was under way is asked again."""
    with BadServer(four_steps, delay=0.05).running() as server:
        typed = words(server.url, "reasoner.endpoint.concurrency=3")
        child = subprocess.Popen(
            command(*typed), cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL
        )
        while len(server.calls) < 15:
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
        begun = len(server.calls)
        assert begun < 40 and not list(tmp_path.glob("artifacts/toy/pseudo_cot/[!.]*"))
        done = launch(*typed, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert 40 <= len(server.calls) <= 40 + 3
        table = pl.read_parquet(made(tmp_path, "pseudo_cot").folder / "rationales.parquet")
        assert len(table) == 40 and table["text"].str.contains("Step 4").all()
        after = len(server.calls)
        # half as many more: the first ones are known to the journal, which all runs share
        done = launch(*words(server.url, "pseudo_cot.samples=60"), cwd=tmp_path)
        assert done.returncode == 0 and len(server.calls) == after + 20
    said = done.stdout + done.stderr
    assert "20 calls to m: about" in said and "price unknown: set reasoner.endpoint.price" in said


def test_failures_are_named_and_too_many_stop_the_run(tmp_path):
    def dull(call: Call) -> Said:
        return Said(body=completion("no steps at all"))

    with BadServer(dull).running() as server:
        line = told(launch(*words(server.url), cwd=tmp_path))
    assert "pseudo_cot: 40 of 40 have no rationale" in line and "pseudo_cot.max_failed=" in line


def test_an_outage_is_mended_by_repeating_the_command(tmp_path):
    """Three of forty rationales fail at the server: the same command asks for these alone."""

    def script(call: Call) -> Said:
        if len(server.calls) <= 3 or len(unlucky) == 3:
            return four_steps(call)
        unlucky.add(call.text)
        return failed(500, "ouch")

    unlucky: set[str] = set()
    with BadServer(script).running() as server:
        typed = words(server.url, "reasoner.endpoint.retries=0", "reasoner.endpoint.concurrency=1")
        line = told(launch(*typed, cwd=tmp_path))
        assert "3 of 40 have no rationale" in line and "repeat the command" in line
        server.script, before = four_steps, len(server.calls)
        done = launch(*typed, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert {call.text for call in server.calls[before:]} == unlucky
        assert len(server.calls) == before + 3
    assert made(tmp_path, "pseudo_cot").manifest["metrics"]["failed"] == 0


def test_a_key_that_is_not_taken_stops_at_once_and_is_told_nowhere(tmp_path):
    with BadServer(lambda call: failed(401, "bad key")).running() as server:
        typed = words(server.url, "reasoner.endpoint.key_env=MY_TEST_KEY")
        line = told(launch(*typed, cwd=tmp_path))
        assert "no such environment variable" in line and not server.calls
        done = launch(*typed, cwd=tmp_path, MY_TEST_KEY="sk-very-secret-value")
    assert "reasoner.endpoint.key_env=MY_TEST_KEY: the server does not take the key" in told(done)
    kept = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert not [p for p in kept if b"sk-very-secret-value" in p.read_bytes()]


def test_what_is_not_named_is_refused_before_anything_is_built(tmp_path):
    line = told(launch("stage=pseudo_cot", "reasoner=endpoint", *SMALL, cwd=tmp_path))
    assert "reasoner.endpoint.url=None: not set" in line
    assert "type reasoner.endpoint.url=http" in line
    line = told(launch("stage=caption", "captioner=transformers", *SMALL, cwd=tmp_path))
    assert "captioner.model.path=null" in line
    assert not list(tmp_path.glob("artifacts/toy"))


DEBUG = ("experiment=debug", "threads=1", "cot_prob=0.5", "dataset.poster_size=16", "stage=grpo")


@pytest.mark.slow
def test_thoughts_are_learnt_and_written_before_answers(tmp_path):
    """`prompt.inject=completion`: SFT learns a thought, GRPO's samples have room for one."""
    typed = (
        "prompt.inject=completion",
        "algorithm/rollout=sample",
        "algorithm.rollout.constraint=null",
    )
    done = launch(*DEBUG, *typed, "grpo.max_completion_length=48", cwd=tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    grpo = made(tmp_path, "grpo").manifest
    assert "rationales" not in grpo["identity"]["inputs"]  # the policy writes its own
    assert "rationales" in made(tmp_path, "sft").manifest["identity"]["inputs"]
    history = json.loads((made(tmp_path, "grpo").folder / "history.json").read_text())
    assert max(e.get("completions/max_length", 0) for e in history) > 3  # more than an answer
    line = told(launch(*DEBUG, typed[0], cwd=tmp_path))
    assert "writes answers alone, no thoughts" in line


@pytest.mark.slow
def test_a_leak_without_the_gate_and_with_it(tmp_path):
    """A writer that knows the target: told and charted; with the gate nothing is left of it."""
    typed = ("experiment=debug", "reasoner.reveal_target=true", "cot_prob=0.5", "stage=grpo")
    typed += ("grpo.max_steps=4",)  # two looks that know a train reward
    off = launch(*typed, "assess.gate=false", "threads=1", cwd=tmp_path, timeout=900)
    assert off.returncode == 0, off.stderr[-3000:]
    assert "LEAK: reasoner.reveal_target=true" in off.stdout + off.stderr
    history = json.loads((made(tmp_path, "grpo").folder / "history.json").read_text())
    logged = {name for entry in history for name in entry}
    assert {"reward/with_rationale", "reward/without_rationale"} <= logged
    looks = [entry for entry in history if "probe/ndcg@5" in entry]
    assert {"probe/reward", "probe/hint/reward", "probe/hint/ndcg@5", "probe/hint_gap"} <= {
        *looks[0]
    }
    assert looks[-1].keys() >= {"probe/train_reward", "probe/inflation"}
    on = launch(*typed, "assess.gate=true", "threads=1", cwd=tmp_path, timeout=900)
    assert on.returncode == 0, on.stderr[-3000:]
    assess = [a for a in Store(root=tmp_path / "artifacts") if a.stage == "assess"]
    assert sorted(a.manifest["metrics"]["kept"] for a in assess)[0] == 0
    assert "NO sample carries a rationale" in on.stdout + on.stderr
