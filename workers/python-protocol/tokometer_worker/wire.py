"""The two ends of the channel to the harness, kept out of reach of whatever the engine prints."""

import json
import os
import sys
from collections.abc import Iterator
from typing import TextIO

#: The version of the protocol that this package speaks; the harness must speak the same.
VERSION = 2


class Wire:
    """Calls come in by lines, replies go out by lines."""

    def __init__(self, calls: TextIO, replies: TextIO):
        self._calls = calls
        self._replies = replies

    @classmethod
    def take_over(cls) -> "Wire":
        """Keeps private copies of file descriptors 0 and 1; 1 then is stderr, and 0 is empty.

        From here on everything that Python, a C library or a child process prints goes to stderr, and nobody but
        this object reads the calls. The private copies are not inherited by children.
        """
        sys.stdout.flush()
        calls = os.fdopen(os.dup(0), "r", encoding="utf-8", errors="replace")
        replies = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        sys.stdin = open(os.devnull, encoding="utf-8")
        return cls(calls, replies)

    def lines(self) -> Iterator[str]:
        """The lines of the harness until it closes its end; empty lines are skipped."""
        while line := self._calls.readline():
            if line.strip():
                yield line

    def send(self, reply_to: int, name: str, body: dict) -> None:
        """Writes one reply: `name` is `progress`, `token`, `result` or `error`.

        A number that JSON cannot hold (NaN, infinity) is a ValueError, and nothing is written.
        """
        line = json.dumps({"id": reply_to, name: body}, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        self._replies.write(line + "\n")
        self._replies.flush()


def read_id(call: object) -> int | None:
    """The number of a call, if it has one that can be repeated in a reply."""
    number = call.get("id") if isinstance(call, dict) else None
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**64:
        return number
    return None
