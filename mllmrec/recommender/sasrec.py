"""SASRec: self-attention over the history (Kang and McAuley, 2018), by full softmax."""

from typing import TYPE_CHECKING

from mllmrec.recommender.base import Attentive

if TYPE_CHECKING:
    from mllmrec.recommender.networks import Network


class SASRec(Attentive):
    """The next item at each place from those up to it, cross entropy over the whole catalogue."""

    def network(self, items: int, history_length: int) -> "Network":
        from mllmrec.recommender.networks import SASRecNetwork

        return SASRecNetwork(self, items, history_length)
