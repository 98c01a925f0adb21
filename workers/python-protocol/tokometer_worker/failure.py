"""Failures as the harness understands them: a kind to decide by, a message for people."""

import errno

#: The kinds of the protocol.
KINDS = ("protocol", "unsupported", "model", "out_of_memory", "engine")

#: Words in the messages of drivers and allocators that mean: not enough memory.
_MEMORY_WORDS = ("out of memory", "out_of_memory", "cannot allocate memory", "bad_alloc")


class Failed(Exception):
    """A request that failed, with the kind that the protocol gives it."""

    def __init__(self, kind: str, message: str):
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of failure of the protocol: {', '.join(KINDS)}")
        super().__init__(message)
        self.kind = kind
        self.message = message


def describe(error: BaseException) -> dict:
    """The `error` object of a reply for any exception."""
    if isinstance(error, Failed):
        return {"kind": error.kind, "message": error.message}
    words = str(error).strip()
    message = f"{type(error).__name__}: {words}" if words else type(error).__name__
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return {"kind": "out_of_memory", "message": words or "the engine ran out of memory"}
    if any(word in words.lower() for word in _MEMORY_WORDS):
        return {"kind": "out_of_memory", "message": message}
    return {"kind": "engine", "message": message}
