"""Captions from pixels: what the made-up posters carry is found again, and bad files are named."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmrec.captioner import pool
from mllmrec.captioner.base import Pictured
from mllmrec.captioner.scene import described
from mllmrec.dataset.posters import STYLES, draw_posters, poster
from tests.reasoner.asked import configured

POSTERS = 160
SHOWN = {  # what the first words must say: colour, layout, shape
    "scattered": "{colour}, scattered {shape}s",
    "rows": "{colour}, rows of {shape}s",
    "diagonal": "{colour}, diagonal {shape}s",
    "centre": "{colour}, central {shape}",
}


def palette(**knobs):
    return configured("captioner", "palette", **knobs)


def pictured(*paths):
    return [Pictured(item_id=path.stem, title="", picture=path) for path in paths]


@pytest.mark.parametrize("size", [64, 256])
def test_a_poster_is_told_by_its_colour_its_layout_and_its_shape(size):
    found, colours = Counter(), Counter()
    for number in range(POSTERS):
        style = STYLES[number % len(STYLES)]
        text = described(poster(style, size=size, rng=np.random.default_rng(number)), 128, 3, 0.1)
        expected = SHOWN[style.layout].format(colour=style.name, shape=style.shape)
        found[style.name] += text.startswith(expected)
        colours[style.name] += text.startswith(style.name)
    each = POSTERS / len(STYLES)
    assert sum(colours.values()) >= 0.98 * POSTERS, colours
    assert sum(found.values()) >= 0.94 * POSTERS, found
    assert min(found.values()) >= 0.75 * each and len(found) == len(STYLES), found


def test_captions_are_the_same_whatever_the_number_of_processes(tmp_path, monkeypatch, caplog):
    names = draw_posters(tmp_path, np.arange(48) % 8, size=32, seed=0)
    items = pictured(*(tmp_path / name for name in names))
    caplog.set_level(logging.INFO)
    alone = palette(workers=1).write(items, tmp_path / "j")
    monkeypatch.setattr(pool, "FEW", 1)
    spread = palette(workers=2).write(items, tmp_path / "j")
    assert spread == alone
    assert [reply.id for reply in alone] == [item.item_id for item in items]
    assert "48 of 48 pictures" in caplog.text and "a second" in caplog.text
    assert palette(workers=1).knobs() == palette(workers=2).knobs()


def test_few_of_many_things_are_in_flight(monkeypatch):
    """What waits is bounded by the number of processes, not by the number of things."""
    most, waiting = [0], []

    class Future:
        def result(self):
            waiting.remove(self)
            return self.made

        def cancel(self):
            pass

    class Executor:
        def __init__(self, *args, **kwargs): ...
        def __enter__(self):
            return self

        def __exit__(self, *args): ...
        def submit(self, work, part):
            future = Future()
            future.made = work(part)
            waiting.append(future)
            most[0] = max(most[0], len(waiting))
            return future

    monkeypatch.setattr(pool, "ProcessPoolExecutor", Executor)
    things = range(20_000)
    assert [*pool.mapped(list, things, 2, "captioner.workers")] == [*things]
    assert most[0] <= 2 * pool.AHEAD


def test_a_process_that_dies_is_a_refusal(tmp_path, monkeypatch):
    def broken(*args):
        raise pool.BrokenProcessPool("killed")
        yield

    monkeypatch.setattr(pool, "spread", broken)
    monkeypatch.setattr(pool, "FEW", 1)
    with pytest.raises(pool.Refusal) as refusal:
        palette(workers=2).write(pictured(tmp_path / "a", tmp_path / "b"), tmp_path)
    assert refusal.value.do == "type captioner.workers=1"


def test_a_bad_file_is_a_failure_with_its_reason_and_the_others_go_on(tmp_path):
    Image.new("RGB", (40, 40), "navy").save(tmp_path / "good.png")
    (tmp_path / "page.jpg").write_text("<html>")
    items = pictured(*(tmp_path / name for name in ("page.jpg", "good.png", "gone.jpg")))
    page, good, gone = palette().write(items, tmp_path / "j")
    assert (page.id, page.text) == ("page", None) and page.why.startswith("page.jpg: no picture of")
    assert good.text == "navy, dark, low contrast, plain"
    assert gone.why == "gone.jpg: no such file"
    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize("knobs", [{"size": 8}, {"colours": 0}, {"least_share": 0}, {"workers": 0}])
def test_knobs_out_of_range(knobs):
    with pytest.raises(ValueError, match=next(iter(knobs))):
        palette(**knobs)


def test_it_knows_nothing_of_how_posters_are_drawn():
    for file in Path(pool.__file__).parent.glob("*.py"):
        assert "posters" not in file.read_text(encoding="utf-8")
