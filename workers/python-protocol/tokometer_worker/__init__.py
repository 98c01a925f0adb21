"""What every Python worker of Tokometer shares: the wire, the failures, the loop.

A worker is a program that reads calls from stdin and writes replies to what was its stdout, one JSON object a line.
The messages are those of the Rust crate `tokometer-protocol`; this package holds no types of its own for them: a call's
parameters and an answer are plain dictionaries with the crate's field names. A value that is missing is left out,
never null and never 0.

It knows nothing about any engine and needs nothing but Python's standard library.
"""

from .completion import Completion, completed
from .failure import Failed, describe
from .params import Params
from .serve import Replies, serve
from .wire import VERSION, Wire

__all__ = ["VERSION", "Completion", "Failed", "Params", "Replies", "Wire", "completed", "describe", "serve"]
