"""What is said is heard again, whatever ids and titles the data holds."""

from unicodedata import normalize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mllmrec.answer import Answer, judge, parse, parse_list
from mllmrec.prompt import Prompt, escape, shown_title, unescape

NASTY = ["]", "a b", "1\n2", "%", "%41", "</think>", "[ITEM_1]", "<|im_end|>", "é", "e\u0301", "\0"]
ids = st.one_of(st.text(min_size=1), st.sampled_from(NASTY), st.integers(0).map(str))
titles = st.one_of(
    st.text(), st.lists(st.sampled_from([*NASTY, " ", "<think>", "Heat"])).map("".join)
)


def prompt(answer, title_words=None):
    return Prompt(
        task="",
        history_header="",
        candidates_header="",
        hint="{rationale}",
        instruction="",
        order=["task", "history", "candidates", "hint", "instruction"],
        numbered=False,
        answer=answer,
        title_words=title_words,
        listing="",
        too_long="error",
        captions=False,
        caption="{caption}",
        caption_words=None,
        inject="prompt",
    )


@given(ids, titles, st.sampled_from([None, 1, 3]))
def test_an_answer_with_its_title_comes_back(item_id, title, words):
    shown = shown_title(title, words)
    text = prompt("id_title", words).answer_text(item_id, title)
    assert parse(text) == Answer(item_id, shown or None)
    assert "\n" not in text


@given(ids, titles)
def test_an_answer_by_id_comes_back(item_id, title):
    assert parse(prompt("id").answer_text(item_id, title)) == Answer(item_id, None)


@given(ids, titles, ids, titles)
def test_a_shown_answer_is_judged_by_its_own_title(item_id, title, other, other_title):
    mouth = prompt("id_title", 3)
    shown = mouth.shown({other: other_title, item_id: title})
    answer = parse(mouth.answer_text(item_id, title))
    assert judge(answer, [item_id], shown) == "candidate"


@given(st.text())
def test_any_text_is_read_without_an_error(text):
    for read in (text, f"[ITEM_{text}]", f"[ITEM_1]{text}", f"[ITEM_{text}%{text}] {text}"):
        answer = parse(read)
        assert answer is None or parse(f"[ITEM_{escape(answer.item_id)}]").item_id == answer.item_id


@given(ids, ids)
@example("é", "e\u0301")
def test_two_ids_never_read_the_same(one, other):
    assert unescape(escape(one)) == one
    composed = [normalize("NFC", escape(item_id)) for item_id in (one, other)]  # by tokenizers
    assert (composed[0] == composed[1]) == (one == other)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("[ITEM_7]", Answer("7", None)),
        ("  [ITEM_7] The Seven \n", Answer("7", "The Seven")),
        ("[ITEM_7] A [B] C", Answer("7", "A [B] C")),
        ("[ITEM_B00-x_1.2:3]", Answer("B00-x_1.2:3", None)),
        ("[ITEM_a%20b]", Answer("a b", None)),
        ("<think>[ITEM_1]</think>\n\n[ITEM_7]", Answer("7", None)),
        ("[ITEM_1]</think>[ITEM_2]</think>[ITEM_7]", Answer("7", None)),
        ("[ITEM_7] Seven\n[ITEM_8] Eight", Answer("7", "Seven")),
        ("[ITEM_7]\nbecause", Answer("7", None)),
        ("", None),
        ("[ITEM_]", None),
        ("ITEM_7", None),
        ("I say [ITEM_7]", None),
        ("[ITEM_7]Seven", None),
        ("[ITEM_7", None),
        ("[ITEM_a b]", None),
        ("[ITEM_%37]", None),
        ("<think>[ITEM_7]", None),
        ("[ITEM_7]</think>", None),
    ],
)
def test_the_first_line_after_thinking_is_the_answer(text, answer):
    assert parse(text) == answer


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("", []),
        ("\n \n", []),
        ("[ITEM_7]", [Answer("7", None)]),
        ("[ITEM_7] Seven\n\n  [ITEM_8]\r\n", [Answer("7", "Seven"), Answer("8", None)]),
        ("[ITEM_1]</think>\n\n[ITEM_7]\n[ITEM_7]", [Answer("7", None)] * 2),
        ("Here you are:\n1. [ITEM_7]\n[ITEM_8] [ITEM_9]", [None, None, Answer("8", "[ITEM_9]")]),
        ("[ITEM_7], [ITEM_8]", [None]),
        ("[ITEM_7]\n...", [Answer("7", None), None]),
    ],
)
def test_a_list_has_an_answer_a_line(text, answers):
    assert parse_list(text) == answers


@given(st.one_of(st.text(), st.lists(st.sampled_from([*NASTY, "[ITEM_7] A", "\n"])).map("".join)))
def test_a_list_begins_with_the_answer(text):
    """Any text is read; what one question would have heard is the first of what a list says."""
    answers = parse_list(text)
    assert parse(text) == (answers[0] if answers else None)
    assert len(answers) <= text.count("\n") + 1


@given(st.lists(st.tuples(ids, titles), max_size=5))
def test_a_list_that_is_written_comes_back(items):
    mouth = prompt("id_title", 3)
    text = "\n".join(mouth.answer_text(*item) for item in items)
    assert parse_list(text) == [
        Answer(item, shown_title(title, 3) or None) for item, title in items
    ]


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer("7", None), "candidate"),
        (Answer("7", "Seven"), "candidate"),
        (Answer("7", "Eight"), "malformed"),
        (Answer("9", None), "outside"),
        (Answer("9", "Nine"), "outside"),
        (Answer("9", "Seven"), "malformed"),
        (Answer("no such id", "Seven"), "outside"),
        (None, "malformed"),
    ],
)
def test_verdicts(answer, verdict):
    titles = {"7": "Seven", "8": "Eight", "9": "Nine"}
    assert judge(answer, ["7", "8"], titles) == verdict


def test_without_titles_none_is_checked():
    assert judge(Answer("7", "Eight"), ["7"]) == "candidate"
