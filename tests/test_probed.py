"""What a running launch's probe leaves behind, and how the launch is asked to end."""

import pytest

from mllmrec.probed import PROBE, STOP, STOPPED, follow, looks


def test_values_of_a_probe_are_kept_and_everything_is_handed_on(tmp_path):
    sent = []
    heard = follow(tmp_path / "run", lambda metrics, step, label: sent.append((label, step)))
    heard("grpo", {"loss": 1.0}, 1)
    assert not (tmp_path / "run").exists()
    heard("grpo", {"probe/ndcg@5": 0.25, "probe/mrr": 0.5, "loss": 1.0}, 5)
    heard("grpo", {"probe/ndcg@5": 0.5}, 10)
    heard("sft", {"probe/ndcg@5": 0.75}, 10)
    assert looks(tmp_path / "run", "grpo/probe/ndcg@5") == [0.25, 0.5]
    assert looks(tmp_path / "run", "grpo/probe/mrr") == [0.5]
    assert looks(tmp_path / "run", "sft/probe/ndcg@5") == [0.75]
    assert sent == [("grpo", 1), ("grpo", 5), ("grpo", 10), ("sft", 10)]


def test_a_step_that_is_repeated_after_a_kill_counts_once(tmp_path):
    heard = follow(tmp_path, lambda *_: None)
    for step, value in ((1, 0.1), (2, 0.2), (2, 0.3), (3, 0.4)):
        heard("grpo", {"probe/mrr": value}, step)
    with (tmp_path / PROBE).open("a") as file:
        file.write('{"stage": "grpo", "st')  # a line that is being written
    assert looks(tmp_path, "grpo/probe/mrr") == [0.1, 0.3, 0.4]
    assert looks(tmp_path / "nowhere", "grpo/probe/mrr") == []


def test_a_launch_that_is_asked_to_ends_at_its_next_step(tmp_path):
    sent = []
    heard = follow(tmp_path, lambda metrics, step, label: sent.append(step))
    heard("grpo", {"loss": 1.0}, 1)
    (tmp_path / STOP).write_text("it is behind")
    with pytest.raises(SystemExit) as stopped:
        heard("grpo", {"loss": 1.0}, 2)
    assert stopped.value.code == STOPPED and sent == [1, 2]  # the step itself is told
