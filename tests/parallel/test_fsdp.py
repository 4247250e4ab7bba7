"""Sharding is asked of those that hold frozen weights; equality is in test_equality.py."""

from tests.launching import config


def test_it_is_ddp_that_spreads_weights():
    parallel = config("parallel=fsdp", "parallel.processes=2").parallel
    assert parallel.sharding is parallel and parallel.reshard
    assert config("parallel=ddp", "parallel.processes=2").parallel.sharding is None
