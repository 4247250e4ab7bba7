"""As ddp, and frozen weights are spread over the processes, which lend them to each other."""

from typing import Any

from mllmrec.parallel.ddp import Ddp


class Fsdp(Ddp):
    """Torch's fully sharded data parallel over what is frozen; what is trained is small.

    ``reshard``: a layer is given back after its forward pass, and gathered anew for the backward.
    """

    reshard: bool

    @property
    def sharding(self) -> Any:
        return self
