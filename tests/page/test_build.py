"""What is in a page's file: everything, once, and nothing that could be taken for a script."""

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources

import plotly.offline
import pytest

from bench._pages import comparison
from mllmrec.page import build
from mllmrec.page.build import PACKED, SCRIPTS, page, write_page

HOSTILE = [
    "</script><script>window.taken = 1</script>",
    "<!--<script>",
    "<img src=x onerror=window.taken=1>",
    "@@main@@ @@data@@",
    "\u2028 ' \" & <b>bold</b> %{x} \\",
]


def hostile(count: int = 4):
    """A comparison in which every text is one that wants to be more than text."""
    data = comparison(count)
    bad = "".join(HOSTILE)
    data["title"] = bad
    data["notes"] = [bad]
    data["same"] = {bad: bad}
    data["knobs"].append({"name": bad, "values": [f"{bad}{run}" for run in range(count)]})
    for number, run in enumerate(data["runs"]):
        run |= {"name": f"{number} {bad}", "id": None, "url": "javascript:window.taken=1"}
        run |= {"command": bad, "group": bad, "tags": [bad], "folder": bad, "state": bad}
    for sample in data["cases"]["samples"]:
        sample |= {"prompt": bad, "rationale": bad, "history": [bad], "target": bad}
        for one in sample["by"]:
            one["ranked"] = [bad, *one["ranked"]]
    for kind in data["segments"]:
        kind |= {"name": kind["name"] + bad, "bins": [f"{one}{bad}" for one in kind["bins"]]}
    for curve in data["curves"]:
        curve["name"] += bad
    for line in data["study"]["lines"]:
        line["name"] += bad
        line["costs"] = {bad: 0.5}
    data["costs"]["stages"] = [{"name": bad, "seconds": [1.0] * count}]
    return data


class Elements(HTMLParser):
    """The elements of a page as a browser reads them, and the text of each script by its id."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self.open = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.open = (dict(attrs), "")

    def handle_data(self, data):
        if self.open:
            self.open = (self.open[0], self.open[1] + data)

    def handle_endtag(self, tag):
        if tag == "script":
            self.scripts.append(self.open)
            self.open = None


def unpacked(letters):
    return gzip.decompress(base64.b64decode(letters)).decode()


def test_the_file_holds_all_of_the_data():
    data = comparison(3)
    scripts = {attrs.get("id"): text for attrs, text in Elements(page(data)).scripts}
    assert json.loads(scripts["data"]) == {key: data[key] for key in data if key not in PACKED}
    for key in PACKED:
        assert json.loads(unpacked(scripts[f"packed-{key}"])) == data[key]
    assert unpacked(scripts["packed-plotly"]) == plotly.offline.get_plotlyjs()


def test_text_that_wants_to_be_a_script_stays_text():
    data = hostile()
    plain, wild = Elements(page(comparison(4))), Elements(page(data))
    assert [tag for tag, _ in wild.found] == [tag for tag, _ in plain.found]
    told = next(text for attrs, text in wild.scripts if attrs.get("id") == "data")
    assert json.loads(told)["title"] == data["title"]
    assert "<" not in told  # also where an older parser would see the start of a comment


def test_only_scripts_of_its_own_may_run():
    text = page(comparison(3))
    found = Elements(text)
    policy = next(a["content"] for tag, a in found.found if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy and "http" not in policy
    told = set(re.findall(r"'sha256-([^']+)'", policy))

    def digest(script):
        return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    run = [script for attrs, script in found.scripts if "type" not in attrs]
    assert told == {digest(one) for one in [*run, plotly.offline.get_plotlyjs()]}
    assert not [a for _, a in found.found if {"src", "srcset"} & a.keys()]
    assert [a["href"] for tag, a in found.found if tag == "link"] == ["data:,"]


def test_the_same_data_give_the_same_bytes(tmp_path):
    for name in ("one.html", "sub/two.html"):
        write_page(comparison(3), tmp_path / name)
    one, two = (tmp_path / name for name in ("one.html", "sub/two.html"))
    assert one.read_bytes() == two.read_bytes()
    assert one.stat().st_size < 2.5e6


def test_a_number_that_is_none_is_refused():
    """Python would write NaN, at which a browser's parser stops and the page stays empty."""
    with pytest.raises(ValueError, match="JSON"):
        page({**comparison(3), "same": {"x": float("nan")}})


def test_what_is_absent_is_told_as_empty():
    data = {key: value for key, value in comparison(3).items() if key not in PACKED}
    scripts = {a.get("id"): text for a, text in Elements(page(data)).scripts}
    assert [unpacked(scripts[f"packed-{key}"]) for key in PACKED] == ["[]"] * len(PACKED)


def test_every_script_beside_it_is_part_of_the_page():
    folder = resources.files(build.__package__)
    found = {one.name for one in folder.iterdir() if one.name.endswith(".js")}
    assert found == {*SCRIPTS, "theme.js"}


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return sum(weight * x for weight, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """As WCAG 2 defines it: 21 for black on white."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1, 2], ids=["light", "dark by system", "dark by choice"])
def test_text_can_be_read_on_every_ground(theme):
    blocks = re.findall(r"--ground:.*?\}", build.source("style.css"), re.DOTALL)
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[theme]))
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for ink in ("text", "quiet", "accent", "above", "below", "even", "untested"):
        for ground in ("ground", "raised", "ticked", "hover", "sunk"):
            least = 4.5 if ink != "even" else 3  # of marks, not of text
            assert contrast(colour[ink], colour[ground]) >= least, (ink, ground)
    assert contrast(colour["accent"], colour["on-accent"]) >= 4.5
    assert contrast(colour["text"], colour["warn"]) >= 4.5
