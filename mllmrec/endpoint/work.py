"""Many requests to one server: so many at once, each until it has an answer or a reason."""

import asyncio
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mllmrec.asking import Fault, Request, tokens_in
from mllmrec.endpoint.body import messages
from mllmrec.endpoint.budget import Purse
from mllmrec.endpoint.heard import Heard
from mllmrec.endpoint.line import Line, Trouble
from mllmrec.endpoint.pace import Pace
from mllmrec.endpoint.progress import Notices
from mllmrec.endpoint.task import Task
from mllmrec.errors import Refusal
from mllmrec.journal import Journal, Record, Totals
from mllmrec.pictures import BadPicture

if TYPE_CHECKING:
    from mllmrec.endpoint.progress import Progress
    from mllmrec.endpoint.server import Server

FIRST_WAIT = 0.5  # seconds between two calls of a record, doubled each time
PATIENCE = 3  # failures in a row that tell of a server that will answer nobody


class Stopped(Exception):
    """No call may be begun any more."""


class Work:
    """The workers that share one line, and what they know together.

    Failures by faults of the server are held back until it answers anyone: if it answers nobody,
    they are not the records' own, and are journaled by their cost alone. A server that asks to
    wait is called by nobody until then, and a record does not run out of time by that as long as
    anyone was answered within ``deadline``. ``known`` are single calls that were answered before.
    """

    def __init__(
        self,
        server: "Server",
        line: Line,
        journal: Journal,
        known: Sequence[Record],
        fault: Fault,
        progress: "Progress",
    ) -> None:
        self.server, self.line, self.journal = server, line, journal
        self.fault, self.progress = fault, progress
        self.pace = Pace(server.concurrency)
        self.notices = Notices(line.scrub(str(server.url)))
        self.spent = replace(journal.spent)
        self.purse = Purse(server.budget, server.price, self.spent, known)
        self.was_heard = journal.spent.tokens_out > 0  # by an earlier launch
        self.is_heard = False
        self.moved = time.monotonic()  # when anyone was answered last
        self.held: list[tuple[Record, Trouble]] = []
        self.unsent: dict[str, Record] = {}  # failed here: nothing was asked
        self.stopped = asyncio.Event()
        self.landed = asyncio.Event()  # a call: who waits looks again
        self.refusal: Refusal | None = None

    async def run(self, asked: Iterable[tuple[str, Request]]) -> None:
        """Bring each to its end in the journal, or in ``unsent``.

        Raises:
            Refusal: the work was broken off; what was answered is in the journal.
        """
        queue = iter(asked)
        try:
            async with self.line.client, asyncio.TaskGroup() as group:
                for _ in range(self.server.concurrency):
                    group.create_task(self.worker(queue))
            if self.held and not self.refusal and not self.has_server(self.held[0][1]):
                self.stop(self.silent(self.held[0][1]))
            if self.refusal:
                raise self.refusal
            self.release()
        finally:
            for record, _ in self.held:  # as good as broken off
                if record.calls:
                    self.journal.add(replace(record, why=None, is_outage=False))

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
                    wait=FIRST_WAIT,
                    draws=random.Random(key),
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
            why = f"{trouble} ({task.cost.calls} calls)"
            self.fail(task.record(why=why, is_outage=trouble.is_fault), trouble)
        else:
            self.keep(record)

    async def answered(self, task: Task) -> Record:
        """The text, asked for once more with more room if it will not do; or why there is none."""
        asked = await asyncio.to_thread(messages, task.request, self.server.picture_size)
        for room in (self.server.max_tokens, self.server.retry_tokens):
            answer = await self.persist(self.server.body(asked, room), room, task)
            self.is_heard, self.moved = True, time.monotonic()
            self.release()
            why = answer.wrong() or self.fault(answer.text)
            if why is None:
                return task.record(text=answer.text, finish_reason=answer.finish_reason)
        return task.record(why=why, finish_reason=answer.finish_reason)

    async def persist(self, body: dict[str, object], room: int, task: Task) -> Heard:
        """Call until there is an answer, as long as retries and time last.

        Raises:
            Stopped: no call may be begun.
            Trouble: there is no answer.
        """
        while True:
            share = await self.share(room, task)
            try:
                await self.turn(task)
                return await self.call(body, task)
            except Refusal as refusal:
                self.stop(refusal)
                raise Stopped from refusal
            except Trouble as error:
                trouble = error
            finally:
                self.purse.under_way.remove(share)
                self.landed.set()
            await self.let_pass(trouble, task)

    async def let_pass(self, trouble: Trouble, task: Task) -> None:
        """Wait for as long as a fault may last, together with all others where it is everyone's.

        Raises:
            Trouble: retries or time are used up, or another call would be of no use.
        """
        if trouble.is_busy:
            self.notices.wait(trouble)
        if not trouble.is_fault or not (task.retries or trouble.is_limit):
            raise trouble
        pause = trouble.wait or task.backoff()
        if time.monotonic() + pause >= (self.end(task) if trouble.is_busy else task.end):
            raise trouble  # and too long a wait keeps nobody else waiting
        task.retries -= not trouble.is_limit
        if trouble.is_busy:
            self.pace.pause(pause, task.began, task.draws.random())
        else:
            if not self.is_heard:
                self.notices.miss(trouble)
            await self.rest(pause, self.stopped)

    async def turn(self, task: Task) -> None:
        """Wait until the server may be called, where it has asked for that.

        Raises:
            Stopped: no call may be begun.
            Trouble: the time is up, and nobody was answered for as long.
        """
        jitter = task.draws.random()
        while not self.stopped.is_set() and (seconds := self.pace.turn(jitter)):
            left = self.end(task) - time.monotonic()
            if left <= 0:
                deadline = f"deadline={self.server.deadline:g}"
                raise Trouble(f"the server asks to wait, beyond {deadline}", is_fault=True)
            self.landed.clear()
            await self.rest(min(seconds, left), self.landed)
            task.end = self.end(task)
        if self.stopped.is_set():
            raise Stopped

    def end(self, task: Task) -> float:
        """When a record runs out of time that waits as the server asks for."""
        return max(task.end, self.moved + self.server.deadline)

    async def rest(self, seconds: float, event: asyncio.Event) -> None:
        """Sleep, unless something comes up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    async def call(self, body: dict[str, object], task: Task) -> Heard:
        """One call, counted whatever comes of it."""
        began = task.began = time.monotonic()
        seconds = max(0.001, min(self.server.timeout, task.end - began))
        task.cost.calls += 1
        self.spent.calls += 1
        try:
            answer = await self.line.call(body, task.request.text, seconds)
        finally:
            task.cost.seconds += time.monotonic() - began
        self.pace.answered(began)
        self.purse.answered(answer.tokens_in, answer.tokens_out)
        task.cost.tokens_in += answer.tokens_in
        task.cost.tokens_out += answer.tokens_out
        return answer

    async def share(self, room: int, task: Task) -> Totals:
        """What a call will likely take, set aside as soon as the budget has it.

        It may have it yet where calls are under way that take less than was set aside for them.

        Raises:
            Stopped: no call may be begun.
        """
        sent, _ = tokens_in([task.request], self.server.picture_size)
        while not self.stopped.is_set():
            call = self.purse.likely(sent, room)
            if (lack := self.purse.lacks(call)) is None:
                self.purse.under_way.append(call)
                return call
            if not self.purse.under_way:
                self.stop(
                    Refusal(
                        lack,
                        allowed="as many calls as the budget pays for, over all launches",
                        do=f"raise {lack.partition('=')[0]} and repeat the command, which goes on",
                    )
                )
                break
            self.landed.clear()
            await self.landed.wait()
            task.end = self.end(task)
        raise Stopped

    def stop(self, refusal: Refusal) -> None:
        self.refusal = self.refusal or refusal
        self.stopped.set()
        self.landed.set()

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
        return Refusal(
            f"endpoint.url={self.notices.url}: no answers from {self.server.model}: {trouble}",
            allowed="a server of chat completions that is up and takes what it is sent",
            do="mend what is named, or type endpoint.url=http://HOST:PORT/v1, endpoint.model=NAME "
            "or endpoint.timeout=SECONDS; what was answered is kept",
        )
