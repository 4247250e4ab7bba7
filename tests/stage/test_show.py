import re

import pytest

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from tests.launching import SMALL, config, make


def test_prompts_and_answers_are_printed_as_a_model_reads_them(tmp_path, capsys):
    words = ("stage=show", *SMALL, "show.samples=2", "prompt=reference")
    made = make(Store(root=tmp_path), *words)
    config(*words).goal.show(made["show"].folder)
    told = capsys.readouterr().out
    assert told.count("--- answer\n[ITEM_") == 2
    assert told.count("Candidate") == 2
    answer = told.split("--- answer\n")[1].split("\n")[0]
    assert answer in told.split("--- answer")[0]  # the target is one of the candidates


@pytest.mark.parametrize(
    ("words", "do"),
    [
        (["show.protocol=uni5"], "prepare.protocols=["),
        (["show.protocol=train"], "type one of these"),
        (["show.split=train"], "type show.protocol=train"),
    ],
)
def test_a_protocol_without_candidates_is_refused(words, do):
    with pytest.raises(Refusal, match=r"show\.protocol") as refusal:
        config("stage=show", *words)
    assert do in refusal.value.do


def test_the_train_split_is_shown_with_its_own_candidates():
    assert config("stage=show", "show.split=train", "show.protocol=train").goal.split == "train"


def test_the_lengths_are_those_of_the_chat_and_a_hint_is_in_its_place(tmp_path, capsys):
    words = ("stage=show", *SMALL, "show.samples=1", "show.hint=true")
    made = make(Store(root=tmp_path), *words)
    config(*words).goal.show(made["show"].folder)
    told = capsys.readouterr().out
    tokens, answer = map(int, re.search(r"· (\d+) tokens, answer (\d+)\n", told).groups())
    assert tokens > 60 and answer == 2  # the item's own token, and the end of the turn
    assert "<think>Mostly " in told.split("--- answer")[0]
    thinking = (*words, "prompt.inject=completion")
    made = make(Store(root=tmp_path), *thinking)
    config(*thinking).goal.show(made["show"].folder)
    told = capsys.readouterr().out
    assert "<think>" not in told.split("--- answer")[0]
    assert "--- answer\n<think>\nMostly " in told and "</think>\n\n[ITEM_" in told
    more = int(re.search(r"answer (\d+)\n", told)[1])
    assert more > 10  # the thought is part of what is written
