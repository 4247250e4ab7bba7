from mllmrec.algorithm.token_weight.uniform import Uniform
from tests.algorithm.batches import batch, context


def test_every_token_counts_alike():
    sample = batch({"a": ["a"]}).samples[0]
    assert Uniform()((1, 2, 9), sample, context()) == [1.0, 1.0, 1.0]
    assert Uniform()((), sample, context()) == []
