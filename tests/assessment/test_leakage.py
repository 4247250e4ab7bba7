"""What counts as naming the target, by cases that a reader can check."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmrec.assessment.leakage import Gate, holds, is_bare, words

TITLES = ["The Dark River", "Dark Winter Moon", "Alien", "It", "Blade Runner 2049", "Heat (1995)"]
SEEN = ["Dark Winter Moon", "a dark poster with a river"]


def gate(least: int = 2) -> Gate:
    return Gate.over(TITLES, least)


@pytest.mark.parametrize(
    ("text", "target", "title", "leaks"),
    [
        ("Next fits [ITEM_77] for sure.", "77", "Alien", True),  # the id as prompts write it
        ("Of 77 films many were dark.", "77", "Alien", False),  # a number is no id
        ("Take tt0111161 next.", "tt0111161", "Alien", True),  # a long id by itself
        ("mytt0111161x", "tt0111161", "Alien", False),  # not within another word
        ("They would like ALIEN now.", "3", "Alien", True),  # one word that is the title's own
        ("Something alienated.", "3", "Alien", False),  # another word
        ("It is clear that it fits.", "4", "It", True),  # rare among titles, so it counts
        ("The dark river flows.", "1", "The Dark River", True),  # the whole title, in a row
        ("A river, then the dark.", "1", "The Dark River", False),  # its words were all seen
        ("A blade, and a runner.", "5", "Blade Runner 2049", True),  # two words of its own
        ("A blade and 2049 reasons.", "5", "Blade Runner 2049", False),  # one, and a number
        ("", "5", "Blade Runner 2049", False),
    ],
)
def test_the_table(text: str, target: str, title: str, leaks: bool) -> None:
    assert (gate().leak(text, target, title, SEEN) is not None) == leaks


def test_a_word_that_many_titles_have_is_nobodys_own() -> None:
    many = Gate.over([f"Return {n}" for n in range(300)] + ["Return Zorro"], 2)
    assert many.leak("A return fits.", "9", "Return", []) is None
    assert many.leak("Zorro's return", "9", "Return Zorro", []) is None  # one word of its own
    assert many.leak("Return, Zorro", "9", "Return Zorro", []) == "the title 'Return Zorro'"


def test_how_many_words_is_a_knob() -> None:
    assert gate(1).leak("A blade.", "5", "Blade Runner 2049", []) is not None
    assert gate(2).leak("A blade.", "5", "Blade Runner 2049", []) is None


@given(st.text(), st.text())
def test_an_id_as_prompts_write_it_always_leaks(before: str, after: str) -> None:
    assert gate().leak(f"{before} [ITEM_a%5Bb] {after}", "a[b", "Alien", []) is not None


def test_parts() -> None:
    assert words("Heat (1995): L'été") == ["heat", "1995", "l", "été"]
    assert holds(["a", "b", "c"], ["b", "c"]) and not holds(["a", "b"], ["b", "a"])
    assert not holds(["a"], []) and is_bare("12345", "id 12345.") and not is_bare("12", "12")
