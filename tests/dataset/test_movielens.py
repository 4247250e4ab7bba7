"""MovieLens: small files of our own in each of its layouts, with rows as ugly as the real ones."""

import json
import logging
from csv import writer as csv_writer

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mllmrec.dataset import ratings
from mllmrec.dataset.films import GENRES
from mllmrec.dataset.grouplens import VARIANTS
from mllmrec.errors import Refusal
from mllmrec.records import INTERACTIONS, ITEMS
from tests.launching import compose_typed, launch, told

# Four films: an accent, commas and quotes, no genre, a title that another id has too.
TITLES = ["Café Noir (1950)", 'Me, "You", and Them (2001)', "unknown", "Café Noir (1950)"]
YEARS = [1950, 2001, None, 1950]
GENRE = [["Crime", "Drama"], ["Comedy"], [], ["Drama"]]
# Times out of order, a row twice, a film met again later, all of user 2 within one second.
ROWS = [("1", "3", 4, 30), ("1", "1", 5, 10), ("2", "1", 3, 9), ("2", "2", 2, 9), ("2", "4", 1, 9)]
ROWS += [("1", "1", 5, 10), ("1", "3", 1, 50)]


def flags(genres):
    return "|".join(str(int(name in genres)) for name in GENRES)


def item(number):
    date = "" if TITLES[number] == "unknown" else "01-Jan-1950"
    return f"{number + 1}|{TITLES[number]}|{date}||{'http://x' * bool(date)}|{flags(GENRE[number])}"


def csv_row(number):
    title = TITLES[number].replace('"', '""')
    quoted = f'"{title}"' if "," in title else title
    return f"{number + 1},{quoted},{'|'.join(GENRE[number]) or '(no genres listed)'}"


def dat_row(number):
    return f"{number + 1}::{TITLES[number]}::{'|'.join(GENRE[number])}"


def lines(rows):
    return "".join(row + "\n" for row in rows)


def joined(mark, kind=str):
    return lines(
        mark.join((user, film, str(kind(stars)), str(at))) for user, film, stars, at in ROWS
    )


def layout(name):
    """The files of a layout by name, as text."""
    numbers = range(len(TITLES))
    if name == "u":
        return {"u.data": joined("\t", int), "u.item": lines(map(item, numbers))}
    if name == "dat":
        return {"ratings.dat": joined("::", int), "movies.dat": lines(map(dat_row, numbers))}
    return {
        "ratings.csv": "userId,movieId,rating,timestamp\n" + joined(",", float),
        "movies.csv": "movieId,title,genres\n" + lines(map(csv_row, numbers)),
    }


KINDS = {name: {"u.data": "u", "ratings.dat": "dat", "ratings.csv": "csv"}[one.layout.ratings]
         for name, one in VARIANTS.items()}  # fmt: skip


def written(folder, kind, encoding="utf-8", beside=()):
    folder.mkdir(exist_ok=True)
    for name, text in layout(kind).items():
        (folder / name).write_bytes(text.encode(encoding))
    for name in beside:
        (folder / name).write_text("not read\n")
    return folder


@pytest.fixture
def csv(tmp_path):
    return written(tmp_path, "csv")


@pytest.fixture
def u(tmp_path):
    return written(tmp_path, "u", "latin-1")


@pytest.fixture
def dat(tmp_path):
    return written(tmp_path, "dat", "latin-1", ["users.dat"])


def check_whole(tables, met):
    """Everything of the little set came through, in the order of its files."""
    items = tables.items
    assert items.schema == ITEMS
    assert items["item_id"].to_list() == ["1", "2", "3", "4"]
    assert items["title"].to_list() == TITLES
    assert items["year"].to_list() == YEARS
    assert [sorted(some) for some in items["genres"].to_list()] == GENRE
    frame = met(tables)
    assert frame.schema == INTERACTIONS
    assert frame.rows() == [(user, film, at) for user, film, _, at in ROWS]
    assert tables.dropped == {"bad_rows": 0, "below_min_rating": 0}


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_is_read_whole(dataset, tmp_path, met, variant):
    written(tmp_path, KINDS[variant], VARIANTS[variant].encoding)
    movielens = dataset("movielens", path=str(tmp_path), variant=variant)
    check_whole(movielens.load(tmp_path / "out"), met)


@pytest.mark.parametrize(
    ("kind", "beside", "encoding"),
    [
        ("u", ["u.user", "u.genre"], "latin-1"),
        ("dat", ["users.dat"], "latin-1"),
        ("dat", ["tags.dat"], "utf-8"),
        ("csv", ["tags.csv", "links.csv"], "utf-8"),
    ],
)
def test_auto_knows_a_set_by_its_files(dataset, tmp_path, met, kind, beside, encoding):
    written(tmp_path, kind, encoding, beside)
    movielens = dataset("movielens", path=str(tmp_path))
    check_whole(movielens.load(tmp_path / "out"), met)
    assert movielens.content()["encoding"] == encoding


def test_what_it_is_called_does_not_change_what_it_is(dataset, dat):
    auto, named = (dataset("movielens", path=str(dat), variant=name) for name in ("auto", "1m"))
    assert auto.knobs() == named.knobs()
    other = dataset("movielens", path=str(dat), encoding="cp1252")
    assert other.knobs() != auto.knobs()


@pytest.mark.parametrize("kind", ["u", "dat", "csv"])
def test_windows_line_ends_blank_last_lines_and_a_mark_of_utf8(dataset, tmp_path, met, kind):
    variant = {"u": "100k", "dat": "10m", "csv": "20m"}[kind]
    for name, text in layout(kind).items():
        content = "\ufeff" + text.replace("\n", "\r\n") + "\r\n\r\n"
        (tmp_path / name).write_bytes(content.encode())
    movielens = dataset("movielens", path=str(tmp_path), variant=variant, encoding="utf-8")
    check_whole(movielens.load(tmp_path / "out"), met)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_ratings_are_read_in_blocks(dataset, csv, met, monkeypatch, size):
    monkeypatch.setattr(ratings, "BLOCK", size)
    tables = dataset("movielens", path=str(csv)).load(csv / "out")
    check_whole(tables, met)


def test_frames_come_one_after_the_other(dataset, csv, monkeypatch):
    monkeypatch.setattr(ratings, "BLOCK", 40)
    frames = dataset("movielens", path=str(csv)).load(csv / "out").interactions
    assert [frame.height for frame in frames] == [1, 3, 3]
    assert [*frames] == [], "they are read once"


def test_low_ratings_can_be_left_out(dataset, csv, met):
    tables = dataset("movielens", path=str(csv), min_rating=3.5).load(csv / "out")
    assert met(tables).height == 3 and tables.dropped["below_min_rating"] == 4


def test_posters_that_are_there_are_kept(dataset, csv):
    (csv / "images").mkdir()
    (csv / "images" / "2.png").write_bytes(b"kept")
    movielens = dataset("movielens", path=str(csv))
    assert movielens.has_pictures and list(movielens.content()["pictures"]) == ["2"]
    items = movielens.load(csv / "out").items
    assert items["picture"].to_list() == [None, "pictures/2.png", None, None]
    assert (csv / "out" / "pictures" / "2.png").read_bytes() == b"kept"
    assert not dataset("movielens", path=None).has_pictures


def test_a_count_that_is_not_the_published_one_is_told(dataset, dat, met, caplog):
    met(dataset("movielens", path=str(dat)).load(dat / "out"))
    assert "7 ratings, where GroupLens publishes 1000209" in caplog.text


def test_the_hit_rate_is_of_all_blocks(dataset, csv, met, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(ratings, "BLOCK", 20)
    with (csv / "ratings.csv").open("a") as file:
        file.write("9,99,1.0,5\n")
    tables = dataset("movielens", path=str(csv), max_bad_rows=1).load(csv / "out")
    assert met(tables).height == 7 and tables.dropped["bad_rows"] == 1
    assert "7 of 8 items of ratings.csv found their title (87.50 %)" in caplog.text
    assert caplog.text.count("found their title") == 1
    assert "dropped 1 bad rows" in caplog.text and "line 9" in caplog.text


FEW = "not the 4 fields user"
SOON = [
    ("1{}2", rf"field row, value '1.+2': {FEW}"),
    ("", rf"field row, value '': {FEW}"),
    ("1{}2{}3{}4{}5", rf"field row, .*: {FEW}"),
    ("1{}2{}3{}soon", "field timestamp, value 'soon': not a number"),
    ("1{}2{}3{}", "field timestamp, value '': not a number"),
    ("1{}2{}3{}1e9", "field timestamp, value '1e9': not a number"),
    ("1{}2{}three{}4", "field rating, value 'three': not a number"),
    ("1{}2{}nan{}4", "field rating, value 'nan': not a number"),
    ("{}2{}3{}4", "field user_id, value '': empty"),
    ("1{}{}3{}4", "field item_id, value '': empty"),
    ("1{}77{}3{}4", r"field item, value '77': the item has no title in .*(item|dat|csv)"),
    ("1{}01{}3{}4", "field item, value '01': the item has no title"),
]


@pytest.mark.parametrize(("row", "fault"), SOON)
@pytest.mark.parametrize(("kind", "mark", "variant"), [
    ("u", "\t", "100k"), ("dat", "::", "1m"), ("csv", ",", "25m")
])  # fmt: skip
def test_bad_ratings(dataset, tmp_path, met, kind, mark, variant, row, fault):
    written(tmp_path, kind, "latin-1" if kind != "csv" else "utf-8")
    name = VARIANTS[variant].layout.ratings
    good = (tmp_path / name).read_text().splitlines()
    (tmp_path / name).write_text(lines([*good[:2], row.replace("{}", mark), *good[2:]]))
    movielens = dataset("movielens", path=str(tmp_path), variant=variant)
    with pytest.raises(Refusal, match=rf"{name}, line 3: {fault}") as refusal:
        met(movielens.load(tmp_path / "out"))
    assert "dataset.max_bad_rows=1" in refusal.value.do
    lenient = dataset("movielens", path=str(tmp_path), variant=variant, max_bad_rows=1)
    tables = lenient.load(tmp_path / "out")
    assert met(tables).height == len(ROWS) and tables.dropped["bad_rows"] == 1


@pytest.mark.parametrize(
    ("kind", "row", "fault"),
    [
        ("u", "5|Short (1990)|0|1", "field row, value '5|Short.*': not the 24 fields id"),
        ("u", "5|A||||" + "|".join("2" * 19), "field genres, value '2.2.*neither 0 nor 1"),
        ("u", "5|||||" + "|".join("0" * 19), "field title of item, value '5': the title is empty"),
        ("u", "|A||||" + "|".join("0" * 19), "field item, value '.A.*': empty"),
        ("u", "1|B||||" + "|".join("0" * 19), "field item, value '1' with title 'B'"),
        ("dat", "5::Short", "field row, value '5::Short': not the 3 fields"),
        ("dat", "5::::Crime", "field title of item, value '5': the title is empty"),
        ("dat", "::A (1990)::Crime", "field item, value '::A .*': empty"),
        ("csv", "5,A, B (1990),Crime", "field row, value '5,A, B .*': not the 3 fields movieId"),
        ("csv", '5,"A (1990),Crime', "field row, .*: not the 3 fields movieId,title,genres"),
        ("csv", "5,,Crime", "field title of item, value '5': the title is empty"),
        ("csv", '5,"",Crime', "field title of item, value '5': the title is empty"),
        ("csv", ",A,Crime", "field item, value ',A,Crime': empty"),
        ("csv", "1,Other (1990),Crime", r"field item, value '1' with title 'Other \(1990\)'"),
        ("csv", "", "field row, value '': not the 3 fields"),
    ],
)
def test_bad_movies(dataset, tmp_path, kind, row, fault):
    written(tmp_path, kind)
    variant = {"u": "100k", "dat": "10m", "csv": "32m"}[kind]
    name = VARIANTS[variant].layout.movies
    good = (tmp_path / name).read_text().splitlines()
    (tmp_path / name).write_text(lines([*good[:-1], row, good[-1]]))
    movielens = dataset("movielens", path=str(tmp_path), variant=variant, encoding="utf-8")
    with pytest.raises(Refusal, match=rf"{name}, line {len(good)}: {fault}"):
        movielens.load(tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("ratings.csv", "user,item,rating,timestamp"),
        ("ratings.csv", "userId,movieId,rating,timestamp,tag"),
        ("ratings.csv", "1,1,5.0,10"),
        ("movies.csv", "movieId,title"),
    ],
)
def test_another_header_is_refused_and_never_dropped(dataset, csv, met, name, first):
    rest = (csv / name).read_text(encoding="utf-8").partition("\n")[2]
    (csv / name).write_text(f"{first}\n{rest}", encoding="utf-8")
    with pytest.raises(Refusal, match=rf"{name}, line 1: field header, value '{first}'") as told:
        met(dataset("movielens", path=str(csv), max_bad_rows=9).load(csv / "out"))
    assert told.value.allowed.startswith(("userId,movieId,", "movieId,title,genres"))


def test_bytes_that_are_not_the_encoding(dataset, tmp_path):
    written(tmp_path, "dat", "latin-1", ["tags.dat"])  # as 10M they should be UTF-8
    movielens = dataset("movielens", path=str(tmp_path))
    with pytest.raises(Refusal, match=r"movies\.dat, line 1: byte 7 of the line, value 0xe9"):
        movielens.load(tmp_path / "out")
    latin = dataset("movielens", path=str(tmp_path), encoding="latin-1")
    assert latin.load(tmp_path / "out").items["title"].to_list() == TITLES
    with pytest.raises(ValidationError, match="no encoding 'utf9'"):
        dataset("movielens", encoding="utf9")


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Up (2009)", 2009),
        ("Extras (2005-2007)", 2005),
        ("Extras (2005\u20132007)", 2005),
        ("Still On (2009- )", 2009),
        ("Taxi (1998) (V)", 1998),
        ("Nirvana (Nirvana, 12) (1997) ", 1997),
        ("2001 (1968)", 1968),
        ("Once (1950) again (1960)", 1960),
        ("1984", None),
        ("No (19)", None),
    ],
)
def test_the_year_of_a_title(dataset, tmp_path, title, year):
    written(tmp_path, "dat")
    (tmp_path / "movies.dat").write_text(f"1::{title}::\n", encoding="utf-8")
    movielens = dataset("movielens", path=str(tmp_path), variant="10m")
    items = movielens.load(tmp_path / "out").items
    assert items["title"].to_list() == [title] and items["year"].to_list() == [year]


def test_the_flags_of_genres_have_their_published_order(dataset, u):
    told = ["0", "1", *"0" * 8, "1", *"0" * 7, "1"]  # of 19
    (u / "u.item").write_text("1|A (1990)||||" + "|".join(told) + "\n")
    movielens = dataset("movielens", path=str(u))
    assert movielens.load(u / "out").items["genres"].to_list() == [
        ["Action", "Film-Noir", "Western"]
    ]


LINE = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(told=st.lists(LINE.map(lambda text: text + "."), min_size=1, max_size=5))
def test_whatever_a_csv_writer_writes_is_read_back(dataset, csv, told):
    """A second opinion on quotes: Python's own writer."""
    with (csv / "movies.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv_writer(file, lineterminator="\n")
        out.writerow(("movieId", "title", "genres"))
        out.writerows((number, title, "Drama") for number, title in enumerate(told))
    items = dataset("movielens", path=str(csv)).load(csv / "out").items
    assert items["title"].to_list() == told


def test_nothing_there_says_what_each_set_needs_and_where_to_get_it(dataset, tmp_path):
    with pytest.raises(Refusal, match="no file of MovieLens in it") as refusal:
        dataset("movielens", path=str(tmp_path)).content()
    assert "100k: u.data and u.item; 1m, 10m: ratings.dat and movies.dat" in refusal.value.allowed
    assert "latest_small, 20m, 25m, 32m: ratings.csv and movies.csv" in refusal.value.allowed
    assert "https://grouplens.org/datasets/movielens" in refusal.value.do
    assert "dataset.path=DIR" in refusal.value.do


def test_the_folder_above_is_recognised(dataset, tmp_path):
    written(tmp_path / "ml-1m", "dat")
    with pytest.raises(Refusal) as refusal:
        dataset("movielens", path=str(tmp_path)).content()
    assert refusal.value.do == f"type dataset.path={tmp_path / 'ml-1m'}"


@pytest.mark.parametrize(
    ("beside", "fault", "do"),
    [
        ([], "with neither users.dat nor tags.dat beside them", "type dataset.variant=1m"),
        (["users.dat", "tags.dat"], "with both users.dat and tags.dat", "type dataset.variant=1m"),
        (["u.data"], "files of several sets, u.data and u.item and", "type dataset.variant=100k"),
    ],
)
def test_two_readings_are_refused(dataset, tmp_path, beside, fault, do):
    written(tmp_path, "dat", beside=beside)
    with pytest.raises(Refusal, match=fault) as refusal:
        dataset("movielens", path=str(tmp_path)).content()
    assert refusal.value.do == do and "dataset.variant=" in refusal.value.allowed
    dataset("movielens", path=str(tmp_path), variant="10m").content()


@pytest.mark.parametrize("name", ["ratings.csv", "movies.csv"])
def test_a_missing_file_and_an_empty_one(dataset, csv, name):
    (csv / name).write_bytes(b"")
    with pytest.raises(Refusal, match=rf"{name}: the file is empty"):
        dataset("movielens", path=str(csv)).content()
    (csv / name).unlink()
    with pytest.raises(Refusal, match=rf"{name}: no such file") as refusal:
        dataset("movielens", path=str(csv)).content()
    assert "ratings.csv and movies.csv, which grouplens.org/datasets/movielens has" in str(
        refusal.value
    )


PIECES = st.sampled_from(
    [
        *(b",", b"::", b"\t", b"|", b"\n", b"\r\n", b"\r", b'"', b"1", b"2", b"-", b" ", b"nan"),
        *(b"9" * 25, b"\xe9", b"\xef\xbb\xbf", b"\xf0\x9f", b"\x00", b"(1999)"),
        *(b"userId,movieId,rating,timestamp\n", b"movieId,title,genres\n"),
        *(b"1,1,5.0,10\n", b"1::1::5::10\n", b"1\t1\t5\t10\n"),
    ]
)
BYTES = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=14).map(b"".join))


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(["100k", "1m", "10m", "latest_small"]),
    which=st.sampled_from(["ratings", "movies"]),
    before=st.booleans(),
    broken=BYTES,
    size=st.sampled_from([1, 5, 33, 1 << 20]),
    allowed=st.sampled_from([0, 3, 99]),
)
def test_whatever_the_bytes_there_are_records_or_a_refusal(
    dataset, tmp_path, monkeypatch, met, name, which, before, broken, size, allowed
):
    """Also cut anywhere, and behind a good beginning."""
    monkeypatch.setattr(ratings, "BLOCK", size)
    written(tmp_path, KINDS[name], VARIANTS[name].encoding)
    file = tmp_path / getattr(VARIANTS[name].layout, which)
    file.write_bytes(file.read_bytes() * before + broken)
    movielens = dataset("movielens", path=str(tmp_path), variant=name, max_bad_rows=allowed)
    try:
        tables = movielens.load(tmp_path / "out")
        frame = met(tables)
    except Refusal as refusal:
        assert str(tmp_path) in refusal.wrong and refusal.do
        return
    assert frame.schema == INTERACTIONS and frame.null_count().sum_horizontal().item() == 0
    assert frame["item_id"].is_in(tables.items["item_id"].implode()).all()
    if before and which == "ratings":
        assert frame.head(len(ROWS)).rows() == [(u, i, at) for u, i, _, at in ROWS]


def test_the_published_row_is_an_experiment():
    made = compose_typed("experiment=movielens", "stage=grpo")
    assert (made.dataset_name, made.dataset.min_interactions) == ("movielens", 10)
    assert made.stages["prepare"].history_length == 9
    sft, grpo = made.stages["sft"], made.stages["grpo"]
    assert (sft.cot_prob, sft.epochs, sft.lora.alpha) == (0.1, 3, 16)
    assert (grpo.cot_prob, grpo.epochs, grpo.beta, grpo.lora.alpha) == (0.05, 3, 0.1, 32)


def many(folder):
    """A set in the layout of ml-latest-small with enough of everything for a split."""
    films = [f'{number},"Film, {number} (19{number + 50})",Drama' for number in range(30)]
    rows = [
        f"{user},{(user * 7 + step) % 30},{step % 5 + 0.5},{1000 + step}"
        for user in range(20)
        for step in range(12)
    ]
    (folder / "movies.csv").write_text(lines(["movieId,title,genres", *films]))
    (folder / "ratings.csv").write_text(lines(["userId,movieId,rating,timestamp", *rows]))
    return folder


@pytest.mark.slow
def test_a_set_is_prepared_by_the_command(tmp_path):
    data = tmp_path / "ml"
    data.mkdir()
    words = ("stage=prepare", "dataset=movielens", "prepare.protocols=[uni9]", "tracking=off")
    refused = told(launch(*words, f"dataset.path={data}", cwd=tmp_path))
    assert "no file of MovieLens in it" in refused and "ratings.csv and movies.csv" in refused
    many(data)
    done = launch(*words, f"dataset.path={data}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "artifacts" / "movielens" / "prepare").glob("*/")
    items = pl.read_parquet(folder / "items.parquet")
    assert items.height == 30 and items["title"][0] == "Film, 0 (1950)"
    assert pl.read_parquet(folder / "test.parquet").height == 20
    stats = json.loads((folder / "stats.json").read_text())
    assert stats["dropped"]["below_min_rating"] == 0
