"""Stage ``rank``: one policy's ranking of every test sample's candidates.

``evaluate`` stands on one of these for each policy, so that what has not changed is not ranked
again: another ``grpo.beta`` ranks the new model alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from mllmrec import ranking
from mllmrec.policy.baselines import BASELINES
from mllmrec.policy.listing import LISTS, Heard, hear
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.schema import Model
from mllmrec.stage.base import Job, Metrics, Stage, known
from mllmrec.stage.hints import hints_of
from mllmrec.stage.pretrain import backbone_of
from mllmrec.training.rationales import drafts

if TYPE_CHECKING:
    from mllmrec.schema import Config

Scorer = Callable[[pl.DataFrame, str], list[list[float]]]
ADAPTERS = {"grpo": "grpo", "sft_continued": "sft_continued"}  # on the merged model
MODELS = ("backbone", "backbone_text", "sft", *ADAPTERS)
WRITERS = ("backbone", "sft", *ADAPTERS)  # asked in a chat, so they can be asked for a list
POLICIES = ("random", "popularity", "cooccurrence", "oracle", *MODELS)


class Generate(Model):
    """A list that a model writes: how many items it is asked for, and how long it may be."""

    items: Annotated[int, Field(ge=1)]
    max_new_tokens: Annotated[int, Field(ge=1)]


class Rank(Stage):
    """Rankings by ``policy`` under each protocol, one Parquet file a protocol.

    With ``generate`` the policy is asked for a list, and what it writes is the ranking. With
    ``hint`` its prompts carry rationales, written from test histories as those of training were.
    """

    name: ClassVar[str] = "rank"
    version: ClassVar[int] = 2
    uses: ClassVar[tuple[str, ...]] = ("backbone", "prompt", "words")
    needs_torch: ClassVar[bool] = True  # but for the baselines, which are done in a moment

    policy: str
    protocols: tuple[str, ...]
    samples: dict[str, int | None]
    tokens_per_batch: int
    generate: Generate | None
    hint: bool

    @property
    def label(self) -> str:
        return f"rank {self.policy}"

    def inputs(self, config: "Config") -> dict[str, Stage]:
        stages = config.stages
        if self.policy not in MODELS:
            return {"prepare": stages["prepare"]}
        below = known(config)
        if self.policy in ("backbone", "backbone_text"):
            below |= backbone_of(config)
        elif self.policy == "sft":
            below |= {"model": stages["merge"]}
        elif self.policy in ADAPTERS:
            below |= {"model": stages["merge"], "adapter": stages[ADAPTERS[self.policy]]}
        if self.hint:
            counts = [self.samples.get(protocol) for protocol in self.protocols]
            most = None if None in counts else max(n for n in counts if n is not None)
            below |= hints_of(config, "test", most, "test")
        return below

    def effective(self, config: "Config") -> dict[str, Any]:
        knobs = self.knobs()
        if self.generate:
            knobs["listing"] = config.prompt.listing
            if config.prompt.inject == "completion":
                knobs["inject"] = "completion"
        else:
            del knobs["generate"]
        if not self.hint:
            del knobs["hint"]
        if self.policy in MODELS:
            return {**super().effective(config), "knobs": knobs}
        del knobs["tokens_per_batch"]  # nothing is scored in batches
        return {"knobs": knobs}

    def run(self, job: Job) -> Metrics:
        prepared = Prepared.of(job.inputs)
        write: Callable[..., None] = write_lists if self.generate else write_ranking
        answer = (self.listener if self.generate else self.scorer)(job, prepared)
        for protocol in self.protocols:
            samples = prepared.chosen("test", self.samples.get(protocol), job.seed, "test")
            write(job, self.policy, protocol, samples, answer(samples, protocol))
        return {}

    def listener(self, job: Job, prepared: Prepared) -> Callable[[pl.DataFrame, str], list[Heard]]:
        """A function from samples and a protocol to what the model's lists say."""
        from mllmrec.policy.model import ModelPolicy

        asked = self.generate
        assert asked
        model = ModelPolicy(job, self.tokens_per_batch)
        titles = job.group(Prompt).shown(prepared.titles)

        def lists(samples: pl.DataFrame, name: str) -> list[Heard]:
            texts = model.lists(prepared, samples, name, asked.items, asked.max_new_tokens)
            rows = zip(texts, samples[name], samples["target"], strict=True)
            return [hear(text, set(row), target, titles) for text, row, target in rows]

        return lists

    def scorer(self, job: Job, prepared: Prepared) -> Scorer:
        """A function from samples and a protocol to the scores of the samples' candidates."""
        if self.policy in BASELINES:
            baseline = BASELINES[self.policy]
            return lambda samples, name: baseline(
                prepared, samples["history"].to_list(), samples[name].to_list()
            )
        if self.policy == "oracle":
            return lambda samples, name: oracle_scores(prepared, samples, name)
        from mllmrec.policy.model import ModelPolicy

        model = ModelPolicy(job, self.tokens_per_batch)
        if self.policy == "backbone_text":
            return lambda samples, name: model.by_text(prepared, samples, name)
        told = drafts(job.inputs["hints"]) if "hints" in job.inputs else {}
        return lambda samples, name: model.by_prompt(prepared, samples, name, told)


def oracle_scores(prepared: Prepared, samples: pl.DataFrame, protocol: str) -> list[list[float]]:
    """The scores of the process that made the data, which ``prepare`` has stored."""
    known = pl.read_parquet(prepared.oracle).filter(protocol=protocol)
    joined = samples.select("sample_id").join(known, on="sample_id", how="left", validate="1:1")
    return joined["scores"].to_list()


def write_ranking(
    job: Job, policy: str, protocol: str, samples: pl.DataFrame, scores: list[list[float]]
) -> None:
    """A row a sample: candidates best first, their scores, and the target's rank (from 1)."""
    candidates = samples[protocol].to_list()
    targets = [row.index(t) for row, t in zip(candidates, samples["target"], strict=True)]
    table = ranking.table(scores)
    order = ranking.order(table, seed=job.seed)
    ranked, best_scores = ordered(candidates, order), ordered(scores, order)
    pl.DataFrame(
        {
            "sample_id": samples["sample_id"],
            "policy": [policy] * len(samples),
            "protocol": [protocol] * len(samples),
            "ranked": ranked,
            "scores": best_scores,
            "rank": ranking.ranks(table, np.array(targets), seed=job.seed),
        }
    ).write_parquet(job.out / f"{protocol}.parquet")


def write_lists(
    job: Job, policy: str, protocol: str, samples: pl.DataFrame, lists: list[Heard]
) -> None:
    """A row a sample: the items that its list names, in order, the target's rank, and the text.

    Instead of scores there are the number of candidates and what is to be counted of the lines.
    """
    said = pl.DataFrame([asdict(one) for one in lists], schema=LISTS)
    counts = samples.select(candidates=pl.col(protocol).list.len())
    named = samples.select("sample_id", policy=pl.lit(policy), protocol=pl.lit(protocol))
    pl.concat([named, said, counts], how="horizontal").write_parquet(
        job.out / f"{protocol}.parquet"
    )


def ordered(rows: Sequence[Sequence[Any]], order: Any) -> list[list[Any]]:
    """Each row's values by its order; the columns that pad the order are left out."""
    return [[row[i] for i in best[: len(row)]] for row, best in zip(rows, order, strict=True)]
