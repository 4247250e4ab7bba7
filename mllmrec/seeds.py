"""Seeds and shares by purpose: every random choice has a stream of its own."""

import hashlib


def seed_for(seed: int, *purpose: object) -> int:
    """A seed of 31 bits for one purpose, so that no two purposes share a stream of numbers."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def share_of(seed: int, *purpose: object) -> float:
    """A number in [0, 1) for one purpose: what has less than a share belongs to that share."""
    return seed_for(seed, *purpose) / 2**31
