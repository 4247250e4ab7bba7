"""The journal: what is read back after kills, cuts and neighbours is what was written."""

import json
import logging
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmrec.journal import Journal, Record, Totals, key_of, read

TEXTS = st.text(max_size=30)
RECORDS = st.lists(
    st.builds(
        Record,
        key=st.sampled_from("abcdef"),
        id=TEXTS,
        text=st.none() | TEXTS,
        why=st.none() | TEXTS,
        tokens_in=st.integers(0, 9),
        calls=st.integers(0, 3),
    ),
    max_size=12,
)


def wrote(path: Path, *records: Record) -> Path:
    with Journal(path) as journal:
        for record in records:
            journal.add(record)
    return path


def record(key: str, text: str | None = None, why: str | None = None, **cost: int) -> Record:
    return Record(key=key, id=key, text=text, why=why, **cost)


@settings(max_examples=80, deadline=None)
@given(records=RECORDS, share=st.floats(0, 1), more=RECORDS)
def test_cut_anywhere_it_holds_its_whole_lines_and_takes_more(
    records: list[Record], share: float, more: list[Record]
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "own.jsonl"
        wrote(path, *records)
        content = path.read_bytes() if records else b""
        cut = content[: int(share * len(content))]
        path.write_bytes(cut)
        left = records[: cut.count(b"\n")]
        assert list(read(path)) == left
        journal = Journal(path)
        assert journal.answers == {r.key: r for r in left if r.text is not None}
        assert journal.spent.calls == sum(r.calls for r in left)
        wrote(path, *more)
        assert list(read(path)) == [*left, *more]


def test_the_last_line_counts(tmp_path: Path) -> None:
    path = wrote(tmp_path / "own.jsonl", record("a", "first"), record("a", "second"))
    found = Journal(path).found("a")
    assert found and found.text == "second"


def test_answers_are_shared_and_failures_are_not(tmp_path: Path) -> None:
    wrote(tmp_path / "other.jsonl", record("a", "yes", calls=2), record("b", why="no", calls=3))
    own = Journal(wrote(tmp_path / "own.jsonl", record("c", why="no", calls=5)))
    assert own.found("a") is not None and own.found("c") is not None
    assert own.found("b") is None
    assert (own.spent.calls, own.known.calls) == (5, 10)


def test_an_answer_that_will_not_do_gives_way_to_our_own_failure(tmp_path: Path) -> None:
    wrote(tmp_path / "other.jsonl", record("a", "bad"), record("b", "bad"))
    own = Journal(wrote(tmp_path / "own.jsonl", record("a", why="it was bad")))
    assert (found := own.found("a", fault=lambda text: text)) and found.why == "it was bad"
    assert own.found("b", fault=lambda text: text) is None
    assert (found := own.found("a")) and found.text == "bad"


def test_what_was_broken_off_costs_and_answers_nothing(tmp_path: Path) -> None:
    own = Journal(wrote(tmp_path / "own.jsonl", record("a", tokens_out=7, calls=1)))
    assert own.found("a") is None
    assert own.spent == Totals(tokens_out=7, calls=1)


def test_a_line_is_out_before_the_next_is_made(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "own.jsonl")
    assert not journal.own.parent.exists(), "nothing is made where nothing is written"
    journal.add(record("a", "yes"))
    assert [r.text for r in read(journal.own)] == ["yes"]
    journal.close()


def test_outages_are_asked_again_by_the_next_launch(tmp_path: Path) -> None:
    def outage(key: str) -> Record:
        return Record(key=key, id=key, why="busy", is_outage=True, calls=2)

    with Journal(tmp_path / "own.jsonl") as journal:
        for each in (outage("a"), outage("b"), record("c", why="empty", calls=1)):
            journal.add(each)
        assert all(journal.found(key) for key in "abc"), "one end a launch"
    again = Journal(tmp_path / "own.jsonl")
    assert [key for key in "abc" if again.found(key)] == ["c"]
    assert again.spent.calls == 5


def test_lines_reach_the_disk_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("mllmrec.journal.os.fsync", synced.append)
    monkeypatch.setattr("mllmrec.journal.SECONDS", 1e6)
    with Journal(tmp_path / "own.jsonl") as journal:
        for n in range(70):
            journal.add(record(str(n), "yes"))
        assert len(synced) == 2
    assert len(synced) == 3 and journal.timer is None


def test_the_last_lines_reach_the_disk_though_no_more_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = threading.Event()
    monkeypatch.setattr("mllmrec.journal.os.fsync", lambda number: synced.set())
    monkeypatch.setattr("mllmrec.journal.SECONDS", 0.05)
    with Journal(tmp_path / "own.jsonl") as journal:
        for key in "ab":  # the second one after the first was synced
            synced.clear()
            journal.add(record(key, "yes"))
            assert synced.wait(10)


def test_what_is_no_record_is_passed_over_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = wrote(tmp_path / "own.jsonl", record("a", "yes"))
    later = {"key": "b", "id": "b", "text": "of a later version", "colour": "red"}
    path.write_bytes(path.read_bytes() + b"\0\0\n[1]\n{}\n" + json.dumps(later).encode() + b"\n")
    with caplog.at_level(logging.WARNING):
        assert [r.key for r in read(path)] == ["a", "b"]
    assert "3 lines" in caplog.text


def test_a_key_is_of_the_content_alone() -> None:
    assert key_of({"a": 1, "b": b"x"}) == key_of({"b": b"x", "a": 1})
    assert key_of(b"x") != key_of(b"y") != key_of("y")
    assert len(key_of(None)) == 64
    with pytest.raises(TypeError, match="Path has no place in a key"):
        key_of(type("Path", (), {})())
