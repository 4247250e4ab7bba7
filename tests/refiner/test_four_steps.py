"""Drafts that a model rewrites: what reaches it, and what becomes of its answers."""

from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError

from tests.reasoner.asked import ASKED, FOUR, SAID, WORDS, case, shown, writer

JOURNAL = Path("journal.jsonl")
DRAFT = "Step 1: a\nStep 2: b </think>\nStep 3: c\nStep 4: d"


@pytest.fixture(params=["transformers", "endpoint"])
def choice(request):
    return request.param


@pytest.fixture
def write(choice):
    def run(*cases, drafts=None, **knobs):
        made = writer("refiner", choice, **knobs)
        return made.write(cases, drafts or {"s1": DRAFT}, WORDS, JOURNAL)

    return run


def test_the_model_is_shown_history_and_draft_in_words_and_never_pictures(write, tmp_path):
    picture = tmp_path / "p.png"
    Image.new("RGB", (8, 8)).save(picture)
    (reply,) = write(case(shown("1", "teal circles", picture=picture)))
    assert (reply.id, reply.text) == ("s1", FOUR)
    (request,) = ASKED
    assert request.pictures == () and "\n1. Title 1 - teal circles\n" in request.text
    assert "\nStep 1: a\nStep 2: b < /think>\nStep 3: c\nStep 4: d\n" in request.text
    assert "id1" not in request.text


def test_each_case_is_shown_its_own_draft(write):
    drafts = {"x": "the first", "y": "the second", "z": "of nobody"}
    write(case(shown("1"), id="y"), case(shown("1"), id="x"), drafts=drafts)
    assert [(r.id, "the first" in r.text, "the second" in r.text) for r in ASKED] == [
        ("y", False, True),
        ("x", True, False),
    ]
    assert not any("of nobody" in request.text for request in ASKED)


def test_a_target_reaches_the_model_only_where_the_case_shows_it(write):
    write(case(shown("1")))
    assert "Title 9" not in ASKED[0].text and "next is:" not in ASKED[0].text
    write(case(shown("1"), target=shown("9")))
    assert "next is: Title 9\n" in ASKED[0].text


def test_answers_are_kept_in_one_form_and_failures_with_their_reason(write, choice):
    made = writer("refiner", choice)
    SAID.update(a=FOUR.replace("Step ", "### Step "), b=FOUR.replace("teal\n", "\n"))
    cases = [case(shown("1"), id=id) for id in "ab"]
    a, b = made.write(cases, {"a": DRAFT, "b": DRAFT}, WORDS, JOURNAL)
    assert (a.text, b.text, b.why) == (FOUR, None, "says nothing in step 2")


def test_a_text_without_the_draft_is_refused(choice):
    with pytest.raises(ValidationError, match=r"has no \{draft\}"):
        writer("refiner", choice, instruction="{history}")


def test_a_refiner_is_active(choice):
    assert writer("refiner", choice).is_active
