"""Lists as a trie that is pruned while they are written."""

import itertools

import pytest

from mllmrec.scoring.choosers import tree
from mllmrec.scoring.decode import sample
from mllmrec.scoring.lines import Lines, named
from tests.plain import EOS, sharp_model

ANSWERS = {"a": (5, 6, EOS), "b": (5, 7, EOS), "c": (8, EOS)}
NAMES = {tokens[:-1]: item for item, tokens in ANSWERS.items()}


def lists_in(node, beginning=()):
    """Every list below a place in the trie."""
    if not node:
        yield beginning
    for token in node:
        yield from lists_in(node[token], (*beginning, token))


def written(items, newline):
    """The tokens of a list of these items."""
    lines = [ANSWERS[item][:-1] for item in items]
    return tuple(
        itertools.chain(*(line + newline for line in lines[:-1]), lines[-1], (EOS,)),
    )


@pytest.mark.parametrize("newline", [(4,), (4, 3)])
@pytest.mark.parametrize("items", [1, 2, 3])
def test_it_has_every_list_of_different_items_and_no_other(items, newline):
    found = list(lists_in(Lines.of(tree([*ANSWERS.values()]), items, newline, EOS)))
    expected = [written(order, newline) for order in itertools.permutations("abc", items)]
    assert sorted(found) == sorted(expected)


def test_a_token_that_does_not_lead_on_is_not_there():
    lines = Lines.of(tree([*ANSWERS.values()]), 2, (4,), EOS)
    assert [*lines] == [5, 8] and [*lines[8]] == [4] and [*lines[8][4]] == [5]
    assert lines.get(9) is None and lines[8].get(EOS) is None
    assert [*lines[8][4][5][6]] == [EOS] and lines[8][4][5][6][EOS] == {}


def test_what_a_list_names_and_where():
    # c is a token and a newline, a is two tokens and the end
    assert named(written("ca", (4,)), NAMES, (4,), EOS) == [("c", 0, 2), ("a", 2, 5)]
    assert named(written("cab", (4, 3)), NAMES, (4, 3), EOS) == [
        *(("c", 0, 3), ("a", 3, 7), ("b", 7, 10)),
    ]
    assert named((9, 4, 5, 6), NAMES, (4,), EOS) == [(None, 0, 2), ("a", 2, 4)]
    assert named((), NAMES, (4,), EOS) == []


def test_lists_are_drawn_token_by_token():
    found = sample(
        sharp_model(),
        [[4, 9, 3], [8]],
        [[1, 2, 3, 4, 5, 6], [7, 8, 9]],
        ends={EOS},
        pad_id=0,
        room=8,
        trie_of=lambda _: Lines.of(tree([*ANSWERS.values()]), 3, (4,), EOS),
        tokens_per_batch=999,
    )
    assert [len(group) for group in found] == [6, 3]
    for one in itertools.chain(*found):
        items = [item for item, _, _ in named(one.tokens, NAMES, (4,), EOS)]
        assert sorted(items) == ["a", "b", "c"] and tuple(one.tokens) == written(items, (4,))
        assert len(one.logps) == len(one.tokens)
