"""What is asked of ``recommend`` is known by its content, and read before anything is trained."""

import pytest

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from tests.launching import SMALL, config, ids, make, steps


def asked(*words):
    return ids("stage=recommend", *SMALL, *words)


def test_it_stands_on_the_data_alone_and_before_what_is_trained(tmp_path):
    planned = steps(Store(root=tmp_path), "stage=recommend", *SMALL, "recommend.history=[1]")
    labels = [step.label for step in planned]
    assert labels[:2] == ["prepare", "requests"] and labels.index("sft") > 1
    assert list(planned[1].inputs) == ["prepare"]


def test_what_does_not_touch_the_question_asks_it_but_once(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("history\n1|2\n")
    copy = tmp_path / "copied.csv"
    copy.write_text(file.read_text())
    words = ("recommend.policy=popularity", f"recommend.file={file}")
    first = asked(*words)
    for other in (
        ("recommend.top=3",),
        ("recommend.max_bad_rows=1",),
        ("recommend.policy=markov",),
    ):
        again = asked(*words, *other)
        assert again["requests"] == first["requests"]
    assert asked(*words, "recommend.top=3")["recommend"] != first["recommend"]
    assert asked(*words, "recommend.max_bad_rows=1") == first
    assert asked(*words[:1], f"recommend.file={copy}") == first  # its content counts
    assert asked(*words, 'recommend.separator=";"')["requests"] != first["requests"]
    copy.write_text("history\n2|1\n")
    assert asked(*words[:1], f"recommend.file={copy}")["requests"] != first["requests"]


def test_a_title_that_nobody_knows_is_told_before_anything_is_trained(tmp_path):
    store = Store(root=tmp_path)
    title = config("stage=recommend", *SMALL, "recommend.history=[1,Nowhere]")
    assert title.goal.policy == "grpo"
    with pytest.raises(Refusal, match="'Nowhere' is no item") as refusal:
        make(store, "stage=recommend", *SMALL, "recommend.history=[1,Nowhere]")
    assert refusal.value.wrong.startswith("recommend.history: ")
    assert not (tmp_path / "toy" / "pretrain").exists()
