"""Build a tiny model and its tokenizer from the dataset's own text, and train all of it."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM, set_seed
from trl import SFTConfig

from mllmrec import ranks
from mllmrec.backbone.loading import device, dtype_of
from mllmrec.backbone.tiny import Tiny
from mllmrec.errors import Refusal
from mllmrec.prompt import Prompt, escape
from mllmrec.records import Prepared
from mllmrec.rendering import render_all
from mllmrec.schema import Words
from mllmrec.seeds import seed_for, share_of
from mllmrec.stage.base import Job, Metrics
from mllmrec.training.options import PretrainOptions
from mllmrec.training.rows import blocks, lengths, sequence_blocks, stored
from mllmrec.training.session import arguments, train
from mllmrec.training.sft import RowTrainer

# Qwen's pattern: words, single digits, punctuation, line ends.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# Qwen's chat format: with thinking switched off, an empty block precedes the answer.
TEMPLATE = """{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['role'] == 'assistant' %}
{%- generation %}{{- message['content'] + '<|im_end|>' }}{%- endgeneration %}{{- '\\n' }}
{%- else %}{{- message['content'] + '<|im_end|>\\n' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}
{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""


def run_pretrain(options: PretrainOptions, job: Job) -> Metrics:
    """Leave a model and its tokenizer in ``job.out``; it has seen training interactions alone."""
    backbone, prompt, words = job.group(Tiny), job.group(Prompt), job.group(Words)
    prepared = Prepared.of(job.inputs)
    tokenizer = build_tokenizer(backbone, prepared, prompt, words)
    set_seed(seed_for(job.seed, "pretrain"))
    model = Qwen3ForCausalLM(shape(backbone, tokenizer)).to(device())
    for part in (model.model.embed_tokens, model.model.norm):
        part.register_forward_hook(partial(dropped, options.dropout))
    make = partial(text_rows, options, job, prepared, tokenizer)
    rows = stored(sequence_blocks(prepared), make, job.scratch / "rows.arrow")
    check_lengths(lengths(rows), backbone.max_length)
    trainer = RowTrainer(
        model=model,
        args=arguments(
            SFTConfig,
            options,
            job,
            "pretrain",
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            remove_unused_columns=False,
        ),
        train_dataset=rows,
        processing_class=tokenizer,
        tokens_per_batch=options.tokens_per_batch,
    )
    metrics = train(trainer, job, "pretrain")
    if ranks.is_main():
        save(model.to(dtype_of(backbone)), tokenizer, job.out)  # trained in float32
    return {**metrics, "parameters": float(model.num_parameters())}


def dropped(share: float, part: torch.nn.Module, _: Any, states: torch.Tensor) -> torch.Tensor:
    """A hook: what a part of the model gives, with dropout while it is trained."""
    return F.dropout(states, share, part.training)


def text_rows(
    options: PretrainOptions, job: Job, prepared: Prepared, tokenizer: Any, some: pl.DataFrame
) -> list[dict[str, list[int]]]:
    """Training interactions of some users as lines of text, with the loss on every token.

    A row is a user's interactions, or a part of them where they are many; a share of the rows
    comes once more in the chat format, without candidates: the history as the user's message,
    the last item as the answer.
    """
    prompt, spoken = job.group(Prompt), job.group(Words).model_dump()
    texts = []
    for user, whole in prepared.sequences.select("user_id", "items").iter_rows():
        for start, end in pieces(len(whole), options.items_per_row, options.cuts):
            items = whole[start:end]
            texts.append(prompt.history_text(items, prepared.titles, prepared.captions))
            if share_of(job.seed, "framed", user, start) < options.framed and len(items) > 1:
                asked = prompt.render(
                    items[:-1], [], prepared.titles, spoken, captions=prepared.captions
                )
                answer = prompt.answer_text(items[-1], prepared.titles[items[-1]])
                texts.append(prompt.framed(tokenizer, [asked])[0] + answer + STOP)
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [{"input_ids": row, "labels": list(row)} for row in ids]


def pieces(length: int, size: int, cuts: int) -> Iterator[tuple[int, int]]:
    """Where so many interactions begin and end as rows of ``size``, cut in so many ways.

    The first way cuts at multiples of ``size``, the others so much earlier that all lie evenly:
    an interaction is then met behind few others and behind many.
    """
    for way in range(cuts):
        first = size - way * size // cuts
        yield from pairwise([0, *range(first, length, size), length])


def check_lengths(lengths: np.ndarray, limit: int) -> None:
    """Refuse rows that the model could only take cut."""
    longest = int(lengths.max(initial=0))
    if longest > limit:
        raise Refusal(
            f"pretrain: a row of text is {longest} tokens long, the model takes {limit}",
            allowed="rows within backbone.max_length: nothing is ever cut in silence",
            do=f"type backbone.max_length={longest}, or a smaller pretrain.items_per_row or "
            "prompt.title_words",
        )


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Weights as safetensors, and the tokenizer with its chat template."""
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def build_tokenizer(
    backbone: Tiny, prepared: Prepared, prompt: Prompt, words: Words
) -> PreTrainedTokenizerFast:
    """A byte-level BPE in Qwen's manner, trained on prompts of the training split."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=backbone.vocab_size,
        special_tokens=[END, START, STOP],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(prepared, prompt, words), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=STOP,
        pad_token=END,
        additional_special_tokens=[START],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=backbone.max_length,
        model_input_names=["input_ids", "attention_mask"],
    )
    fast.chat_template = TEMPLATE
    fast.add_tokens(["<think>", "</think>"])
    if backbone.item_tokens:
        fast.add_tokens([f"[ITEM_{escape(item)}]" for item in sorted(prepared.titles)])
    return fast


def corpus(prepared: Prepared, prompt: Prompt, words: Words, most: int = 2000) -> Iterator[str]:
    """Texts that hold every title, and the words of the prompt."""
    for item, title in sorted(prepared.titles.items()):
        yield prompt.item_text(item, title, prepared.captions.get(item))
    some = next(blocks(prepared, "train", most))
    yield from render_all(some, "train", prepared, prompt, words)


def shape(backbone: Tiny, tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=backbone.hidden_size,
        intermediate_size=backbone.intermediate_size,
        num_hidden_layers=backbone.layers,
        num_attention_heads=backbone.heads,
        num_key_value_heads=backbone.kv_heads,
        head_dim=backbone.head_dim,
        max_position_embeddings=backbone.max_length,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=torch.float32,
    )
