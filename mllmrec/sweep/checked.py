"""What is looked at before the first run of a sweep: every point, its metric, the machine."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mllmrec.artifacts import Store
from mllmrec.compose import compose_one, composing
from mllmrec.errors import Refusal
from mllmrec.hardware import machine
from mllmrec.overrides import typed_keys
from mllmrec.plan import plan
from mllmrec.schema import Config
from mllmrec.stage.command import Command
from mllmrec.sweep.frozen import Frozen
from mllmrec.sweep.grammar import Between, Categorical, Constant, Grammar
from mllmrec.sweep.points import Need, Run
from mllmrec.sweep.pruning import watched
from mllmrec.sweep.space import Values, choices_of, words_of
from mllmrec.tracking.agent import OUTSIDE, is_chosen_outside

RANKED = re.compile(r"(hr|ndcg)@[1-9]\d*")


class Planner:
    """Composes a sweep's runs from its frozen configs, and plans them.

    Their stages are also asked whether they could be built, each artifact once.
    """

    def __init__(self, frozen: Frozen, store: Store, *, is_local: bool) -> None:
        self.frozen, self.store, self.is_local = frozen, store, is_local
        self.seen: set[str] = set()

    def __call__(self, number: int, values: Values, folder: Path) -> Run:
        """One run.

        Raises:
            Refusal: its overrides do not compose or validate, or a stage of it cannot be built.
        """
        words = (*self.frozen.words, *words_of(values))
        name = " ".join(words_of(values))
        try:
            with composing(self.frozen.conf):
                config = compose_one(words, self.frozen.search, "config")
            needs = self.planned(config)
        except Refusal as refusal:
            wrong = f"point {number + 1} ({name}): {refusal.wrong}"
            raise Refusal(wrong, allowed=refusal.allowed, do=refusal.do) from refusal
        return Run(number=number, values=values, words=words, folder=folder, needs=needs)

    def check_ends(self) -> None:
        """Refuse a search of which a value, or an end of a range, does not compose."""
        asked = self.frozen.grammar
        ends = {name: ends_of(one) for name, one in asked.parameters.items()}
        first = {name: values[0] for name, values in ends.items()}
        for name, values in ends.items():
            for value in values[1:] or values:
                self(0, {**first, name: value}, self.frozen.folder)

    def planned(self, config: Config) -> tuple[Need, ...]:
        """What a run stands on, but for what is skipped."""
        if isinstance(config.goal, Command):
            raise Refusal(
                f"stage={config.top.goal}: a command, which finds nothing to compare points by",
                allowed="stage=evaluate, stage=grpo and the other stages that build something",
                do="write stage=evaluate into the command of the sweep's file",
            )
        check_metric(self.frozen, config)
        if self.is_local and config.parallel.is_spread:
            raise Refusal(
                "parallel: several processes a run, and a run of a sweep has one GPU, or its share"
                " of the cores",
                allowed="parallel=none: the runs of a sweep are side by side themselves",
                do="type parallel=none, or sweep.executor=slurm for jobs with several GPUs each",
            )
        steps = [step for step in plan(config, self.store) if step.action != "skip"]
        for step in steps:
            if step.action in ("build", "resume") and step.id not in self.seen:
                step.stage.ready(config)
            self.seen.add(step.id)
        return tuple(
            Need(id=step.id, label=step.label, folder=step.folder, inputs=(*step.inputs.values(),))
            for step in steps
        )


def check_metric(frozen: Frozen, config: Config) -> None:
    """Refuse a metric that no run would have, and a probe that does not measure."""
    asked = frozen.grammar
    stage, _, rest = asked.metric.name.partition("/")
    known = ", ".join(["eval", *config.stages])
    do = "write metric: {name: eval/grpo/uni9/ndcg@5, goal: maximize} into the sweep's file"
    if not rest or (stage != "eval" and stage not in config.stages):
        wrong = f"metric.name={asked.metric.name}: no column of stage={config.top.goal}"
        raise Refusal(wrong, allowed=f"STAGE/NAME of {known}", do=do)
    if stage == "eval":
        check_column(asked.metric.name, rest, config, do)
    else:
        check_own(asked.metric.name, rest, config.stages[stage], do)
    if asked.early_terminate is None:
        return
    name = watched(asked.metric.name)
    trained = config.stages.get(name.partition("/")[0]) if name else None
    if getattr(trained, "probe", None) is None:
        raise Refusal(
            f"early_terminate with metric.name={asked.metric.name}: no probe looks at it while a"
            " run goes on",
            allowed="STAGE/probe/NAME or eval/STAGE/…, of sft, grpo or sft_continued with a probe",
            do="write metric: {name: grpo/probe/ndcg@5, goal: maximize}, or no early_terminate",
        )


def check_own(name: str, rest: str, stage: Any, do: str) -> None:
    """Refuse a stage's own metric that can be known not to be: only its end tells all of them."""
    first, _, tail = rest.partition("/")
    measure = rest.rpartition("/")[2]
    if first == "probe" and getattr(stage, "probe", None) is None:
        wrong, allowed = f"{stage.name} has no probe", f"a probe, by {stage.name}.probe"
    elif first == "oracle" and tail.partition("/")[0] not in getattr(stage, "protocols", ()):
        wrong = f"{tail.partition('/')[0] or 'nothing'} is not of {stage.name}.protocols"
        allowed = ", ".join(getattr(stage, "protocols", ())) or "none"
    elif "@" in measure and not RANKED.fullmatch(measure):
        wrong, allowed = f"{measure} is no measure of a ranking", "hr@K, ndcg@K, mrr"
    else:
        return
    raise Refusal(f"metric.name={name}: {wrong}", allowed=allowed, do=do)


def check_column(name: str, rest: str, config: Config, do: str) -> None:
    """Refuse ``eval/POLICY/PROTOCOL/METRIC`` that the evaluation does not make."""
    evaluate = config.stages.get("evaluate")
    if evaluate is None:
        wrong = f"metric.name={name}: stage={config.top.goal} evaluates nothing"
        raise Refusal(wrong, allowed="a metric of a stage below it", do="write stage=evaluate")
    measures = [f"{kind}@{k}" for k in evaluate.k for kind in ("hr", "ndcg")] + ["mrr"]
    policy, _, tail = rest.partition("/")
    protocol, _, measure = tail.partition("/")
    for part, allowed, knob in (
        (policy, evaluate.policies, "policies"),
        (protocol, evaluate.protocols, "protocols"),
        (measure, measures, "k"),
    ):
        if part not in allowed:
            wrong = f"metric.name={name}: {part or 'nothing'} is not of evaluate.{knob}"
            raise Refusal(wrong, allowed=", ".join(map(str, allowed)), do=do)


def ends_of(one: Constant | Categorical | Between) -> list[Any]:
    """The values of a parameter, or the two ends of its range."""
    return [one.min, one.max] if isinstance(one, Between) else choices_of(one)


def check_bounded(trials: int | None, asked: Grammar) -> None:
    """Refuse a search without an end."""
    if not (trials or asked.run_cap):
        raise Refusal(
            f"method={asked.method}: how many points? sweep.trials=null, and no run_cap",
            allowed="a bound on the points of a search",
            do="type sweep.trials=20, or write run_cap: 20 into the file",
        )


def check_typed(parameters: Sequence[str], typed: Sequence[str]) -> None:
    """Refuse what is typed beside a sweep and is the sweep's to choose."""
    for word, key in zip(typed, typed_keys(typed), strict=True):
        if key in parameters:
            raise Refusal(
                f"{word}: the sweep's file varies {key}",
                allowed="knobs that are the same at every point",
                do=f"leave {word} out, or change the file's values",
            )


def refuse_under_agent() -> None:
    """Refuse a sweep in a process whose W&B run was chosen from outside."""
    if is_chosen_outside():
        raise Refusal(
            f"stage=sweep with {' or '.join(OUTSIDE)} set: every point would log into that one run",
            allowed="one launch for each run of a W&B agent, without stage=sweep",
            do=f"let the agent choose the points, or type: unset {' '.join(OUTSIDE)}",
        )


def shared_out(jobs: int | None, named: Sequence[int | str] | None) -> tuple[int, list[str]]:
    """How many runs at once, and the GPU of each; no GPU where there is none.

    Raises:
        Refusal: more runs at once than there are GPUs for.
    """
    own = [str(one) for one in named] if named is not None else [one.id for one in machine.gpus()]
    if jobs is None:
        return (len(own), own) if own else (min(2, machine.cores()), own)
    if own and jobs > len(own):
        raise Refusal(
            f"sweep.jobs={jobs}: there are {len(own)} GPUs ({', '.join(own)}), one for each job",
            allowed=f"sweep.jobs=1 to {len(own)}",
            do=f"type sweep.jobs={len(own)}, or sweep.gpus=[{own[0]},{own[0]}] for two on one",
        )
    return jobs, own[:jobs]
