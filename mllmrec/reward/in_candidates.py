"""One for an answer out of the list that was offered, right or wrong."""

from collections.abc import Mapping, Sequence

from mllmrec.answer import judge, parse
from mllmrec.reward.base import Reward


class InCandidates(Reward):
    """Whether the answer names one of the candidates: validity alone, apart from accuracy.

    With target 7 and candidates 7, 8 (titles Seven, Eight):

    | answer             | pay-off |
    |--------------------|---------|
    | ``[ITEM_7]``       | 1       |
    | ``[ITEM_7] Seven`` | 1       |
    | ``[ITEM_8]``       | 1       |
    | ``[ITEM_9]``       | 0       |
    | ``[ITEM_7] Eight`` | 0       |
    | ``seven``          | 0       |
    """

    def __call__(
        self, answer: str, *, target: str, candidates: Sequence[str], titles: Mapping[str, str]
    ) -> float:
        return float(judge(parse(answer), candidates, titles) == "candidate")
