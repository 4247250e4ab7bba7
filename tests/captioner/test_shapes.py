"""Shapes are told at any size and turn, and what has no name gets none."""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mllmrec.captioner.layout import arranged
from mllmrec.captioner.shapes import Blob, Form, blobs, form_of, shape_of, things

SIZE = 512  # drawn large, then made small, so that edges are as a camera has them


def around(radii, turn):
    step = 2 * math.pi / len(radii)
    return [
        (SIZE / 2 + r * math.cos(turn + step * i), SIZE / 2 + r * math.sin(turn + step * i))
        for i, r in enumerate(radii)
    ]


def drawn(shape, turn):
    image = Image.new("L", (SIZE, SIZE))
    pen, box = ImageDraw.Draw(image), (106, 106, 406, 406)
    if shape == "circle":
        pen.ellipse(box, fill=255)
    elif shape == "ring":
        pen.ellipse(box, outline=255, width=45)
    elif shape == "cross":
        ends = around([150] * 4, turn)
        for pair in (ends[0::2], ends[1::2]):
            pen.line(pair, fill=255, width=50)
    elif shape == "wave":
        pen.line([(x, 256 + 50 * math.sin(x / 35 + turn)) for x in range(60, 450, 8)], 255, 30)
    else:
        radii = {"triangle": [150] * 3, "square": [150] * 4, "star": [150, 62] * 5}
        corners = radii.get(shape)
        pen.polygon(around(corners, turn) if corners else around_bar(turn), fill=255)
    return image


def around_bar(turn):
    flat = [(-150, -28), (150, -28), (150, 28), (-150, 28)]
    sine, cosine = math.sin(turn), math.cos(turn)
    return [(256 + x * cosine - y * sine, 256 + x * sine + y * cosine) for x, y in flat]


@pytest.mark.parametrize("pixels", [48, 96])
@pytest.mark.parametrize(
    "shape", ["circle", "ring", "square", "triangle", "star", "stripe", "wave", "cross"]
)
def test_a_shape_is_told_at_any_size_and_turn(shape, pixels):
    for turn in np.linspace(0, 1.5, 9):
        image = drawn(shape, float(turn)).resize((pixels, pixels), Image.Resampling.BOX)
        (blob,) = blobs(np.asarray(image) > 127)
        assert blob.shape == shape, (turn, form_of(np.asarray(image) > 127))


def test_a_form_says_what_its_words_mean():
    """A rectangle of 4 x 2 fills hull and box; of a frame of 4 x 4 a quarter is hole."""
    bar = form_of(np.ones((20, 40), dtype=bool))
    assert bar.long == pytest.approx(2) and bar.boxed == pytest.approx(1, abs=0.01)
    assert bar.solid == pytest.approx(1, abs=0.01) and bar.hollow == 0
    frame = np.ones((40, 40), dtype=bool)
    frame[10:30, 10:30] = False
    assert form_of(frame).hollow == pytest.approx(0.25)


def test_specks_are_noise_and_many_pieces_are_texture():
    mask = np.zeros((100, 100), dtype=bool)
    mask[40:44, 40:44] = mask[80, 80] = True
    assert [blob.area for blob in blobs(mask)] == [pytest.approx(16e-4)]
    mask[::10, ::10] = mask[1::10, ::10] = mask[::10, 1::10] = True
    many = np.kron(np.indices((10, 10)).sum(axis=0) % 1 == 0, np.pad(np.ones((8, 8)), 1)) > 0
    assert blobs(many) == []


def blob(x=0.5, y=0.5, shape="circle", area=0.01, is_cut=False):
    return Blob(x=x, y=y, area=area, shape=shape, is_cut=is_cut)


def test_the_shape_of_most_counts_and_the_edge_has_no_say():
    circle, other, cut = blob(), blob(shape=None), blob(shape=None, is_cut=True)
    assert shape_of([circle, other, cut]) == "circle"
    assert shape_of([circle, other, other]) is None
    assert shape_of([circle, cut, cut]) is None and shape_of([]) is None
    assert things([circle, blob(area=0.001, shape=None)], "circle") == [circle]


GRID = [(x, y) for y in (0.2, 0.5, 0.8) for x in (0.15, 0.4, 0.6, 0.85)]


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ([(0.5, 0.45)], "central circle"),
        ([(0.4, 0.5), (0.6, 0.5)], "central circles"),
        ([(0.1, 0.5)], "left circle"),
        ([(0.5, 0.9)], "lower circle"),
        ([(0.1, 0.5), (0.9, 0.5)], "two circles"),
        ([(x / 5, x / 5) for x in range(1, 5)], "diagonal circles"),
        ([(x / 5, 1 - x / 5) for x in range(1, 5)], "diagonal circles"),
        ([(x / 5, 0.5) for x in range(1, 5)], "row of circles"),
        ([(0.3, y / 5) for y in range(1, 5)], "column of circles"),
        (GRID, "rows of circles"),
        ([(x, y) for x in (0.2, 0.8) for y in (0.1, 0.22, 0.37, 0.6, 0.9)], "columns of circles"),
        ([(0.1, 0.2), (0.5, 0.9), (0.9, 0.4), (0.3, 0.6), (0.7, 0.1)], "scattered circles"),
    ],
)
def test_layouts(places, told):
    assert arranged("circle", [blob(*place) for place in places]) == told


def test_a_cross_has_crosses():
    assert arranged("cross", [blob(0.1), blob(0.9)]) == "two crosses"


def test_a_form_without_a_name():
    assert Form(solid=0.3, hollow=0, thick=0.2, boxed=0.7, long=1.2, fourfold=0).name is None
