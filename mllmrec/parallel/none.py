"""One process, which uses one GPU, or the cores that torch takes."""

from mllmrec.parallel.base import Parallel


class Alone(Parallel):
    """No other process is started."""
