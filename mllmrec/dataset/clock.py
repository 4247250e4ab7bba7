"""Times as whole numbers, in the unit of their file: seconds, or parts of one.

What happened within one second stays in its order that way, and all that is ever asked of times is
which is earlier, and where a share of them ends.
"""

import polars as pl

from mllmrec.dataset.lines import Rule

LATEST = 10**11  # more is no time in seconds (year 5138), less none in milliseconds (1973)
TIME = pl.col("timestamp")


def per_second(time: int) -> int:
    """1 where the time of a row can be meant in seconds, 1000 where in milliseconds."""
    return 1000 if abs(time) >= LATEST else 1


def whole_times(text: pl.Expr, unit: int) -> list[Rule]:
    """What makes the time of a row bad: the ``timestamp`` that was read, and how it is written."""
    said = {1: "seconds", 1000: "milliseconds"}
    return [
        Rule(bad=TIME.is_null(), field="timestamp", value=text, why="not a whole number"),
        Rule(
            bad=(TIME.abs() >= LATEST) != (unit == 1000),
            field="timestamp",
            value=text,
            why=f"no time in {said[unit]}, as the others are",
        ),
    ]


WHOLE = r"\.0+$"  # behind whole numbers that went through pandas
USUAL = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d")
DATE = (
    r"^(?<date>\d{4}-\d{2}-\d{2})(?:[T ](?<hour>\d{2}):(?<minute>\d{2})"
    r"(?::(?<second>\d{2})(?:[.,](?<part>\d{1,9}))?)?\s*"
    r"(?<zone>Z|UTC|[+-]\d{2}(?::?\d{2})?)?)?$"
)


def parsed(texts: pl.Series, unit: str) -> pl.Series:
    """Times as numbers, null where a text is none: dates in microseconds, the others as told."""
    told = texts.str.strip_chars()
    if unit == "iso":
        return dates(told)
    return told.str.replace(WHOLE, "").cast(pl.Int64, strict=False)


def dates(texts: pl.Series) -> pl.Series:
    """Microseconds of dates; all that are not of one usual form are taken apart."""
    for form in USUAL:
        found = texts.str.to_datetime(form, time_unit="us", strict=False).cast(pl.Int64)
        if not found.null_count():
            return found
    return texts.to_frame("time").select(iso()).to_series()


def time_rules(unit: str, name: str | None) -> list[Rule]:
    """What makes a row bad whose column ``name`` is read by ``parsed``."""
    if unit == "order" or name is None:
        return []
    told, value = {"s": "seconds", "ms": "milliseconds"}, pl.col("time")
    if unit == "iso":
        why = "no date such as 2024-05-31, 2024-05-31T12:30:00 or 2024-05-31 12:30:00.250+02:00"
        return [Rule(bad=TIME.is_null(), field=name, value=value, why=why)]
    other = "ms" if unit == "s" else "s"
    far = (TIME.abs() >= LATEST) != (unit == "ms")
    why = f"no time in {told[unit]} between 1973 and 5138 (dataset.time_unit={other}?)"
    whole = f"not a whole number of {told[unit]} (dataset.time_unit=iso for dates)"
    return [
        Rule(bad=TIME.is_null(), field=name, value=value, why=whole),
        Rule(bad=far, field=name, value=value, why=why),
    ]


def iso() -> pl.Expr:
    """Microseconds of a date, with or without a time of day and a zone (UTC without)."""
    parts = pl.col("time").str.extract_groups(DATE).struct

    def number(name: str) -> pl.Expr:
        return parts.field(name).cast(pl.Int64, strict=False).fill_null(0)

    day = parts.field("date").str.to_date("%Y-%m-%d", strict=False).cast(pl.Int64)
    zone = parts.field("zone").replace(["Z", "UTC"], "+00").fill_null("+00").str.replace(":", "")
    offset = zone.str.slice(1, 2).cast(pl.Int64) * 60
    offset += zone.str.slice(3, 2).replace("", "0").cast(pl.Int64, strict=False).fill_null(0)
    sign = pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
    part = parts.field("part").fill_null("0").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64)
    is_day = (number("hour") < 24) & (number("minute") < 60) & (number("second") < 61)
    seconds = (number("hour") * 60 + number("minute") - sign * offset) * 60 + number("second")
    return pl.when(is_day).then((day * 86_400 + seconds) * 1_000_000 + part)
