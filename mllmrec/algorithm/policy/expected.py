"""The expected advantage over the candidates, without drawing any."""

from typing import TYPE_CHECKING

from mllmrec.algorithm.base import PolicyLoss

if TYPE_CHECKING:
    from torch import Tensor

    from mllmrec.algorithm.batch import Terms


class Expected(PolicyLoss):
    """−Σ_y q(y) A(y) + β KL(q ‖ q_ref), over all candidates y of a prompt, the mean over prompts.

    q, the policy held to the candidates, has gradients and A has none; KL = Σ q (log q − log q_ref)
    is exact. It is what GRPO's estimate tends to as groups grow, at the price of one pass. Token
    weights and ``algorithm.kl`` have no effect: nothing is taken by token. It goes with the two
    other parts of ``algorithm=exact`` (``mllmrec/algorithm/compatibility.py``). Our definition.
    """

    def __call__(self, terms: "Terms") -> "Tensor":
        batch, log_q = terms.batch, terms.log_q
        assert log_q is not None, "rollout=exhaust gives the probabilities of candidates"
        q = log_q.exp()

        def expected(values: "Tensor") -> "Tensor":
            return batch.total(q * values).mean()

        loss = -expected(batch.advantages.to(q))
        if terms.beta:
            assert terms.log_ref is not None, "β > 0 asks for those of the reference too"
            loss = loss + terms.beta * expected(log_q - terms.log_ref)
        return loss
