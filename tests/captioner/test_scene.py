"""One sentence a picture: sensible for photographs, letters, plain areas and single pixels."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images

from mllmrec.captioner.colours import NAMES, lab, name_of
from mllmrec.captioner.scene import described

SHAPES = ("circle", "ring", "square", "triangle", "star", "stripe", "wave", "cross")


def told(image):
    return described(image, 128, 3, 0.1)


def drawn(size=(200, 300), ground="white"):
    image = Image.new("RGB", size, ground)
    return image, ImageDraw.Draw(image)


@pytest.mark.parametrize("name", NAMES)
def test_a_colour_is_told_by_its_name_and_so_are_its_neighbours(name):
    rng = np.random.default_rng(0)
    near = np.array(NAMES[name]) + rng.integers(-4, 5, size=(20, 3))
    assert {name_of(place) for place in lab(np.clip(near, 0, 255))} == {name}
    assert told(Image.new("RGB", (50, 80), NAMES[name])).startswith(f"{name}, ")


def test_lab_is_that_of_the_standard():
    """White, mid grey, and pure red, as tables of colour give them."""
    places = lab(np.array([[255, 255, 255], [119, 119, 119], [255, 0, 0]]))
    expected = [[100, 0, 0], [50, 0, 0], [53.2, 80.1, 67.2]]
    assert np.abs(places - expected).max() < 0.3


def test_photographs_are_told_by_colours():
    china, flower = (Image.fromarray(image) for image in load_sample_images().images)
    assert told(china).startswith("white, silver and ")
    assert not any(shape in told(china) for shape in SHAPES)
    assert "coral" in told(flower) and "dark" in told(flower)


def test_noise_and_slopes_have_no_shapes():
    noise = np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)
    slope = np.broadcast_to(np.linspace(0, 255, 90).astype(np.uint8)[:, None, None], (90, 60, 3))
    for pixels, texture in ((noise, "busy"), (slope, "plain")):
        text = told(Image.fromarray(np.ascontiguousarray(pixels)))
        assert not any(shape in text for shape in SHAPES) and text.endswith(texture)


@pytest.mark.parametrize("words", ["THE GREAT ESCAPE", "Sunset Boulevard", "ALIEN"])
def test_letters_are_no_shapes(words):
    image, pen = drawn(ground="#101820")
    for number, word in enumerate(words.split()):
        pen.text((15, 40 + 70 * number), word, font_size=34, fill="#ffb000")
    assert told(image).startswith("black") and not any(shape in told(image) for shape in SHAPES)


def test_things_and_where_they_are():
    image, pen = drawn(ground="navy")
    pen.ellipse((60, 110, 140, 190), fill="white")
    assert told(image).startswith("navy, central circle in white, dark")
    image, pen = drawn()
    pen.rectangle((10, 120, 60, 170), fill="red")
    assert told(image).startswith("white, left square in red, bright")
    pen.rectangle((130, 120, 180, 170), fill="red")
    assert told(image).startswith("white, two squares in red")
    image, pen = drawn()
    for y in range(20, 280, 60):
        pen.ellipse((85, y, 115, y + 30), outline="black", width=5)
    assert told(image).startswith("white, column of rings in black")


def test_what_the_edge_cuts_is_not_judged_by_its_shape():
    image, pen = drawn(ground="black")
    pen.ellipse((-80, 100, 80, 260), fill="yellow")
    assert "circle" not in told(image)


def test_one_sentence_for_any_size_and_always_the_same():
    for size in ((1, 1), (1, 900), (900, 1), (3, 2), (128, 128)):
        text = told(Image.new("RGB", size, "navy"))
        assert text == "navy, dark, low contrast, plain"
    noise = np.random.default_rng(1).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    assert told(Image.fromarray(noise)) == told(Image.fromarray(noise.copy()))


def test_so_many_colours_of_such_a_share():
    image, pen = drawn(size=(100, 100), ground="white")
    for number, colour in enumerate(("red", "blue", "black")):
        pen.rectangle((0, 15 * number, 99, 15 * number + 14 - 4 * number), fill=colour)
    assert described(image, 100, 1, 0.1).startswith("white, ")
    assert described(image, 100, 4, 0.12).startswith("white and red, ")
    assert described(image, 100, 4, 0.01).startswith("white, red, blue and black, ")
