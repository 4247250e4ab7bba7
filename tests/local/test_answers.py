"""Why an answer of a local model will not do."""

import pytest

from mllmrec.local.answers import Answer, why_not


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(text="fine"), None),
        (Answer(text="bad"), "it is bad"),
        (Answer(text=""), "is empty"),
        (Answer(text="fine", is_cut=True), "did not end within 9 tokens"),
        (Answer(why="p.png: broken"), "p.png: broken"),
    ],
)
def test_what_will_not_do_says_why(answer, why):
    assert why_not(answer, 9, lambda text: "it is bad" if text == "bad" else None) == why
