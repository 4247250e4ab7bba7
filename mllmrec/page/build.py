"""One HTML file that compares runs: its data, style and scripts inside, for any browser."""

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

# In the order in which they are joined to one script: each may use what stands above it.
SCRIPTS = (
    "core.js",
    "numbers.js",
    "state.js",
    "filter.js",
    "columns.js",
    "table.js",
    "controls.js",
    "details.js",
    "charts.js",
    "intervals.js",
    "knobs.js",
    "parallel.js",
    "curves.js",
    "study.js",
    "inflation.js",
    "segments.js",
    "cases.js",
    "costs.js",
    "main.js",
)
# What only charts further down read is packed: small to keep, and unpacked when it comes into view.
PACKED = ("curves", "study", "inflation", "segments", "cases")
PLACE = re.compile(r"@@([a-z]+)@@")


def write_page(data: Mapping[str, Any], path: Path) -> None:
    """Write the page of a comparison; it needs no server, no network and no other file.

    ``data`` is what ``mllmrec.comparison`` tells: runs, knobs, values, tests, costs, curves,
    inflation, segments, cases and notes, JSON-able and by columns. All of it is text to the page,
    whatever is in it, and no script runs in it but those of this package and plotly's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(data), encoding="utf-8")


def page(data: Mapping[str, Any]) -> str:
    """The page as text; the same data give the same text."""
    first, scripts = source("theme.js"), "\n".join(source(name) for name in SCRIPTS)
    # In a function of its own, so that no name of ours meets one of plotly's.
    main = f'(() => {{\n"use strict";\n{scripts}\n}})();'
    charts = source("package_data/plotly.min.js", "plotly")
    parts = {
        "policy": policy(first, main, charts),
        "title": html.escape(str(data["title"])),
        "style": source("style.css"),
        "theme": first,
        "data": in_script({key: data[key] for key in data if key not in PACKED}),
        "packed": "\n".join(
            f'<script type="application/octet-stream" id="packed-{key}">{packed(told)}</script>'
            for key, told in [
                *((key, as_json(data.get(key) or [])) for key in PACKED),
                ("plotly", charts),
            ]
        ),
        "main": main,
    }
    return PLACE.sub(lambda place: parts[place[1]], source("page.html"))


def source(name: str, package: str = __package__) -> str:
    """A file of a package: of this one, those that lie beside this file."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def policy(*scripts: str) -> str:
    """What the page may do: run these scripts, style itself, draw; load and send nothing."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def as_json(told: Any) -> str:
    """Compact JSON; a number that is none, which browsers do not read, is refused."""
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def in_script(told: Any) -> str:
    """JSON in which nothing can end the element that it stands in."""
    return as_json(told).replace("<", "\\u003c")


def packed(text: str) -> str:
    """Text gzipped, in letters; the same text gives the same letters at any time."""
    return base64.b64encode(gzip.compress(text.encode("utf-8"), 9, mtime=0)).decode()
