import logging

from mllmrec.training.rationales import choose

IDS = [f"u{n}:3" for n in range(1000)]
ALL = {id: f"why {id}" for id in IDS}


def test_the_share_is_met_exactly_and_nests():
    few, more = (choose(IDS, ALL, share, 42, "sft") for share in (0.05, 0.10))
    assert len(few) == 50 and len(more) == 100
    assert few.items() <= more.items()


def test_another_seed_chooses_others():
    assert choose(IDS, ALL, 0.1, 1, "sft").keys() != choose(IDS, ALL, 0.1, 2, "sft").keys()


def test_sft_and_grpo_choose_the_same_samples():
    assert choose(IDS, ALL, 0.1, 1, "sft") == choose(IDS, ALL, 0.1, 1, "grpo")


def test_too_few_rationales_are_said(caplog):
    some = dict.fromkeys(IDS[:10], "why")
    with caplog.at_level(logging.WARNING):
        assert len(choose(IDS, some, 0.1, 42, "sft")) == 10
    assert "sft.cot_prob=0.1 asks for 100 rationales, 10 were kept" in caplog.text


def test_none_is_none():
    assert choose(IDS, ALL, 0.0, 42, "sft") == {}
