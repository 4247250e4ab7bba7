"""A study in a page of Markdown: tables, pictures that a browser reads, and words left alone."""

import xml.etree.ElementTree as ET

import pytest

from mllmrec.comparison.drawing import Box, said, ticks, widened
from mllmrec.comparison.figures import figures
from mllmrec.comparison.pages import amount, markdown, seeds_of, write_study
from mllmrec.comparison.ranks import Board
from mllmrec.comparison.study import study
from mllmrec.errors import Refusal
from tests.comparison.methods import Methods, times
from tests.comparison.study import options
from tests.launching import CONF

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two algorithms of three seeds with everything that is charted."""
    methods = Methods(tmp_path_factory.mktemp("methods"))
    for algorithm, best in (("grpo", 5), ("a <b> & c", 15)):
        for seed in range(3):
            methods.run(
                *(algorithm, seed),
                probe=(0.4, 0.5 + 0.01 * seed),
                took=times([1, 2], 1.0 + seed, rollout=0.7, policy=0.3),
                ranks=[1] * (best + seed) + [2] * (20 - best - seed),
                **{"groups/no_signal": 0.2, "groups/unique": 5.0},
            )
    asked = options(metrics=["hr@1", "ndcg@2"], policies=["sft", "sft_continued", "grpo"])
    return study(Board.of(methods.runs(), asked.every_policy), asked, "grpo/uni3/ndcg@2")


def test_every_picture_is_xml_that_says_what_it_shows(made):
    found = figures(made)
    assert set(found) == {
        *("rollouts", "cpu_seconds", "tokens", "no_signal", "unique", "gain", "costs"),
    }
    for svg, about in found.values():
        root = ET.fromstring(svg)
        assert root.get("aria-label") == about == root.find(f"{SVG}title").text
        texts = [node.text for node in root.iter(f"{SVG}text")]
        assert "a <b> & c" in texts and "grpo" in texts
        assert "nan" not in svg and "inf" not in svg


def test_a_panel_has_its_own_line_with_a_band_the_others_and_sft(made):
    root = ET.fromstring(figures(made)["rollouts"][0])
    colours = [node.get("stroke") for node in root.iter(f"{SVG}polyline")]
    assert colours.count("#0072B2") == 3  # one in each of two panels, one in the key
    assert len([*root.iter(f"{SVG}polygon")]) == 2
    dashed = [node for node in root.iter(f"{SVG}polyline") if node.get("stroke-dasharray")]
    assert len(dashed) == 3


def test_the_same_numbers_give_the_same_bytes(made):
    assert figures(made) == figures(made)


def test_a_box_puts_numbers_where_they_belong():
    box = Box(left=10, top=20, width=100, height=50, x=(0, 200), y=(0.0, 1.0))
    assert box.points([0, 100, 200], [0.0, 0.5, 1.0]) == "10.0,70.0 60.0,45.0 110.0,20.0"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.41, 0.63, [0.45, 0.5, 0.55, 0.6]),
        (0, 15360, [0, 5000, 10000, 15000]),
        (-0.01, 0.02, [-0.01, 0, 0.01, 0.02]),
    ],
)
def test_ticks_are_round_and_within(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_ticks_are_said_shortly():
    assert [said(v) for v in (0, 0.55, 200, 15000, 2500000)] == ["0", "0.55", "200", "15k", "2.5M"]
    assert widened([1.0, 1.0])[0] < 1 < widened([1.0, 1.0])[1]  # one value has room around it


def test_a_part_is_written_anew_and_the_words_around_it_stay(made, tmp_path):
    page = tmp_path / "algorithms.md"
    page.write_text("# Mine\n\nBefore.\n\n<!-- toy -->\nold\n<!-- end of toy -->\n\nAfter.\n")
    files = write_study(made, page, "toy", "python launch.py stage=compare")
    text = page.read_text()
    assert text.startswith("# Mine\n\nBefore.\n\n<!-- toy -->\n") and text.endswith("\n\nAfter.\n")
    assert "old" not in text and "`python launch.py stage=compare`" in text
    for file in files[1:]:
        assert file.is_file() and f"](algorithms/{file.name})" in text
    write_study(made, page, "toy", "python launch.py stage=compare")
    assert page.read_text() == text
    write_study(made, page, "catalogue", "python launch.py stage=compare")  # a part more
    assert page.read_text().startswith(text.rstrip())
    assert (tmp_path / "algorithms" / "catalogue-gain.svg").is_file()


def test_a_page_that_is_not_there_is_made(made, tmp_path):
    write_study(made, tmp_path / "deep" / "new.md", "study", "x")
    assert (tmp_path / "deep" / "new.md").read_text().startswith("# new\n\n<!-- study -->")


BEGIN, END = "<!-- study -->", "<!-- end of study -->"


@pytest.mark.parametrize(
    ("lines", "counts"),
    [
        ([BEGIN], (1, 0)),
        ([f"between `{BEGIN}` and", END], (0, 1)),
        ([BEGIN, BEGIN, END], (2, 1)),
        ([END, BEGIN], (1, 1)),
    ],
)
def test_marks_that_name_no_part_are_refused(made, tmp_path, lines, counts):
    page = tmp_path / "page.md"
    page.write_text("\n".join(lines))
    told = f"lines with {BEGIN} alone: {counts[0]}, with {END} alone: {counts[1]}"
    with pytest.raises(Refusal, match=told) as refused:
        write_study(made, page, "study", "x")
    assert "one of each, in this order" in refused.value.allowed
    assert page.read_text() == "\n".join(lines) and not (tmp_path / "page").exists()


@pytest.mark.parametrize("name", ["toy", "catalogue"])
def test_the_documented_page_keeps_its_words(made, tmp_path, name):
    """Its prose names the marks; what is written stands between those of the part alone."""
    page = tmp_path / "algorithms.md"
    page.write_text((CONF.parent / "docs" / page.name).read_text(encoding="utf-8"))
    old = page.read_text().splitlines()
    write_study(made, page, name, "python launch.py stage=compare")
    new = page.read_text().splitlines()
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    assert new[: new.index(begin) + 1] == old[: old.index(begin) + 1]
    assert new[new.index(end) :] == old[old.index(end) :]
    assert new[new.index(begin) + 2] == "Written by `python launch.py stage=compare`."


def test_marks_in_a_sentence_are_words(made, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"What stands between `{BEGIN}` and `{END}`.\n")
    write_study(made, page, "study", "x")
    assert page.read_text().startswith(f"What stands between `{BEGIN}` and `{END}`.\n\n{BEGIN}\n")


def test_notes_stand_under_the_tables(made, tmp_path):
    write_study({**made, "notes": ["riser: short"]}, tmp_path / "page.md", "study", "x")
    assert "\n\n- riser: short.\n\n![" in (tmp_path / "page.md").read_text()


def test_rows_are_best_first_with_both_intervals(made, tmp_path):
    """16 and 6 of 20 first in the mean of seeds: gains of 0.8 and 0.3 times 0.3691."""
    write_study(made, tmp_path / "page.md", "study", "x")
    rows = [r for r in (tmp_path / "page.md").read_text().splitlines() if r.startswith("| `")]
    assert [row.split("`")[1] for row in rows[:3]] == ["a <b> & c", "grpo", "sft_continued"]
    assert "| 3 |" in rows[0] and "| +0.2953 |" in rows[0] and rows[0].endswith("| above |")
    assert "| 0.8000 ±0.1242 |" in rows[0]  # HR@1 of 0.75, 0.8, 0.85
    assert "| 64 | 2,000 | 4 | 0.200 ±0.000 | 5.000 ±0.000 | 0.5100 at step 2 |" in rows[3]


def test_seeds_are_those_that_the_numbers_are_of():
    line = {"seeds": [0, 1, 2], "gain": {"ndcg@2": {"n": 2}}, "final": {"ndcg@2": {"n": 3}}}
    assert seeds_of(line, "ndcg@2") == "2 of 3"
    assert seeds_of({**line, "gain": {}}, "ndcg@2") == "3"
    assert seeds_of({**line, "gain": {}, "final": {}}, "ndcg@2") == "0 of 3"


def test_an_amount_says_how_many_seeds_counted_it():
    assert amount({"mean": 12345678, "n": 3}, 3) == "12,345,678"
    assert amount({"mean": 41.25, "n": 2}, 3) == "41.2 (2 of 3)"


def test_a_cell_cannot_end_its_row():
    assert markdown(["a|b"], [["c"]]) == "| a/b |\n| --- |\n| c |"
