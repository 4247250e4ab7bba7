"""How the things in a picture lie, in words: scattered, in rows, diagonal, in the centre."""

from collections.abc import Sequence

import numpy as np

from mllmrec.captioner.shapes import Blob

NARROW = 0.06  # a share of the picture: what differs by no more lies on one line
CENTRE = (0.28, 0.72)


def arranged(noun: str, found: Sequence[Blob]) -> str:
    """Things of one kind with how they lie: ``scattered circles``, ``rows of stripes``."""
    things = noun + ("es" if noun.endswith("s") else "s")
    places = np.array([(one.x, one.y) for one in found])
    if is_central(places):
        return f"central {noun if len(found) == 1 else things}"
    if len(found) == 1:
        return f"{side(places[0])} {noun}"
    if len(found) == 2:
        return f"two {things}"
    return line_of(places, things) or rows_of(places, things) or f"scattered {things}"


def is_central(places: np.ndarray) -> bool:
    return bool((places > CENTRE[0]).all() and (places < CENTRE[1]).all()) and len(places) <= 3


def side(place: np.ndarray) -> str:
    """Where one thing lies that is not in the centre, by where it is farthest from it."""
    x, y = place - 0.5
    if abs(x) > abs(y):
        return "left" if x < 0 else "right"
    return "upper" if y < 0 else "lower"


def line_of(places: np.ndarray, things: str) -> str | None:
    """Things that lie along one line; None if they do not."""
    centred = places - places.mean(axis=0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    if spread[1] / len(places) ** 0.5 > NARROW:
        return None
    turn = np.degrees(np.arctan2(*np.abs(directions[0])[::-1]))  # 0: level, 90: upright
    if turn < 20:
        return f"row of {things}"
    return f"column of {things}" if turn > 70 else f"diagonal {things}"


def rows_of(places: np.ndarray, things: str) -> str | None:
    """Things that lie in several rows or columns; None if they do not."""
    for axis, word in ((1, "rows"), (0, "columns")):
        along = np.sort(places[:, axis])
        levels = np.split(along, np.flatnonzero(np.diff(along) > NARROW) + 1)
        full = [level for level in levels if len(level) > 1]
        within = max((float(level.std()) for level in full), default=1.0)
        share = sum(map(len, full)) / len(along)
        are_level = share > 0.8 and within < 0.75 * NARROW
        if are_level and 1 < len(levels) < len(along) / 2:
            return f"{word} of {things}"
    return None
