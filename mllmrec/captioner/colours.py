"""Names of colours: the nearest of a table, where distance is as the eye sees it (CIELAB)."""

from functools import cache

import numpy as np

# Common names at the places that CSS and dictionaries of colour give them, far enough apart that
# two people would name the same one.
NAMES: dict[str, tuple[int, int, int]] = {
    "black": (0, 0, 0),
    "dark grey": (64, 64, 64),
    "grey": (128, 128, 128),
    "silver": (192, 192, 192),
    "white": (255, 255, 255),
    "maroon": (110, 10, 20),
    "crimson": (220, 20, 60),
    "red": (255, 0, 0),
    "coral": (255, 127, 80),
    "pink": (255, 170, 185),
    "magenta": (255, 0, 200),
    "purple": (110, 20, 110),
    "violet": (143, 0, 255),
    "lavender": (190, 165, 235),
    "navy": (0, 0, 128),
    "blue": (0, 20, 250),
    "dark blue": (25, 45, 80),
    "steel blue": (90, 125, 165),
    "sky blue": (130, 195, 240),
    "cyan": (0, 225, 235),
    "teal": (0, 128, 128),
    "dark green": (15, 70, 35),
    "green": (0, 155, 60),
    "mint": (150, 230, 185),
    "lime": (150, 235, 40),
    "olive": (115, 130, 20),
    "dark brown": (60, 38, 25),
    "brown": (130, 80, 45),
    "tan": (200, 160, 120),
    "cream": (250, 235, 205),
    "orange": (250, 140, 10),
    "amber": (255, 191, 0),
    "yellow": (255, 245, 50),
}
STEPS = 32  # cells of the table of names along each channel
# sRGB (D65) to XYZ, by rows, each divided by the white point's own X, Y, Z.
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def lab(rgb: np.ndarray) -> np.ndarray:
    """L (0 to 100), a and b of colours of 0 to 255 a channel, which come last (IEC 61966-2-1)."""
    share = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    # a sum by hand: a product of matrices would start threads
    xyz = sum(linear[..., channel, None] * TO_XYZ[:, channel] for channel in range(3)) / WHITE
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@cache
def book() -> tuple[np.ndarray, np.ndarray]:
    """For each cell of RGB space, in the order of ``cells``: the number of its name, its Lab."""
    level = (np.arange(STEPS) + 0.5) * (256 / STEPS)
    grid = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1).reshape(-1, 3)
    places = lab(grid)
    named = lab(np.array(list(NAMES.values())))
    far = np.stack([((places - place) ** 2).sum(axis=1) for place in named])
    return far.argmin(axis=0), places.astype(np.float32)


def cells(rgb: np.ndarray) -> np.ndarray:
    """The number of the cell that each pixel lies in: (height, width, 3) to (height, width)."""
    step = (rgb // (256 // STEPS)).astype(np.int64)
    number: np.ndarray = (step[..., 0] * STEPS + step[..., 1]) * STEPS + step[..., 2]
    return number


def name_of(place: np.ndarray) -> str:
    """The name that is nearest to one colour, given in Lab."""
    named = lab(np.array(list(NAMES.values())))
    return list(NAMES)[int(((named - place) ** 2).sum(axis=1).argmin())]
