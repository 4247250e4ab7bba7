import gzip
import json
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmrec.dataset import lines
from mllmrec.dataset.products import command
from mllmrec.errors import Refusal
from tests.mangled import SETTINGS, mangled, put, records_or_refusal


def lined(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


# As the owners show them, with what is ugly in the real ones: escapes, line ends, pages for titles.
META_2018 = lined(
    {
        "category": ["Video Games", "Toys &amp; Games"],
        "tech1": "",
        "title": "Reversi &quot;Sensory&quot; Challenger",
        "rank": [">#2,623,937 in Toys &amp; Games"],
        "asin": "0042000742",
        "imageURL": ["https://images-na.ssl-images-amazon.com/images/I/31nTxlNh1OL._SS40_.jpg"],
        "imageURLHighRes": ["https://images-na.ssl-images-amazon.com/images/I/31nTxlNh1OL.jpg"],
    },
    {"asin": "B000000001", "title": "", "category": [], "imageURL": "", "imageURLHighRes": []},
    {"asin": "B000000001", "title": "Second\n row", "category": []},
    {"asin": "B000000002", "title": "var aPageStart = (new Date()).getTime();"},
    {"asin": "B000000003", "title": "<span id='x'>no title</span>"},
    {"asin": "0042000742", "title": "Reversi, another title"},
)
REVIEWS_2018 = lined(
    {
        "overall": 5.0,
        "verified": True,
        "reviewTime": "10 17, 2015",
        "reviewerID": "A1HP7NVNPFMA4N",
        "asin": "0042000742",
        "style": {"Format:": " Video Game"},
        "reviewText": 'Line\nends, "quotes" and \u2028 more',
        "unixReviewTime": 1445040000,
    },
    {"overall": 4, "reviewerID": "A1", "asin": "B000000001", "unixReviewTime": 1437868800},
    {"overall": 2.0, "reviewerID": "A1", "asin": "B000000002", "unixReviewTime": 1437868800},
)
META_2023 = lined(
    {
        "main_category": "All Beauty",
        "title": "Howard LC0008 Leather Conditioner, 8-Ounce (4-Pack)",
        "price": None,
        "images": [
            {
                "thumb": "https://m.media-amazon.com/images/I/41qfjSfqNyL._SS40_.jpg",
                "large": "https://m.media-amazon.com/images/I/41qfjSfqNyL.jpg",
                "variant": "MAIN",
                "hi_res": None,
            },
            {"thumb": "https://x/t.jpg", "large": "https://x/l.jpg", "variant": "PT01"},
        ],
        "categories": ["Beauty", 'A \\ "B"'],
        "details": {"UPC": "617390882781"},
        "parent_asin": "B01CUPMQZE",
    },
    {"title": None, "images": [], "categories": [], "parent_asin": "B000000009"},
    {"title": "Plain", "images": [], "categories": [], "parent_asin": "../evil"},
)
REVIEWS_2023 = lined(
    {
        "rating": 5.0,
        "title": "Such a lovely scent",
        "text": "This spray is really nice. <br />",
        "images": [],
        "asin": "B00YQ6X8EO",
        "parent_asin": "B01CUPMQZE",
        "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
        "timestamp": 1588687728923,
        "helpful_vote": 0,
    },
    {"rating": 3.0, "parent_asin": "../evil", "user_id": "AGK", "timestamp": 1588687728001},
    {"rating": 3.0, "asin": "B01CUPMQZE", "user_id": "AGK", "timestamp": 1588687728000},
    {"rating": 3.0, "parent_asin": "B000000009", "user_id": "AGK", "timestamp": 1588687728002},
)
OF_2018 = {"Games.json": REVIEWS_2018, "meta_Games.json": META_2018}
OF_2023 = {"All_Beauty.jsonl": REVIEWS_2023, "meta_All_Beauty.jsonl": META_2023}


@pytest.fixture
def read(dataset, tmp_path, met):
    """Writes files and reads them: titles by id, interactions as rows, and what was dropped."""

    def build(files, **over):
        put(tmp_path / "data", files)
        (tmp_path / "out").mkdir(exist_ok=True)
        tables = dataset("amazon", path=str(tmp_path / "data"), **over).load(tmp_path / "out")
        return (
            dict(tables.items.select("item_id", "title").rows()),
            met(tables).rows(),
            tables.dropped,
        )

    return build


def test_2018(read):
    assert read(OF_2018) == (
        {"0042000742": 'Reversi "Sensory" Challenger', "B000000001": "Second row"},
        [("A1HP7NVNPFMA4N", "0042000742", 1445040000), ("A1", "B000000001", 1437868800)],
        {"bad_rows": 0, "repeated_products": 2, "untitled_items": 2, "untitled": 1},
    )


def test_2023_in_milliseconds_and_by_parents(read):
    assert read(OF_2023) == (
        {
            "B01CUPMQZE": "Howard LC0008 Leather Conditioner, 8-Ounce (4-Pack)",
            "../evil": "Plain",
        },
        [
            ("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B01CUPMQZE", 1588687728923),
            ("AGK", "../evil", 1588687728001),
            ("AGK", "B01CUPMQZE", 1588687728000),
        ],
        {"bad_rows": 0, "repeated_products": 0, "untitled_items": 1, "untitled": 1},
    )


def test_genres_are_the_categories(dataset, tmp_path):
    put(tmp_path, OF_2018 | OF_2023)
    for name, genres in (
        ("Games", ["Video Games", "Toys & Games"]),
        ("All_Beauty", ["Beauty", 'A \\ "B"']),
    ):
        items = dataset("amazon", path=str(tmp_path), name=name).load(tmp_path).items
        assert items["genres"][0].to_list() == genres


@pytest.mark.parametrize("files", [OF_2018, OF_2023], ids=["2018", "2023"])
def test_gzip_marks_blank_lines_and_blocks_change_nothing(read, monkeypatch, files):
    plain = read(files, name=next(iter(files)).partition(".")[0])
    (review, reviews), (_, products) = files.items()
    name = review.partition(".")[0]
    ugly = gzip.compress(b"\xef\xbb\xbf" + reviews.replace(b"\n", b"\r\n\n"))
    for size in (1, 200, 1 << 20):
        monkeypatch.setattr(lines, "BLOCK", size)
        told = {f"Z{name}.json.gz": ugly}
        told[f"meta_Z{name}.jsonl.gz"] = gzip.compress(products + b"\n\n")
        assert read(told, name=f"Z{name}") == plain


@pytest.mark.parametrize(
    "text",
    [
        "user_id,parent_asin,rating,timestamp\nAG,B01CUPMQZE,5.0,1588687728923\n",
        "user_id,parent_asin,rating,timestamp,history\r\nAG,B01CUPMQZE,5.0,1588687728923,\r\n",
        "user_id,parent_asin,rating,timestamp,history\nAG,B01CUPMQZE,5.0,1588687728923,B1 B2\n",
        "AG,B01CUPMQZE,5.0,1588687728923\n",  # as they were before they had a header
    ],
)
def test_ratings_of_2023(read, text):
    told = read({"All_Beauty.csv": text.encode(), "meta_All_Beauty.jsonl": META_2023})
    assert told[1] == [("AG", "B01CUPMQZE", 1588687728923)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Games.csv", "0042000742,A1,5.0,1445040000\nB000000001,A1,1.0,1445040001\n"),
        ("ratings_Games.csv", "A1,0042000742,5.0,1445040000\nA1,B000000001,1.0,1445040001\n"),
    ],
)
def test_ratings_of_2018_and_2014_are_told_apart_by_the_products(read, name, text):
    files = {name: text.encode(), "meta_Games.json": META_2018}
    rows = [("A1", "0042000742", 1445040000), ("A1", "B000000001", 1445040001)]
    assert read(files)[1] == rows
    _, high, dropped = read(files, min_rating=2)
    assert high == rows[:1] and dropped["below_min_rating"] == 1


def test_untitled_products_can_be_refused(read):
    with pytest.raises(Refusal, match=r"line 2: field title of item, value 'B000000009'"):
        read(OF_2023, untitled="refuse")
    titled = META_2023.replace(b'"title": null', b'"title": "Now"')
    stranger = REVIEWS_2023.replace(b"B000000009", b"B000000010")
    with pytest.raises(Refusal, match="line 4: field item, value 'B000000010': the item has no"):
        read(
            {"All_Beauty.jsonl": stranger, "meta_All_Beauty.jsonl": titled},
            untitled="refuse",
        )


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        (
            "Games.json",
            '{"asin"\n',
            r"Games\.json, line 1: field row, value '{\"asin\"': not a",
        ),
        ("Games.json", "[1]\n", "line 1: field row"),
        (
            "Games.json",
            '{"asin":"B1","reviewerID":"A"}\n',
            "field rating, value '': no number",
        ),
        (
            "Games.json",
            '{"asin":"B1","reviewerID":"","overall":1,"unixReviewTime":1445040000}\n',
            "line 1: field reviewerID, value '': missing or empty",
        ),
        (
            "Games.json",
            '{"asin":"B1","reviewerID":"A","overall":1,"unixReviewTime":1445040000123}\n',
            "line 1: field timestamp, value '1445040000123': no time in seconds",
        ),
        ("Games.json", "", "the file is empty"),
        ("meta_Games.json", '{"title":"t"}\n', "line 1: field parent_asin, value 't': missing"),
        ("meta_Games.json", "{'asin': 'B1', 'title': 't'}\n", "line 1: .* not a JSON object"),
        ("meta_Games.json", '{"asin":"B1","title":""}\n', "no item with a title is left"),
    ],
)
def test_bad_files(read, file, text, told):
    with pytest.raises(Refusal, match=told):
        read(OF_2018 | {file: text.encode()})


def test_ratings_of_other_products_are_refused(read):
    with pytest.raises(
        Refusal, match="none of the products of its first 1 rows has a title"
    ) as told:
        read({"Games.csv": b"B9,A1,5.0,1445040000\n", "meta_Games.json": META_2018})
    assert "amazon-reviews-2023.github.io" in told.value.do


def test_which_files(dataset, tmp_path):
    amazon = dataset("amazon", path=str(tmp_path))
    with pytest.raises(Refusal, match="there is not the one that is meant, but none") as told:
        amazon.content()
    assert "amazon-reviews-2023.github.io" in told.value.allowed
    put(tmp_path, OF_2018 | OF_2023)
    with pytest.raises(Refusal, match="but All_Beauty, Games") as told:
        amazon.content()
    assert told.value.do == "type dataset.name=All_Beauty"
    put(tmp_path, {"Games_5.json": REVIEWS_2018})
    with pytest.raises(Refusal, match=r"but Games\.json, Games_5\.json") as told:
        dataset("amazon", path=str(tmp_path), name="Games").content()
    assert told.value.do == "type dataset.reviews=Games.json"
    chosen = dataset("amazon", path=str(tmp_path), name="Games", reviews="Games_5.json")
    assert chosen.files()[0].name == "Games_5.json"
    assert not dataset("amazon").has_pictures


def test_a_download_that_was_cut_short_is_told(read):
    cut = gzip.compress(REVIEWS_2018)[:-20]
    files = {"Games.json.gz": cut, "meta_Games.json.gz": gzip.compress(META_2018)}
    with pytest.raises(Refusal, match=r"Games\.json\.gz: cannot be read") as told:
        read(files)
    assert "fetch it again" in told.value.do


def test_pictures_lie_in_images_and_the_others_can_be_fetched(dataset, tmp_path, met, caplog):
    caplog.set_level("INFO")
    more = lined({"parent_asin": "B2", "title": "Two", "images": [{"large": "https://x/2.jpg"}]})
    more += lined({"parent_asin": "../up", "title": "Up", "images": [{"large": "https://x/3.jpg"}]})
    more += lined(
        {"parent_asin": "B4", "title": "4", "images": [{"large": "https://x/$(rm).jpg\t"}]}
    )
    more += lined({"parent_asin": "B5", "title": "Rare", "images": [{"large": "https://x/5.jpg"}]})
    rows = [("B01CUPMQZE", 2), ("B2", 2), ("../up", 2), ("B4", 2), ("B01CUPMQZE", 1), ("B5", 1)]
    reviews = lined(
        *(
            {"rating": 5, "parent_asin": item, "user_id": f"A{at}", "timestamp": 1588687728000 + at}
            for item, often in rows
            for at in range(often)
        )
    )
    data, out = tmp_path / "data", tmp_path / ".partial-0123"
    out.mkdir()
    put(data, {"All_Beauty.jsonl": reviews, "meta_All_Beauty.jsonl": META_2023 + more})
    amazon = dataset("amazon", path=str(data), k_core=2)
    met(amazon.load(out))
    assert (out / "image_urls.tsv").read_text() == (
        "B01CUPMQZE\thttps://m.media-amazon.com/images/I/41qfjSfqNyL.jpg\nB2\thttps://x/2.jpg\n"
    )
    assert "2 pictures are not in" in caplog.text
    assert f" {tmp_path}/0123/image_urls.tsv | (cd {data}/images && curl" in caplog.text
    put(data / "images", {"B2.jpg": b"two"})
    tables = amazon.load(out)
    met(tables)
    assert tables.items.filter(item_id="B2")["picture"].item() == "pictures/B2.jpg"
    assert "B2" not in (out / "image_urls.tsv").read_text()
    assert amazon.has_pictures and list(amazon.content()["pictures"]) == ["B2"]


def test_the_command_fetches_the_pictures(tmp_path):
    put(tmp_path / "www", {"a b'c.jpg": b"one", "2.jpg": b"two"})

    def handler(*told):
        return SimpleHTTPRequestHandler(*told, directory=str(tmp_path / "www"))

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        urls = f"B1\t{base}/a%20b'c.jpg\nB0\t{base}/gone.jpg\nB2\t{base}/2.jpg\n"
        put(tmp_path, {"it's/image_urls.tsv": urls.encode()})
        typed = command(tmp_path / "it's" / "image_urls.tsv", tmp_path / "my data" / "images")
        subprocess.run(["bash", "-c", typed], capture_output=True, timeout=60, check=False)
        server.shutdown()
    files = {file.name: file.read_bytes() for file in (tmp_path / "my data" / "images").iterdir()}
    assert files == {"B1.jpg": b"one", "B2.jpg": b"two"}


FILES = [
    OF_2018,
    OF_2023,
    {"Games.csv": b"0042000742,A1,5.0,1445040000\n", "meta_Games.json": META_2018},
    {"G.jsonl.gz": gzip.compress(REVIEWS_2023, mtime=0), "meta_G.jsonl": META_2023},
]


@settings(SETTINGS, max_examples=25)
@given(files=st.one_of(map(mangled, FILES)), size=st.sampled_from([1, 300, 1 << 20]))
def test_any_bytes_end_in_records_or_in_a_refusal(dataset, tmp_path_factory, files, size):
    folder = tmp_path_factory.mktemp("any")
    (folder / "out").mkdir()
    put(folder, files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", size)
        amazon = dataset("amazon", path=str(folder), max_bad_rows=2)
        records_or_refusal(amazon, folder / "out")


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(read, monkeypatch):
    monkeypatch.setattr("mllmrec.dataset.opening.LONGEST", 1000)
    files = {"Games.json.gz": gzip.compress(bytes(5000)), "meta_Games.json": META_2018}
    monkeypatch.setattr(lines, "BLOCK", 400)
    with pytest.raises(Refusal, match="bytes without a line end"):
        read(files)


def test_an_id_that_is_a_number_is_read_as_it_is_written(read):
    reviews = lined({"overall": "5.0", "reviewerID": 7, "asin": 42, "unixReviewTime": "1445040000"})
    files = {"Games.json": reviews, "meta_Games.json": lined({"asin": 42, "title": 1984})}
    assert read(files)[:2] == ({"42": "1984"}, [("7", "42", 1445040000)])


def test_frames_are_of_one_shape(dataset, tmp_path):
    put(tmp_path, OF_2023)
    tables = dataset("amazon", path=str(tmp_path)).load(tmp_path)
    assert {frame.schema["timestamp"] for frame in tables.interactions} == {pl.Int64}
