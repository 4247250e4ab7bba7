"""The knobs of a server: what is refused, what an answer is found by, what is sent."""

import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mllmrec.asking import Request
from mllmrec.endpoint.server import Server
from mllmrec.errors import Refusal
from tests.bad_server import BadServer, Call, Said, failed, faulty, good
from tests.endpoint.knobs import asked, asker, fine

URL = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("changes", "typed"),
    [
        ({"url": None}, "type endpoint.url=http://HOST:PORT/v1"),
        ({"model": None}, "type endpoint.model=NAME"),
        ({"key_env": "NOT_SET"}, "export NOT_SET=KEY"),
        ({"url": "localhost:8000/v1"}, "type endpoint.url=http://HOST:PORT/v1"),
        ({"url": "ftp://localhost/v1"}, "type endpoint.url=http://HOST:PORT/v1"),
    ],
)
def test_what_is_not_set_is_refused_before_the_first_call(
    tmp_path: Path, changes: dict[str, Any], typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    asking = asker(**{"url": URL, **changes})
    with pytest.raises(Refusal) as refused:
        asking.ask(asked(1), tmp_path / "a.jsonl", "work", fine)
    assert typed in refused.value.do


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"key_env": "my-Key1"}, "endpoint.key_env: what was typed is no name of an environment"),
        ({"key_env": "sk-Key1"}, "endpoint.key_env: what was typed is no name of an environment"),
        ({"key_env": "sk_Key1"}, "endpoint.key_env: no environment variable has the name"),
        ({"key_env": "Key1" + 40 * "a"}, "endpoint.key_env: no environment variable has the name"),
        ({"url": "me:Key1@host:80/v1"}, "endpoint.url=***@host:80/v1: no address"),
    ],
)
def test_what_may_be_a_key_is_not_told(changes: dict[str, Any], wrong: str) -> None:
    with pytest.raises(Refusal) as refused:
        asker(**{"url": URL, **changes}).ready()
    assert refused.value.wrong.startswith(wrong) and "Key1" not in str(refused.value)


def test_nothing_is_needed_where_nothing_is_to_be_asked(tmp_path: Path) -> None:
    with BadServer(good).running() as server:
        replies = asker(server.url).ask(asked(3), tmp_path / "a.jsonl", "work", fine)
    assert asker(None).ask(asked(3), tmp_path / "b.jsonl", "work", fine) == replies
    assert asker(None).ask([], tmp_path / "b.jsonl", "work", fine) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"retry_tokens": 15}, "retry_tokens=15 is less than max_tokens"),
        ({"budget": {"max_usd": 1.0, "max_tokens": None}}, "max_usd needs price"),
        ({"extra": {"stream": True}}, r"extra\.stream cannot be set"),
        ({"extra": {"max_tokens": 9}}, r"extra\.max_tokens cannot be set: .*room_field"),
        ({"extra": {"max_completion_tokens": 9}}, "room_field=max_completion_tokens"),
        ({"room_field": "room"}, "room_field"),
        ({"concurrency": 0}, "concurrency"),
        ({"timeout": 0}, "timeout"),
        ({"temprature": 0}, "temprature"),
    ],
)
def test_knobs_that_cannot_be_are_told(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        asker(URL, **changes)


def test_the_identity_holds_what_changes_an_answer() -> None:
    assert asker(URL).knobs().keys() == {
        *("kind", "model", "temperature", "max_tokens", "retry_tokens", "picture_size", "extra")
    }


def test_a_key_is_of_all_that_changes_an_answer(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "b.png").write_bytes(b"b")
    words = Request(id="a", text="hi")
    seen = [Request(id="a", text="hi", pictures=(tmp_path / n,)) for n in ("a.png", "b.png", "c")]
    changes: list[dict[str, Any]] = [
        {"model": "other"},
        {"temperature": 1.0},
        {"max_tokens": 8},
        {"retry_tokens": 99},
        {"extra": {"top_p": 0.5}},
    ]
    keys = [asker(URL, **change).key(words) for change in [{}, *changes]]
    keys += [asker(URL).key(request) for request in seen]
    keys += [asker(URL, picture_size=32).key(seen[0])]
    assert len({*keys}) == len(keys)
    same = asker(
        None,
        room_field="max_completion_tokens",
        key_env="K",
        timeout=9.0,
        retries=0,
        concurrency=1,
        deadline=9.0,
    )
    assert same.key(Request(id="b", text="hi")) == keys[0]
    assert asker(URL, picture_size=32).key(words) == keys[0], "no picture, no size"


def test_extra_fields_are_sent_and_null_ones_left_out(tmp_path: Path) -> None:
    extra = {"top_p": 0.5, "max_tokens": None, "chat_template_kwargs": {"enable_thinking": False}}
    with BadServer(good).running() as server:
        asker(server.url, extra=extra).ask(asked(1), tmp_path / "a.jsonl", "work", fine)
    assert server.calls[0].body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "question 0"}],
        "temperature": 0.0,
        "top_p": 0.5,
        "chat_template_kwargs": {"enable_thinking": False},
    }


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_second_attempt_has_more_room_by_whatever_name(tmp_path: Path, name: str) -> None:
    other = ({"max_tokens", "max_completion_tokens"} - {name}).pop()
    with BadServer(lambda call: faulty("truncated")).running() as server:
        asker(server.url, room_field=name).ask(asked(1), tmp_path / "a.jsonl", "work", fine)
    assert [(c.body[name], c.body.get(other)) for c in server.calls] == [(16, None), (64, None)]


def test_a_picture_that_is_none_is_a_failure_of_its_own(tmp_path: Path) -> None:
    bad = Request(id="bad", text="see", pictures=(tmp_path / "gone.png",))
    with BadServer(good).running() as server:
        replies = asker(server.url).ask([bad, *asked(2)], tmp_path / "a.jsonl", "work", fine)
        assert len(server.calls) == 2
    assert replies[0].id == "bad" and str(replies[0].why).startswith("picture: gone.png")
    assert all(reply.text for reply in replies[1:])


def test_the_estimate_comes_before_the_first_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with BadServer(good).running() as server:
        asker(server.url).ask(asked(2), tmp_path / "a.jsonl", "work", fine)
        asker(server.url).ask(asked(5), tmp_path / "a.jsonl", "work", fine)
    told = [text for text in caplog.messages if " known" in text or " calls to " in text]
    assert told[2] == "work: 2 of 5 known"
    assert told[3].startswith("work: 3 calls to tiny: about 9 tokens in")


def test_times_are_learnt_from_answers_of_this_model_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def script(call: Call) -> Said:
        return failed(400, "no") if call.text == "question 1" else good(call)

    with BadServer(script).running() as server:
        asker(server.url, model="other").ask(asked(3), tmp_path / "a.jsonl", "work", fine)
        asker(server.url).ask(asked(2), tmp_path / "a.jsonl", "work", fine)
        asker(server.url).ask(asked(3), tmp_path / "b.jsonl", "work", fine)
    told = [text for text in caplog.messages if " calls to " in text]
    assert ["3 s a call, assumed" in text for text in told] == [True, True, False]


def test_the_knobs_are_documented_by_type_alone() -> None:
    assert all(field.is_required() for field in Server.model_fields.values())
