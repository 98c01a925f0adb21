"""Ends things for certain. MLC-LLM's threads are no daemons and can wait for ever; one that dies takes no one with it."""

import os
import sys
import threading
import traceback
from collections.abc import Callable

from tokometer_worker import Failed, Wire, describe

#: Seconds that an engine has for going.
PATIENCE = 3.0

#: The number of the call that is being answered, for a failure that comes from another thread.
_answering: list = []


class Answering:
    """Around a method: while it is open, an exception in any other thread is the answer to this call."""

    def __init__(self, number: int):
        self._number = number

    def __enter__(self):
        _answering.append(self._number)

    def __exit__(self, *_):
        _answering.pop()


def watch_threads(wire: Wire) -> None:
    """From here on an exception that nobody catches in a background thread is told, and ends the process.

    The engine's constructor waits for its threads; when one of them is dead it waits for ever.
    """

    def on_exception(args) -> None:
        traceback.print_exception(args.exc_type, args.exc_value, args.exc_traceback, file=sys.stderr)
        name = args.thread.name if args.thread else "a thread"
        told = describe(args.exc_value or args.exc_type())
        told["message"] = f"an exception in the engine's background thread {name}: {told['message']}"
        if _answering:
            wire.send(_answering[-1], "error", told)
        now(70)

    threading.excepthook = on_exception


def within(seconds: float, action: Callable[[], None]) -> bool:
    """Runs an action that may hang; False if it did. What it raises is printed."""

    def quietly() -> None:
        try:
            action()
        except Exception:  # on the way out there is nobody to tell
            traceback.print_exc(file=sys.stderr)

    thread = threading.Thread(target=quietly, name="leaving", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def leave(close: Callable[[], None]) -> None:
    """Closes what is open and ends the process, whatever still runs in it."""
    if not within(PATIENCE, close):
        print(f"the engine did not end within {PATIENCE:.0f} s: the process leaves without it", file=sys.stderr)
    now(0)


def now(code: int) -> None:
    """Leaves without waiting for threads, destructors or exit handlers."""
    sys.stderr.flush()
    os._exit(code)


def closed(close: Callable[[], None]) -> None:
    """Closes a model while the worker stays; a Failed if that hangs."""
    if not within(10.0, close):
        raise Failed("engine", "the engine did not end within 10 s; this worker is of no use any more")
