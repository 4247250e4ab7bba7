"""A real server with real models: ``transformers serve`` asked through ``Server.ask``."""

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from mllmrec.asking import Reply, Request
from mllmrec.errors import Refusal
from mllmrec.journal import Record, read
from tests.endpoint.knobs import asked, asker, fine
from tests.endpoint.models import PATCH, SIDE, text_model, vision_model

pytestmark = pytest.mark.slow

START = 180.0  # seconds


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


@contextlib.contextmanager
def serving(model: Path) -> Iterator[str]:
    """The address of a server of this model, on the CPU, until the block ends."""
    port, log = free_port(), model.with_suffix(".log")
    command = [Path(sys.executable).with_name("transformers"), "serve", model, "--device", "cpu"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with log.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + START
        while not is_up(port):
            assert server.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(timeout=30)


def is_up(port: int) -> bool:
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/health").status == 200
    return False


def settled(replies: list[Reply], journal: Path) -> dict[str, Record]:
    """The records by id, if they are complete and say what the replies say."""
    records = {record.id: record for record in read(journal)}
    assert [*records] and records.keys() == {reply.id for reply in replies}
    for reply in replies:
        record = records[reply.id]
        assert (reply.text or None, reply.why) == (record.text, record.why)
        assert (reply.text is None) != (reply.why is None)
        if reply.why is not None:
            assert "answer (finish_reason=" in reply.why and record.calls == 2
        assert record.tokens_in > 0 and record.tokens_out > 0 and record.seconds > 0
    return records


def test_a_model_of_text_answers(tmp_path: Path) -> None:
    model, journal = text_model(tmp_path / "text"), tmp_path / "journals" / "a.jsonl"
    with serving(model) as url:
        asking = asker(url, model=str(model), timeout=60.0, concurrency=2, retry_tokens=48)
        replies = asking.ask(asked(6), journal, "work", fine)
        records = settled(replies, journal)
        assert all(record.tokens_out <= 16 + 48 for record in records.values())
        assert len({record.tokens_in // record.calls for record in records.values()}) == 1
        content = journal.read_bytes()
        assert asking.ask(asked(6), journal, "work", fine) == replies
        assert journal.read_bytes() == content, "nothing is asked twice"
        wrong = asker(url.removesuffix("/v1"), model=str(model))
        with pytest.raises(Refusal, match=r"endpoint\.url=.*: no such place"):
            wrong.ask(asked(9), journal, "work", fine)


def test_a_model_that_sees_is_shown_pictures(tmp_path: Path) -> None:
    model, journal = vision_model(tmp_path / "vision"), tmp_path / "journals" / "a.jsonl"
    pictures = {name: tmp_path / name for name in ("red.png", "blue.jpg")}
    for name, path in pictures.items():
        Image.new("RGB", (90, 60), name.partition(".")[0]).save(path)
    (tmp_path / "none.png").write_bytes(b"no picture")
    text = "What does the picture show?"
    requests = [Request(id=name, text=text, pictures=(p,)) for name, p in pictures.items()]
    requests += [Request(id="words", text=text)]
    broken = Request(id="none", text=text, pictures=(tmp_path / "none.png",))
    with serving(model) as url:
        asking = asker(url, model=str(model), timeout=60.0, concurrency=2)
        replies = asking.ask([*requests, broken], journal, "work", fine)
    records = settled(replies[:-1], journal)
    assert str(replies[-1].why).startswith("picture: none.png")
    into = {id: record.tokens_in // record.calls for id, record in records.items()}
    assert into["red.png"] == into["blue.jpg"] == into["words"] + (SIDE // PATCH) ** 2
