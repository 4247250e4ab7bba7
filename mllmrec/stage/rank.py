"""Stage ``rank``: one policy's ranking of every test sample's candidates.

``evaluate`` stands on one of these for each policy, so that what has not changed is not ranked
again: another ``grpo.beta`` ranks the new model alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import polars as pl
from pydantic import Field

from mllmrec import ranking, ranks
from mllmrec.dataset.candidates import FULL
from mllmrec.dataset.full import Catalogue, Open, Scored, Whole
from mllmrec.errors import Refusal
from mllmrec.policy.baselines import BASELINES, gathered
from mllmrec.policy.full import Way
from mllmrec.policy.listing import LISTS, Heard, hear
from mllmrec.policy.positions import permuted, positions
from mllmrec.prompt import Prompt
from mllmrec.recommender.fitted import catalogue_of
from mllmrec.records import Prepared
from mllmrec.schema import Model
from mllmrec.stage.base import Job, Metrics, Stage, known
from mllmrec.stage.fit import Fit
from mllmrec.stage.hints import hints_of
from mllmrec.stage.pretrain import backbone_of
from mllmrec.training.rationales import drafts

if TYPE_CHECKING:
    from mllmrec.schema import Config

ADAPTERS = {"grpo": "grpo", "sft_continued": "sft_continued"}  # on the merged model
MODELS = ("backbone", "backbone_text", "sft", *ADAPTERS)
WRITERS = ("backbone", "sft", *ADAPTERS)  # asked in a chat, so they can be asked for a list
POLICIES = (*BASELINES, "oracle", *MODELS)


def is_there(policy: str, config: "Config") -> bool:
    """Whether the dataset knows what a policy needs of it."""
    dataset = config.dataset
    return {"oracle": dataset.has_oracle, "popularity_recent": dataset.has_times}.get(policy, True)


def check_policies(names: Sequence[str], config: "Config") -> None:
    """Refuse policies that nobody knows."""
    known = [*POLICIES, *config.recommender]
    if unknown := sorted({*names} - {*known}):
        raise Refusal(
            f"evaluate: unknown policies {unknown}, known: {', '.join(known)}",
            allowed="the names of policies, and of the recommenders that recommender= lists",
            do="type evaluate.policies=[popularity] evaluate.compare=[], or leave recommender= out:"
            " one that no policy names costs nothing",
        )


class Generate(Model):
    """A list that a model writes: how many items it is asked for, and how long it may be."""

    items: Annotated[int, Field(ge=1)]
    max_new_tokens: Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A policy's scores: of samples' candidates under a protocol, and of the whole catalogue."""

    listed: Callable[[pl.DataFrame, str], list[list[float]]]
    whole: Callable[[Open], Scored] | None


class Rank(Stage):
    """Rankings by ``policy`` under each protocol, one Parquet file a protocol.

    With ``generate`` the policy is asked for a list, and what it writes is the ranking. With
    ``hint`` its prompts carry rationales, written from test histories as those of training were.
    ``full`` says how a language model ranks the whole catalogue. A ``permutation`` above 0 shows
    the candidates in another order, one that it draws.
    """

    name: ClassVar[str] = "rank"
    version: ClassVar[int] = 4
    uses: ClassVar[tuple[str, ...]] = ("backbone", "prompt", "words")
    needs_torch: ClassVar[bool] = True  # but for the baselines, which are done in a moment

    policy: str
    protocols: tuple[str, ...]
    samples: dict[str, int | None]
    tokens_per_batch: int
    generate: Generate | None
    full: Way | None
    hint: bool
    permutation: int

    @property
    def spreads(self) -> bool:
        return self.policy in MODELS

    @property
    def label(self) -> str:
        return f"rank {self.policy}" + (f" order {self.permutation}" if self.permutation else "")

    def inputs(self, config: "Config") -> dict[str, Stage]:
        stages = config.stages
        if self.policy in config.recommender:
            length = stages["prepare"].history_length
            fit = Fit(recommender=self.policy, history_length=length)
            return {"prepare": stages["prepare"], "fit": fit}
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
        if not self.permutation:
            del knobs["permutation"]
        del knobs["full"]
        if self.full and self.policy in MODELS:
            knobs["full"] = self.full.knobs()
        if self.policy in MODELS:
            return {**super().effective(config), "knobs": knobs}
        del knobs["tokens_per_batch"]  # nothing is scored in batches
        return {"knobs": knobs}

    def run(self, job: Job) -> Metrics:
        prepared = Prepared.of(job.inputs)
        if self.generate:
            lists = self.listener(job, prepared)
        else:
            scorer = self.scorer(job, prepared)
        for protocol in self.protocols:
            samples = prepared.chosen("test", self.samples.get(protocol), job.seed, "test")
            if protocol == FULL:
                assert scorer.whole
                whole = Whole.of(prepared, samples)
                rankings = whole.rankings(scorer.whole(whole), job.seed)
                if ranks.is_main():
                    write_full(job, self.policy, rankings)
                continue
            samples = permuted(samples, protocol, job.seed, self.permutation)
            if self.generate:
                said = lists(samples, protocol)
                if ranks.is_main():
                    write_lists(job, self.policy, protocol, samples, said)
            else:
                scores = scorer.listed(samples, protocol)
                if ranks.is_main():
                    write_ranking(job, self.policy, protocol, samples, scores)
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

    def catalogue(self, job: Job, prepared: Prepared) -> Catalogue | None:
        """The policy as a function of histories, where it is one."""
        if self.policy in BASELINES:
            return BASELINES[self.policy](prepared)
        if "fit" in job.inputs:
            return catalogue_of(job.inputs["fit"], prepared)
        return None

    def scorer(self, job: Job, prepared: Prepared) -> Scorer:
        """How the policy scores; the oracle knows drawn candidates alone."""
        if catalogue := self.catalogue(job, prepared):
            return Scorer(
                listed=lambda samples, name: gathered(
                    catalogue, prepared, samples["history"].to_list(), samples[name].to_list()
                ),
                whole=lambda whole: whole.by(catalogue),
            )
        if self.policy == "oracle":
            return Scorer(
                listed=lambda samples, name: oracle_scores(prepared, samples, name),
                whole=None,
            )
        from mllmrec.policy.model import ModelPolicy

        model, way = ModelPolicy(job, self.tokens_per_batch), self.full
        told = drafts(job.inputs["hints"]) if "hints" in job.inputs else {}

        def whole(all_of_it: Open) -> Scored:
            assert way
            as_text = self.policy == "backbone_text"
            return model.whole(prepared, all_of_it, way, told, as_text=as_text)

        if self.policy == "backbone_text":
            return Scorer(
                listed=lambda samples, name: model.by_text(prepared, samples, name), whole=whole
            )
        return Scorer(
            listed=lambda samples, name: model.by_prompt(prepared, samples, name, told), whole=whole
        )


def oracle_scores(prepared: Prepared, samples: pl.DataFrame, protocol: str) -> list[list[float]]:
    """The scores of the process that made the data, which ``prepare`` has stored."""
    known = pl.read_parquet(prepared.oracle).filter(protocol=protocol)
    joined = samples.select("sample_id").join(known, on="sample_id", how="left", validate="1:1")
    return joined["scores"].to_list()


def write_ranking(
    job: Job, policy: str, protocol: str, samples: pl.DataFrame, scores: list[list[float]]
) -> None:
    """A row a sample: candidates best first, their scores, the target's rank (from 1), and its
    ``position`` among the candidates as they were shown (from 0).
    """
    candidates, targets = samples[protocol].to_list(), positions(samples, protocol)
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
            "rank": ranking.ranks(table, targets, seed=job.seed),
            "position": targets,
        }
    ).write_parquet(job.out / f"{protocol}.parquet")


def write_full(job: Job, policy: str, rankings: pl.DataFrame) -> None:
    """A row a sample, as ``Whole.rankings`` gives them: there is no list, and so no position."""
    named = {"policy": pl.lit(policy), "protocol": pl.lit(FULL)}
    rankings.with_columns(**named).write_parquet(job.out / f"{FULL}.parquet")


def write_lists(
    job: Job, policy: str, protocol: str, samples: pl.DataFrame, lists: list[Heard]
) -> None:
    """A row a sample: the items that its list names, in order, the target's rank, and the text.

    Instead of scores there are the number of candidates and what is to be counted of the lines;
    ``position`` is the target's place among the candidates as they were shown, from 0.
    """
    said = pl.DataFrame([asdict(one) for one in lists], schema=LISTS)
    counts = samples.select(candidates=pl.col(protocol).list.len())
    named = samples.select("sample_id", policy=pl.lit(policy), protocol=pl.lit(protocol))
    named = named.with_columns(position=pl.Series(positions(samples, protocol)))
    pl.concat([named, said, counts], how="horizontal").write_parquet(
        job.out / f"{protocol}.parquet"
    )


def ordered(rows: Sequence[Sequence[Any]], order: Any) -> list[list[Any]]:
    """Each row's values by its order; the columns that pad the order are left out."""
    return [[row[i] for i in best[: len(row)]] for row, best in zip(rows, order, strict=True)]
