"""The stored samples of the published scripts: what is read of each shape, and what is refused."""

import json

import pytest

from mllmrec.dataset.stored import Role, asked, files, read
from mllmrec.errors import Refusal

PROMPT = """You are a movie recommendation assistant.
Here are the user's most recently watched movies sequence:
1. [ITEM_07] Alien
2. [ITEM_8] 12. [ITEM_3] is a strange title

Candidate movies:
[ITEM_1] Brazil
[ITEM_12] Cube
[ITEM_5] Up

Possible reasoning process to help predict the next item, for reference ONLY.
<think>
[ITEM_99] is what the user wants
1. [ITEM_98] as well
</think>

Only output in format [ITEM_xxxx] Movie Title.
[ITEM_xxxx] Movie Title"""
ANSWER = "[ITEM_12] Cube"
WHOLE = {"prompt": PROMPT, "target_id": "12", "candidates": ["1", "12", "5"]}
TWO = Role(split="test", negatives=2)


def stored(tmp_path, *entries, role=TWO):
    file = tmp_path / "test_generate_seed42_neg2.json"
    file.write_text(json.dumps(entries))
    return read(file, role)


@pytest.mark.parametrize(
    "entry",
    [
        WHOLE,
        {"prompt": PROMPT, "target_id": 12},
        {"messages": [{"role": "user", "content": PROMPT}, {"content": ANSWER}]},
        {"history_ids": ["07", 8], "target_id": 12, "candidates": [1, 12, 5], "prompt": ""},
    ],
)
def test_every_shape_gives_the_same_sample(tmp_path, entry):
    (one,) = stored(tmp_path, entry)
    assert one.history == ["07", "8"]
    assert one.target_id == "12"
    assert one.candidates == ["1", "12", "5"]


def test_fields_win_over_the_prompt(tmp_path):
    (one,) = stored(tmp_path, {**WHOLE, "candidates": ["12", "5", "1"], "user_id": 3})
    assert one.candidates == ["12", "5", "1"] and one.user_id == "3"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({**WHOLE, "candidates": ["1", "5", "6"]}, "the target '12' is not among the candidates"),
        ({**WHOLE, "candidates": ["12", "5", "5"]}, "an item stands twice"),
        ({**WHOLE, "candidates": ["12", "5"]}, "entry 2, field candidates: there are 2"),
        ({**WHOLE, "candidates": ["12", "", "5"]}, r"entry 2, field candidates\.1, value ''"),
        ({**WHOLE, "prompt": "What next?"}, "no line of history"),
        ({"messages": 5}, "neither a prompt nor two messages"),
        ({"target_id": "12"}, "neither a prompt nor two messages"),
        ({"messages": [{"content": PROMPT}]}, "neither a prompt nor two messages"),
        ({"messages": [{"content": PROMPT}, {"content": "Cube"}]}, "entry 2, field target_id"),
        ("12", "entry 2, value '12'"),
    ],
)
def test_a_bad_entry_is_told_by_its_number_and_field(tmp_path, entry, said):
    with pytest.raises(Refusal, match=said) as refusal:
        stored(tmp_path, WHOLE, entry)
    assert "entry 2" in refusal.value.wrong and "prepare.adopt" in refusal.value.do


NAMES = {
    "test_generate_seed42_neg9.json": Role(split="test", negatives=9),
    "train_generate_seed42_neg9_cot_0.1.json": Role(split="train", negatives=9),
    "train_train_seed42_neg9_cot_0.1_int_10.json": Role(split="train", negatives=9),
    "test_generate_seed42_neg99_int_10.json": Role(split="test", negatives=99),
}


def test_names_say_what_files_are_for(tmp_path):
    for name in (*NAMES, "notes.json", "test_generate.txt"):
        (tmp_path / name).write_text("[]")
    assert files(tmp_path) == {tmp_path / name: role for name, role in sorted(NAMES.items())}
    some = [tmp_path / name for name in [*NAMES][:2]]
    assert [*files(some)] == some


@pytest.mark.parametrize("name", ["nowhere", "notes.json", "test_generate_seed42_neg9.json"])
def test_no_file_of_samples_is_refused(tmp_path, name):
    (tmp_path / "notes.json").write_text("[]")
    for given in (tmp_path / name, [tmp_path / name]):
        with pytest.raises(Refusal, match=f"prepare.adopt={tmp_path / name}") as refusal:
            files(given)
        assert "prepare.adopt=DIR" in refusal.value.do


def test_only_what_is_asked_for_is_used(tmp_path):
    roles = {tmp_path / name: role for name, role in NAMES.items()}
    used = asked(roles, train="uni9", test=["uni99", "pop9"])
    assert {role.column for role in used.values()} == {"train", "uni99"}
    with pytest.raises(Refusal, match="test uni9, test uni99, train uni9, and none is asked"):
        asked(roles, train="uni5", test=["pop9"])
