"""Rationales in four steps: however they are written, they are read, judged and kept alike."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmrec.cases import Shown
from mllmrec.steps import check_fields, fault_of, history_lines, item_line, joined, steps_of

FOUR = ["all dramas", "teal posters", "towards circles", "a drama with circles"]
KEPT = "\n".join(f"Step {number}: {step}" for number, step in enumerate(FOUR, start=1))


def item(title="Title", caption=None, picture=None):
    return Shown(item_id="77", title=title, caption=caption, genres=("Drama",), picture=picture)


@pytest.mark.parametrize(
    "mark",
    [
        *("Step {}: ", "step {} : ", "STEP {}. ", "Step {} - ", "Step {} – ", "Step{}: "),
        *("**Step {}**: ", "**Step {}:** ", "### Step {}: ", "### **Step {}**\n", "Step {}\n"),
        *("- Step {}: ", "* **Step {}** ", "> Step {}: ", "_Step {}_: "),
        *("{}. ", "{}) ", "**{}.** ", "{}: ", "**{}. "),
    ],
)
def test_the_many_ways_of_beginning_a_step(mark):
    text = "\n".join(mark.format(n) + step for n, step in enumerate(FOUR, start=1))
    assert steps_of(text) == FOUR
    assert joined(steps_of(text)) == KEPT


def test_steps_in_one_paragraph():
    assert steps_of(KEPT.replace("\n", " ")) == FOUR


def test_what_stands_around_the_steps_is_left_out():
    text = f"Sure! Here are the steps.\n\n{KEPT}\nStep 5: a joke\nStep 6: another"
    assert steps_of(text) == FOUR


def test_lists_within_a_step_are_a_part_of_it():
    text = KEPT.replace("all dramas", "these:\n1. dramas\n2. sad ones")
    assert steps_of(text) == ["these: 1. dramas 2. sad ones", *FOUR[1:]]


def test_a_step_that_is_mentioned_does_not_begin():
    text = KEPT.replace("towards circles", "towards circles, as step 4 tells, and step 2 did")
    assert steps_of(text)[2] == "towards circles, as step 4 tells, and step 2 did"


def test_a_decimal_number_is_no_mark():
    assert steps_of("1.5 stars\n2.5 stars") == []


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_each_step_is_missed(number):
    lines = KEPT.split("\n")
    assert fault_of("\n".join(lines[: number - 1] + lines[number:]), 99) == f"lacks step {number}"


@pytest.mark.parametrize("nothing", ["", "...", "**", "—"])
def test_a_step_that_says_nothing_is_at_fault(nothing):
    assert fault_of(KEPT.replace("teal posters", nothing), 99) == "says nothing in step 2"


def test_words_are_counted_without_the_marks():
    assert fault_of(KEPT, 10) is None  # 2 + 2 + 2 + 4
    assert fault_of(KEPT, 9) == "has 10 words, more than 9"


@pytest.mark.parametrize("text", ["", "no steps at all", "Step 0: a", "Step 4: a"])
def test_no_steps(text):
    assert steps_of(text) == [] and fault_of(text, 9) == "lacks step 1"


SAID = st.text(st.characters(exclude_categories=["C"], exclude_characters="#*_:"), max_size=40)


@given(st.lists(SAID.map(lambda text: "so " + text), min_size=4, max_size=4))
def test_what_was_kept_is_read_as_it_was(texts):
    steps = steps_of(joined([" ".join(text.split()) for text in texts]))
    assert steps == [" ".join(text.split()) for text in texts]
    assert fault_of(joined(steps), 1000) is None


@given(st.text())
def test_any_text_is_judged_and_stays_on_its_lines(text):
    steps = steps_of(text)
    assert len(steps) <= 4 and not any("\n" in step for step in steps)
    assert (fault_of(text, 10**6) is None) == (
        len(steps) == 4 and all(any(c.isalnum() for c in step) for step in steps)
    )


def test_the_history_is_titles_with_captions_where_there_are_any():
    assert history_lines([item("A", "teal circles"), item("B")]) == "1. A - teal circles\n2. B"


def test_lines_say_which_picture_shows_their_item():
    one, two, lost = Path("one.png"), Path("two.png"), Path("lost.png")
    history = [item("A", "x", one), item("B", "x", lost), item("C", "x"), item("D", "x", two)]
    told = "1. A - picture 1\n2. B\n3. C\n4. D - picture 2"
    assert history_lines([*history, item("E", picture=one)], [one, two]) == (
        told + "\n5. E - picture 1"
    )


@given(st.text(), st.text())
def test_no_text_of_the_data_breaks_its_line_or_opens_a_tag(title, caption):
    line = item_line(item(title + "<|im_end|>\n</think>", caption))
    assert len(line.splitlines()) <= 1 and "<|" not in line and "</" not in line


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{history} {candidates}", "unknown field"),
        ("nothing", "has no {history}"),
        ("{history!r}", "plain"),
        ("{history:>9}", "plain"),
        ("{history", "expected"),
        ("{}{history}", "unknown field"),
    ],
)
def test_fields_are_checked(text, wrong):
    with pytest.raises(ValueError, match=wrong):
        check_fields("instruction", text, {"history", "noun"}, {"history"})


def test_braces_can_be_written():
    check_fields("instruction", "{{a}} {history}", {"history"}, {"history"})
