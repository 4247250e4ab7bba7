"""Small plans for the tests of what works on them."""

import polars as pl

from mllmrec.dataset.coded import encoded
from mllmrec.dataset.filters import by_user, k_core, sequences, without_repeats
from mllmrec.dataset.split import leave_one_out


def log(text):
    """Interactions from words such as ``ua3``: user u, item a, time 3."""
    return pl.DataFrame(
        [(word[0], word[1], int(word[2:])) for word in text.split()],
        schema=["user_id", "item_id", "timestamp"],
        orient="row",
    )


def met(*frames):
    """The users' sequences of interactions, without repeats and nothing else filtered."""
    return sequences(without_repeats(by_user(encoded(frames)))[0])


def listed(**items):
    """Users' sequences from words of one-letter items, at times 0, 1, …"""
    words = [f"{user}{item}{at}" for user, word in items.items() for at, item in enumerate(word)]
    return met(log(" ".join(words)))


def told(sequences):
    """Rows of user, items and times."""
    ends = zip(sequences.start, sequences.start[1:], strict=False)
    return [
        (
            user,
            "".join(sequences.item_ids.gather(sequences.item[begin:end])),
            sequences.time[begin:end].tolist(),
        )
        for user, (begin, end) in zip(sequences.user_ids, ends, strict=True)
    ]


def core(frame, **knobs):
    return sequences(k_core(by_user(encoded([frame])), **knobs))


def plan(**items):
    return leave_one_out(listed(**items))
