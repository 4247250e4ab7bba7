"""The published reward, with its miss inside the list told apart from an item outside it."""

from collections.abc import Mapping, Sequence

from mllmrec.answer import judge, parse
from mllmrec.reward.base import Reward


class HitFormat(Reward):
    """Pay the target, pay less a wrong candidate, and punish what is no candidate at all.

    With target 7 and candidates 7, 8 (titles Seven, Eight), at the shipped values:

    | answer             | pay-off       |
    |--------------------|---------------|
    | ``[ITEM_7]``       | 1, hit        |
    | ``[ITEM_7] Seven`` | 1, hit        |
    | ``[ITEM_8]``       | 0.3, miss     |
    | ``[ITEM_9]``       | -1, outside   |
    | ``[ITEM_7] Eight`` | -1, malformed |
    | ``seven``          | -1, malformed |

    The published code paid 0.3 for any well-formed id, existing or not.
    """

    hit: float
    miss: float
    malformed: float
    outside: float

    def __call__(
        self, answer: str, *, target: str, candidates: Sequence[str], titles: Mapping[str, str]
    ) -> float:
        parsed = parse(answer)
        verdict = judge(parsed, candidates, titles)
        if verdict == "malformed" or parsed is None:
            return self.malformed
        if verdict == "outside":
            return self.outside
        return self.hit if parsed.item_id == target else self.miss
