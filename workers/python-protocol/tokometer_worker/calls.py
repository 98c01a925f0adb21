"""Reads the calls in a thread of its own, so that a `cancel` is heard while a completion runs.

The thread sleeps until a line comes: while something is measured it costs nothing.
"""

import json
import queue
import threading
from collections.abc import Iterator

from .wire import Wire, read_id


class Calls:
    """The lines of the harness but cancellations, which are heard at once."""

    def __init__(self, wire: Wire):
        self._lines, self._cancelled = queue.SimpleQueue(), 0
        threading.Thread(target=self._follow, args=(wire,), name="calls", daemon=True).start()

    def __iter__(self) -> Iterator[str]:
        while (line := self._lines.get()) is not None:
            yield line

    def is_cancelled(self, number: int) -> bool:
        """Whether it is this call that was cancelled last."""
        return self._cancelled == number

    def _follow(self, wire: Wire) -> None:
        try:
            for line in wire.lines():
                cancelled = _cancelled(line)
                if cancelled is not None:
                    self._cancelled = cancelled
                    continue
                self._lines.put(line)
                # A thread that still reads when the interpreter ends would hold the file that is to be closed.
                if _names(line, "shutdown"):
                    return
        finally:
            self._lines.put(None)


def _cancelled(line: str) -> int | None:
    """The number of the call that this line cancels, if it is a `cancel`."""
    return read_id({"id": json.loads(line).get("call")}) if _names(line, "cancel") else None


def _names(line: str, method: str) -> bool:
    """Whether a line is a call of this method. Most lines are told apart without parsing them."""
    if f'"{method}"' not in line:
        return False
    try:
        call = json.loads(line)
    except ValueError:
        return False
    return isinstance(call, dict) and call.get("method") == method and read_id(call) is not None
