from mllmrec.algorithm.advantage.zero import Zero
from tests.algorithm.batches import batch


def test_no_row_is_better_than_another():
    assert Zero()(batch({"a": ["a", "b"], "b": ["c"]})).tolist() == [0.0, 0.0, 0.0]
