"""Captions from pixels: pictures a second on two processes, in memory that stays flat.

    python bench/captions.py [--quick]

Posters of 256 pixels are drawn into a folder that is thrown away, and captioned by
`captioner=palette`. Claims: two processes are faster than one (of as many pictures as one does in
reasonable time) and say the same; the peak of memory of all processes together, above what the
script held before, is no more than 10 % larger for ten times as many pictures. The rate, and what
one reading of every pixel by Pillow alone costs (its own palette of 8 colours), stand beside.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import yaml
from _claims import Claim, options, record
from _measure import MB
from PIL import Image

from mllmrec.asking import Reply
from mllmrec.captioner.base import Pictured
from mllmrec.captioner.palette import Palette
from mllmrec.captioner.pool import FEW
from mllmrec.dataset.posters import draw_posters

SIDE = 256
MANY, TENTH = 20_000, 2_000
GOAL = 1.4  # of two processes, that must be started first
FEWER = (FEW + 200, FEW)  # of --quick: enough for several processes
YAML = Path(__file__).parents[1] / "conf" / "captioner" / "palette.yaml"


def palette(workers: int) -> Palette:
    values: dict[str, Any] = yaml.safe_load(YAML.read_text(encoding="utf-8"))
    del values["_target_"]
    return Palette(**{**values, "workers": workers})


def draw(folder: Path, count: int) -> list[Pictured]:
    names = draw_posters(folder, np.arange(count) % 8, size=SIDE, seed=0)
    return [Pictured(item_id=name, title="", picture=folder / name) for name in names]


def drawn(folder: Path, count: int) -> list[Pictured]:
    """Posters in parts, each in a folder and a process of its own."""
    parts = [folder / str(number) for number in range(-(-count // 1000))]
    sizes = [min(1000, count - 1000 * number) for number in range(len(parts))]
    with ProcessPoolExecutor(2) as pool:
        return [item for part in pool.map(draw, parts, sizes) for item in part]


class Tree:
    """Peak of the memory of this process and all below it, in MB above the level at entry.

    By shares (PSS), so that pages which several processes hold are counted once.
    """

    def __enter__(self) -> "Tree":
        self.level, self.peak = total(), 0.0
        self.is_done, self.watcher = Event(), Thread(target=self.watch)
        self.watcher.start()
        return self

    def watch(self) -> None:
        while not self.is_done.wait(0.1):
            self.peak = max(self.peak, total())

    def __exit__(self, *_: object) -> None:
        self.is_done.set()
        self.watcher.join()

    @property
    def mb(self) -> float:
        return self.peak - self.level


def total() -> float:
    return sum(map(share, {os.getpid(), *below(os.getpid())})) / MB


def below(pid: int) -> Iterator[int]:
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = file.read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from below(child)


def share(pid: int) -> int:
    """Bytes; none of a process that has ended in the meantime."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def run(items: Sequence[Pictured], workers: int) -> tuple[list[Reply], float, float]:
    """The captions, the seconds that they took, and the peak of memory in MB."""
    with Tree() as tree:
        began = time.perf_counter()
        replies = palette(workers).write(items, Path(os.devnull))
        seconds = time.perf_counter() - began
    return replies, seconds, tree.mb


def quantised(item: Pictured) -> int:
    """What the plainest reading of colours takes: Pillow's own palette of all pixels."""
    with Image.open(item.picture) as image:
        return len(image.convert("RGB").quantize(8).getcolors() or ())


def main() -> None:
    args = options(__doc__).parse_args()
    many, tenth = FEWER if args.quick else (MANY, TENTH)
    with tempfile.TemporaryDirectory() as folder:
        items = drawn(Path(folder), many)
        one, alone, _ = run(items[:tenth], 1)
        two, seconds, small = run(items[:tenth], 2)
        every, whole, large = run(items, 2)
        began = time.perf_counter()
        for item in items[: tenth // 4]:
            quantised(item)
        plain = tenth // 4 / (time.perf_counter() - began)
    is_equal = one == two == every[:tenth] and all(reply.text for reply in every)
    named = partial("{} pictures, MB".format)
    claims = [
        Claim(
            claim=f"two processes by one, {tenth} pictures, in wall",
            ratio=alone / seconds,
            goal=None if args.quick else GOAL,
            equal=is_equal,
            figures={
                "one, pictures a second": tenth / alone,
                "two, pictures a second": tenth / seconds,
                f"two, of {many}, pictures a second": many / whole,
                "Pillow's quantize alone, one process, pictures a second": plain,
            },
        ),
        Claim(
            claim=f"the peak of {tenth} pictures by that of {many}",
            ratio=small / large,
            goal=None if args.quick else 1 / 1.1,
            figures={named(tenth): small, named(many): large},
        ),
    ]
    record(__file__, claims, args)


if __name__ == "__main__":
    main()
