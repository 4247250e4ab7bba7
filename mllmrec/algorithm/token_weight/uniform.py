"""Every token counts alike."""

from collections.abc import Sequence

from mllmrec.algorithm.base import TokenWeight
from mllmrec.algorithm.batch import Context, Sample, Tokens


class Uniform(TokenWeight):
    """w_t = 1: the losses as they are published."""

    def __call__(self, tokens: Tokens, sample: Sample, context: Context) -> Sequence[float]:
        return [1.0] * len(tokens)
