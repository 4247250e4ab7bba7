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
