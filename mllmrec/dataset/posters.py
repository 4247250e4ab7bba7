"""Posters whose colour, shape and layout tell an item's style, which no title does."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Style:
    """What all posters of a style have in common; the colour fills most of the poster."""

    name: str
    colour: Colour
    shape: str
    layout: str


STYLES = (
    Style("teal", (0, 128, 128), "circle", "scattered"),
    Style("crimson", (220, 20, 60), "stripe", "rows"),
    Style("amber", (255, 191, 0), "triangle", "diagonal"),
    Style("violet", (143, 0, 255), "wave", "rows"),
    Style("olive", (107, 142, 35), "star", "scattered"),
    Style("navy", (0, 0, 128), "square", "diagonal"),
    Style("coral", (255, 127, 80), "ring", "centre"),
    Style("silver", (192, 192, 192), "cross", "centre"),
)
COLOUR_JITTER = 12  # largest change of a channel, of 255; styles are at least 100 apart


def draw_posters(folder: Path, styles: np.ndarray, *, size: int, seed: int) -> list[str]:
    """Draw one PNG an item into ``folder``; returns the names of the files, in items' order."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index:04d}.png" for index in range(len(styles))]
    for index, name in enumerate(names):
        rng = np.random.default_rng((seed, index))  # so that no poster depends on another
        poster(STYLES[styles[index]], size=size, rng=rng).save(folder / name)
    return names


def poster(style: Style, *, size: int, rng: np.random.Generator) -> Image.Image:
    """One poster of this style, with the item's own tint, ink, places, sizes and turns."""
    tint = np.array(style.colour) + rng.integers(-COLOUR_JITTER, COLOUR_JITTER + 1, size=3)
    red, green, blue = np.clip(tint, 0, 255).tolist()
    image = Image.new("RGB", (size, size), (red, green, blue))
    pen = ImageDraw.Draw(image)
    shade = int(rng.integers(0, 40))
    ink = (255 - shade,) * 3 if sum(style.colour) < 384 else (shade,) * 3
    for place in LAYOUTS[style.layout](rng):
        middle = (place + rng.normal(0, 0.02, 2)) * size
        radius = size * float(rng.uniform(0.06, 0.09)) * (2 if style.layout == "centre" else 1)
        SHAPES[style.shape](pen, (middle[0], middle[1]), radius, float(rng.uniform(0, 1)), ink)
    return image


def _scattered(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.1, 0.9, (int(rng.integers(7, 11)), 2))


def _rows(rng: np.random.Generator) -> np.ndarray:
    heights = np.arange(0.15, 0.95, rng.uniform(0.2, 0.28))
    return np.array([(x, y) for y in heights for x in (0.2, 0.5, 0.8)])


def _diagonal(rng: np.random.Generator) -> np.ndarray:
    along = np.linspace(0.1, 0.9, int(rng.integers(5, 8)))
    return np.stack([along, along if rng.random() < 0.5 else 1 - along], axis=1)


def _centre(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.4, 0.6, (int(rng.integers(2, 4)), 2))


LAYOUTS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "scattered": _scattered,
    "rows": _rows,
    "diagonal": _diagonal,
    "centre": _centre,
}


def _corners(middle: Point, radii: list[float], turn: float) -> list[Point]:
    """Points around the middle, evenly spaced; ``turn`` is a share of a whole turn."""
    step = 2 * math.pi / len(radii)
    angles = [2 * math.pi * turn + step * index for index in range(len(radii))]
    return [
        (middle[0] + radius * math.cos(angle), middle[1] + radius * math.sin(angle))
        for radius, angle in zip(radii, angles, strict=True)
    ]


def _circle(pen: ImageDraw.ImageDraw, at: Point, r: float, turn: float, ink: Colour) -> None:
    pen.ellipse((at[0] - r, at[1] - r, at[0] + r, at[1] + r), fill=ink)


def _ring(pen: ImageDraw.ImageDraw, at: Point, r: float, turn: float, ink: Colour) -> None:
    pen.ellipse((at[0] - r, at[1] - r, at[0] + r, at[1] + r), outline=ink, width=max(int(r / 4), 1))


def _stripe(pen: ImageDraw.ImageDraw, at: Point, r: float, turn: float, ink: Colour) -> None:
    pen.rectangle((at[0] - 1.6 * r, at[1] - r / 3, at[0] + 1.6 * r, at[1] + r / 3), fill=ink)


def _wave(pen: ImageDraw.ImageDraw, at: Point, r: float, turn: float, ink: Colour) -> None:
    across = np.linspace(-1.6 * r, 1.6 * r, 12)
    points = [(at[0] + x, at[1] + r / 2 * math.sin(3 * x / r + 6 * turn)) for x in across]
    pen.line(points, fill=ink, width=max(int(r / 3), 1))


def _triangle(pen: ImageDraw.ImageDraw, at: Point, r: float, turn: float, ink: Colour) -> None:
    pen.polygon(_corners(at, [r] * 3, turn), fill=ink)


def _square(pen: ImageDraw.ImageDraw, at: Point, r: float, turn: float, ink: Colour) -> None:
    pen.polygon(_corners(at, [r] * 4, turn), fill=ink)


def _star(pen: ImageDraw.ImageDraw, at: Point, r: float, turn: float, ink: Colour) -> None:
    pen.polygon(_corners(at, [r, r / 2.4] * 5, turn), fill=ink)


def _cross(pen: ImageDraw.ImageDraw, at: Point, r: float, turn: float, ink: Colour) -> None:
    ends = _corners(at, [r] * 4, turn)
    for start, end in (ends[0::2], ends[1::2]):
        pen.line((start, end), fill=ink, width=max(int(r / 3), 1))


SHAPES: dict[str, Callable[[ImageDraw.ImageDraw, Point, float, float, Colour], None]] = {
    "circle": _circle,
    "ring": _ring,
    "stripe": _stripe,
    "wave": _wave,
    "triangle": _triangle,
    "square": _square,
    "star": _star,
    "cross": _cross,
}
