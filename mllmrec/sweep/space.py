"""The points of a sweep: all of a grid at once, or one after the other of a search."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mllmrec.seeds import seed_for
from mllmrec.sweep.grammar import SEEDS, Between, Categorical, Constant, Grammar

STARTUP = 5  # points of a search that are drawn at random before it looks at what they gave
DRAWS = 100  # of one point, after which a search has no new one

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Tried:
    """Values that a search has chosen, and what came of them: None, as yet or for good, nothing.

    ``looks`` are the values of the probe by their number, of a point that was stopped early.
    """

    values: Values
    found: float | None
    looks: Mapping[int, float] | None = None


def grid(asked: Grammar) -> list[Values]:
    """All points, in W&B's order: parameters by their names, the last one changing fastest."""
    names = sorted(asked.parameters)
    choices = [choices_of(asked.parameters[name]) for name in names]
    return [dict(zip(names, point, strict=True)) for point in itertools.product(*choices)]


def choices_of(one: Constant | Categorical | Between) -> list[Any]:
    """The values of one parameter of a grid; of q_uniform, as W&B has it, without its max."""
    if isinstance(one, Constant):
        return [one.value]
    if isinstance(one, Categorical):
        return list(one.values)
    if one.q is None:
        return list(range(int(one.min), int(one.max) + 1))
    count = max(0, math.ceil((one.max - one.min) / one.q))
    return [one.min + n * one.q for n in range(count)]


def suggested(
    asked: Grammar, tried: Sequence[Tried], number: int, seed: int, draw: int = 0
) -> Values:
    """The values of the point of a search with this number, without its seeds.

    They follow from the seed, the number and ``tried`` alone, so that a search that was killed
    goes on as it would have gone. ``random`` draws; ``bayes`` is the tree-structured Parzen
    estimator (Bergstra et al., 2011) of optuna. Where a point was there before, ``draw`` asks for
    another: from the second half of ``DRAWS`` on at random, as an estimator insists.
    """
    import optuna

    free = {name: one for name, one in asked.parameters.items() if name not in SEEDS}
    space = {n: distribution(one) for n, one in free.items() if not isinstance(one, Constant)}
    sampler_seed = seed_for(seed, "sweep", number, *([draw] if draw else []))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler: Any = optuna.samplers.RandomSampler(seed=sampler_seed)
    if asked.method == "bayes" and draw < DRAWS // 2:
        sampler = optuna.samplers.TPESampler(
            seed=sampler_seed, n_startup_trials=STARTUP, constant_liar=True
        )
    study = optuna.create_study(direction=asked.metric.goal, sampler=sampler)
    study.add_trials([trial_of(one, space) for one in tried])
    drawn = study.ask(space).params
    return {n: drawn[n] if n in space else choices_of(one)[0] for n, one in free.items()}


def trial_of(one: Tried, space: Mapping[str, Any]) -> Any:
    """A point as optuna takes it: complete, stopped early, or still running."""
    from optuna.trial import TrialState, create_trial

    params = {name: one.values[name] for name in space}
    if one.found is not None:
        return create_trial(params=params, distributions=dict(space), value=one.found)
    looks = dict(one.looks or {})
    state = TrialState.PRUNED if looks else TrialState.RUNNING
    return create_trial(
        params=params, distributions=dict(space), intermediate_values=looks, state=state
    )


def distribution(one: Categorical | Between) -> Any:
    """What optuna calls the values of a parameter."""
    from optuna import distributions

    if isinstance(one, Categorical):
        return distributions.CategoricalDistribution(one.values)  # type: ignore[arg-type]
    if one.shape == "int_uniform":
        return distributions.IntDistribution(int(one.min), int(one.max))
    if one.shape == "q_uniform":
        steps = math.floor((one.max - one.min) / (one.q or 1.0) + 1e-9)
        top = one.min + steps * (one.q or 1.0)
        return distributions.FloatDistribution(one.min, top, step=one.q)
    is_log = one.shape == "log_uniform_values"
    return distributions.FloatDistribution(float(one.min), float(one.max), log=is_log)


def words_of(values: Mapping[str, Any]) -> list[str]:
    """The overrides of a point, letter by letter as W&B's agent writes them."""
    return [f"{name}={value}" for name, value in values.items()]


def apart(values: Mapping[str, Any]) -> Values:
    """A point's values without its seed: what it is averaged under."""
    return {name: value for name, value in values.items() if name not in SEEDS}
