"""A page of a thousand runs: how large it is, how soon it is written, how soon it answers.

    python bench/page.py [--runs N] [--quick]

The runs are made up (bench/_pages.py), with as many knobs, values, curves and cases as a comparison
hands over; written by mllmrec.page, opened from its file in the system's own Chromium without a
window. It answers when a click on a heading has put the rows in another order; the time is taken
from the start of the navigation, by the page's own clock. Charts are drawn when they come into
view: the time to the first one counts from there, and holds the start of plotly. Claims that a
page stays under 15 MB, is written in under 30 seconds, and answers in under 2.
"""

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _claims import Claim, options, record
from _measure import MB
from _pages import comparison
from playwright.sync_api import sync_playwright

from mllmrec.page.build import write_page

MOST_MB, MOST_SECONDS, MOST_WAIT = 15, 30, 2
# A click on a heading as soon as the page is there, and the time when its rows are another's.
CLICK = """new Promise(done => {
  const first = () => document.querySelector('#grid tbody tr[data-row="0"]')?.dataset.run;
  const before = first();
  document.querySelectorAll('#grid thead th')[2].click();
  const look = () => first() === before ? setTimeout(look, 1)
    : requestAnimationFrame(() => done(performance.now()));
  look();
})"""
CHART = """new Promise(done => {
  const from = performance.now();
  const figure = document.querySelector('#intervals figure');
  figure.scrollIntoView();
  const look = () => figure.dataset.drawn ? done(performance.now() - from) : setTimeout(look, 5);
  look();
})"""


def opened(browser: Any, file: Path) -> dict[str, float]:
    """Milliseconds of one visit: until it is ready, until it answers, and to its first chart."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(file.as_uri(), wait_until="commit")
    page.wait_for_selector("html[data-ready]")
    answers = page.evaluate(CLICK)
    ready = float(page.evaluate("document.documentElement.dataset.ready"))
    page.wait_for_selector("#intervals figure", state="attached")
    chart = page.evaluate(CHART)
    page.close()
    return {"ready, ms": ready, "answers, ms": answers, "first chart once in view, ms": chart}


def visits(file: Path, repeats: int) -> dict[str, float]:
    """Medians over visits, each by a browser of its own, so that nothing is kept of the others."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("bench/page.py: no chromium on this machine: apt-get install chromium")
    found: list[dict[str, float]] = []
    with sync_playwright() as playwright:
        for _ in range(repeats):
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            found.append(opened(browser, file))
            browser.close()
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def claims_of(runs: int, repeats: int) -> list[Claim]:
    data = comparison(runs)
    with tempfile.TemporaryDirectory() as folder:
        file, start = Path(folder) / "index.html", time.perf_counter()
        write_page(data, file)
        seconds, size = time.perf_counter() - start, file.stat().st_size / MB
        waits = visits(file, repeats)
    return [
        Claim(
            claim=f"the most MB that a page may have, by those of one of {runs} runs",
            ratio=MOST_MB / size,
            goal=1.0,
            figures={"MB": size, "curves": float(len(data["curves"]))},
        ),
        Claim(
            claim=f"the most seconds that writing may take, by those of {runs} runs",
            ratio=MOST_SECONDS / seconds,
            goal=1.0,
            figures={"seconds": seconds},
        ),
        Claim(
            claim=f"the longest wait for an answer, by that for {runs} runs",
            ratio=MOST_WAIT * 1e3 / waits["answers, ms"],
            goal=1.0,
            figures=waits,
        ),
    ]


def main() -> None:
    parser = options(__doc__, repeats=5)
    parser.add_argument("--runs", type=int, default=1000)
    args = parser.parse_args()
    runs, repeats = (12, 1) if args.quick else (args.runs, args.repeats)
    record(__file__, claims_of(runs, repeats), args)


if __name__ == "__main__":
    main()
