import pytest
from pydantic import ValidationError

from mllmrec.algorithm.token_weight.certainty import Certainty
from tests.algorithm.batches import batch, context

SAMPLE = batch({"a": ["a"]}).samples[0]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ((1, 2, 9), [1.0, 1.0, 0.1]),  # 1, 4 or 5 begin an answer; 2 or 3 follow 1; 9 ends all
        ((4, 9), [1.0, 0.1]),
        ((5, 6, 7, 9), [1.0, 0.1, 0.1, 0.1]),
        ((1, 7, 9), [1.0, 1.0, 1.0]),  # nothing begins with 1 7
        ((0, 0), [1.0, 1.0]),
        ((5, 8, 9), [1.0, 0.1, 1.0]),  # 6 alone follows 5, whatever was written
        ((4, 9, 3), [1.0, 0.1, 1.0]),  # behind an end there is nothing
        ((), []),
    ],
)
def test_tokens_without_an_alternative_count_less(tokens, expected):
    assert Certainty(decay=0.1)(tokens, SAMPLE, context()) == expected


def test_an_answer_that_begins_another_ends_at_a_fork():
    answers = {"x": (1, 9), "y": (1, 2, 9)}

    def branching(beginning):
        size = len(beginning)
        return len({t[size] for t in answers.values() if t[:size] == beginning and len(t) > size})

    made = context(answers=answers, branching=branching)
    assert Certainty(decay=0.0)((1, 9), SAMPLE, made) == [0.0, 1.0]  # 9 or 2 follow 1
    assert Certainty(decay=0.0)((1, 2, 9), SAMPLE, made) == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_the_range_of_the_weight(decay):
    with pytest.raises(ValidationError):
        Certainty(decay=decay)
