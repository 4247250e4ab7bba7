"""The texts of the published scripts: what is read of them, and how a bad file is told."""

import json

import pytest

from mllmrec.dataset.published import captions, rationales
from mllmrec.errors import Refusal


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "x.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return path

    return write


def trace(**over):
    target = {"item_id": "12", "title": "Alien", "image_path": "images/12.jpg"}
    told = {"line_idx": 3, "user_id": "07", "history_items": [], "target_item": target}
    return {**told, "reasoning": " Step 1: space. ", **over}


def test_captions_by_item_id_in_both_shapes(file):
    whole = {"007": {"title": "Alien", "caption": " A ship. "}, "8": "A dog."}
    first, second = captions(file(whole), "caption.adopt")
    assert (first.item_id, first.title, first.text) == ("007", "Alien", "A ship.")
    assert (second.item_id, second.title, second.text) == ("8", None, "A dog.")


def test_rationales_by_user_and_target(file):
    (one,) = rationales(file([trace()]), "refine.adopt")
    assert (one.user_id, one.item_id, one.title) == ("07", "12", "Alien")
    assert one.text == "Step 1: space." and one.why is None
    assert one.place == "entry 1 (user '07', target '12')"


def test_ids_as_numbers_are_ids(file):
    (one,) = rationales(file([trace(user_id=7, target_item={"item_id": 12})]), "x.adopt")
    assert (one.user_id, one.item_id, one.title) == ("7", "12", None)


def test_a_title_that_they_did_not_know_is_none(file):
    (one,) = captions(file({"1": {"title": "Unknown Title", "caption": "x"}}), "caption.adopt")
    assert one.title is None


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ({"reasoning": ""}, "the text is empty in the file"),
        ({"reasoning": " \n"}, "the text is empty in the file"),
        ({"reasoning": None}, "the text is empty in the file"),
        ({"reasoning": "", "error": "RateLimit(429)"}, "the file says RateLimit(429)"),
        ({"reasoning": "half", "error": "cut"}, "the file says cut"),
    ],
)
def test_an_empty_text_is_no_text_and_says_why(file, over, why):
    (one,) = rationales(file([trace(**over)]), "refine.adopt")
    assert one.text is None and one.why == why


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([trace(), trace(user_id=None)], "entry 2, field user_id, value None"),
        ([trace(target_item={"title": "x"})], r"entry 1, field target_item\.item_id"),
        ([trace(target_item="12")], "entry 1, field target_item, value '12'"),
        ([trace(reasoning=3)], "entry 1, field reasoning, value 3"),
        ([trace(user_id=" ")], "entry 1, field user_id, value ' ': empty"),
        ([5], "entry 1, value 5"),
        ({"a": 1}, "the whole, value"),
        ([], "holds no entry"),
        ("[{]", "cannot be read as JSON .*line 1 column 3"),
        ([{"user_id": n} for n in range(9)], "and 13 more"),
    ],
)
def test_a_bad_file_of_rationales_is_told_by_entry_field_and_value(file, content, said):
    path = file(content)
    with pytest.raises(Refusal, match=said) as refusal:
        rationales(path, "refine.adopt")
    assert str(path) in refusal.value.wrong and "refine.adopt=FILE" in refusal.value.do


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"7": {"title": "x"}}, "item '7', field caption"),
        ({"7": 3}, "item '7', value 3"),
        ([trace()], "the whole, value"),
    ],
)
def test_a_bad_file_of_captions(file, content, said):
    with pytest.raises(Refusal, match=said):
        captions(file(content), "caption.adopt")


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b'{"1": "\xe9"}')
    with pytest.raises(Refusal, match="cannot be read as JSON"):
        captions(path, "caption.adopt")
