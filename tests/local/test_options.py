"""A pile of requests worked off: once each, batch by batch, found again after a kill."""

import logging
import shutil

import pytest
from pydantic import ValidationError

from mllmrec.asking import Reply, Request
from mllmrec.errors import Refusal
from mllmrec.journal import read
from mllmrec.local import models
from mllmrec.local.answers import Answer
from mllmrec.local.options import batches
from tests.local.tiny import local


class Scripted:
    """Stands in for a loaded model: answers by the text of the request, and keeps what it saw."""

    def __init__(self, said, dies_after=None):
        self.said, self.asked, self.dies_after = said, [], dies_after

    def answers(self, requests, room):
        if self.dies_after is not None and len(self.asked) >= self.dies_after:
            raise KeyboardInterrupt
        self.asked.append(([request.text for request in requests], room))
        return [self.said(request.text, room) for request in requests]


def ended(text, room):
    return Answer(text=text.upper(), tokens_in=3, tokens_out=1)


@pytest.fixture
def loads(monkeypatch):
    """``loads(model)`` has the next ask answered by a scripted model."""

    def use(model):
        monkeypatch.setattr(models, "load", lambda local, needs_eyes: model)
        return model

    return use


def requests(*texts):
    return [Request(id=f"s{number}", text=text) for number, text in enumerate(texts)]


def fine(text):
    return None


def ask(asker, these, path, fault=fine):
    return asker.ask(these, path / "own.jsonl", "rationales", fault)


def test_replies_come_in_the_order_of_requests_and_the_longest_is_asked_first(loads, tmp_path):
    model = loads(Scripted(ended))
    replies = ask(local("m", batch_size=2), requests("b", "aaa", "cc"), tmp_path)
    assert replies == [Reply(id=f"s{n}", text=text) for n, text in enumerate(["B", "AAA", "CC"])]
    assert model.asked == [(["aaa", "cc"], 6), (["b"], 6)]


def test_one_text_is_asked_for_once_and_answers_all_who_share_it(loads, tmp_path):
    model = loads(Scripted(ended))
    replies = ask(local("m"), requests("a", "b", "a"), tmp_path)
    assert [reply.text for reply in replies] == ["A", "B", "A"]
    assert [reply.id for reply in replies] == ["s0", "s1", "s2"]
    assert model.asked == [(["a", "b"], 6)]


def test_what_did_not_end_is_asked_once_more_with_more_room(loads, tmp_path):
    def said(text, room):
        needed = {"short": 1, "long": 10, "endless": 99}[text]
        return Answer(text=text if needed <= room else text[:2], is_cut=needed > room)

    model = loads(Scripted(said))
    replies = ask(local("m"), requests("short", "long", "endless"), tmp_path)
    assert [reply.text for reply in replies] == ["short", "long", None]
    assert replies[2].why == "did not end within 12 tokens"
    assert model.asked == [(["endless", "short", "long"], 6), (["endless", "long"], 12)]


def test_failures_carry_their_reason(loads, tmp_path):
    said = {"blind": Answer(why="p.png: broken"), "mute": Answer(text=""), "x": Answer(text="x")}
    loads(Scripted(lambda text, room: said[text]))
    replies = ask(local("m"), requests("blind", "mute", "x"), tmp_path, lambda text: "too short")
    assert [reply.why for reply in replies] == ["p.png: broken", "is empty", "too short"]
    assert all(reply.text is None for reply in replies)


def test_a_second_run_writes_nothing_and_loads_nothing(loads, tmp_path):
    loads(Scripted(ended))
    first = ask(local("m"), requests("a", "b"), tmp_path)
    loads(None)  # would fail if it were used
    content = (tmp_path / "own.jsonl").read_bytes()
    assert ask(local("m", batch_size=1), requests("a", "b"), tmp_path) == first
    assert (tmp_path / "own.jsonl").read_bytes() == content


def test_a_neighbours_answer_is_found_for_another_sample(loads, tmp_path):
    loads(Scripted(ended))
    ask(local("m"), requests("a"), tmp_path)
    loads(None)
    other = [Request(id="other", text="a")]
    found = local("m").ask(other, tmp_path / "next.jsonl", "rationales", fine)
    assert found == [Reply(id="other", text="A")]


def test_a_kill_loses_at_most_one_batch(loads, tmp_path, caplog):
    texts = ["aaaaa", "bbbb", "ccc", "dd", "e"]
    loads(Scripted(ended, dies_after=2))
    with pytest.raises(KeyboardInterrupt):
        ask(local("m", batch_size=2), requests(*texts), tmp_path)
    kept = [record.text for record in read(tmp_path / "own.jsonl")]
    assert kept == ["AAAAA", "BBBB", "CCC", "DD"]
    model = loads(Scripted(ended))
    caplog.set_level(logging.INFO, logger="mllmrec")
    replies = ask(local("m", batch_size=2), requests(*texts), tmp_path)
    assert model.asked == [(["e"], 6)]
    assert [reply.text for reply in replies] == [text.upper() for text in texts]
    assert "rationales: 1 to write, 4 of 5 found in the journal" in caplog.text


def test_the_work_is_foretold_before_a_model_is_loaded(tmp_path, caplog, monkeypatch, pictures):
    def load(local, needs_eyes):
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "load", load)
    caplog.set_level(logging.INFO, logger="mllmrec")
    these = [*requests("a" * 400), Request(id="2", text="a" * 80, pictures=tuple(pictures[:2]))]
    with pytest.raises(KeyboardInterrupt):
        ask(local("m", picture_size=64, batch_size=2), these, tmp_path)
    assert (
        "rationales: 2 answers of m: about 138 tokens in (4 characters a token, 9 a picture), "
        "at most 12 out, and 12 more for each that does not end; 2 at once"
    ) in caplog.messages


def test_the_rest_is_foretold_after_the_first_batch(loads, tmp_path, caplog):
    loads(Scripted(ended))
    caplog.set_level(logging.INFO, logger="mllmrec")
    ask(local("m", batch_size=1), requests("a", "b"), tmp_path)
    assert caplog.text.count("rationales: 1 of 2 answers, ") == 1


@pytest.mark.parametrize(
    "knobs",
    [{"path": "n"}, {"revision": "v1"}, {"max_new_tokens": 5}, {"dtype": "float32"}],
)
def test_another_model_is_asked_anew(loads, tmp_path, knobs):
    loads(Scripted(ended))
    ask(local("m"), requests("a"), tmp_path)
    again = loads(Scripted(lambda text, room: Answer(text="anew")))
    (reply,) = ask(local("m").model_copy(update=knobs), requests("a"), tmp_path)
    assert reply.text == "anew" and again.asked


def test_another_picture_is_another_question(loads, tmp_path):
    loads(Scripted(ended))
    picture = tmp_path / "p.png"
    keys = []
    for content in (b"one", b"two"):
        picture.write_bytes(content)
        keys.append(local("m").key(Request(id="1", text="a", pictures=(picture,))))
    assert len({*keys, local("m").key(Request(id="1", text="a"))}) == 3


def test_pictures_make_batches_of_their_own(pictures):
    these = {
        "plain": Request(id="1", text="a" * 9000),
        "seen": Request(id="2", text="a", pictures=tuple(pictures[:1])),
        "twice": Request(id="3", text="a", pictures=tuple(pictures[:2])),
    }
    assert list(batches(these, 2)) == [["twice", "seen"], ["plain"]]


def test_no_model_is_refused_with_what_to_type(tmp_path):
    with pytest.raises(Refusal, match=r"reasoner\.model\.path=null") as refusal:
        ask(local().at("reasoner.model"), requests("a"), tmp_path)
    assert refusal.value.do.startswith("type reasoner.model.path=DIR")


def test_a_second_attempt_has_no_less_room():
    with pytest.raises(ValidationError, match="max_new_tokens <= retry_tokens"):
        local("m", max_new_tokens=13)


def test_identity_follows_content_and_not_place_or_batches(text_model, tmp_path):
    copy = shutil.copytree(text_model, tmp_path / "copy")
    here, there = local(text_model), local(copy, batch_size=1, revision="v1")
    assert here.knobs() == there.knobs()
    assert str(text_model) not in str(here.knobs())
    (copy / "config.json").write_text("{}")
    assert local(copy).knobs() != here.knobs()


def test_a_real_model_fails_and_is_found_again(text_model, tmp_path):
    """Random weights end no answer; nothing stands in for anything here."""
    asker = local(text_model)
    replies = ask(asker, requests("hello", "there"), tmp_path)
    assert [reply.why for reply in replies] == ["did not end within 12 tokens"] * 2
    assert [record.calls for record in read(tmp_path / "own.jsonl")] == [2, 2]
    assert ask(asker, requests("hello", "there"), tmp_path) == replies
