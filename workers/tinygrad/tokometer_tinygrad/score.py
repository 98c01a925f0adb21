"""Log-probabilities of given tokens, chunk by chunk, and of the whole vocabulary into a file."""

import contextlib

from .compiled import Compiled


def score(compiled: Compiled, tokens: list, start: int = 0, full: str | None = None) -> dict:
    """The fields of the protocol's `scored` for at least two tokens: everything after token `start`.

    `full` is the file that gets the log-probabilities of the whole vocabulary at each of these positions.
    """
    logprobs, top_tokens, top_logprobs = [], [], []
    with open(full, "wb") if full else contextlib.nullcontext() as rows:
        for first in range(0, len(tokens) - 1, compiled.chunk):
            part = tokens[first : min(first + compiled.chunk, len(tokens) - 1)]
            hidden = compiled.prefill(part, first)
            skip = max(0, start - first)
            if skip >= len(part):
                continue
            given, top, highest = compiled.score(hidden, tokens[first + 1 : first + 1 + len(part)])
            logprobs += given[skip:]
            top_tokens += top[skip:]
            top_logprobs += highest[skip:]
            if rows:
                rows.write(compiled.whole(hidden, skip, len(part)))
    return {"logprobs": logprobs, "top_tokens": top_tokens, "top_logprobs": top_logprobs}
