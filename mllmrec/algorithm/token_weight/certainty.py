"""Tokens that have no alternative in the catalogue count less."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from mllmrec.algorithm.base import TokenWeight
from mllmrec.algorithm.batch import Context, Sample, Tokens


class Certainty(TokenWeight):
    """w_t = d where one token alone leads on from o_<t in the catalogue's trie, else 1.

    The end of turn is a token like any other: an answer that is the beginning of another one ends
    at a fork. Where o_<t begins no answer of the catalogue, w_t = 1. RISER, arXiv 2602.00632; what
    it leaves open is our definition.
    """

    decay: Annotated[float, Field(ge=0, lt=1)]

    def __call__(self, tokens: Tokens, sample: Sample, context: Context) -> Sequence[float]:
        ways = (context.branching(tokens[:place]) for place in range(len(tokens)))
        return [self.decay if count == 1 else 1.0 for count in ways]
