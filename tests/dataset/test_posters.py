import numpy as np
from PIL import Image

from mllmrec.dataset.posters import STYLES, draw_posters

WHICH = np.arange(len(STYLES)).repeat(6)


def middle_colour(file):
    """The median of each channel: what fills more than half of a poster."""
    return np.median(np.asarray(Image.open(file).convert("RGB")), axis=(0, 1))


def test_pixels_tell_the_style(tmp_path):
    names = draw_posters(tmp_path, WHICH, size=64, seed=0)
    colours = np.array([middle_colour(tmp_path / name) for name in names])
    palette = np.array([style.colour for style in STYLES])
    nearest = np.abs(colours[:, None] - palette).sum(axis=2).argmin(axis=1)
    assert (nearest == WHICH).all()


def test_no_two_posters_are_the_same_and_all_come_again(tmp_path):
    names = draw_posters(tmp_path / "a", WHICH, size=32, seed=0)
    first = [(tmp_path / "a" / name).read_bytes() for name in names]
    assert len(set(first)) == len(first)
    draw_posters(tmp_path / "b", WHICH[:9], size=32, seed=0)  # fewer items, the same posters
    assert [(tmp_path / "b" / name).read_bytes() for name in names[:9]] == first[:9]


def test_layout_shows_without_any_colour(tmp_path):
    names = draw_posters(tmp_path, WHICH, size=64, seed=0)
    inked = []
    for name in names:
        grey = np.asarray(Image.open(tmp_path / name).convert("L")).astype(int)
        inked.append(np.abs(grey - np.median(grey)) > 30)
    assert all(0.02 < image.mean() < 0.5 for image in inked)
    border = np.array([image[:8].mean() + image[-8:].mean() for image in inked])
    centred = np.array([STYLES[style].layout == "centre" for style in WHICH])
    assert border[centred].max() == 0 < border[~centred].mean()
    assert len({(style.shape, style.layout) for style in STYLES}) == len(STYLES)
