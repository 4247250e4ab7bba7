"""The default: no other process."""

from tests.launching import config


def test_nothing_is_spread():
    parallel = config().parallel
    assert not parallel.is_spread and not parallel.follows and parallel.total() == 1
    for stage in config().stages.values():
        parallel.ready(stage)
