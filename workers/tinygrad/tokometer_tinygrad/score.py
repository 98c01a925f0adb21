"""Log-probabilities of given tokens, chunk by chunk."""

from .compiled import Compiled


def score(compiled: Compiled, tokens: list) -> dict:
    """The fields of the protocol's `scored` for at least two tokens."""
    logprobs, top_tokens, top_logprobs = [], [], []
    for first in range(0, len(tokens) - 1, compiled.chunk):
        part = tokens[first : min(first + compiled.chunk, len(tokens) - 1)]
        hidden = compiled.prefill(part, first)
        given, top, highest = compiled.score(hidden, tokens[first + 1 : first + 1 + len(part)])
        logprobs += given
        top_tokens += top
        top_logprobs += highest
    return {"logprobs": logprobs, "top_tokens": top_tokens, "top_logprobs": top_logprobs}
