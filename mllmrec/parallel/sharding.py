"""Frozen weights, spread over the ranks: each holds a part of every layer, and lends it."""

from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from mllmrec import ranks


def spread(model: Any) -> Any:
    """The model, with its frozen weights spread if that was asked for; what is trained stays whole.

    A layer is gathered when its turn comes. All ranks then go forward and backward together. A
    model that is still in main memory comes to the device a layer's part at a time.
    """
    how = ranks.here().sharding
    if how is None or isinstance(model, FSDPModule):
        return model
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trained = {p for p in model.parameters() if p.requires_grad}
    if all(p in trained for p in model.parameters()):
        return model.to(device)
    told: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (ranks.count(),)),
        "reshard_after_forward": how.reshard,
        "ignored_params": trained,
    }
    for layer in layers_of(model):
        fully_shard(layer, **told)
    fully_shard(model, **told)
    for p in trained:
        p.data = p.data.to(device)
    return model


def layers_of(model: Any) -> list[nn.Module]:
    """The layers of a decoder: the longest list of modules in it."""
    lists = [list(part) for part in model.modules() if isinstance(part, nn.ModuleList)]
    return max(lists, key=len)
