"""All that can go wrong at a server, over real sockets: nothing is lost, nothing asked twice."""

import logging
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from mllmrec.errors import Refusal
from mllmrec.journal import Journal, read
from tests.bad_server import (
    BadServer,
    Call,
    Said,
    completion,
    failed,
    faulty,
    good,
    limited,
    moody,
)
from tests.endpoint.knobs import asked, asker, fine

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mllmrec.endpoint.work.FIRST_WAIT", 0.02)


def test_a_third_of_calls_failing_loses_nothing(tmp_path: Path) -> None:
    journal, requests = tmp_path / "a.jsonl", asked(150)
    with BadServer(moody(0.3, seed=1)).running() as server:
        replies = asker(server.url).ask(requests, journal, "work", fine)
    assert [reply.id for reply in replies] == [request.id for request in requests]
    assert all((reply.text is None) != (reply.why is None) for reply in replies)
    assert "" not in {reply.text for reply in replies}
    outcomes = list(read(journal))
    assert Counter(record.id for record in outcomes) == Counter(r.id for r in requests)
    lost = [reply for reply in replies if reply.text is None]
    assert all("finish_reason=length" in str(reply.why) for reply in lost)  # twice cut short
    assert len(lost) < 15
    assert len(server.calls) == sum(record.calls for record in outcomes)
    faults = sum(moody(0.3, seed=1)(call) != good(call) for call in server.calls)
    assert faults > 40
    assert len(server.calls) <= 1.1 * len(requests) + faults


def test_each_fault_is_outlived(tmp_path: Path) -> None:
    kinds = ("429", "500", "hang", "cut", "broken", "empty", "truncated")

    def once(call: Call) -> Said:
        nth = int(call.text.split()[-1])
        return faulty(kinds[nth]) if call.nth == 1 else good(call)

    with BadServer(once).running() as server:
        replies = asker(server.url).ask(asked(len(kinds)), tmp_path / "a.jsonl", "work", fine)
    assert all(reply.text for reply in replies), replies
    assert len(server.calls) == 2 * len(kinds)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("empty", "empty answer (finish_reason=length, 5 tokens)"),
        ("truncated", "truncated answer (finish_reason=length, 5 tokens)"),
    ],
)
def test_what_stays_empty_or_cut_short_fails_after_two_calls(
    tmp_path: Path, kind: str, why: str
) -> None:
    with BadServer(lambda call: faulty(kind)).running() as server:
        replies = asker(server.url).ask(asked(1), tmp_path / "a.jsonl", "work", fine)
        assert [call.body["max_tokens"] for call in server.calls] == [16, 64]
        assert (replies[0].text, replies[0].why) == (None, why)
        again = asker(server.url).ask(asked(1), tmp_path / "a.jsonl", "work", fine)
        assert again == replies and len(server.calls) == 2
        asker(server.url).ask(asked(1), tmp_path / "b.jsonl", "work", fine)
        assert len(server.calls) == 4, "another artifact tries again"


def test_a_text_that_the_writer_finds_wrong_is_asked_for_once_more(tmp_path: Path) -> None:
    def script(call: Call) -> Said:
        return Said(body=completion("bad" if call.nth == 1 or "0" in call.text else "fine"))

    def fault(text: str) -> str | None:
        return "it is bad" if text == "bad" else None

    with BadServer(script).running() as server:
        replies = asker(server.url).ask(asked(2), tmp_path / "a.jsonl", "work", fault)
    assert [(reply.text, reply.why) for reply in replies] == [(None, "it is bad"), ("fine", None)]
    assert len(server.calls) == 4


def test_a_server_that_asks_to_wait_is_left_in_peace(tmp_path: Path) -> None:
    def script(call: Call) -> Said:
        return failed(429, "wait", retry_after="1") if call.nth == 1 else good(call)

    began = time.monotonic()
    with BadServer(script).running() as server:
        asker(server.url).ask(asked(1), tmp_path / "a.jsonl", "work", fine)
    assert 1.0 <= time.monotonic() - began < 5
    assert len(server.calls) == 2


def test_a_limit_shared_by_all_loses_nothing_and_is_seldom_hit(tmp_path: Path) -> None:
    """No retries, and a deadline that is shorter than the work: announced waits use up neither."""
    journal, requests = tmp_path / "a.jsonl", asked(40)
    with BadServer(limited(2, 0.15)).running() as server:
        asking = asker(server.url, concurrency=16, retries=0, deadline=2.0, timeout=9.0)
        replies = asking.ask(requests, journal, "work", fine)
    assert [reply.why for reply in replies if reply.text is None] == []
    assert server.said[200] == 40
    assert server.said[429] <= 60, "where 16 call together each time, more than 200"
    assert len(server.calls) == Journal(journal).spent.calls


def test_a_limit_that_ends_is_soon_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each pause is as long as was asked for, and the calls after them come all but at once."""
    caplog.set_level(logging.INFO)
    began: list[float] = []

    def script(call: Call) -> Said:
        began.append(time.monotonic())
        return failed(429, "wait", retry_after="0.5") if len(began) <= 12 else good(call)

    with BadServer(script).running() as server:
        asking = asker(server.url, concurrency=8)
        assert all(r.text for r in asking.ask(asked(20), tmp_path / "a.jsonl", "work", fine))
    assert 2.0 <= began[-1] - began[0] < 4.5, "4 pauses, or 5"
    waits = [text for text in caplog.messages if text.startswith("the server asks to wait")]
    assert waits == ["the server asks to wait 0.5 s (429, 1 so far)"]


def test_an_announced_limit_uses_no_retry(tmp_path: Path) -> None:
    def script(call: Call) -> Said:
        if call.nth == 1:
            return failed(429, "slow down", retry_after="0.02")
        return failed(500, "ouch") if call.nth == 2 else good(call)

    with BadServer(script).running() as server:
        asking = asker(server.url, retries=1)
        assert asking.ask(asked(1), tmp_path / "a.jsonl", "work", fine)[0].text
    assert len(server.calls) == 3


def test_a_limit_that_is_over_by_now_uses_no_retry_either(tmp_path: Path) -> None:
    def script(call: Call) -> Said:
        return failed(429, "slow down", retry_after="0.0000") if call.nth <= 2 else good(call)

    with BadServer(script).running() as server:
        asking = asker(server.url, retries=0)
        assert asking.ask(asked(1), tmp_path / "a.jsonl", "work", fine)[0].text


def test_a_wait_is_for_all_records(tmp_path: Path) -> None:
    """The others are told by the answer of one, and call no more until then."""
    began: list[float] = []

    def script(call: Call) -> Said:
        began.append(time.monotonic())
        return failed(503, "wait", retry_after="1") if len(began) == 1 else good(call)

    with BadServer(script, delay=0.1).running() as server:
        asking = asker(server.url, concurrency=2)
        assert all(r.text for r in asking.ask(asked(6), tmp_path / "a.jsonl", "work", fine))
    assert sum(moment - began[0] < 1.0 for moment in began) <= 2 and len(began) == 7


def test_a_limit_that_never_ends_ends_the_work(tmp_path: Path) -> None:
    began = time.monotonic()
    with BadServer(lambda call: failed(429, "slow down", retry_after="0.1")).running() as server:
        asking = asker(server.url, deadline=1.0)
        with pytest.raises(Refusal, match="no answers from tiny"):
            asking.ask(asked(50), tmp_path / "a.jsonl", "work", fine)
    assert time.monotonic() - began < 6
    assert len(server.calls) < 60


def test_no_record_outlasts_its_deadline(tmp_path: Path) -> None:
    def script(call: Call) -> Said:
        return good(call) if call.text != "question 1" else failed(429, "wait", retry_after="600")

    began = time.monotonic()
    with BadServer(script).running() as server:
        replies = asker(server.url, deadline=2.0).ask(asked(2), tmp_path / "a", "work", fine)
    assert time.monotonic() - began < 5
    assert replies[0].text and "wait" in str(replies[1].why)


def test_no_more_calls_at_once_than_allowed(tmp_path: Path) -> None:
    with BadServer(good, delay=0.02).running() as server:
        asker(server.url, concurrency=3).ask(asked(30), tmp_path / "a.jsonl", "work", fine)
    assert server.peak == 3


def test_the_same_content_is_asked_once(tmp_path: Path) -> None:
    twins = [*asked(3), *asked(3)]
    with BadServer(good).running() as server:
        replies = asker(server.url).ask(twins, tmp_path / "a.jsonl", "work", fine)
        assert len(server.calls) == 3
        assert [reply.text for reply in replies[:3]] == [reply.text for reply in replies[3:]]
        asker(server.url).ask(asked(5), tmp_path / "b.jsonl", "work", fine)
        assert len(server.calls) == 5, "a neighbour's answers are its own"


@pytest.mark.parametrize(
    ("status", "knob"),
    [(401, "endpoint.key_env"), (403, "endpoint.key_env"), (404, "endpoint.url")],
)
def test_what_no_request_can_pass_ends_the_work_at_once(
    tmp_path: Path, status: int, knob: str
) -> None:
    with BadServer(lambda call: failed(status, "no")).running() as server:
        with pytest.raises(Refusal) as refused:
            asker(server.url, concurrency=2).ask(asked(50), tmp_path / "a.jsonl", "work", fine)
        assert len(server.calls) <= 2
    assert knob in refused.value.wrong and f"type {knob}=" in refused.value.do.replace(
        "and type", "type"
    )


def test_rejections_from_the_start_end_the_work(tmp_path: Path) -> None:
    with BadServer(lambda call: failed(400, "unknown field top_q")).running() as server:
        with pytest.raises(Refusal, match="top_q"):
            asker(server.url, concurrency=2).ask(asked(50), tmp_path / "a.jsonl", "work", fine)
        assert len(server.calls) <= 5
    kept = Journal(tmp_path / "a.jsonl")
    assert (kept.answers, kept.failures) == ({}, {})
    assert kept.spent.calls == len(server.calls), "what they cost is kept"


def test_one_rejection_among_answers_is_that_records_failure(tmp_path: Path) -> None:
    def script(call: Call) -> Said:
        return failed(400, "too long") if call.text == "question 0" else good(call)

    with BadServer(script).running() as server:
        replies = asker(server.url).ask(asked(9), tmp_path / "a.jsonl", "work", fine)
    assert "too long" in str(replies[0].why)
    assert all(reply.text for reply in replies[1:])
    assert len(server.calls) == 9, "what is rejected is not asked again"


def test_nobody_there_is_one_refusal_and_no_failures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with BadServer(good).running() as server:
        gone = server.url
    asking = asker(gone, retries=1)
    with pytest.raises(Refusal, match=r"endpoint\.url=.*connection failed"):
        asking.ask(asked(500), tmp_path / "a.jsonl", "work", fine)
    assert Journal(tmp_path / "a.jsonl").failures == {}
    [line] = [text for text in caplog.messages if "no answer yet" in text]
    assert line.startswith(f"no answer yet from {gone}: connection failed: ")
    assert line.endswith("; trying again")


def test_a_server_that_dies_midway_ends_the_work_too(tmp_path: Path) -> None:
    calls = iter(range(10**6))

    def script(call: Call) -> Said:
        return good(call) if next(calls) < 20 else failed(503, "gone")

    with BadServer(script).running() as server:
        with pytest.raises(Refusal, match="20 of 500 answered"):
            asker(server.url, retries=1).ask(asked(500), tmp_path / "a.jsonl", "work", fine)
        server.script = good
        assert all(
            r.text for r in asker(server.url).ask(asked(500), tmp_path / "a.jsonl", "w", fine)
        )


def test_a_budget_stops_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    journal = tmp_path / "a.jsonl"
    price = {"input": 100_000.0, "output": 200_000.0}  # 2 USD a call of 10 and 5 tokens
    with BadServer(good, delay=0.01).running() as server:

        def ask(most: float | None, tokens: int | None = None) -> None:
            budget = {"max_usd": most, "max_tokens": tokens}
            asking = asker(server.url, price=price, budget=budget, concurrency=2)
            asking.ask(asked(20), journal, "work", fine)

        with pytest.raises(Refusal) as refused:
            ask(10.0)
        assert 5 <= len(server.calls) <= 6, "those under way may pass it"
        answered = len(server.calls)
        assert f"{answered} of 20 answered" in refused.value.wrong
        assert "raise endpoint.budget.max_usd" in refused.value.do
        with pytest.raises(Refusal):
            ask(10.0)
        assert len(server.calls) == answered, "what was spent before counts"
        with pytest.raises(Refusal, match=r"max_tokens=150"):
            ask(None, 150)
        ask(40.0)
        assert len(server.calls) == 20


def test_a_budget_reckons_with_the_calls_under_way(tmp_path: Path) -> None:
    journal, budget = tmp_path / "a.jsonl", {"max_usd": None, "max_tokens": 3000}

    def script(call: Call) -> Said:
        return Said(body=completion("long", out=330))

    with BadServer(script, delay=0.02).running() as server:
        asking = asker(
            server.url, concurrency=16, max_tokens=1024, retry_tokens=4096, budget=budget
        )
        with pytest.raises(Refusal, match=r"8 of 40 .* 2720 tokens are spent, .* about 340"):
            asking.ask(asked(40), journal, "work", fine)
        assert len(server.calls) == 8
        with pytest.raises(Refusal, match=r"2720 tokens are spent"):
            asking.ask(asked(40), journal, "work", fine)
        assert len(server.calls) == 8
        asking = asker(server.url, concurrency=16, budget=budget)
        with pytest.raises(Refusal) as refused:
            asking.ask(asked(40), tmp_path / "other" / "a.jsonl", "work", fine)
    spent = Journal(tmp_path / "other" / "a.jsonl").spent
    assert f"{spent.tokens_in + spent.tokens_out} tokens are spent" in refused.value.wrong


def test_the_key_is_sent_and_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "sk-very-secret-key-0123456789"
    monkeypatch.setenv("SOME_KEY", secret)
    caplog.set_level(logging.DEBUG)

    def script(call: Call) -> Said:
        if call.text == "question 1":
            return failed(400, f"{secret} may not ask this")
        return good(call)

    with BadServer(script).running() as server:
        asking = asker(server.url, key_env="SOME_KEY")
        replies = asking.ask(asked(3), tmp_path / "a.jsonl", "work", fine)
        assert {call.headers["authorization"] for call in server.calls} == {f"Bearer {secret}"}
        server.script = lambda call: failed(401, f"not {secret}")
        with pytest.raises(Refusal) as refused:
            asking.ask(asked(9), tmp_path / "a.jsonl", "work", fine)
    assert replies[1].why and "may not ask this" in replies[1].why
    for text in (*map(str, replies), str(refused.value), caplog.text, repr(asking)):
        assert secret not in text
    assert secret not in (tmp_path / "a.jsonl").read_text()


CHILD = """
import sys
from pathlib import Path
from tests.endpoint.knobs import asked, asker, fine
asker(sys.argv[1], concurrency=4).ask(asked(60), Path(sys.argv[2]), "work", fine)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_midway_it_goes_on_where_it_was(tmp_path: Path, how: signal.Signals) -> None:
    """All calls together are those of a run without a kill, and those under way at the kill."""
    journal = tmp_path / "a.jsonl"
    with BadServer(good, delay=0.02).running() as server:
        command = [sys.executable, "-c", CHILD, server.url, str(journal)]
        child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        while len(server.calls) < 30 and child.poll() is None:
            time.sleep(0.005)
        child.send_signal(how)
        child.wait()
        kept = [record for record in read(journal) if record.text]
        begun = len(server.calls)
        assert child.returncode != 0 and 30 <= begun < 60
        assert 0 <= begun - len(kept) <= 4
        replies = asker(server.url, concurrency=4).ask(asked(60), journal, "work", fine)
    assert len(server.calls) == 60 + begun - len(kept)
    assert all(reply.text for reply in replies)
    ends = Counter(record.id for record in read(journal) if record.text)
    assert set(ends.values()) == {1} and len(ends) == 60


def test_a_torn_line_is_asked_for_again_and_nothing_else(tmp_path: Path) -> None:
    journal = tmp_path / "a.jsonl"
    with BadServer(good).running() as server:
        asker(server.url).ask(asked(10), journal, "work", fine)
        journal.write_bytes(journal.read_bytes()[:-7])
        replies = asker(server.url).ask(asked(10), journal, "work", fine)
    assert len(server.calls) == 11 and all(reply.text for reply in replies)
    assert sorted(record.id for record in read(journal)) == sorted(r.id for r in asked(10))


def test_what_a_broken_off_record_cost_is_not_forgotten(tmp_path: Path) -> None:
    def script(call: Call) -> Said:
        return faulty("truncated") if call.nth == 1 else good(call)

    journal = tmp_path / "a.jsonl"
    with BadServer(script).running() as server:
        few = asker(server.url, budget={"max_usd": None, "max_tokens": 15})
        for _ in range(2):
            with pytest.raises(Refusal, match=r"0 of 1 answered.*15 tokens are spent"):
                few.ask(asked(1), journal, "work", fine)
        assert len(server.calls) == 1
        [cost] = read(journal)
        assert (cost.text, cost.why, cost.tokens_in + cost.tokens_out) == (None, None, 15)
        assert asker(server.url).ask(asked(1), journal, "work", fine)[0].text


def test_faults_between_answers_are_failures_of_their_records(tmp_path: Path) -> None:
    def script(call: Call) -> Said:
        return failed(500, "ouch") if int(call.text.split()[-1]) % 2 else good(call)

    journal = tmp_path / "a.jsonl"
    with BadServer(script).running() as server:
        asking = asker(server.url, concurrency=1, retries=1)
        replies = asking.ask(asked(30), journal, "work", fine)
        assert len(server.calls) == 15 + 2 * 15
    assert all(reply.text for reply in replies[::2])
    assert all("ouch" in str(r.why) and "(2 calls)" in str(r.why) for r in replies[1::2])


def test_what_the_server_failed_at_is_asked_again_once_it_is_mended(tmp_path: Path) -> None:
    def script(call: Call) -> Said:
        if call.text == "question 2":
            return failed(400, "too long")
        if call.text == "question 4":
            return faulty("empty")
        return failed(500, "ouch") if call.text in ("question 3", "question 7") else good(call)

    journal = tmp_path / "a.jsonl"
    with BadServer(script).running() as server:
        asking = asker(server.url, concurrency=1, retries=1)
        first = asking.ask(asked(10), journal, "work", fine)
        assert [n for n, reply in enumerate(first) if reply.why] == [2, 3, 4, 7]
        before = len(server.calls)
        assert before == 6 + 1 + 2 + 2 * 2
        server.script = good
        second = asking.ask(asked(10), journal, "work", fine)
        assert [call.text for call in server.calls[before:]] == ["question 3", "question 7"]
        assert asking.ask(asked(10), journal, "work", fine) == second
        assert len(server.calls) == before + 2
    assert [n for n, reply in enumerate(second) if reply.why] == [2, 4]
    assert [second[n] for n in (2, 4)] == [first[n] for n in (2, 4)]
    spent = Journal(journal).spent
    assert (spent.calls, spent.tokens_out) == (before + 2, 6 * 5 + 2 * 5 + 2 * 5)


def test_what_silence_cost_is_not_forgotten(tmp_path: Path) -> None:
    journal = tmp_path / "a.jsonl"
    with BadServer(lambda call: failed(500, "ouch")).running() as server:
        with pytest.raises(Refusal, match="ouch"):
            asker(server.url, retries=1, concurrency=2).ask(asked(50), journal, "work", fine)
        kept = Journal(journal)
        assert kept.failures == {} and kept.spent.calls == len(server.calls) > 0


def test_a_budget_is_of_the_artifacts_own_journal(tmp_path: Path) -> None:
    budget = {"max_usd": None, "max_tokens": 15 * 5}
    with BadServer(good).running() as server:
        asking = asker(server.url, budget=budget)
        for name, first in (("a", 0), ("b", 4)):
            some = asked(8)[first : first + 4]
            replies = asking.ask(some, tmp_path / f"{name}.jsonl", "work", fine)
            assert all(reply.text for reply in replies)
