"""The reference stays the model that the training began from."""

from mllmrec.algorithm.kl.base import Estimated


class Frozen(Estimated):
    """KL(π ‖ π_ref) with π_ref the merged SFT model throughout (GRPO, arXiv 2402.03300).

    The estimates are those of ``mllmrec/algorithm/kl/base.py``.
    """
