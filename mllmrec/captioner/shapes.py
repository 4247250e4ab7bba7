"""What single blobs of a picture look like, and how they lie: measured, not learnt."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

SMALLEST = 0.0012  # of the picture's area; what is smaller is noise
LETTER = 0.015  # of the picture's area: no letter of a line of text is larger
MOST_BLOBS = 60  # a picture with more of them is texture
SMALL_THING = 0.25  # of the area of the usual one; what is smaller is a speck
AGREED, UNDISPUTED = 0.34, 0.6  # share of one shape, of all pieces and of those with a shape
NEXT = np.ones((3, 3), dtype=bool)  # pixels that touch at a corner hang together


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A connected piece: where its middle lies, and its area, as shares of the picture.

    ``shape`` is None where it is none that has a name.
    """

    x: float
    y: float
    area: float
    shape: str | None
    is_cut: bool


@dataclass(frozen=True, kw_only=True)
class Form:
    """What tells shapes apart, none of it of size, place or turn.

    ``solid``: share of the convex hull that is filled, holes closed. ``hollow``: share of the
    closed area that is hole. ``thick``: radius of the largest circle inside by the root of the
    area. ``boxed``: share of the smallest box around it, however turned, that the hull fills.
    ``long``: that box's longer side by its shorter one. ``fourfold``: how much of it comes
    together again when it is turned by a quarter, far points above all: abs(Σ z⁴) / Σ abs(z)⁴.
    """

    solid: float
    hollow: float
    thick: float
    boxed: float
    long: float
    fourfold: float

    @property
    def name(self) -> str | None:
        """The shape, or None."""
        if self.hollow > 0.2:
            return "ring" if self.solid > 0.85 and self.long < 2 else None
        if self.solid > 0.7:
            return self.of_convex()
        if self.long > 1.7:
            return "wave" if self.thick < 0.2 else None
        if self.solid > 0.34 and self.long < 1.6:
            return self.of_points()
        return None

    @property
    def is_tangled(self) -> bool:
        """Not the same when turned by a quarter, as one cross is: some that touch, or a letter."""
        return self.fourfold <= 0.6

    def of_points(self) -> str | None:
        """A star, one cross, or some that touch."""
        if not self.is_tangled:
            return "cross"
        if self.thick > 0.27:
            return "star"
        return "cross" if 0.7 < self.boxed < 0.92 else None

    def of_convex(self) -> str | None:
        if self.long > 2.2:
            return "stripe" if self.boxed > 0.8 else None
        if self.boxed < 0.68:
            return "triangle"
        if self.long > 1.3 or self.solid < 0.82:
            return None
        return "square" if self.fourfold > 0.25 else "circle"


def blobs(mask: np.ndarray) -> list[Blob]:
    """The pieces of a mask, or none where there are too many to be things."""
    numbered, _ = ndimage.label(mask, structure=NEXT)
    areas = np.bincount(numbered.ravel())
    least = max(6, SMALLEST * mask.size)
    kept = [i for i in range(1, len(areas)) if areas[i] >= least]
    if len(kept) > MOST_BLOBS:
        return []
    boxes = ndimage.find_objects(numbered)
    return [blob(numbered[boxes[i - 1]] == i, boxes[i - 1], mask.shape) for i in kept]


def blob(piece: np.ndarray, box: tuple[slice, slice], size: tuple[int, ...]) -> Blob:
    (rows, columns), (height, width) = box, size
    is_cut = min(rows.start, columns.start) == 0 or rows.stop == height or columns.stop == width
    y, x = np.nonzero(piece)
    area = len(x) / (height * width)
    return Blob(
        x=float(columns.start + x.mean() + 0.5) / width,
        y=float(rows.start + y.mean() + 0.5) / height,
        area=area,
        shape=None if is_cut else shape_at(form_of(piece), area),
        is_cut=is_cut,
    )


def shape_at(form: Form | None, area: float) -> str | None:
    """The shape of a form, if it is no letter: those are thin lines, and mostly small."""
    if form is None or (form.name == "cross" and form.is_tangled and area < LETTER):
        return None
    return form.name


def form_of(piece: np.ndarray) -> Form | None:
    """None for a piece that is a mere line of pixels."""
    padded = np.pad(piece, 1)
    closed = ndimage.binary_fill_holes(padded)
    hull = hull_of(closed)
    if hull is None:
        return None
    corners = hull.points[hull.vertices]
    area, whole = int(piece.sum()), int(closed.sum())
    short, long = smallest_box(corners)
    inside = float(ndimage.distance_transform_edt(padded).max()) - 0.5
    return Form(
        solid=whole / hull.volume,
        hollow=1 - area / whole,
        thick=inside / area**0.5,
        boxed=hull.volume / (short * long),
        long=long / short,
        fourfold=fourfold(piece),
    )


def fourfold(piece: np.ndarray) -> float:
    y, x = np.nonzero(piece)
    z = (x - x.mean()) + 1j * (y - y.mean())
    return float(abs((z**4).sum()) / max(float((np.abs(z) ** 4).sum()), 1e-9))


def hull_of(closed: np.ndarray) -> ConvexHull | None:
    """Around the middles of the pixels' sides: fair to what lies straight and what is turned."""
    rim = closed & ~ndimage.binary_erosion(closed)
    y, x = np.nonzero(rim)
    sides = ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))
    points = np.concatenate([np.stack([x + dx, y + dy], axis=1) for dx, dy in sides])
    try:
        return ConvexHull(points)
    except QhullError:
        return None


def smallest_box(corners: np.ndarray) -> tuple[float, float]:
    """The sides, short and long, of the box of the least area: one side lies on an edge."""
    edges = np.roll(corners, -1, axis=0) - corners
    along = edges / np.hypot(edges[:, 0], edges[:, 1])[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    x, y = corners[:, :1], corners[:, 1:]
    sides = np.stack([np.ptp(x * way[:, 0] + y * way[:, 1], axis=0) for way in (along, across)])
    best = int(sides.prod(axis=0).argmin())
    return float(sides[:, best].min()), float(sides[:, best].max())


def shape_of(found: list[Blob]) -> str | None:
    """The shape of most pieces, if that many have it; those that an edge cuts have no say.

    None where most of what is seen is cut: then the pieces are not the things.
    """
    whole = [one for one in found if not one.is_cut]
    if 2 * sum(one.area for one in whole) < sum(one.area for one in found):
        return None
    votes = Counter(one.shape for one in whole if one.shape)
    for shape, count in votes.most_common(1):
        if count >= max(AGREED * len(whole), UNDISPUTED * votes.total()):
            return shape
    return None


def things(found: list[Blob], shape: str) -> list[Blob]:
    """The pieces of this shape and what is not much smaller: some that touch, or are cut."""
    usual = float(np.median([one.area for one in found if one.shape == shape]))
    return [one for one in found if one.area > SMALL_THING * usual]
