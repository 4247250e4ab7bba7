"""Files of a dataset with damage in one of them, and what must come of it: records or a Refusal."""

import polars as pl
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from mllmrec.errors import Refusal
from mllmrec.records import INTERACTIONS, ITEMS

SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PIECES = [b"\n", b"\r", b"\r\n", b",", b"\t", b'"', b'""', b" ", b"\x00", b"\xff", b"\xef\xbb\xbf"]
PIECES += [b"{", b"}", b"[", b"]", b"null", b"-", b"1e9", "é🤣".encode(), b"\\", b"PK\x03\x04"]


@st.composite
def mangled(draw, files):
    """The files by name, one of them cut, filled with something else, or nothing but bytes."""
    name = draw(st.sampled_from(sorted(files)))
    data = files[name]
    start = draw(st.integers(0, len(data)))
    end = draw(st.one_of(st.just(start), st.integers(start, len(data))))
    filling = b"".join(draw(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=6)))
    changed = draw(st.sampled_from([data[:start] + filling + data[end:], filling, data * 2]))
    return files | {name: changed}


def put(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def records_or_refusal(dataset, out):
    """Read everything; the tables, or None where it was refused in three beats."""
    try:
        dataset.content()
        tables = dataset.load(out)
        met = pl.concat([pl.DataFrame(schema=INTERACTIONS), *tables.interactions])
    except Refusal as refusal:
        assert refusal.wrong and refusal.allowed and refusal.do
        return None
    assert tables.items.schema == ITEMS and met.schema == INTERACTIONS
    assert not sum(met.null_count().row(0))
    assert tables.items["item_id"].is_unique().all() and not tables.items["title"].null_count()
    assert set(met["item_id"]) <= set(tables.items["item_id"])
    return tables
