import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmrec.dataset import lines
from mllmrec.errors import Refusal
from tests.launching import compose_typed
from tests.mangled import SETTINGS, mangled, put, records_or_refusal

# As published: ids with gaps, tags, emoji, quoted commas; and a quoted line end, which CSV allows.
FIFTY = {
    "MicroLens-50k_pairs.csv": b"user,item,timestamp\n"
    b"1,65,1588687728999\n1,2,1588687728001\n2,65,1662984066142\n2,9,1662984066142\n",
    "MicroLens-50k_titles.csv": 'item,title\n2,"beautiful dish, with ""chili"" # summer"\n'
    '9,"salted fish brother: haha 🤣🤣\n# summer blow"\n'
    "65,Do you understand? # King glory\n".encode(),
}
# No header, a space behind the comma, quotes that nobody closes, spaces at the end.
HUNDRED = {
    "MicroLens-100k_pairs.tsv": b"1\t2 65\n2\t65 9\n",
    "MicroLens-100k_title_en.csv": b'2, beautiful dish, with "chili\n9, "salted fish   \n'
    b"65, # Assemble\n110,\n",
}
MILLION = {
    "MicroLens-1M_pairs.csv": b"user,item,timestamp\n1,2,1588687728\n1,9,1588687729\n",
    "MicroLens-1M_title.csv": "2,所有人的橡皮都被切碎，唯独\n9,到底是谁做的呢？\n".encode(),
}


@pytest.fixture
def read(dataset, tmp_path, met):
    """Writes files and reads them: items and interactions as rows, and what was dropped."""

    def build(files, **over):
        put(tmp_path / "data", files)
        microlens = dataset("microlens", path=str(tmp_path / "data"), **over)
        tables = microlens.load(tmp_path / "out")
        return tables.items.select("item_id", "title").rows(), met(tables).rows(), tables.dropped

    return build


def test_50k_keeps_the_order_within_a_second(read):
    items, rows, dropped = read(FIFTY)
    assert items == [
        ("2", 'beautiful dish, with "chili" # summer'),
        ("9", "salted fish brother: haha 🤣🤣 # summer blow"),
        ("65", "Do you understand? # King glory"),
    ]
    assert rows == [
        ("1", "65", 1588687728999),
        ("1", "2", 1588687728001),
        ("2", "65", 1662984066142),
        ("2", "9", 1662984066142),
    ]
    assert dropped == {"bad_rows": 0, "untitled": 0, "untitled_items": 0}


def test_100k_in_lines_without_a_header(read):
    items, rows, dropped = read(HUNDRED)
    assert items == [
        ("2", 'beautiful dish, with "chili'),
        ("9", '"salted fish'),
        ("65", "# Assemble"),
    ]
    assert rows == [("1", "2", 0), ("1", "65", 1), ("2", "65", 0), ("2", "9", 1)]
    assert dropped["untitled_items"] == 1


def test_1m_in_seconds_and_other_scripts(read):
    items, rows, _ = read(MILLION)
    assert [title for _, title in items] == ["所有人的橡皮都被切碎，唯独", "到底是谁做的呢？"]
    assert rows == [("1", "2", 1588687728), ("1", "9", 1588687729)]


def test_line_ends_marks_and_blank_lines_change_nothing(read):
    plain = read(FIFTY)[:2]
    ugly = {
        name: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n") + b"\r\n"
        for name, data in FIFTY.items()
    }
    assert read(ugly)[:2] == plain


@pytest.mark.parametrize("size", [1, 7, 40])
def test_blocks_change_nothing(read, monkeypatch, size):
    for files in (FIFTY, HUNDRED, MILLION):
        name = next(iter(files)).partition("_")[0]
        whole = read(files, name=name)
        monkeypatch.setattr(lines, "BLOCK", size)
        assert read(files, name=name) == whole
        monkeypatch.undo()


def test_the_csv_is_taken_before_the_tsv_and_only_it_has_times(dataset, tmp_path):
    put(tmp_path, {**HUNDRED, "MicroLens-100k_pairs.csv": b"1,2,1588687728999\n"})
    both = dataset("microlens", path=str(tmp_path))
    assert both.files()[0].name == "MicroLens-100k_pairs.csv" and both.has_times
    (tmp_path / "MicroLens-100k_pairs.csv").unlink()
    assert not both.has_times
    assert dataset("microlens").has_times  # a config without a path composes


def test_untitled_videos_are_dropped_and_counted_or_refused(read):
    untitled = {**FIFTY, "MicroLens-50k_titles.csv": b'item,title\n2,dish\n9,"  "\n'}
    items, rows, dropped = read(untitled)
    assert items == [("2", "dish")] and rows == [("1", "2", 1588687728001)]
    assert dropped == {"bad_rows": 0, "untitled": 3, "untitled_items": 1}
    with pytest.raises(Refusal, match=r"titles\.csv, line 3: field title of item, value '9'"):
        read(untitled, untitled="refuse")


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        (
            "pairs.csv",
            "user,item,timestamp\n1,2\n",
            r"line 2: field row, value '1,2': not the 3",
        ),
        ("pairs.csv", "user,item,timestamp\n,2,3\n", r"line 2: field user, value ',2,3': empty"),
        (
            "pairs.csv",
            "1,2,1588687728999\n1,9,x\n",
            r"line 2: field timestamp, value 'x': not a",
        ),
        (
            "pairs.csv",
            "1,2,1588687728999\n1,9,1588687728\n",
            r"line 2: field timestamp, value '1588687728': no time in milliseconds, as the others",
        ),
        (
            "pairs.csv",
            "item,user,timestamp\n1,2,3\n",
            r"line 1: field header, value 'item,user",
        ),
        ("pairs.csv", "", r"pairs\.csv: the file is empty"),
        ("pairs.csv", "\n \n", r"pairs\.csv, line 1: field header, value ''"),
        ("titles.csv", 'item,title\n2,"open\n', r"line 2: field row, .*: its quotes do not close"),
        ("titles.csv", "item,title\n2,a\n2,b\n", r"line 3: field item, value '2' with title 'b'"),
        ("titles.csv", "2 a\n", r"line 1: field row, value '2 a': not item,title"),
        ("titles.csv", "item,title\n9,\n", r"titles\.csv: no item with a title is left"),
    ],
)
def test_bad_files(read, file, text, told):
    with pytest.raises(Refusal, match=told):
        read({**FIFTY, f"MicroLens-50k_{file}": text.encode()})


def test_bad_rows_within_the_limit_are_dropped_and_counted(read):
    pairs = b"user,item,timestamp\n1,2,1588687728999\n1,2\n9,9,9\n"
    _, rows, dropped = read({**FIFTY, "MicroLens-50k_pairs.csv": pairs}, max_bad_rows=2)
    assert rows == [("1", "2", 1588687728999)] and dropped["bad_rows"] == 2


def test_which_release(dataset, tmp_path):
    with pytest.raises(Refusal, match="no file NAME_pairs") as told:
        dataset("microlens", path=str(tmp_path)).content()
    assert "recsys.westlake.edu.cn" in told.value.allowed
    put(tmp_path, FIFTY | MILLION)
    with pytest.raises(Refusal, match="several releases, MicroLens-1M, MicroLens-50k") as told:
        dataset("microlens", path=str(tmp_path)).content()
    assert told.value.do == "dataset.name=MicroLens-1M"
    with pytest.raises(Refusal, match="none of MicroLens-2M, but MicroLens-1M"):
        dataset("microlens", path=str(tmp_path), name="MicroLens-2M").content()
    dataset("microlens", path=str(tmp_path), name="MicroLens-50k").content()
    (tmp_path / "MicroLens-1M_title.csv").unlink()
    with pytest.raises(Refusal, match=r"MicroLens-1M_titles\.csv: no such file"):
        dataset("microlens", path=str(tmp_path), name="MicroLens-1M").content()


@pytest.mark.parametrize("folder", ["MicroLens-50k_covers", "covers", "images"])
def test_covers(dataset, tmp_path, folder):
    put(tmp_path, FIFTY)
    microlens = dataset("microlens", path=str(tmp_path))
    assert not microlens.has_pictures
    put(tmp_path / folder, {"65.jpg": b"one", "7.jpg": b"nobody's", "notes.txt": b"none"})
    assert microlens.has_pictures and sorted(microlens.content()["pictures"]) == ["65", "7"]
    items = microlens.load(tmp_path / "out").items
    assert items["picture"].to_list() == [None, None, "pictures/65.jpg"]
    assert [file.name for file in (tmp_path / "out" / "pictures").iterdir()] == ["65.jpg"]


@SETTINGS
@given(files=mangled(FIFTY) | mangled(HUNDRED), size=st.sampled_from([1, 16, 1 << 20]))
def test_any_bytes_end_in_records_or_in_a_refusal(dataset, tmp_path_factory, files, size):
    folder = tmp_path_factory.mktemp("any")
    put(folder, files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", size)
        microlens = dataset("microlens", path=str(folder), max_bad_rows=2)
        records_or_refusal(microlens, folder / "out")


def test_the_published_settings_of_this_set():
    made = compose_typed("experiment=microlens", "stage=grpo")
    assert made.dataset_name == "microlens" and made.dataset.min_interactions == 10
    assert made.stages["sft"].epochs == 5 and made.stages["prepare"].history_length == 9
    grpo = made.stages["grpo"]
    assert (grpo.cot_prob, grpo.beta, grpo.epochs) == (0.1, 0.05, 3)
