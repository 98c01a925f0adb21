"""Exceptions of the engine in a form that people read: TVM's carry whole C++ stacks."""

import re
import sys
import traceback

from tokometer_worker import Failed, describe

_FRAME = re.compile(r"^\s*(?:File \"|at |\[bt\]|\d+: |Traceback|Stack trace|\^|~|>>>)")
_LONGEST = 600


def told(error: Exception) -> Failed:
    """The failure for an exception that MLC-LLM raised, or that is a bug here; the whole of it goes to stderr."""
    traceback.print_exception(error, file=sys.stderr)
    described = describe(error)
    lines = [line.strip() for line in described["message"].splitlines() if line.strip() and not _FRAME.match(line)]
    text = " | ".join(lines) or type(error).__name__
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 3]} ... {text[-2 * _LONGEST // 3 :]}"
    return Failed(_kind(error, described["kind"]), text)


def _kind(error: Exception, kind: str) -> str:
    """Absent files are the model's fault, absent devices and requests that are refused cannot be helped."""
    if kind == "engine" and isinstance(error, FileNotFoundError):
        return "model"
    if kind == "engine" and type(error).__name__ == "BadRequestError":
        return "unsupported"
    return kind
