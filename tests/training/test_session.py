from mllmrec.seeds import seed_for, share_of
from mllmrec.training.session import WHOLE, newest_whole


def test_a_checkpoint_that_was_cut_is_removed_and_the_one_before_taken(tmp_path):
    for step, whole in ((5, True), (10, True), (100, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if whole:
            (folder / WHOLE).touch()
    assert newest_whole(tmp_path) == tmp_path / "checkpoint-10"
    assert not (tmp_path / "checkpoint-100").exists()


def test_no_checkpoint_is_none(tmp_path):
    assert newest_whole(tmp_path / "missing") is None


def test_seeds_differ_by_purpose_and_are_stable():
    assert seed_for(42, "sft") == seed_for(42, "sft") != seed_for(42, "grpo")
    assert seed_for(4, "2") != seed_for(42, "")
    assert 0 <= seed_for(42, "sft") < 2**31


def test_shares_are_uniform():
    values = [share_of(1, "x", n) for n in range(4000)]
    assert min(values) >= 0 and max(values) < 1
    assert abs(sum(v < 0.3 for v in values) / 4000 - 0.3) < 0.03
