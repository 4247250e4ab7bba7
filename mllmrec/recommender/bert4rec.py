"""BERT4Rec: attention in both directions, by items that are hidden (Sun et al., 2019)."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mllmrec.recommender.base import Attentive, Share

if TYPE_CHECKING:
    from mllmrec.recommender.networks import Network


class BERT4Rec(Attentive):
    """Items are hidden at random and told from those on both sides; to rank, one after the history.

    Each item of a row is hidden with probability ``mask_share``, at least one; in a share
    ``last_share`` of the rows the last one is hidden and no other, as it is when ranking.
    """

    mask_share: Annotated[float, Field(gt=0, lt=1)]
    last_share: Share

    def network(self, items: int, history_length: int) -> "Network":
        from mllmrec.recommender.networks import BERT4RecNetwork

        return BERT4RecNetwork(self, items, history_length)
