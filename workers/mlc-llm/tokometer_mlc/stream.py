"""One completion over HTTP, streamed. Inside the timed loop bytes are kept with the time of their arrival; the events in
them are read afterwards."""

import gc
import http.client
import json
import socket
import time
from dataclasses import dataclass, field

from tokometer_worker import Failed


@dataclass
class Streamed:
    """What came. Times are nanoseconds since the request was sent."""

    #: When each chunk of text was there, and the text.
    chunks: list = field(default_factory=list)
    usage: dict | None = None
    reason: str | None = None


def complete(port: int, body: dict) -> Streamed:
    """Sends the request on a connection that is open already, and waits for the end of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    payload, clock, arrived = json.dumps(body).encode(), time.perf_counter_ns, []
    gc.collect()
    gc.disable()
    try:
        begin = clock()
        connection.request("POST", "/v1/completions", payload, {"Content-Type": "application/json"})
        response = connection.getresponse()
        while data := response.read1(1 << 16):
            arrived.append((clock() - begin, data))
    except (OSError, http.client.HTTPException) as error:
        raise Failed("engine", f"the connection to MLC-LLM's server broke: {type(error).__name__}: {error}") from error
    finally:
        gc.enable()
        connection.close()
    if response.status != 200:
        text = b"".join(data for _, data in arrived).decode("utf-8", "replace").strip()
        kind = "unsupported" if response.status in (400, 422) else "engine"
        raise Failed(kind, f"MLC-LLM's server answered {response.status}: {text[:400]}")
    return _read(arrived)


def _read(arrived: list) -> Streamed:
    """The events of the stream, each with the time at which its last byte was there."""
    streamed, rest = Streamed(), b""
    for stamp, data in arrived:
        *events, rest = (rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            _take(streamed, stamp, event)
    _take(streamed, arrived[-1][0] if arrived else 0, rest)
    return streamed


def _take(streamed: Streamed, stamp: int, event: bytes) -> None:
    lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
    text = b"\n".join(lines)
    if not text or text == b"[DONE]":
        return
    try:
        told = json.loads(text)
    except ValueError:
        raise Failed("engine", f"MLC-LLM's server sent an event that is no JSON: {text[:200]!r}") from None
    if told.get("usage"):
        streamed.usage = told["usage"]
    for choice in told.get("choices") or []:
        streamed.chunks.append((stamp, choice.get("text") or ""))
        streamed.reason = choice.get("finish_reason") or streamed.reason


def tokens_of(texts: list, total: int) -> tuple[list, bool]:
    """How many of `total` tokens each chunk brought, and whether that is an estimate.

    The server sends nothing for a token whose text is not a whole character yet: it comes with a later chunk. So every
    chunk has at least one token, and what is missing belongs to chunks with characters of several bytes.
    """
    missing = total - len(texts)
    if missing < 0:
        raise Failed("engine", f"{len(texts)} chunks came for {total} tokens")
    if missing == 0:
        return [1] * len(texts), False
    weights = [sum(len(char.encode()) for char in text if not char.isascii()) for text in texts]
    if not any(weights):
        weights[-1] = 1
    whole = sum(weights)
    extra = [missing * weight // whole for weight in weights]
    by_rest = sorted(range(len(texts)), key=lambda i: (-(missing * weights[i] % whole), i))
    for i in by_rest[: missing - sum(extra)]:
        extra[i] += 1
    return [1 + more for more in extra], True
