"""Pictures as SVG, for pages that show files: axes, lines with bands, and boxes.

Same numbers, same bytes. What is drawn is told in words too, for those who do not see it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

# Okabe and Ito's colours, told apart with any colour vision.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F"),
    *("#882255", "#44AA99", "#999933", "#332288"),
)
INK, QUIET, RULE = "#222222", "#5a5a5a", "#dddddd"
Numbers = Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Box:
    """A place on the picture, in pixels, and the numbers that its edges stand for."""

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, value: float) -> float:
        low, high = self.x
        return self.left + self.width * (value - low) / (high - low)

    def down(self, value: float) -> float:
        low, high = self.y
        return self.top + self.height * (high - value) / (high - low)

    def points(self, x: Numbers, y: Numbers) -> str:
        pairs = zip(x, y, strict=True)
        return " ".join(f"{self.across(a):.1f},{self.down(b):.1f}" for a, b in pairs)


def picture(width: float, height: float, about: str, parts: Sequence[str]) -> str:
    """A whole file; ``about`` says in words what is drawn."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label={quoteattr(about)} '
        'font-family="system-ui, sans-serif" font-size="12">'
    )
    ground = f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>'
    return "\n".join([head, f"<title>{escape(about)}</title>", ground, *parts, "</svg>", ""])


def text(x: float, y: float, words: str, *, anchor: str = "start", **more: str) -> str:
    given = {"fill": INK, "text-anchor": anchor, **more}
    said = " ".join(f"{name.replace('_', '-')}={quoteattr(v)}" for name, v in given.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" {said}>{escape(words)}</text>'


def rule(x: float, y: float, x2: float, y2: float, colour: str = RULE, width: float = 1) -> str:
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>'


def filled(x: float, y: float, width: float, height: float, colour: str, told: str = "") -> str:
    size = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {size} fill="{colour}"><title>{escape(told)}</title></rect>'


def line(box: Box, x: Numbers, y: Numbers, colour: str, *, width: float = 2, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<polyline points="{box.points(x, y)}" fill="none" stroke="{colour}" '
        f'stroke-width="{width:g}"{dashed} stroke-linejoin="round"/>'
    )


def band(box: Box, x: Numbers, low: Numbers, high: Numbers, colour: str) -> str:
    """What lies between two lines, cut off where the box ends."""
    bottom, top = box.y
    held = [[min(max(v, bottom), top) for v in edge] for edge in (low, high)]
    around = f"{box.points(x, held[1])} {box.points([*x][::-1], held[0][::-1])}"
    return f'<polygon points="{around}" fill="{colour}" fill-opacity="0.18"/>'


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About so many round numbers within bounds, 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / (1.4 * count)
    power = 10.0 ** math.floor(math.log10(rough))
    apart = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    first, last = math.ceil(low / apart - 1e-9), math.floor(high / apart + 1e-9)
    return [round(n * apart, 12) for n in range(first, last + 1)]


def said(value: float) -> str:
    """A tick in few letters: 0.55, 200, 12k, 1.5M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (abs(value) >= size and unit == "M"):
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def axes(
    box: Box, x_title: str = "", y_title: str = "", *, has_y: bool = True, has_rules: bool = True
) -> list[str]:
    """Rules, ticks and titles of a box."""
    bottom, right = box.top + box.height, box.left + box.width
    parts = []
    for value in ticks(*box.y) if has_rules else ():
        parts.append(rule(box.left, box.down(value), right, box.down(value)))
        if has_y:
            at = box.down(value) + 4
            parts.append(text(box.left - 6, at, said(value), anchor="end", fill=QUIET))
    for value in ticks(*box.x, max(2, round(box.width / 75))):
        at = box.across(value)
        parts.append(rule(at, bottom, at, bottom + 4, QUIET))
        parts.append(text(at, bottom + 17, said(value), anchor="middle", fill=QUIET))
    parts.append(rule(box.left, bottom, right, bottom, QUIET))
    if x_title:
        middle = box.left + box.width / 2
        parts.append(text(middle, bottom + 34, x_title, anchor="middle", fill=QUIET))
    if y_title:
        x, y = box.left - 44, box.top + box.height / 2
        turned = f"rotate(-90 {x:.1f} {y:.1f})"
        parts.append(text(x, y, y_title, anchor="middle", fill=QUIET, transform=turned))
    return parts


def widened(values: Numbers, share: float = 0.06) -> tuple[float, float]:
    """The least and the largest of some numbers, with room around them."""
    low, high = min(values), max(values)
    room = (high - low) * share or max(abs(high), 1.0) * share
    return low - room, high + room
