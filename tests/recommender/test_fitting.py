"""Rounds, the best one kept, and a kill anywhere that changes nothing."""

import json

import numpy as np
import pytest
import torch

from mllmrec.recommender import fitting
from mllmrec.recommender.fitting import Progress, Task, ranked, rounds
from mllmrec.recommender.rows import Asked
from tests.recommender.cycle import ITEMS, LENGTH, fitted, knobs

FILES = ("weights.safetensors", "fit.json")


def content(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


class Killed(Exception):
    pass


def killed_after(rounds):
    def log(metrics, number):
        if number + 1 == rounds:
            raise Killed

    return log


@pytest.mark.parametrize("name", ["sasrec", "bert4rec", "sasrec_cql"])
def test_the_same_seed_gives_the_same_bytes(name, circle, tmp_path):
    made = knobs(name, max_epochs=2, dropout=0.2)
    fitted(made, circle, tmp_path / "one", seed=1)
    torch.rand(3)  # what else is drawn meanwhile has no part in it
    fitted(made, circle, tmp_path / "two", seed=1)
    fitted(made, circle, tmp_path / "other", seed=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert content(tmp_path / "one") != content(tmp_path / "other")


@pytest.mark.parametrize("name", ["sasrec", "bert4rec", "sasrec_cql"])
@pytest.mark.parametrize("after", [1, 3])
def test_a_kill_goes_on_and_ends_the_same(name, after, circle, tmp_path):
    """Every four steps: within an epoch as well as between two."""
    made = knobs(name, max_epochs=2, validate_every=4, dropout=0.2)
    fitted(made, circle, tmp_path / "whole")
    with pytest.raises(Killed):
        fitted(made, circle, tmp_path / "cut", log=killed_after(after))
    assert not (tmp_path / "cut" / "fit.json").exists()
    seen = []
    fitted(made, circle, tmp_path / "cut", log=lambda metrics, number: seen.append(number))
    assert seen[0] == after  # nothing is done twice
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_the_generator_of_others_is_left_alone(circle, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fitted(knobs("sasrec", max_epochs=1), circle, tmp_path)
    assert torch.equal(torch.rand(1), expected)


def test_the_best_round_is_published_and_patience_ends_it(circle, tmp_path, monkeypatch):
    """NDCG of 0.1, 0.3, 0.3, 0.2: the second round is the best, and two more bring nothing."""
    told = iter([0.1, 0.3, 0.3, 0.2, 0.9])
    monkeypatch.setattr(
        fitting, "judged", lambda network, task: {"ndcg@10": next(told), "hr@10": 0.0}
    )
    weights = []
    took = fitting.take

    def take(progress, network, line):
        weights.append(network.item.weight.detach().clone())
        took(progress, network, line)

    monkeypatch.setattr(fitting, "take", take)
    found = fitted(knobs("sasrec", max_epochs=9, patience=2), circle, tmp_path)
    from safetensors.torch import load_file

    kept = load_file(tmp_path / "weights.safetensors")["item.weight"]
    assert torch.equal(kept, weights[1]) and len(weights) == 4
    assert (found["epoch"], found["epochs"], found["ndcg@10"]) == (2.0, 4.0, 0.3)
    curve = json.loads((tmp_path / "fit.json").read_text())["curve"]
    assert [line["ndcg@10"] for line in curve] == [0.1, 0.3, 0.3, 0.2]


def test_rounds_split_epochs_and_each_item_is_told_once_an_epoch(circle):
    task = Task.of(circle, LENGTH, None, 0)
    made = list(rounds(knobs("sasrec", max_epochs=2, validate_every=4), task, 0))
    assert [one.number for one in made] == [*range(len(made))]
    ends = [one.epoch for one in made]
    assert ends == sorted(ends) and ends[-1] == 2.0 and 1.0 in ends
    targets = len(task.sequences.items) - len(task.sequences.ends)
    told = sum(one.rows.told[part].sum() for one in made for part in one.parts)
    assert told == 2 * targets
    whole = list(rounds(knobs("sasrec", max_epochs=2), task, 0))
    assert [one.epoch for one in whole] == [1.0, 2.0]


class Table(torch.nn.Module):
    """A network whose scores are known: item j scores j, whatever the history."""

    count = 4

    def scores(self, histories):
        return torch.arange(4.0).repeat(len(histories), 1)


def test_validation_ranks_all_items_but_those_of_the_user():
    """Target 1 has items 2 and 3 before it; without item 3, which the user has, one."""
    asked = Asked(
        histories=[np.array([0]), np.array([0, 3])],
        targets=np.array([1, 1]),
        seen=(np.array([1]), np.array([3])),
    )
    assert ranked(Table(), asked).tolist() == [3, 2]


def test_equal_scores_count_against_the_target():
    class Equal(Table):
        def scores(self, histories):
            return torch.zeros(len(histories), 4)

    asked = Asked(histories=[np.array([0])], targets=np.array([2]), seen=(np.array([]),) * 2)
    asked = Asked(
        histories=asked.histories,
        targets=asked.targets,
        seen=(np.array([], dtype=int), np.array([], dtype=int)),
    )
    assert ranked(Equal(), asked).tolist() == [4]


def test_validation_is_the_same_in_parts(circle, monkeypatch):
    task = Task.of(circle, LENGTH, None, 0)
    torch.manual_seed(0)
    network = knobs("sasrec").network(ITEMS, LENGTH)
    whole = fitting.judged(network, task)
    monkeypatch.setattr(fitting, "CELLS", 7 * ITEMS)
    assert fitting.judged(network, task) == pytest.approx(whole)


def test_fewer_validation_samples(circle):
    assert len(Task.of(circle, LENGTH, 10, 0).validation.targets) == 10


def test_patience_by_hand():
    lines = [{"ndcg@10": value} for value in (0.2, 0.5, 0.4, 0.5)]
    assert Progress(curve=lines).best_round == 1
    assert Progress(curve=lines).is_over(2) and not Progress(curve=lines).is_over(3)
    assert not Progress().is_over(1)
