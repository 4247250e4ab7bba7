"""Which of several processes this one is, and what they exchange while they work on one stage.

All ranks run the same lines in the same order on the same values; only what is costly is shared
out, and what each finds is gathered, so that all go on with the same values again. A launch by
itself is rank 0 of 1, and nothing here costs it anything.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")
K = TypeVar("K")
PATIENCE = timedelta(days=7)  # a dead rank is seen by its launcher, not by those who wait for it
BUCKET = 1 << 26  # values that are summed over the ranks at once: 256 MB


@dataclass(frozen=True, kw_only=True)
class Here:
    """This process among those of a stage; ``sharding`` is how frozen weights are spread."""

    rank: int = 0
    count: int = 1
    sharding: Any = None


_here = Here()


def here() -> Here:
    return _here


def count() -> int:
    return _here.count


def is_main() -> bool:
    """Whether this process is the one that writes and tells."""
    return _here.rank == 0


def join(rank: int, count: int, sharding: Any) -> None:
    """Meet the other ranks, by the address that their launcher has put into the environment."""
    import torch
    import torch.distributed as dist

    global _here
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, rank=rank, world_size=count, timeout=PATIENCE)
    _here = Here(rank=rank, count=count, sharding=sharding)


def leave() -> None:
    """Part once all have come here."""
    import torch.distributed as dist

    wait()
    dist.destroy_process_group()


def wait() -> None:
    """Go on when all ranks have come here."""
    gathered(None)


def gathered(value: T) -> list[T]:
    """What every rank has, by rank; the same on all of them."""
    if _here.count == 1:
        return [value]
    import torch.distributed as dist

    found: list[Any] = [None] * _here.count
    dist.all_gather_object(found, value)
    return found


def merged(found: Mapping[K, T]) -> dict[K, T]:
    """What the ranks have found, by its key."""
    return {key: value for part in gathered(found) for key, value in part.items()}


def rounds(batches: Iterable[list[T]]) -> Iterator[tuple[list[T], list[list[T]]]]:
    """This rank's batch of each round, and all that the ranks do in it.

    A batch is what it is with one process, so its numbers are, to the last bit. In the last round
    a rank without a batch of its own repeats one: sharded weights want all ranks at every forward.
    """
    if _here.count == 1:
        yield from ((batch, [batch]) for batch in batches)
        return
    every = list(batches)
    for start in range(0, len(every), _here.count):
        together = every[start : start + _here.count]
        yield together[min(_here.rank, len(together) - 1)], together


def shares(sizes: Sequence[int]) -> list[list[int]]:
    """Indices of what each rank takes, of about equal total size, in their order.

    The largest goes first, each to the rank that has least.
    """
    taken: list[list[int]] = [[] for _ in range(_here.count)]
    total = [0] * _here.count
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        rank = min(range(_here.count), key=lambda r: (total[r], r))
        taken[rank].append(index)
        total[rank] += sizes[index]
    return [sorted(share) for share in taken]


Cut = Callable[[Sequence[int]], Iterable[list[int]]]


def parts(sizes: Sequence[int], cut: Cut) -> list[tuple[list[int], bool]]:
    """The indices that this rank takes, in the parts that ``cut`` makes of their sizes.

    The second value is False for a part that is only there to keep step: where weights are
    sharded, all ranks go forward and backward equally often.
    """
    every = []
    for share in shares(sizes):
        few = cut([sizes[i] for i in share]) if share else []
        every.append([[share[place] for place in part] for part in few])
    mine = [(part, True) for part in every[_here.rank]]
    if _here.sharding and (missing := max(map(len, every)) - len(mine)):
        mine += [([min(range(len(sizes)), key=sizes.__getitem__)], False)] * missing
    return mine


def sum_gradients(parameters: Iterable[Any]) -> None:
    """Add up each parameter's gradient over the ranks; one that has none has zero."""
    if _here.count == 1:
        return
    import torch
    import torch.distributed as dist

    kept = [p for p in parameters if p.requires_grad]
    for p in kept:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    for bucket in buckets([p.grad for p in kept]):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        dist.all_reduce(flat)
        for gradient, whole in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
            gradient.copy_(whole.view_as(gradient))


def buckets(tensors: Sequence[Any]) -> Iterator[list[Any]]:
    """The tensors in runs of one type, each of BUCKET values or a single tensor."""
    run: list[Any] = []
    for tensor in tensors:
        full = sum(t.numel() for t in run) + tensor.numel() > BUCKET
        if run and (full or run[0].dtype != tensor.dtype):
            yield run
            run = []
        run.append(tensor)
    if run:
        yield run


def summed(value: Any) -> Any:
    """The sum of a tensor over the ranks."""
    if _here.count == 1:
        return value
    import torch.distributed as dist

    whole = value.detach().clone()
    dist.all_reduce(whole)
    return whole


def begin_alike(parameters: Iterable[Any]) -> None:
    """Give all ranks the trainable weights of rank 0."""
    if _here.count == 1:
        return
    import torch.distributed as dist

    for p in parameters:
        if p.requires_grad:
            dist.broadcast(p.data, src=0)


def check_alike(parameters: Iterable[Any]) -> None:
    """Stop where the ranks' trainable weights have drifted apart.

    Raises:
        RuntimeError: they are not the same on all ranks; a fault of ours.
    """
    if _here.count == 1:
        return
    own = [float(p.detach().double().sum()) for p in parameters if p.requires_grad]
    if any(other != own for other in gathered(own)):
        raise RuntimeError("the weights of the ranks have drifted apart")
