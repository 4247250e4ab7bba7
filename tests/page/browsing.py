"""A page in the system's own Chromium, with all that it says and asks for while it is open."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"
)


@contextmanager
def started() -> Iterator[Any]:
    """A browser without a window; many pages can be opened in it."""
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, file: Path, *, end: str = "", **context: Any) -> Iterator[Any]:
    """The page of a file, ready; at the end it must have had no fault and asked for nothing."""
    faults, asked = [], []
    own = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **context})
    page = own.new_page()
    page.on("console", lambda line: line.type == "error" and faults.append(line.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri() + end, wait_until="commit")
    page.wait_for_selector("html[data-ready]")
    yield page
    own.close()
    assert not faults
    local = (file.as_uri(), "data:", "blob:")
    assert not [url for url in asked if not url.startswith(local)]


def names(page: Any) -> list[str]:
    """The runs of the table, as far as its rows are there, from the top."""
    return page.locator("#grid tbody th .words").all_inner_texts()


def section(page: Any, name: str) -> Any:
    """A section, scrolled to, with its charts drawn."""
    found = page.locator(f"#{name}")
    found.evaluate("section => section.scrollIntoView()")
    page.wait_for_selector(f"#{name}:not(.waiting)")
    return found
