"""Lists on the terminal: whole for one, the first ones for many; titles cannot mark it up."""

from types import SimpleNamespace

import polars as pl

from mllmrec.policy.full import Way
from mllmrec.serving import told
from mllmrec.serving.lists import LISTS
from mllmrec.serving.requests import REQUESTS

TITLES = {"1": "[red]Heat[/red]", "2": 'A, "B"', "3": ""}
PREPARED = SimpleNamespace(
    titles=TITLES, items=pl.DataFrame({"item_id": [*TITLES], "title": [*TITLES.values()]})
)


def written(folder, lists):
    asked = [(id, None, ["1"], ["1"], None) for id, _, _ in lists]
    requests = pl.DataFrame(asked, schema=REQUESTS, orient="row")
    about = {"policy": "grpo", "score": "log p", "requests": len(lists)}
    table = pl.DataFrame(lists, schema=LISTS, orient="row")
    told.write(table, requests, PREPARED, folder, about)


def test_one_list_is_printed_whole(tmp_path, capsys):
    written(tmp_path, [("1", ["2", "1", "3"], [-0.5, -1.25, -3.0])])
    told.show(tmp_path)
    text = capsys.readouterr().out
    assert "recommended by grpo (score: log p)" in text and "[red]Heat[/red]" in text
    assert text.index('A, "B"') < text.index("Heat")
    rows = pl.read_csv(tmp_path / told.ROWS, schema_overrides={"item_id": pl.String})
    assert rows["title"].to_list()[:2] == ['A, "B"', "[red]Heat[/red]"]
    assert rows["score"].to_list() == [-0.5, -1.25, -3.0]


def test_of_many_the_first_are_printed_and_empty_ones_counted(tmp_path, capsys):
    written(tmp_path, [(f"r{n}", ["2"][: n % 5], [1.0][: n % 5]) for n in range(6)])
    told.show(tmp_path)
    text = capsys.readouterr().out
    assert "grpo, r1" in text and "grpo, r4" not in text
    assert "2 of 6 lists are empty" in text
    assert str(tmp_path / told.LINES) in text
    assert len((tmp_path / told.LINES).read_text().splitlines()) == 6


def test_a_score_says_what_it_is():
    way = Way(method="exact", by="id", beam=1)
    assert "marker" in told.kind_of("grpo", True, way, listed=False)
    assert "answer" in told.kind_of("grpo", True, way, listed=True)
    assert told.kind_of("sasrec", False, way, listed=False) == "logit"
    assert "interactions" in told.kind_of("popularity", False, way, listed=False)
