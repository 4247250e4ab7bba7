"""Choose a recommender's settings by validation, within a budget that is told."""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from mllmrec.artifacts import write_json
from mllmrec.errors import Refusal
from mllmrec.recommender.base import Range, Recommender, Scalar
from mllmrec.recommender.fitting import NDCG, Diverged, Log, Progress, Task, fit
from mllmrec.seeds import seed_for

log = logging.getLogger(__name__)

JOURNAL = "trials.json"
STARTUP = 5  # trials that are drawn at random before the search looks at what they gave


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Settings that were tried, and what validation said.

    ``diverged``: the loss did not stay finite, so validation was not asked, and ``found`` is 0.
    """

    values: dict[str, Scalar]
    found: float
    diverged: bool
    epochs: float
    seconds: float


def tune(
    knobs: Recommender, task: Task, scratch: Path, seed: int, label: str, send: Log
) -> tuple[list[Trial], int, Progress]:
    """All trials in order, the number of the best one, and its fit.

    A trial that was killed is begun again with the same settings, and goes on from its own
    checkpoint; the others are read from a journal. No trial is begun after the minutes are over.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    journal = scratch / JOURNAL
    trials = [Trial(**one) for one in json.loads(journal.read_text())] if journal.exists() else []
    while len(trials) < knobs.tune.trials and not is_late(knobs, trials):
        number = len(trials)
        values = suggested(knobs, trials, seed)
        place = f"{label}, trial {number + 1} of {knobs.tune.trials}"
        trial, _ = tried(knobs, values, task, folder_of(scratch, number), seed, place)
        trials.append(trial)
        log.info("%s: %s %.4f at %s", place, NDCG, trial.found, values)
        write_json(journal, [asdict(one) for one in trials])
        send({f"trial/{NDCG}": trial.found}, number)
        for other in {*range(len(trials))} - {best_of(trials)}:
            shutil.rmtree(folder_of(scratch, other), ignore_errors=True)
    best = best_of(trials)
    if trials[best].diverged:
        raise Refusal(
            f"{label}: the loss of no trial of {len(trials)} has stayed finite",
            allowed="a space with settings under which the loss stays finite",
            do=f"type recommender.{knobs.name}.tune.trials=0, or give its tune.space lower rates",
        )
    _, progress = tried(knobs, trials[best].values, task, folder_of(scratch, best), seed, label)
    return trials, best, progress


def tried(
    knobs: Recommender, values: dict[str, Any], task: Task, scratch: Path, seed: int, label: str
) -> tuple[Trial, Progress]:
    """A fit at these settings; the same one again is read from its checkpoint."""
    try:
        progress = fit(knobs.at(values), task, scratch, seed, label, lambda metrics, step: None)
    except Diverged as fault:
        log.warning("%s", fault.wrong)
        lost = Trial(values=values, found=0.0, diverged=True, epochs=0.0, seconds=fault.seconds)
        return lost, Progress()
    told = Trial(
        values=values,
        found=progress.found[NDCG],
        diverged=False,
        epochs=progress.curve[-1]["epoch"],
        seconds=progress.seconds,
    )
    return told, progress


def folder_of(scratch: Path, number: int) -> Path:
    return scratch / f"trial-{number}"


def best_of(trials: Sequence[Trial]) -> int:
    """The first one of the highest NDCG; one that has diverged only where all have."""
    return max(range(len(trials)), key=lambda n: (not trials[n].diverged, trials[n].found))


def is_late(knobs: Recommender, trials: Sequence[Trial]) -> bool:
    spent = sum(trial.seconds for trial in trials)
    return knobs.tune.minutes is not None and spent >= 60 * knobs.tune.minutes


def suggested(knobs: Recommender, trials: Sequence[Trial], seed: int) -> dict[str, Any]:
    """The settings of the next trial: first those that the YAML has, then TPE's (optuna).

    They follow from the seed and the trials before alone, so that a killed search goes on as it
    would have gone.
    """
    import optuna

    space = {name: distribution(knobs, name) for name in knobs.tune.space}
    own = {name: knobs.settings()[name] for name in space}
    if not trials and all(is_within(own[name], knobs.tune.space[name]) for name in space):
        return own
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        seed=seed_for(seed, "tune", len(trials)), n_startup_trials=STARTUP
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(
        [
            optuna.trial.create_trial(params=one.values, distributions=space, value=one.found)
            for one in trials
        ]
    )
    return dict(study.ask(space).params)


def distribution(knobs: Recommender, name: str) -> Any:
    """What optuna calls the values of a knob: of a range whole ones unless the knob is a float."""
    from optuna import distributions

    among = knobs.tune.space[name]
    if not isinstance(among, Range):
        return distributions.CategoricalDistribution(among)
    if float in kinds(type(knobs).model_fields[name].annotation):
        return distributions.FloatDistribution(among.low, among.high, log=among.log)
    return distributions.IntDistribution(int(among.low), int(among.high), log=among.log)


def kinds(annotation: Any) -> list[Any]:
    """The plain types that an annotation is made of."""
    inner = get_args(annotation)
    return [kind for one in inner for kind in kinds(one)] if inner else [annotation]


def is_within(value: Any, among: list[Scalar] | Range) -> bool:
    """Whether the search may try a knob's own value, which may be null."""
    if isinstance(among, Range):
        return value is not None and among.low <= value <= among.high
    return value in among
