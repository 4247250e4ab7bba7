"""GRU4Rec: a recurrent network over the history (Hidasi et al., 2016), by full softmax."""

from typing import TYPE_CHECKING

from mllmrec.recommender.base import Positive, Recommender

if TYPE_CHECKING:
    from mllmrec.recommender.networks import Network


class GRU4Rec(Recommender):
    """Layers of gated recurrent units; items' embeddings are the output weights too."""

    layers: Positive

    def network(self, items: int, history_length: int) -> "Network":
        from mllmrec.recommender.networks import GRU4RecNetwork

        return GRU4RecNetwork(self, items)
