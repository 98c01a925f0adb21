"""The loop of a worker: one call after the other, each answered by exactly one result or error."""

import json
import sys
import traceback
from collections.abc import Callable

from .calls import Calls
from .failure import Failed, describe
from .params import Params
from .wire import VERSION, Wire, read_id


class Replies:
    """What a method may say while it works: progress, and the tokens of a completion. And whether it is to go on."""

    def __init__(self, wire: Wire, number: int, calls: Calls):
        self._wire, self._calls = wire, calls
        #: The number of the call.
        self.number = number

    def progress(self, stage: str, done: int = 0, total: int | None = None) -> None:
        """Says how far the work has come: `stage` in a few words, `done` of `total` units."""
        body = {"stage": stage, "done": done}
        if total is not None:
            body["total"] = total
        self._wire.send(self.number, "progress", body)

    def token(self, index: int, token: int, piece: str, logprob: float | None = None, top: list | None = None) -> None:
        """Says one token of a completion; `top` holds (id, text, log-probability) of the most probable ones."""
        body = {"index": index, "token": token, "piece": piece}
        if logprob is not None:
            body["logprob"] = logprob
        if top:
            body["top"] = top
        self._wire.send(self.number, "token", body)

    def is_cancelled(self) -> bool:
        """Whether the harness wants this call to end after its current token."""
        return self._calls.is_cancelled(self.number)


#: A method: takes the parameters and the replies, returns the fields of its answer (with `kind`).
Method = Callable[[Params, Replies], dict]


def serve(wire: Wire, hello: Callable[[], dict], methods: dict) -> None:
    """Answers calls until `shutdown` or until the harness closes its end.

    `hello` gives the fields of the handshake's answer except `kind`, `protocol` and `methods`, which are added here.
    `methods` maps the names of the other requests to functions; a name that it lacks is answered `unsupported`.
    """
    calls = Calls(wire)
    for line in calls:
        if not _answer(wire, calls, hello, methods, line):
            return


def _answer(wire: Wire, calls: Calls, hello: Callable[[], dict], methods: dict, line: str) -> bool:
    """Answers one line. False after `shutdown`."""
    number = None
    try:
        number, name, params = _parse(line)
        if name == "shutdown":
            wire.send(number, "result", {"kind": "done"})
            return False
        if name == "hello":
            answer = _hello(params, hello, methods)
        elif name in methods:
            answer = methods[name](params, Replies(wire, number, calls))
        else:
            raise Failed("unsupported", f"this worker has no method `{name}`; it has {', '.join(sorted(methods))}")
        wire.send(number, "result", answer)
    except Exception as error:  # whatever happens inside an engine is an answer, not the end of the worker
        if not isinstance(error, Failed):
            traceback.print_exc(file=sys.stderr)
        wire.send(number or _number_of(line), "error", describe(error))
    return True


def _hello(params: Params, hello: Callable[[], dict], methods: dict) -> dict:
    theirs = params.count("protocol")
    if theirs != VERSION:
        raise Failed("protocol", f"the harness speaks version {theirs} of the protocol, this worker version {VERSION}")
    return {"kind": "hello", "protocol": VERSION, **hello(), "methods": sorted(methods)}


def _parse(line: str):
    try:
        call = json.loads(line)
    except ValueError as error:
        raise Failed("protocol", f"this line is no JSON ({error}): {line.strip()[:120]!r}") from None
    number = read_id(call)
    if number is None:
        raise Failed("protocol", f"this call has no `id` that is a whole number: {line.strip()[:120]!r}")
    name = call.get("method")
    if not isinstance(name, str):
        raise Failed("protocol", f"call {number} has no `method`")
    return number, name, Params(name, call)


def _number_of(line: str) -> int:
    """The number to answer a line by that could not be parsed: its own if it can be found, else 0."""
    try:
        return read_id(json.loads(line)) or 0
    except ValueError:
        return 0
