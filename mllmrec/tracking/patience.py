"""Waiting for W&B no longer than agreed, and doing without its process."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

FLUSH = 0.1  # seconds until what W&B was told is in its file; its default of 15 is lost at a kill


def within(seconds: float, work: Callable[[], object]) -> None:
    """Do work that may wait for a server for ever.

    Raises:
        TimeoutError: it takes too long; it goes on in a thread that nothing waits for.
    """
    failed: list[Exception] = []

    def body() -> None:
        try:
            work()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    if failed:
        raise failed[0]


def side_by_side(works: Sequence[Callable[[], object]]) -> None:
    """Do works that each wait for a server at the same time; raises the first failure."""
    failed: list[Exception] = []

    def body(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=body, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def abandon() -> None:
    """End W&B's own process at once: what it has recorded is on disk, and it waits for a server.

    wandb has no call for this: its teardown, also the one at the exit of Python, waits until all
    is sent.
    """
    from wandb.sdk import wandb_setup
    from wandb.sdk.lib import module

    time.sleep(2 * FLUSH)
    setup = wandb_setup._singleton
    connection = setup and setup._connection
    if connection and connection._proc:  # not one that other launches share
        connection._proc._process.kill()
        connection._proc._process.wait()
    with suppress(Exception):
        within(5, wandb_setup.teardown)
    module.unset_globals()
