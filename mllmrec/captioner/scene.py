"""What a picture looks like, measured and told in one short sentence."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from mllmrec.captioner.colours import NAMES, book, cells, name_of
from mllmrec.captioner.layout import arranged
from mllmrec.captioner.shapes import blobs, shape_of, things

NEAR = 20.0  # in CIELAB: what lies nearer belongs to one surface
PLAIN = 0.45  # share of the pixels that makes a surface the ground
OF_ONE_INK = 0.6  # share of what lies on the ground that must be of one colour to be called things


def described(image: Image.Image, size: int, colours: int, least: float) -> str:
    """The sentence for an RGB picture, most telling words first.

    A ground with things of one shape on it: ``teal, scattered circles in white, dark, high
    contrast``. Anything else by its colours, largest first, at most ``colours`` of those that
    cover a share of ``least``: ``dark blue, orange and black, dark, high contrast, busy``. It is
    looked at with its longer side ``size`` pixels long.
    """
    numbers = cells(np.asarray(scaled(image, size)))
    names, places = book()
    seen = places[numbers]
    tone = f"{lightness(seen[..., 0])}, {contrast(seen[..., 0])} contrast"
    told = things_of(numbers, seen)
    if told:
        return f"{told}, {tone}"
    counts = np.bincount(names[numbers.ravel()], minlength=len(NAMES))
    return f"{listed(leading(counts, colours, least))}, {tone}, {texture(seen[..., 0])}"


def scaled(image: Image.Image, size: int) -> Image.Image:
    """Its longer side of this length, so that all measures are of one scale."""
    share = size / max(image.size)
    width, height = (max(1, round(side * share)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


def things_of(numbers: np.ndarray, seen: np.ndarray) -> str | None:
    """Ground, shape, layout and ink; None where there is no such ground, or no such things."""
    middle = book()[1][np.bincount(numbers.ravel()).argmax()]
    near = distance(seen, middle) < NEAR
    if near.mean() < PLAIN:
        return None
    ground = seen[near].mean(axis=0)
    far = distance(seen, ground)
    farthest = float(np.percentile(far, 99))
    if farthest < NEAR:
        return None
    mask = far > farthest / 2
    ink = np.median(seen[far > 0.8 * farthest], axis=0)
    found = blobs(mask)
    shape = shape_of(found)
    if not shape or (distance(seen[mask], ink) < 2 * NEAR).mean() < OF_ONE_INK:
        return None
    return f"{name_of(ground)}, {arranged(shape, things(found, shape))} in {name_of(ink)}"


def distance(seen: np.ndarray, place: np.ndarray) -> np.ndarray:
    far: np.ndarray = np.sqrt(((seen - place) ** 2).sum(axis=-1))
    return far


def leading(counts: np.ndarray, most: int, least: float) -> list[str]:
    """Names of the colours that cover most, the first always among them."""
    order = np.argsort(-counts, kind="stable")[:most]
    names = list(NAMES)
    total = counts.sum()
    return [names[i] for rank, i in enumerate(order) if rank == 0 or counts[i] >= least * total]


def listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def lightness(light: np.ndarray) -> str:
    mean = float(light.mean())
    return "dark" if mean < 40 else "bright" if mean > 65 else "medium light"


def contrast(light: np.ndarray) -> str:
    low, high = np.percentile(light, (3, 97))
    return "low" if high - low < 25 else "high" if high - low > 55 else "medium"


def texture(light: np.ndarray) -> str:
    """Busy where neighbours differ much."""
    steps = [np.abs(np.diff(light, axis=axis)) for axis in (0, 1) if light.shape[axis] > 1]
    mean = float(np.mean([step.mean() for step in steps])) if steps else 0.0
    return "plain" if mean < 1 else "busy" if mean > 5 else "calm"
