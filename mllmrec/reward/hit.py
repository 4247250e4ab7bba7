"""One for the target, nothing for the rest."""

from collections.abc import Mapping, Sequence

from mllmrec.answer import judge, parse
from mllmrec.reward.base import Reward


class Hit(Reward):
    """Whether the answer is the target.

    With target 7 and candidates 7, 8 (titles Seven, Eight):

    | answer             | pay-off |
    |--------------------|---------|
    | ``[ITEM_7]``       | 1       |
    | ``[ITEM_7] Seven`` | 1       |
    | ``[ITEM_8]``       | 0       |
    | ``[ITEM_9]``       | 0       |
    | ``[ITEM_7] Eight`` | 0       |
    | ``seven``          | 0       |
    """

    def __call__(
        self, answer: str, *, target: str, candidates: Sequence[str], titles: Mapping[str, str]
    ) -> float:
        parsed = parse(answer)
        named = parsed is not None and parsed.item_id == target
        return float(named and judge(parsed, candidates, titles) == "candidate")
