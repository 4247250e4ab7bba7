"""A server of chat completions that misbehaves by script: real sockets, seeded faults, counts."""

import asyncio
import contextlib
import hashlib
import json
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("429", "500", "hang", "cut", "broken", "empty", "truncated")
HANG = 30.0


@dataclass(frozen=True, kw_only=True)
class Call:
    """What came in: the fields of the body, the headers, and how often this text was sent."""

    body: Mapping[str, Any]
    headers: Mapping[str, str]
    nth: int

    @property
    def text(self) -> str:
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else content[-1]["text"]


@dataclass(frozen=True, kw_only=True)
class Said:
    """What goes out: a status, a body (JSON, or bytes as they are), and what is odd about it."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    wait: float = 0.0
    trickle: float = 0.0  # seconds between two bytes


def completion(text: str | None, *, reason: str = "stop", out: int = 5) -> dict[str, Any]:
    return {
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": out, "total_tokens": 10 + out},
    }


def good(call: Call) -> Said:
    digest = hashlib.sha256(call.text.encode()).hexdigest()[:8]
    return Said(body=completion(f"answer {digest}"))


def failed(status: int, message: str, **headers: str) -> Said:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Said(status=status, body={"error": {"message": message}}, headers=named)


def faulty(kind: str) -> Said:
    return {
        "429": failed(429, "slow down", retry_after="0.05"),
        "500": failed(500, "sorry"),
        "hang": Said(body=completion("too late"), wait=HANG),
        "cut": Said(body=completion("half"), cut=True),
        "broken": Said(body=b'{"choices": [{"mess'),
        "empty": Said(body=completion(None, reason="length")),
        "truncated": Said(body=completion("and then", reason="length")),
    }[kind]


def moody(share: float, seed: int) -> Callable[[Call], Said]:
    """Faults on a share of the calls, drawn by the text and how often it came."""

    def script(call: Call) -> Said:
        draw = random.Random(f"{seed}/{call.text}/{call.nth}")
        return faulty(draw.choice(FAULTS)) if draw.random() < share else good(call)

    return script


def limited(most: int, seconds: float) -> Callable[[Call], Said]:
    """So many calls in any so many seconds, whoever makes them; says when the next may come."""
    taken: deque[float] = deque()

    def script(call: Call) -> Said:
        now = time.monotonic()
        while taken and now - taken[0] >= seconds:
            taken.popleft()
        if len(taken) < most:
            taken.append(now)
            return good(call)
        return failed(429, "too many", retry_after=f"{taken[0] + seconds - now:.4f}")

    return script


class BadServer:
    """Answers on a port of its own by ``script``; counts calls, texts and the peak at once."""

    def __init__(self, script: Callable[[Call], Said], delay: float = 0.0) -> None:
        self.script, self.delay = script, delay
        self.calls: list[Call] = []
        self.said: Counter[int] = Counter()
        self.seen: Counter[str] = Counter()
        self.under_way = self.peak = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")[1:-2]
                headers = {
                    name.lower(): value for name, value in (line.split(": ", 1) for line in lines)
                }
                body = await reader.readexactly(int(headers["content-length"]))
                if not await self.answer(json.loads(body), headers, writer):
                    break
        writer.close()

    async def answer(
        self, body: dict[str, Any], headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> bool:
        """One call; whether the connection stays."""
        key = json.dumps(body["messages"])
        self.seen[key] += 1
        call = Call(body=body, headers=headers, nth=self.seen[key])
        self.calls.append(call)
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        try:
            said = self.script(call)
            self.said[said.status] += 1
            await asyncio.sleep(said.wait or self.delay)
        finally:
            self.under_way -= 1
        content = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        fields = {"Content-Type": "application/json", "Content-Length": len(content)}
        lines = "".join(
            f"{name}: {value}\r\n" for name, value in {**fields, **said.headers}.items()
        )
        writer.write(f"HTTP/1.1 {said.status} X\r\n{lines}\r\n".encode())
        whole = content[: len(content) // 2] if said.cut else content
        for part in [bytes([byte]) for byte in whole] if said.trickle else [whole]:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(said.trickle)
        return not said.cut

    @contextlib.contextmanager
    def running(self) -> Iterator["BadServer"]:
        """In a thread, until the block ends."""
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(server.close)
            loop.call_soon_threadsafe(self.cancel_all, loop)
            thread.join()
            loop.close()

    @staticmethod
    def cancel_all(loop: asyncio.AbstractEventLoop) -> None:
        async def end() -> None:
            tasks = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            loop.stop()

        loop.create_task(end())
