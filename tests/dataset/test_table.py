import gzip
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mllmrec.dataset import lines
from mllmrec.errors import Refusal
from tests.launching import launch
from tests.mangled import SETTINGS, mangled, put, records_or_refusal

RATINGS = b"user_id,item_id,timestamp\nu1,7,20\nu1,007,10\nu2,7,10\n"
ITEMS = b'item_id,title\n007,"Bond, ""James""\nBond"\n7,Seven\n'
BOTH = [("007", 'Bond, "James" Bond'), ("7", "Seven")]
ROWS = [("u1", "7", 20), ("u1", "007", 10), ("u2", "7", 10)]
COLUMNS = {"user": "user_id", "item": "item_id", "time": "timestamp", "rating": None}
ITEM = {"item": "item_id", "title": "title", "genres": None, "year": None, "picture": None}


@pytest.fixture
def table(dataset, tmp_path):
    """Builds a table from files; knobs of columns are changed by name."""

    def build(files, *, columns=(), item_columns=(), **over):
        put(tmp_path / "data", files)
        names = dict.fromkeys(("interactions", "items"))
        names |= dict(zip(names, files, strict=False))
        return dataset(
            "table",
            path=str(tmp_path / "data"),
            columns=COLUMNS | dict(columns),
            item_columns=ITEM | dict(item_columns),
            **names | over,
        )

    return build


@pytest.fixture
def read(table, tmp_path, met):
    """The same, read: items and interactions as rows, and what was dropped."""

    def build(files, **over):
        tables = table(files, **over).load(tmp_path / "out")
        return tables.items.select("item_id", "title").rows(), met(tables).rows(), tables.dropped

    return build


def test_csv_with_quotes_commas_and_line_ends(read):
    assert read({"r.csv": RATINGS, "i.csv": ITEMS}) == (BOTH, ROWS, {"bad_rows": 0})


def parquet(path, text, **kinds):
    frame = pl.read_csv(text, infer_schema=False).with_columns(
        pl.col(name).cast(kind) for name, kind in kinds.items()
    )
    frame.write_parquet(path)
    return path.read_bytes()


def jsonl(text, *numbers):
    rows = pl.read_csv(text, infer_schema=False).to_dicts()
    for row in rows:
        row |= {name: int(row[name]) for name in numbers}
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_every_kind_of_file_gives_the_same(read, tmp_path):
    variants = [
        {"r.tsv": RATINGS.replace(b",", b"\t"), "i.csv": ITEMS},
        {"r.csv.gz": gzip.compress(RATINGS), "i.csv.gz": gzip.compress(ITEMS)},
        {"r.jsonl": jsonl(RATINGS, "timestamp"), "i.ndjson.gz": gzip.compress(jsonl(ITEMS))},
        {
            "r.parquet": parquet(tmp_path / "r", RATINGS, timestamp=pl.Int64),
            "i.parquet": parquet(tmp_path / "i", ITEMS, item_id=pl.Categorical),
        },
        {"r.csv": b"\xef\xbb\xbf\n" + RATINGS.replace(b"\n", b"\r\n\r\n"), "i.csv": ITEMS},
    ]
    for files in variants:
        assert read(files) == (BOTH, ROWS, {"bad_rows": 0}), list(files)


def test_other_marks_names_and_no_header(read):
    ratings = b"u1::7::5.0::20\nu1::007::3.5::10\nu2::7::4.0::10\n"
    items = b"007::Bond, James Bond\n7::Seven\n"
    told = read(
        {"ratings.dat": ratings, "movies.dat": items},
        separator="::",
        header=False,
        columns={"user": 1, "item": 2, "rating": 3, "time": 4},
        item_columns={"item": 1, "title": 2},
        min_rating=4,
    )
    assert told == (
        [("007", "Bond, James Bond"), ("7", "Seven")],
        [("u1", "7", 20), ("u2", "7", 10)],
        {"bad_rows": 0, "below_min_rating": 1},
    )


@pytest.mark.parametrize("stars", ["nan", "inf", "", "good"])
def test_stars_are_numbers_that_can_be_compared(read, stars):
    ratings = f"user_id,item_id,timestamp,stars\nu1,7,20,{stars}\n".encode()
    with pytest.raises(Refusal, match=rf"line 2: field stars, value '{stars}': not a number"):
        read({"r.csv": ratings, "i.csv": ITEMS}, columns={"rating": "stars"}, min_rating=4)


@pytest.mark.parametrize(
    ("typed", "mark"), [("tab", b"\t"), ("semicolon", b";"), ("space", b" "), ("|", b"|")]
)
def test_marks_that_are_hard_to_type_have_names(read, typed, mark):
    files = {
        "r.dat": RATINGS.replace(b",", mark),
        "i.dat": b"item_id,title\n7,x".replace(b",", mark),
    }
    assert read(files, separator=typed, untitled="drop")[1] == [("u1", "7", 20), ("u2", "7", 10)]


def test_fields_may_be_called_as_ours_are(read):
    ratings = b"line,raw,odd\nu1,7,20\nu1,007,10\nu2,7,10\n"
    names = {"user": "line", "item": "raw", "time": "odd"}
    assert read({"r.csv": ratings, "i.csv": ITEMS}, columns=names)[1] == ROWS
    assert read({"r.jsonl": jsonl(ratings), "i.csv": ITEMS}, columns=names)[1] == ROWS


def test_one_file_of_both(read):
    both = b"user_id,item_id,timestamp,title\nu1,7,20,Seven\nu2,8,1,Eight\nu2,7,2,Seven\n"
    items, rows, _ = read({"r.csv": both})
    assert items == [("7", "Seven"), ("8", "Eight")]
    assert rows == [("u1", "7", 20), ("u2", "8", 1), ("u2", "7", 2)]
    with pytest.raises(
        Refusal, match=r"no column 'title' \(dataset\.item_columns\.title\)"
    ) as told:
        read({"r.csv": RATINGS})
    assert "user_id, item_id, timestamp" in told.value.allowed


@pytest.mark.parametrize(
    ("unit", "told", "expected"),
    [
        ("s", "1700000000.0", 1700000000),
        ("ms", "1588687728923", 1588687728923),
        ("iso", "2024-05-31", 1717113600_000000),
        ("iso", "2024-05-31T12:30:00.25+02:00", 1717151400_250000),
    ],
)
def test_times(read, unit, told, expected):
    ratings = f"user_id,item_id,timestamp\nu1,7,{told}\n".encode()
    assert read({"r.csv": ratings, "i.csv": ITEMS}, time_unit=unit)[1] == [("u1", "7", expected)]


def test_dates_of_a_parquet_file_are_dates(read, tmp_path):
    frame = pl.DataFrame({"user_id": [1.0, 2.0], "item_id": ["7", "7"], "timestamp": [0, 1500]})
    when = pl.col("timestamp").cast(pl.Datetime("ms")).dt.replace_time_zone("Europe/Paris")
    frame.with_columns(when).write_parquet(tmp_path / "r")
    files = {"r.parquet": (tmp_path / "r").read_bytes(), "i.csv": ITEMS}
    _, rows, _ = read(files, time_unit="iso")  # and whole numbers that pandas made floats of
    assert rows == [("1", "7", -3600_000000), ("2", "7", -3598_500000)]


def test_rows_in_order_need_no_time(read, table):
    files = {"r.csv": b"user_id,item_id\nu1,7\nu2,7\nu1,007\n", "i.csv": ITEMS}
    told = {"columns": {"time": None}, "time_unit": "order"}
    assert read(files, **told)[1] == [("u1", "7", 0), ("u2", "7", 1), ("u1", "007", 2)]
    assert not table(files, **told).has_times and table(files).has_times
    with pytest.raises(ValidationError, match="time_unit=order exactly where"):
        table(files, columns={"time": None})
    with pytest.raises(ValidationError, match=r"min_rating wants dataset\.columns\.rating"):
        table(files, min_rating=3)


def test_genres_and_years(table, tmp_path):
    more = {"genres": "g", "year": "y"}
    csv = b"item_id,title,g,y\n7,Seven,a| b |,1995\n8,Eight,,\n"
    made = b'{"item_id":7,"title":"Seven","g":["a","b"],"y":1995}\n{"item_id":8,"title":"Eight"}\n'
    for name, items in (("i.csv", csv), ("i.jsonl", made)):
        told = table({"r.csv": RATINGS, name: items}, item_columns=more).load(tmp_path).items
        assert told.select("genres", "year").rows() == [(["a", "b"], 1995), ([], None)], name


def test_pictures_by_a_column_or_by_the_item_s_id(table, tmp_path):
    items = b"item_id,title,p\n7,Seven,a/x.jpg\n8,Eight,b/x.jpg\n9,Nine,gone.jpg\n1,One,\n"
    files = {"r.csv": RATINGS, "i.csv": items}
    files |= {"a/x.jpg": b"seven", "b/x.jpg": b"eight", "images/9.png": b"nine"}
    named = table(files, item_columns={"picture": "p"})
    assert named.has_pictures and sorted(named.content()["pictures"]) == ["7", "8"]
    told = named.load(tmp_path / "out").items["picture"].to_list()
    assert told == ["pictures/x.jpg", "pictures/1_x.jpg", None, None]
    assert (tmp_path / "out" / told[1]).read_bytes() == b"eight"
    assert table(files).load(tmp_path / "two").items["picture"].to_list() == [
        None,
        None,
        "pictures/9.png",
        None,
    ]
    before = named.content()
    put(tmp_path / "data", {"a/x.jpg": b"other"})
    assert named.content() != before


def test_a_picture_outside_is_refused_by_its_line(table, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    items = b"item_id,title,p\n7,Seven,../secret.jpg\n"
    stolen = table({"r.csv": RATINGS, "i.csv": items}, item_columns={"picture": "p"})
    assert not stolen.has_pictures and not stolen.content()["pictures"]
    with pytest.raises(Refusal, match=r"line 2: field p, value '../secret.jpg': a picture"):
        stolen.load(tmp_path / "out")


def test_untitled_items(read):
    files = {"r.csv": RATINGS, "i.csv": b"item_id,title\n7,Seven\n8,\n"}
    with pytest.raises(Refusal, match=r"i\.csv, line 3: field title of item, value '8'"):
        read(files)
    items, rows, dropped = read(files, untitled="drop")
    assert items == [("7", "Seven")] and rows == [("u1", "7", 20), ("u2", "7", 10)]
    assert dropped == {"bad_rows": 0, "untitled": 1, "untitled_items": 1}


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        (
            "r.csv",
            "user_id,item_id,timestamp\nu,7\n",
            r"line 2: field row, value 'u,7': not the 3",
        ),
        ("r.csv", "user_id,item_id,timestamp\n,7,1\n", "line 2: field user_id, value '': empty"),
        (
            "r.csv",
            "user_id,item_id,timestamp\nu,7,x\n",
            "field timestamp, value 'x': not a wh",
        ),
        (
            "r.csv",
            "user_id,item_id,timestamp\nu,7,1588687728923\n",
            r"value '1588687728923': no time in seconds .*time_unit=ms",
        ),
        (
            "r.csv",
            "user_id,item_id,timestamp\nu,8,1\n",
            "line 2: field item, value '8': the item",
        ),
        ("i.csv", 'item_id,title\n7,"Sev\n', "line 2: field row, .*: its quotes do not close"),
        (
            "i.csv",
            "item_id,title\n7,Seven\n7,Eight\n",
            "line 3: field item, value '7' with titl",
        ),
        ("i.csv", "item_id,title,title\n", "field header, .*: a name is empty or stands twice"),
        ("r.csv", "", "r.csv: the file is empty"),
    ],
)
def test_bad_files(read, file, text, told):
    with pytest.raises(Refusal, match=told):
        read({"r.csv": RATINGS, "i.csv": ITEMS} | {file: text.encode()})


@pytest.mark.parametrize(
    ("over", "wrong", "do"),
    [
        (
            {"columns": {"user": "userid"}},
            r"no column 'userid' \(dataset\.columns\.user",
            "=user_id",
        ),
        ({"interactions": None}, r"dataset\.interactions is not set", "dataset.interactions="),
        ({"interactions": "gone.csv"}, r"gone\.csv: no such file", "dataset.path=DIR"),
        ({"interactions": "r.txt"}, r"the ending \.txt says nothing", "dataset.separator=::"),
        ({"columns": {"user": "an id"}, "interactions": "odd.csv"}, "no column", "user='a user'"),
        ({"interactions": "semi.csv"}, "no column 'user_id'", "type dataset.separator=semicolon"),
        ({"interactions": "bad.parquet"}, r"bad\.parquet: cannot be read", "fetch it again"),
        ({"interactions": "bad.csv.gz"}, r"bad\.csv\.gz: cannot be read", "fetch it again"),
    ],
)
def test_what_to_type(table, over, wrong, do):
    files = {"r.csv": RATINGS, "i.csv": ITEMS, "r.txt": RATINGS}
    files |= {"bad.parquet": b"PAR1 no", "bad.csv.gz": gzip.compress(RATINGS)[:-9]}
    files |= {"odd.csv": RATINGS.replace(b"user_id", b"a user")}
    files |= {"semi.csv": RATINGS.replace(b",", b";")}
    broken = table(files, **over)
    with pytest.raises(Refusal, match=wrong) as told:
        broken.content()
        list(broken.load(broken.files()[0].path.parent / "out").interactions)
    assert do in told.value.do
    assert not broken.has_pictures


@pytest.mark.parametrize("size", [1, 9, 33])
def test_blocks_change_nothing(read, monkeypatch, size):
    files = {"r.csv": RATINGS, "i.csv": ITEMS}
    whole = read(files)
    monkeypatch.setattr(lines, "BLOCK", size)
    assert read(files) == whole
    assert read({"r.jsonl": jsonl(RATINGS), "i.jsonl": jsonl(ITEMS)}) == whole


SETS = [
    {"r.csv": RATINGS, "i.csv": ITEMS},
    {"r.jsonl": jsonl(RATINGS, "timestamp"), "i.tsv": ITEMS.replace(b",", b"\t")},
    {"r.csv.gz": gzip.compress(RATINGS, mtime=0), "i.csv": ITEMS},
]


@SETTINGS
@given(files=st.one_of(map(mangled, SETS)), size=st.sampled_from([1, 16, 1 << 20]))
def test_any_bytes_end_in_records_or_in_a_refusal(dataset, tmp_path_factory, files, size):
    folder = tmp_path_factory.mktemp("any")
    put(folder, files)
    names = dict(zip(("interactions", "items"), files, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", size)
        table = dataset("table", path=str(folder), max_bad_rows=2, **names)
        records_or_refusal(table, folder / "out")


@settings(SETTINGS, max_examples=25)
@given(data=st.data())
def test_any_bytes_in_a_parquet_file(dataset, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any")
    whole = parquet(folder / "whole", RATINGS, timestamp=pl.Int64)
    put(folder, data.draw(mangled({"r.parquet": whole, "i.csv": ITEMS})))
    table = dataset("table", path=str(folder), interactions="r.parquet", items="i.csv")
    records_or_refusal(table, folder / "out")


@pytest.mark.slow
def test_a_table_is_prepared_from_the_command_line(tmp_path):
    rows = [f"u{user},{(user * 3 + at) % 30},{at}\n" for at in range(6) for user in range(10)]
    items = [f'{item},"Place, {item}"\n' for item in range(30)]
    put(tmp_path, {"mine/r.csv": ("who,what,when\n" + "".join(rows)).encode()})
    put(tmp_path, {"mine/i.csv": ("what,name\n" + "".join(items)).encode()})
    done = launch(
        "stage=prepare",
        "dataset=table",
        "dataset.path=mine",
        "dataset.interactions=r.csv",
        "dataset.items=i.csv",
        "dataset.columns={user: who, item: what, time: when}",
        "dataset.item_columns={item: what, title: name}",
        "dataset.noun=place",
        "prepare.min_history=1",
        "prepare.protocols=[uni1]",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    (made,) = (file.parent for file in tmp_path.glob("artifacts/table/prepare/*/manifest.json"))
    assert pl.read_parquet(made / "items.parquet")["title"].to_list()[:2] == [
        "Place, 0",
        "Place, 1",
    ]
    assert pl.read_parquet(made / "test.parquet").height == 10
