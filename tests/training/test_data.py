import numpy as np
import pytest

from mllmrec.errors import Refusal
from mllmrec.rendering import render_all
from mllmrec.training.data import answered_rows
from mllmrec.training.pretrain import check_lengths


def rows_of(prepared, config, tokenizer, learn):
    samples = prepared.samples("train")
    words = config.groups["words"]
    texts = render_all(samples, "train", prepared, config.prompt, words)
    learnt = [
        config.prompt.listed_history(h.to_list(), prepared.titles, words.model_dump())
        for h in samples["history"]
    ]
    return texts, answered_rows(
        texts,
        samples["target"].to_list(),
        prepared,
        config.prompt,
        tokenizer,
        learnt if learn else None,
    )


def test_the_loss_is_on_the_answer_and_its_end(prepared, config, tokenizer):
    texts, rows = rows_of(prepared, config, tokenizer, learn=False)
    for text, row, answer in zip(texts, rows, ("[ITEM_03]", "[ITEM_2]"), strict=True):
        kept = [label for label in row["labels"] if label != -100]
        assert tokenizer.decode(kept) == f"{answer}<|im_end|>"
        prompt = config.prompt.encode(tokenizer, text)
        assert row["input_ids"] == prompt + kept  # what SFT reads is what evaluation reads


def test_the_history_is_learnt_too_where_asked(prepared, config, tokenizer):
    _, rows = rows_of(prepared, config, tokenizer, learn=True)
    kept = tokenizer.decode([label for label in rows[0]["labels"] if label != -100])
    assert "[ITEM_1] Dark River\n[ITEM_2] Golden Storm" in kept
    assert "[ITEM_x%20y]" not in kept  # a candidate alone
    assert kept.endswith("[ITEM_03]<|im_end|>")


def test_a_row_of_pretraining_over_the_limit_is_refused_not_cut():
    check_lengths(np.array([3, 12]), 12)
    with pytest.raises(Refusal, match=r"13 tokens long, the model takes 12 .*max_length=13,"):
        check_lengths(np.array([13, 3]), 12)


def test_an_unknown_protocol_is_refused(prepared, config):
    with pytest.raises(Refusal, match=r"protocol uni7.*here: uni2"):
        render_all(
            prepared.samples("test"), "uni7", prepared, config.prompt, config.groups["words"]
        )
