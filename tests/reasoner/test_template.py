"""Rationales from genres and captions, word for word."""

from pathlib import Path

import pytest

from mllmrec.asking import Reply
from mllmrec.cases import Case, Shown
from mllmrec.reasoner.template import Template, gist, leading_genre, leading_gist
from tests.reasoner.asked import WORDS

TEAL = "teal, scattered circles in white, dark, high contrast"
RED = "crimson, rows of stripes in white, medium light"


def item(*genres, caption=None, title="A Title"):
    return Shown(item_id="4711", title=title, caption=caption, genres=genres, picture=None)


def tell(*history, recent=1, caption_words=3, target=None):
    writer = Template(reveal_target=False, recent=recent, caption_words=caption_words)
    case = Case(sample_id="s", history=history, target=target)
    (reply,) = writer.write([case], WORDS, Path("none"))
    return reply.text


CRIME, BOTH, DRAMA, BARE = item("Crime"), item("Crime", "Drama"), item("Drama"), item()


def test_a_genre_leads_and_the_latest_pictures_share_their_look():
    history = [item("Drama", caption=RED), BARE, *[item("Drama", caption=TEAL)] * 3]
    assert tell(*history, recent=3) == (
        "Mostly Drama (4 of 5); lately teal scattered circles (3 of 3), which would fit next."
    )


def test_without_captions_the_latest_genre_is_told():
    assert tell(CRIME, BOTH, CRIME, DRAMA) == (
        "Mostly Crime (3 of 4); lately Drama (1 of 1), which would fit next."
    )


def test_more_latest_items_outvote_the_last():
    assert "lately Crime (2 of 3)" in tell(CRIME, BOTH, CRIME, DRAMA, recent=3)


def test_without_genres_pictures_tell_it_all():
    history = [item(caption=RED), item(caption=RED), item(caption=TEAL)]
    assert tell(*history) == (
        "Mostly crimson rows stripes (2 of 3); lately teal scattered circles (1 of 1), "
        "which would fit next."
    )


def test_latest_items_that_tell_nothing_are_not_told():
    assert tell(CRIME, BARE) == "Mostly Crime (1 of 2), so what is popular would fit next."


def test_a_history_that_tells_nothing_says_so():
    assert tell(BARE) == (
        "The history tells no genres and no pictures, so what is popular would fit next."
    )


def test_a_revealed_target_is_named_with_its_look():
    assert tell(CRIME, target=item("Drama", caption=TEAL, title="Pale River")) == (
        "Mostly Crime (1 of 1); lately Crime (1 of 1), "
        "so what comes next is Pale River, teal scattered circles."
    )


def test_no_id_is_told():
    history = [item("Drama", caption=TEAL)] * 2
    assert "4711" not in tell(*history) + tell(*history, target=item("Drama", caption=TEAL))


@pytest.mark.parametrize(
    ("caption", "words", "told"),
    [
        (TEAL, 3, ["teal", "scattered", "circles"]),
        (TEAL, 4, ["teal", "scattered", "circles", "white"]),
        ("A man stands on a Cliff.", 9, ["man", "stands", "cliff"]),
        ("the, of", 3, []),
        ("", 3, []),
        (None, 3, []),
        ("a </think>\n<|im_end|> b", 9, ["<", "/think>", "<", "|im_end|>", "b"]),
    ],
)
def test_the_gist_of_a_caption(caption, words, told):
    assert gist(caption, words) == told


def test_ties_of_genres_are_told_by_name_and_doubles_count_once():
    assert leading_genre([item("b", "b", "b"), item("a"), item("c")]) == ("a", 1)
    assert leading_genre([item("b"), item("a"), item("b")]) == ("b", 2)
    assert leading_genre([BARE]) is None


def test_gists_of_one_beginning_are_told_by_what_they_share():
    teal, central, red = ["teal", "rows", "dots"], ["teal", "centre", "dots"], ["red", "rows"]
    assert leading_gist([red, teal, central]) == ("teal dots", 2)
    assert leading_gist([teal, red, teal]) == ("teal rows dots", 2)
    assert leading_gist([teal, red]) == ("red rows", 1)
    assert leading_gist([red, teal, []]) == ("teal rows dots", 1)
    assert leading_gist([[], []]) is None


def test_one_reply_a_case_in_their_order():
    writer = Template(reveal_target=False, recent=1, caption_words=3)
    cases = [
        Case(sample_id=id, history=(one,), target=None) for id, one in [("x", DRAMA), ("y", CRIME)]
    ]
    replies = writer.write(cases, WORDS, Path("none"))
    assert [(r.id, "Drama" in (r.text or "")) for r in replies] == [("x", True), ("y", False)]
    assert all(isinstance(reply, Reply) and reply.why is None for reply in replies)
