"""Many requests to one server: so many at once, each until it has an answer or a reason."""

import asyncio
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mllmrec.asking import Fault, Request
from mllmrec.endpoint.body import messages
from mllmrec.endpoint.heard import Heard
from mllmrec.endpoint.line import Line, Trouble
from mllmrec.errors import Refusal
from mllmrec.journal import Journal, Record, Totals
from mllmrec.pictures import BadPicture

if TYPE_CHECKING:
    from mllmrec.endpoint.progress import Progress
    from mllmrec.endpoint.server import Server

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds between two calls of a record, doubled each time
PATIENCE = 3  # failures in a row that tell of a server that will answer nobody


class Stopped(Exception):
    """No call may be begun any more."""


@dataclass(kw_only=True)
class Task:
    """A request on its way: what it cost so far, the calls it may lose, the time it has."""

    key: str
    request: Request
    cost: Totals
    retries: int
    end: float
    waits: random.Random  # jitter, drawn from the content

    def record(
        self, text: str | None = None, why: str | None = None, finish_reason: str | None = None
    ) -> Record:
        """The end of it, or what it cost where it came to none."""
        return Record(
            key=self.key,
            id=self.request.id,
            text=text,
            why=why,
            finish_reason=finish_reason,
            **vars(self.cost),
        )


class Work:
    """The workers that share one line, and what they know together.

    Failures by faults of the server are held back until it answers anyone: if it answers nobody,
    they are not the records' own, and are not journaled.
    """

    def __init__(
        self, server: "Server", line: Line, journal: Journal, fault: Fault, progress: "Progress"
    ) -> None:
        self.server, self.line, self.journal = server, line, journal
        self.fault, self.progress = fault, progress
        self.spent = replace(journal.spent)
        self.was_heard = journal.spent.tokens_out > 0  # by an earlier launch
        self.is_heard = False
        self.held: list[tuple[Record, Trouble]] = []
        self.unsent: dict[str, Record] = {}  # failed here: nothing was asked
        self.stopped = asyncio.Event()
        self.refusal: Refusal | None = None

    async def run(self, asked: Iterable[tuple[str, Request]]) -> None:
        """Bring each to its end in the journal, or in ``unsent``.

        Raises:
            Refusal: the work was broken off; what was answered is in the journal.
        """
        queue = iter(asked)
        async with self.line.client, asyncio.TaskGroup() as group:
            for _ in range(self.server.concurrency):
                group.create_task(self.worker(queue))
        if self.held and not self.refusal and not self.has_server(self.held[0][1]):
            self.stop(self.silent(self.held[0][1]))
        if self.refusal:
            raise self.refusal
        self.release()

    async def worker(self, queue: Iterator[tuple[str, Request]]) -> None:
        for key, request in queue:
            if self.stopped.is_set():
                return
            await self.finish(
                Task(
                    key=key,
                    request=request,
                    cost=Totals(),
                    retries=self.server.retries,
                    end=time.monotonic() + self.server.deadline,
                    waits=random.Random(key),
                )
            )

    async def finish(self, task: Task) -> None:
        """One request to its end; what a broken-off one cost is kept, too."""
        try:
            record = await self.answered(task)
        except BadPicture as error:
            self.unsent[task.key] = task.record(why=f"picture: {error}")
            self.progress.ended(self.spent, is_failure=True)
        except (Stopped, asyncio.CancelledError) as error:
            if task.cost.calls:
                self.journal.add(task.record())
            if isinstance(error, asyncio.CancelledError):
                raise
        except Trouble as trouble:
            self.fail(task.record(why=f"{trouble} ({task.cost.calls} calls)"), trouble)
        else:
            self.keep(record)

    async def answered(self, task: Task) -> Record:
        """The text, asked for once more with more room if it will not do; or why there is none."""
        asked = await asyncio.to_thread(messages, task.request, self.server.picture_size)
        for room in (self.server.max_tokens, self.server.retry_tokens):
            answer = await self.persist(self.server.body(asked, room), task)
            self.is_heard = True
            self.release()
            why = answer.wrong() or self.fault(answer.text)
            if why is None:
                return task.record(text=answer.text, finish_reason=answer.finish_reason)
        return task.record(why=why, finish_reason=answer.finish_reason)

    async def persist(self, body: dict[str, object], task: Task) -> Heard:
        """Call until there is an answer, as long as retries and time last.

        Raises:
            Stopped: no call may be begun.
            Trouble: there is no answer.
        """
        wait = FIRST_WAIT
        while True:
            self.check_on()
            try:
                return await self.call(body, task)
            except Refusal as refusal:
                self.stop(refusal)
                raise Stopped from refusal
            except Trouble as trouble:
                if not trouble.is_fault or not task.retries:
                    raise
                pause = wait * (0.5 + task.waits.random() / 2)
                pause = pause if trouble.wait is None else trouble.wait
                if time.monotonic() + pause >= task.end:
                    raise
            task.retries, wait = task.retries - 1, min(2 * wait, LONGEST_WAIT)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.stopped.wait()

    async def call(self, body: dict[str, object], task: Task) -> Heard:
        """One call, counted whatever comes of it."""
        began = time.monotonic()
        seconds = max(0.001, min(self.server.timeout, task.end - began))
        task.cost.calls += 1
        self.spent.calls += 1
        try:
            answer = await self.line.call(body, task.request.text, seconds)
        finally:
            task.cost.seconds += time.monotonic() - began
        for each in (task.cost, self.spent):
            each.tokens_in += answer.tokens_in
            each.tokens_out += answer.tokens_out
        return answer

    def check_on(self) -> None:
        """Raises Stopped where no call may be begun."""
        used_up = self.server.budget.used_up(self.spent, self.server.price)
        if used_up and not self.stopped.is_set():
            self.stop(
                Refusal(
                    used_up,
                    allowed="as many calls as the budget pays for, over all launches",
                    do=f"raise {used_up.partition('=')[0]} and repeat the command, which goes on",
                )
            )
        if self.stopped.is_set():
            raise Stopped

    def stop(self, refusal: Refusal) -> None:
        self.refusal = self.refusal or refusal
        self.stopped.set()

    def keep(self, record: Record) -> None:
        self.journal.add(record)
        self.progress.ended(self.spent, is_failure=record.text is None)

    def fail(self, record: Record, trouble: Trouble) -> None:
        """A record that no call helped; too many in a row, and the server is at fault."""
        if not trouble.is_fault and (self.is_heard or self.was_heard):
            return self.keep(record)
        self.held.append((record, trouble))
        in_turn = 2 * self.server.concurrency if self.has_server(trouble) else 0
        if len(self.held) >= PATIENCE + in_turn:
            self.stop(self.silent(trouble))

    def has_server(self, trouble: Trouble) -> bool:
        """Whether it has answered: in this launch, or in an earlier one and is still there."""
        return self.is_heard or (self.was_heard and trouble.was_reached)

    def release(self) -> None:
        held, self.held = self.held, []
        for record, _ in held:
            self.keep(record)

    def silent(self, trouble: Trouble) -> Refusal:
        url = self.line.scrub(str(self.server.url))
        return Refusal(
            f"endpoint.url={url}: no answers from {self.server.model}: {trouble}",
            allowed="a server of chat completions that is up and takes what it is sent",
            do="mend what is named, or type endpoint.url=http://HOST:PORT/v1, endpoint.model=NAME "
            "or endpoint.timeout=SECONDS; what was answered is kept",
        )
