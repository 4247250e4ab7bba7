"""The bar that a trained policy must clear: how often items were chosen, whoever asks."""

from collections.abc import Iterable, Mapping, Sequence

from mllmrec import ranking
from mllmrec.dataset.candidates import FULL
from mllmrec.policy.baselines import BASELINES
from mllmrec.policy.ranked import Ranked

BAR = "popularity"
FEWEST = 10  # samples that a bootstrap can resample to any use
UNTRAINED = {*BASELINES, "oracle", "backbone", "backbone_text"}  # for the task, that is


def held_to_the_bar(
    by: Mapping[str, Ranked], protocol: str, k: int, seed: int
) -> tuple[list[str], list[str]]:
    """A warning for each trained policy below popularity, a note on those that may not be above.

    By paired bootstrap on NDCG@k; nothing where popularity is not ranked.
    """
    warnings, equals = [], []
    for policy in (policy for policy in by if BAR in by and policy not in UNTRAINED):
        ours, bar = (ranking.ndcg(by[name].ranks, k) for name in (policy, BAR))
        line = ranking.difference(ours, bar, seed=seed)
        if ranking.verdict(line) == "below":
            warnings.append(
                f"{protocol}: {policy} is BELOW {BAR} in NDCG@{k}: {line.diff:+.4f}"
                f" [{line.low:+.4f}, {line.high:+.4f}]: it was trained, and ranks worse than"
                " counting does"
            )
        elif ranking.verdict(line) == "not distinguishable":
            equals.append(policy)
    notes = [
        f"{protocol}: {', '.join(equals)} not distinguishable from {BAR} in NDCG@{k}: nothing here"
        " shows that more was learnt than counts"
    ]
    return warnings, notes if equals else []


def flattery(protocols: Sequence[str], policies: Iterable[str]) -> list[str]:
    """A word on uniform negatives, where popularity is ranked and nothing holds it against it."""
    uniform = [name for name in protocols if name.startswith("uni")]
    if BAR not in policies or not uniform or any(name.startswith("pop") for name in protocols):
        return []
    also = [*protocols, *(name.replace("uni", "pop") for name in uniform)]
    told = ",".join(name for name in also if name != FULL)
    return [
        f"{', '.join(uniform)}: uniform negatives are mostly items that few chose, which flatters"
        f" popularity. Negatives drawn by popularity tell taste from counts: type"
        f" prepare.protocols=[{told}] evaluate.protocols=[{','.join(also)}] (prepared anew, and so"
        " trained anew)"
    ]


def without_a_list(
    protocols: Sequence[str], policies: Iterable[str], trained: str | None
) -> list[str]:
    """A word on models that learnt to choose from a list, and have none under ``full``.

    Or the other way round: ``trained`` is ``prepare.train_protocol``, None where it is not known.
    """
    asked = [name for name in policies if name in ("sft", "sft_continued", "grpo")]
    listed = [name for name in protocols if name != FULL]
    if trained == FULL and asked and listed:
        return [
            f"{', '.join(listed)}: {', '.join(asked)} learnt to answer prompts that list nothing,"
            f" and are shown a list here; {FULL} is what they were trained for"
        ]
    if FULL not in protocols or not asked or trained == FULL:
        return []
    return [
        f"{FULL}: {', '.join(asked)} learnt to choose among candidates that the prompt lists, and"
        " are asked without a list here; recommenders never had one"
    ]


def too_few(protocol: str, samples: int) -> str | None:
    """A warning where a table is of so few samples that nothing can be compared by it."""
    if samples >= FEWEST:
        return None
    return (
        f"{protocol}: only {samples} test samples, so nothing is compared and intervals mean"
        " nothing: more users, or under prepare.split=temporal a larger prepare.temporal.test"
    )
