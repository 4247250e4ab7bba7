from mllmrec.answer import parse
from tests.training.conftest import TITLES


def test_an_answer_is_read_back_as_the_item_it_names(config, tokenizer):
    """Through the tokens: byte-level decoders garble what is not ASCII in an added token."""
    prompt = config.prompt
    for item, title in TITLES.items():
        ids = prompt.encode_answer(tokenizer, prompt.answer_text(item, title))
        assert len(ids) == 2  # the item's own token, and the end of the turn
        assert parse(tokenizer.decode(ids, skip_special_tokens=True)).item_id == item
        titled = prompt.encode_answer(tokenizer, prompt.item_text(item, title))
        assert (
            parse(tokenizer.decode(titled, skip_special_tokens=True)).title
            == prompt.shown({item: title})[item]
        )


def test_interactions_are_cut_into_rows_in_evenly_shifted_ways():
    from mllmrec.training.pretrain import pieces

    assert list(pieces(10, 4, 1)) == [(0, 4), (4, 8), (8, 10)]
    assert list(pieces(10, 4, 2))[3:] == [(0, 2), (2, 6), (6, 10)]
    assert list(pieces(3, 4, 2)) == [(0, 3), (0, 2), (2, 3)]


def test_dropout_is_at_work_only_while_training():
    import torch

    from mllmrec.training.pretrain import dropped

    part, states = torch.nn.Identity(), torch.ones(1000)
    torch.manual_seed(0)
    assert 300 < (dropped(0.5, part, (), states) == 0).sum() < 700
    assert dropped(0.0, part, (), states).equal(states)
    assert dropped(0.5, part.eval(), (), states).equal(states)
