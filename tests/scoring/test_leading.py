"""Log-probabilities renormalised over the tokens that lead on in a trie."""

import copy
import math

import pytest
import torch

from mllmrec.scoring.choosers import pruned, tree
from mllmrec.scoring.leading import leading
from mllmrec.scoring.packed import answer_logps, log_choice, per_answer, token_logps
from mllmrec.scoring.trie import pack
from tests.plain import EOS, eager, gradient_of, ragged


def distinct(seed):
    prompts, answers = ragged(seed, samples=4)
    return prompts, [[list(a) for a in dict.fromkeys(map(tuple, these))] for these in answers]


def written_out(model, prompt, answer, answers, temperature):
    """Of each token of an answer: log-probability and entropy, all but what leads on masked."""
    ids = torch.tensor([[*prompt, *answer]])
    logits = model(input_ids=ids, use_cache=False).logits[0].float() / temperature
    logps, entropies = [], []
    for place, token in enumerate(answer):
        beginning = answer[:place]
        may = {a[place] for a in answers if a[:place] == beginning and len(a) > place}
        barred = torch.tensor([token not in may for token in range(logits.shape[-1])])
        row = logits[len(prompt) - 1 + place].masked_fill(barred, -torch.inf).log_softmax(-1)
        logps.append(row[token])
        entropies.append(-(row.exp() * row).nan_to_num().sum())
    return torch.stack(logps), torch.stack(entropies)


@pytest.mark.parametrize("nodes", [2, 512], ids=["many tries", "one trie"])
@pytest.mark.parametrize("seed", range(3))
def test_numbers_and_gradients_are_those_of_masked_logits(model, seed, nodes):
    """Some of each prompt's answers are scored, its trie has all of them."""
    prompts, answers = distinct(seed)
    some = [these[:: 1 + n % 2] for n, these in enumerate(answers)]
    shared, other = copy.deepcopy(model).train(), eager(model).train()
    rows = [pack(p, these, nodes=nodes) for p, these in zip(prompts, some, strict=True)]
    found = token_logps(shared, rows, 0.7, entropy=True, allowed=[*map(tree, answers)])
    parts = [
        written_out(other, prompt, answer, all_of_them, 0.7)
        for prompt, these, all_of_them in zip(prompts, some, answers, strict=True)
        for answer in these
    ]
    logps, entropies = (torch.cat(part) for part in zip(*parts, strict=True))
    assert (found.logps - logps).abs().max() < 1e-5
    assert (found.entropies - entropies).abs().max() < 1e-5
    weights = torch.randn(len(logps), generator=torch.Generator().manual_seed(seed))
    ours = gradient_of(shared, (found.logps * weights).sum())
    theirs = gradient_of(other, (logps * weights).sum())
    assert theirs.norm() > 0 and (ours - theirs).norm() < 1e-5 * theirs.norm()


@pytest.mark.parametrize("seed", range(3))
def test_whole_answers_are_those_of_a_choice_by_token(model, seed):
    """As ``log_choice`` finds them from log-probabilities under the whole vocabulary."""
    prompts, answers = distinct(seed + 3)
    rows = [pack(p, these, nodes=3) for p, these in zip(prompts, answers, strict=True)]
    with torch.no_grad():
        expected = log_choice(rows, token_logps(model, rows).logps, by="token")
        held = token_logps(model, rows, allowed=[*map(tree, answers)]).logps
        again = log_choice(rows, held, by="token")
    sums = [x for row in per_answer(rows, held.double().numpy()) for x in row]
    assert sums == pytest.approx(expected.tolist(), abs=1e-5)
    assert again.tolist() == pytest.approx(expected.tolist(), abs=1e-5)  # nothing is left to do
    for row in per_answer(rows, held.double().numpy()):
        assert sum(map(math.exp, row)) == pytest.approx(1, abs=1e-5)


def test_a_token_without_alternative_is_certain_and_has_no_gradient(model):
    """Only the first tokens, 5 and 6, have an alternative."""
    trained = copy.deepcopy(model)
    answers = [[5, 7, 8, EOS], [6, EOS]]
    rows = [pack([3, 4], answers)]
    found = token_logps(trained, rows, entropy=True, allowed=[tree(answers)])
    assert found.logps[[1, 2, 3, 5]].tolist() == [0, 0, 0, 0]
    assert found.entropies[[1, 2, 3, 5]].tolist() == pytest.approx([0] * 4, abs=1e-6)
    assert found.logps[[0, 4]].exp().sum().item() == pytest.approx(1)
    assert gradient_of(trained, found.logps[[1, 2, 3, 5]].sum()).abs().max() == 0


def test_answers_get_likelier_the_fewer_there_are(model):
    """Under the whole vocabulary, all answers, and two of them."""
    prompt, many = [3, 4, 5], [[5, 6, EOS], [5, 7, EOS], [6, EOS], [7, 7, EOS]]
    rows = [pack(prompt, many[:2])]
    with torch.no_grad():
        free = token_logps(model, rows).logps
        held = token_logps(model, rows, allowed=[tree(many)]).logps
        few = token_logps(model, rows, allowed=[tree(many[:2])]).logps
    assert (free <= held + 1e-6).all() and (held <= few + 1e-6).all()
    assert free.sum() < held.sum() < few.sum()


def test_one_trie_serves_all_prompts_and_each_of_its_nodes_is_read_once(model):
    """A catalogue; the second prompt may not have one of its items."""
    catalogue = [[5, a, b, EOS] for a in (6, 7, 8) for b in range(9, 15)]
    root = tree(catalogue)
    without = pruned(root, [catalogue[0]])
    rows = [pack([3, n], [[5, 6, 10, EOS], [5, 7, 9, EOS]]) for n in (4, 5, 6)]
    read = []

    class Watched(dict):
        def __iter__(self):
            read.append(id(self))
            return super().__iter__()

    def watched(node, known):
        if id(node) not in known:
            known[id(node)] = Watched({t: watched(n, known) for t, n in node.items()})
        return known[id(node)]

    known = {}
    whole, less = watched(root, known), watched(without, known)
    read.clear()
    made = leading(rows, [whole, less, whole], "cpu")
    # of the whole trie the top, 5, 6, 7, and 10 and 9 below; without one item the first three anew
    assert len(read) == len(set(read)) == 6 + 3
    assert made.count == sum(row.nodes for row in rows)
    sizes = torch.bincount(made.nodes).tolist()
    assert sizes[:6] == [1, 3, 6, 1, 6, 1]  # top, 5, 6, 10, 7, 9
    assert sizes[6:12] == [1, 3, 5, 1, 6, 1]
    held = token_logps(model, rows, allowed=[root, without, root]).logps
    assert torch.isfinite(held).all()


def test_an_answer_that_its_trie_has_not_is_an_error(model):
    root = tree([[5, 6, EOS], [7, EOS]])
    for answer in ([5, 7, EOS], [8, EOS], [7, 5, EOS], [5, 6, 7]):
        with pytest.raises(ValueError, match="is not in the trie of its prompt"):
            token_logps(model, [pack([3], [[7, EOS], answer])], allowed=[root])


def test_a_row_a_trie(model):
    with pytest.raises(ValueError):
        token_logps(model, [pack([3], [[7, EOS]])], allowed=[])


def test_without_tries_nothing_changes(model):
    prompts, answers = distinct(2)
    rows = [pack(p, these) for p, these in zip(prompts, answers, strict=True)]
    with torch.no_grad():
        found = per_answer(rows, token_logps(model, rows).logps.double().numpy())
    for row, other in zip(found, answer_logps(model, prompts, answers, 10_000), strict=True):
        assert row == pytest.approx(other, abs=1e-6)
