"""From launches to the files of a comparison: what ``stage=compare`` does, for whoever asks."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mllmrec.artifacts import Store
from mllmrec.comparison.build import build
from mllmrec.comparison.files import NAMES, write_csv, write_data
from mllmrec.comparison.options import Options
from mllmrec.comparison.run import Run
from mllmrec.launches import Launch
from mllmrec.page.build import write_page

log = logging.getLogger(__name__)


def write(
    launches: Mapping[str, Launch],
    options: Options,
    out: Path,
    *,
    store: Store,
    title: str,
    notes: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Write page, CSV and JSON of these launches, by name and in this order, into a folder.

    ``store`` is where artifacts are looked for that are not where their launch left them;
    ``notes`` stand before what the comparison itself has to say.

    Returns:
        All that is told, as ``build.build`` makes it.

    Raises:
        Refusal: no launch has values, or what the options name is not there.
    """
    shared: dict[str, Any] = {}  # what several runs stand on is read once
    runs = [
        Run(name=name, launch=launch, store=store, artifacts=shared)
        for name, launch in launches.items()
    ]
    data = build(runs, options, title)
    data["notes"] = [*notes, *data["notes"]]
    out.mkdir(parents=True, exist_ok=True)
    write_data(data, out / NAMES["data"])
    write_csv(data, out / NAMES["table"])
    write_page(data, out / NAMES["page"])
    return data
