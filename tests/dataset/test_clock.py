from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmrec.dataset.clock import parsed

START = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timedelta(minutes=15 * quarters))
TIMES = st.datetimes(min_value=datetime(1900, 1, 2), max_value=datetime(2200, 1, 1))


@settings(deadline=None)
@given(times=st.lists(TIMES, min_size=1, max_size=5), zone=ZONES.map(timezone) | st.none())
def test_dates_are_those_of_python(times, zone):
    zoned = [time.replace(tzinfo=zone) for time in times]
    expected = [(time if zone else time.replace(tzinfo=UTC)) - START for time in zoned]
    told = pl.Series([time.isoformat() for time in zoned])
    found = parsed(told, "iso").to_list()
    assert found == [delta // timedelta(microseconds=1) for delta in expected]


@pytest.mark.parametrize(
    "told", ["", "x", "2024-02-30", "2024-05-31T24:00:00", "2024-05-31T12:60", "31.05.2024", "2024"]
)
def test_what_is_no_date(told):
    assert parsed(pl.Series([told, "2024-05-31"]), "iso").to_list() == [None, 1717113600_000000]


def test_whole_numbers():
    told = pl.Series([" 12 ", "12.0", "12.5", "-1", "x", ""])
    assert parsed(told, "s").to_list() == [12, 12, None, -1, None, None]
