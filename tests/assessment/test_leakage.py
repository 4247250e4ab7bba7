"""What counts as naming the target, by cases that a reader can check."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mllmrec.assessment.leakage import Gate, holds, is_bare, names, words
from mllmrec.cases import cases_of
from mllmrec.reasoner.template import Template
from mllmrec.records import Prepared
from tests.launching import CONF
from tests.stage.test_prepare import build, dataset

TITLES = ["The Dark River", "Dark Winter Moon", "Alien", "It", "Blade Runner 2049", "Heat (1995)"]
SEEN = ["Dark Winter Moon", "a dark poster with a river"]


def gate(least: int = 2) -> Gate:
    return Gate.over(TITLES, least)


@pytest.mark.parametrize(
    ("text", "target", "title", "leaks"),
    [
        ("Next fits [ITEM_77] for sure.", "77", "Alien", True),  # the id as prompts write it
        ("Of 77 films many were dark.", "77", "Alien", False),  # a number is no id
        ("Take tt0111161 next.", "tt0111161", "Alien", True),  # a long id by itself
        ("mytt0111161x", "tt0111161", "Alien", False),  # not within another word
        ("They would like ALIEN now.", "3", "Alien", True),  # one word that is the title's own
        ("Something alienated.", "3", "Alien", False),  # another word
        ("It is clear that it fits.", "4", "It", True),  # rare among titles, so it counts
        ("The dark river flows.", "1", "The Dark River", True),  # the whole title, in a row
        ("A river, then the dark.", "1", "The Dark River", False),  # its words were all seen
        ("A blade, and a runner.", "5", "Blade Runner 2049", True),  # two words of its own
        ("A blade and 2049 reasons.", "5", "Blade Runner 2049", False),  # one, and a number
        ("", "5", "Blade Runner 2049", False),
    ],
)
def test_the_table(text: str, target: str, title: str, leaks: bool) -> None:
    assert (gate().leak(text, target, title, SEEN) is not None) == leaks


def test_a_word_that_many_titles_have_is_nobodys_own() -> None:
    many = Gate.over([f"Return {n}" for n in range(300)] + ["Return Zorro"], 2)
    assert many.leak("A return fits.", "9", "Return", []) is None
    assert many.leak("A return, again.", "9", "Return Zorro", []) is None
    assert many.leak("Return, Zorro", "9", "Return Zorro", []) == "the title 'Return Zorro'"
    # a title with one word of its own is named by that
    assert many.leak("Zorro's return", "9", "Return Zorro", []) == "words of the title: zorro"


FILMS = [
    *("Gladiator (2000)", "Amélie (2001)", "It (2017)", "1984 (1984)", "Matrix, The (1999)"),
    *("Blade Runner 2049 (2017)", "黑客帝国 (1999)", "기생충 (2019)", "千と千尋の神隠し", "家"),
    *("Toy Story (1995)", "Ringu (Ring) (1998)", "Cité des enfants perdus, La (1995)"),
]


@pytest.mark.parametrize(
    ("text", "title", "leaks"),
    [
        ("I would say Gladiator comes next.", "Gladiator (2000)", True),  # its year is not said
        ("Gladiator, of the year 2000", "Gladiator (2000)", True),
        ("A film of 2000 with gladiators.", "Gladiator (2000)", False),
        ("AMELIE would fit.", "Amélie (2001)", True),
        ("Amélie would fit.", "Amelie (2001)", True),
        ("Something of 1984 fits.", "1984 (1984)", False),  # a number is no name
        ("The Matrix, surely.", "Matrix, The (1999)", True),
        ("I think of a blade.", "Blade Runner 2049 (2017)", False),  # one of two
        ("Ringu then.", "Ringu (Ring) (1998)", True),  # without what stands in brackets
        ("La cite des enfants perdus", "Cité des enfants perdus, La (1995)", True),
        ("用户接下来会喜欢黑客帝国这部电影。", "黑客帝国 (1999)", True),
        ("用户接下来会喜欢帝国这部电影。", "黑客帝国 (1999)", False),
        ("다음은 기생충을 볼 것이다.", "기생충 (2019)", True),
        ("次は「千と千尋の神隠し」でしょう。", "千と千尋の神隠し", True),
        ("大家都会喜欢。", "家", False),  # one letter stands in other words too
    ],
)
def test_titles_as_they_are_written_of(text: str, title: str, leaks: bool) -> None:
    assert (Gate.over(FILMS, 2).leak(text, "9", title, []) is not None) == leaks


def test_what_was_shown_is_no_leak_in_any_form() -> None:
    many = Gate.over(FILMS, 2)
    assert many.leak("More like Gladiator.", "9", "Gladiator (2000)", ["A gladiator"]) is None
    assert many.leak("他喜欢黑客帝国2。", "9", "黑客帝国 (1999)", ["黑客帝国2 (2003)"]) is None
    assert many.leak("an amelie", "9", "Amélie (2001)", ["Amelie at night"]) is None
    # of two words of its own one was shown, so the other alone does not name it
    assert many.leak("A runner.", "9", "Blade Runner (1982)", ["A blade"]) is None


def test_a_word_that_many_rationales_have_names_nothing() -> None:
    """Few titles have "it" or "next", and nearly every text has."""
    texts = ["It fits, and it would be next."] * 60 + ["Gladiator fits."] * 3
    few, many = Gate.over([*TITLES, "Next"], 2), Gate.over([*TITLES, "Next"], 2, texts)
    for title in ("It", "It (2017)", "Next", "It Fits"):
        assert few.leak(texts[0], "9", title, []) is not None
        assert many.leak(texts[0], "9", title, []) is None
    assert many.leak(texts[-1], "9", "Gladiator (2000)", []) is not None
    assert Gate.over(TITLES, 2, texts[:9]).leak(texts[0], "9", "It", []) is not None  # too few


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return build(tmp_path_factory.mktemp("toy"), dataset("toy", poster_size=16))[0]


@pytest.mark.parametrize("reveal", [False, True])
def test_the_template_writer_names_the_target_only_where_it_is_told(
    toy: Prepared, reveal: bool
) -> None:
    """Its words are of genres and pictures; those of the toy titles are shared by many of them."""
    values = yaml.safe_load((CONF / "reasoner" / "template.yaml").read_text(encoding="utf-8"))
    del values["_target_"]
    writer = Template(**values | {"reveal_target": reveal})
    samples = toy.samples("train")
    texts = [writer.tell(case) for case in cases_of(samples, toy, reveal=reveal)]
    gate, titles = Gate.over(toy.titles.values(), 2, texts), toy.titles
    rows = zip(texts, samples["target"], samples["history"].to_list(), strict=True)
    found = [
        gate.leak(text, target, titles[target], [titles[item] for item in history])
        for text, target, history in rows
    ]
    assert len(found) > 1500
    assert sum(leak is not None for leak in found) == (len(found) if reveal else 0)


def test_how_many_words_is_a_knob() -> None:
    assert gate(1).leak("A blade.", "5", "Blade Runner 2049", []) is not None
    assert gate(2).leak("A blade.", "5", "Blade Runner 2049", []) is None


@given(st.text(), st.text())
def test_an_id_as_prompts_write_it_always_leaks(before: str, after: str) -> None:
    assert gate().leak(f"{before} [ITEM_a%5Bb] {after}", "a[b", "Alien", []) is not None


def test_parts() -> None:
    assert words("Heat (1995): L'été") == ["heat", "1995", "l", "ete"]
    assert holds(["a", "b", "c"], ["b", "c"]) and not holds(["a", "b"], ["b", "a"])
    assert not holds(["a"], []) and is_bare("12345", "id 12345.") and not is_bare("12", "12")
    assert names("Été (L') (2001)") == [["ete", "l", "2001"], ["ete", "l"], ["ete"]]
    assert words("が") == ["が"]  # a mark that is no accent stays
