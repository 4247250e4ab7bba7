"""What both sides of a benchmark stand on: made-up films, a tokenizer, prompts, a random model."""

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from hydra import initialize_config_dir
from transformers import Qwen3ForCausalLM

import mllmrec
from mllmrec.compose import compose_one
from mllmrec.dataset.titles import WORDS
from mllmrec.records import ITEMS, SAMPLES, SEQUENCES, Prepared
from mllmrec.schema import Config
from mllmrec.scoring.attention import NAME
from mllmrec.training.pretrain import build_tokenizer, shape

CONF = Path(mllmrec.__file__).parents[1] / "conf"
OURS, STOCK = NAME, "sdpa"  # attention: this package's, and what transformers runs by default
SHAPES = {
    "tiny": [],
    "mid": [  # about 25 million parameters
        "backbone.hidden_size=512",
        "backbone.layers=8",
        "backbone.heads=8",
        "backbone.kv_heads=4",
        "backbone.head_dim=64",
        "backbone.intermediate_size=1536",
    ],
}
HISTORY, CANDIDATES = 14, 10  # a prompt of about 512 tokens
FILMS, LINES = 3000, 300  # items, and prompts that the tokenizer is trained on

FIRST = " ".join(WORDS.values()).split()
LAST = ["", "Returns", "II", "of the Dead", "in Paris", "and the Beast", "Rising", "Forever"]


class Questions(NamedTuple):
    """Samples as both sides take them; ``answers[i][c]`` are the tokens of candidate c."""

    texts: list[str]
    prompts: list[list[int]]
    answers: list[list[list[int]]]
    candidates: list[list[str]]
    targets: list[str]


@dataclass(frozen=True)
class Setup:
    """A shape of the tiny backbone with the reference prompt; more overrides as one types them."""

    shape: str
    overrides: tuple[str, ...] = ()

    @cached_property
    def config(self) -> Config:
        words = ["backbone=tiny", "prompt=reference", "backbone.item_tokens=false"]
        with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
            return compose_one([*words, *SHAPES[self.shape], *self.overrides], [], "config")

    @cached_property
    def titles(self) -> dict[str, str]:
        rng = np.random.default_rng(0)
        made = {}
        for item in range(FILMS):
            words = rng.choice(["The", ""]), *rng.choice(FIRST, 2), rng.choice(LAST)
            made[str(item)] = " ".join([*filter(None, words), f"({rng.integers(1930, 2004)})"])
        return made

    @cached_property
    def tokenizer(self) -> Any:
        """As the stage ``pretrain`` builds it, on the folder that the stage ``prepare`` leaves."""
        rng = np.random.default_rng(1)
        drawn = [self.draw(rng, HISTORY, CANDIDATES) for _ in range(LINES)]
        rows = [(f"{n}", f"{n}", history, shown[0]) for n, (history, shown) in enumerate(drawn)]
        samples = pl.DataFrame(rows, schema=SAMPLES, orient="row")
        shown = pl.Series("train", [candidates for _, candidates in drawn])
        items = [(item, title, None, [], None) for item, title in self.titles.items()]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pl.DataFrame(items, schema=ITEMS, orient="row").write_parquet(folder / "items.parquet")
            pl.DataFrame([], schema=SEQUENCES).write_parquet(folder / "sequences.parquet")
            samples.with_columns(shown).write_parquet(folder / "train.parquet")
            config = self.config
            words = config.groups["words"]
            return build_tokenizer(config.backbone, Prepared(folder), config.prompt, words)

    def draw(
        self, rng: np.random.Generator, history: int, candidates: int
    ) -> tuple[list[str], list[str]]:
        """A history and candidates, all different."""
        drawn = rng.choice(FILMS, history + candidates, replace=False).astype(str).tolist()
        return drawn[:history], drawn[history:]

    def questions(
        self, count: int, history: int = HISTORY, candidates: int = CANDIDATES
    ) -> Questions:
        """So many samples, each with so long a history and so many candidates."""
        rng = np.random.default_rng(2)
        drawn = [self.draw(rng, history, candidates) for _ in range(count)]
        prompt, words = self.config.prompt, self.config.groups["words"].model_dump()
        texts = [prompt.render(past, shown, self.titles, words) for past, shown in drawn]
        shown = [candidates for _, candidates in drawn]
        return Questions(
            texts=texts,
            prompts=prompt.encode_all(self.tokenizer, texts),
            answers=[[self.answer(item) for item in row] for row in shown],
            candidates=shown,
            targets=[row[rng.integers(len(row))] for row in shown],
        )

    def answer(self, item: str) -> list[int]:
        prompt = self.config.prompt
        return prompt.encode_answer(self.tokenizer, prompt.answer_text(item, self.titles[item]))

    def model(self, attention: str) -> Any:
        """Random weights, the same ones at every call, in float32."""
        torch.manual_seed(0)
        model = Qwen3ForCausalLM(shape(self.config.backbone, self.tokenizer)).eval()
        model.set_attn_implementation(attention)
        return model
