"""SASRec with a conservative Q head beside its own (arXiv 2305.18820, without its contrast)."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mllmrec.recommender.base import Attentive, Share

if TYPE_CHECKING:
    from mllmrec.recommender.networks import Network


class SASRecCQL(Attentive):
    """L = CE + TD + ``alpha`` · (logsumexp Q(s, ·) − Q(s, a)), ranked by the head of the CE.

    TD is the mean of (Q(s, a) − r − γ Q̄(s', argmax Q(s', ·)))², with r = 1 for the item that was
    chosen and γ the ``discount``; Q̄ follows Q by the share ``follow`` a step (double Q-learning).
    A row's last place has no next state, so it has no TD term.
    """

    alpha: Annotated[float, Field(ge=0)]
    discount: Share
    follow: Annotated[float, Field(gt=0, le=1)]

    def network(self, items: int, history_length: int) -> "Network":
        from mllmrec.recommender.networks import SASRecCQLNetwork

        return SASRecCQLNetwork(self, items, history_length)
