"""The pictures of a study: what is learnt by rollouts and by time, gains, groups and costs."""

from collections.abc import Mapping, Sequence
from typing import Any

from mllmrec.comparison.drawing import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    Box,
    axes,
    band,
    filled,
    line,
    picture,
    rule,
    text,
    widened,
)
from mllmrec.comparison.lines import CONTROL, GRPO
from mllmrec.training.times import SECONDS

ACROSS, WIDE, HIGH = 4, 218, 150  # panels a row, and the size of one
LEFT, ROOM = 62, 54  # before the first panel, and above each for its name
ROW, NAMES = 22, 190  # of a chart with a row a line: its height, and the room for names
ACCENT, OTHER = COLOURS[0], "#c9c9c9"
SPENT = {
    "rollouts": "rollouts (completions drawn)",
    SECONDS: "CPU seconds of training",
    "tokens": "tokens read by the policy",
}
GROUPS = {
    "groups/no_signal": "share of groups whose rewards are all equal",
    "groups/unique": "distinct completions of a group",
}
Line = Mapping[str, Any]


def figures(study: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """SVGs by their names, each with what it shows in words; those that there are numbers for."""
    lines = study["lines"]
    made = {name: curves(lines, name) for name in SPENT}
    made |= {name.partition("/")[2]: courses(lines, name) for name in GROUPS}
    made |= {"gain": gain(lines, study["metric"], study["base"]), "costs": costs(lines)}
    return {name: told for name, told in made.items() if told}


def curves(lines: Sequence[Line], spent: str) -> tuple[str, str] | None:
    """A panel an algorithm: its curve and the band of its seeds, the others in grey, SFT dashed."""
    known = {n: one for n, one in enumerate(lines) if one["curve"] and one["curve"][spent]}
    own = {n: one for n, one in known.items() if one["label"] == GRPO}
    if not own:
        return None
    control = [one["curve"] for one in known.values() if one["label"] == CONTROL]
    end = max(one["curve"][spent][-1] for one in own.values())
    told = f"NDCG@5 of the probe against {SPENT[spent]}"
    every = [one["curve"] for one in known.values()]
    bounds = widened([v for one in every for v in one["mean"]], 0.12)
    inside = [cut(one, spent, end) for one in control]

    def draw(box: Box, place: int) -> list[str]:
        others = [one["curve"] for n, one in own.items() if n != place]
        grey = [line(box, one[spent], one["mean"], OTHER, width=1) for one in others]
        beside = [line(box, x, y, QUIET, width=1.5, dash="5 3") for x, y in inside]
        mine = own[place]["curve"]
        return [*grey, *beside, *with_band(box, mine[spent], mine)]

    names = {n: one["name"] for n, one in own.items()}
    keys = [("own, with the band of its seeds", ACCENT, ""), ("the others", OTHER, "")]
    keys += [("SFT for longer", QUIET, "5 3")] if control else []
    return panels(names, draw, (0.0, end), bounds, SPENT[spent], "NDCG@5", told, keys), told


def cut(curve: Mapping[str, Any], spent: str, end: float) -> tuple[list[float], list[float]]:
    """A curve as far as the others go."""
    pairs = [(x, y) for x, y in zip(curve[spent], curve["mean"], strict=True) if x <= end]
    return [x for x, _ in pairs], [y for _, y in pairs]


def with_band(box: Box, x: Sequence[float], own: Mapping[str, Any]) -> list[str]:
    known = own["low"][0] is not None
    return [
        *([band(box, x, own["low"], own["high"], ACCENT)] if known else []),
        line(box, x, own["mean"], ACCENT),
    ]


def courses(lines: Sequence[Line], name: str) -> tuple[str, str] | None:
    """A panel an algorithm: what became of its groups by step."""
    own = {n: one["groups"][name] for n, one in enumerate(lines) if name in one["groups"]}
    if not own:
        return None
    told = f"{GROUPS[name]}, by step"
    bounds = widened([0.0, *(v for one in own.values() for v in one["mean"])])
    end = max(one["step"][-1] for one in own.values())

    def draw(box: Box, place: int) -> list[str]:
        others = [one for n, one in own.items() if n != place]
        grey = [line(box, one["step"], one["mean"], OTHER, width=1) for one in others]
        return [*grey, *with_band(box, own[place]["step"], own[place])]

    names = {n: lines[n]["name"] for n in own}
    keys = [("own, with the band of its seeds", ACCENT, ""), ("the others", OTHER, "")]
    return panels(names, draw, (0.0, float(end)), bounds, "step", "", told, keys), told


def panels(
    names: Mapping[int, str],
    draw: Any,
    x: tuple[float, float],
    y: tuple[float, float],
    x_title: str,
    y_title: str,
    about: str,
    keys: Sequence[tuple[str, str, str]],
) -> str:
    """Boxes of equal axes side by side, so that they can be held against each other."""
    rows = -(-len(names) // ACROSS)
    columns = min(ACROSS, len(names))
    parts = key_row(keys, LEFT, 18)
    for at, (place, name) in enumerate(names.items()):
        row, column = divmod(at, ACROSS)
        box = Box(
            left=LEFT + column * WIDE,
            top=ROOM + 8 + row * (HIGH + ROOM),
            width=WIDE - 22,
            height=HIGH,
            x=x,
            y=y,
        )
        is_last = at + ACROSS >= len(names)
        parts += axes(
            box,
            x_title if is_last else "",
            y_title if column == 0 else "",
            has_y=column == 0,
        )
        parts.append(text(box.left, box.top - 8, short(name, 30), font_weight="600"))
        parts += draw(box, place)
    wide = max(LEFT + columns * WIDE, LEFT + 420)
    return picture(wide, ROOM + 8 + rows * (HIGH + ROOM) + 4, about, parts)


def key_row(keys: Sequence[tuple[str, str, str]], x: float, y: float) -> list[str]:
    parts = []
    for words, colour, dash in keys:
        box = Box(left=x, top=y - 8, width=22, height=8, x=(0, 1), y=(0, 1))
        parts += [line(box, [0, 1], [0.5, 0.5], colour, dash=dash), text(x + 28, y, words)]
        x += 44 + 6.3 * len(words)
    return parts


def short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def gain(lines: Sequence[Line], metric: str, base: str) -> tuple[str, str] | None:
    """A row a line, the best first: its gain over SFT, and both intervals of it."""
    known = [(one["name"], one["gain"][metric]) for one in lines if metric in one["gain"]]
    if not known:
        return None
    known.sort(key=lambda pair: -pair[1]["diff"])
    ends = [
        [v for v in (g["low"], g["high"], *g["seeds"], g["diff"], 0.0) if v is not None]
        for _, g in known
    ]
    told = f"{metric.upper()} on test samples less that of {base}, by algorithm"
    box = rows_box(len(known), widened([v for end in ends for v in end]))
    bottom = box.top + box.height
    parts = axes(box, f"{metric.upper()} less that of {base}", has_rules=False)
    parts.append(rule(box.across(0), box.top, box.across(0), bottom, INK))
    keys = [("other test samples (bootstrap)", ACCENT, ""), ("other seeds (t)", OTHER, "")]
    parts += key_row(keys, box.left, 18)
    for at, (name, own) in enumerate(known):
        y = box.down(len(known) - at - 0.5)
        parts.append(text(box.left - 8, y + 4, short(name, 28), anchor="end"))
        for (low, high), colour, width in (
            (own["seeds"], OTHER, 9.0),
            ((own["low"], own["high"]), ACCENT, 3.0),
        ):
            if low is not None:
                parts.append(rule(box.across(low), y, box.across(high), y, colour, width))
        x = box.across(own["diff"])
        parts.append(filled(x - 3.5, y - 3.5, 7, 7, INK, f"{name} {own['diff']:+.4f}"))
    return picture(box.left + box.width + 24, bottom + 44, told, parts), told


def rows_box(count: int, x: tuple[float, float]) -> Box:
    """A place for a row a line, names before it."""
    return Box(left=NAMES, top=34, width=560, height=count * ROW, x=x, y=(0, count))


def costs(lines: Sequence[Line]) -> tuple[str, str] | None:
    """A row a line: how its steps' CPU time is shared out among the parts of the method."""
    known = [one for one in lines if one["costs"]]
    if not known:
        return None
    names = sorted(
        {part for one in known for part in one["costs"]},
        key=lambda part: -sum(one["costs"].get(part, 0.0) for one in known),
    )
    told = "Share of a step's CPU time by part of the method"
    box = rows_box(len(known), (0.0, 1.0))
    colour = {part: COLOURS[n] if n < len(COLOURS) else RULE for n, part in enumerate(names)}
    parts = axes(box, told, has_rules=False)
    for at, one in enumerate(known):
        y = box.down(len(known) - at)
        parts.append(text(box.left - 8, y + ROW / 2 + 4, short(one["name"], 28), anchor="end"))
        so_far = 0.0
        for part in names:
            share = min(one["costs"].get(part, 0.0), 1.0 - so_far)
            if share > 0:
                told_of = f"{one['name']}: {part} {share:.1%}"
                wide = box.across(share) - box.left
                parts.append(
                    filled(box.across(so_far), y + 3, wide, ROW - 6, colour[part], told_of)
                )
                so_far += share
    bottom = box.top + box.height + 58
    for at, part in enumerate(names):
        x, y = box.left + (at % 3) * 190, bottom + (at // 3) * 18
        parts += [filled(x, y - 9, 11, 11, colour[part]), text(x + 16, y, short(part, 26))]
    return picture(box.left + box.width + 24, bottom + -(-len(names) // 3) * 18, told, parts), told
