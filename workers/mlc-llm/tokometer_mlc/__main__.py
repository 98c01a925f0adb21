"""Starts the worker: takes over stdin and stdout first, so that nothing can be printed into the protocol."""

import sys
from pathlib import Path

try:
    import tokometer_worker
except ModuleNotFoundError:  # run from the source tree: the protocol's package is a neighbour
    sys.path.append(str(Path(__file__).resolve().parents[2] / "python-protocol"))
    import tokometer_worker


def main() -> None:
    wire = tokometer_worker.Wire.take_over()
    from . import leave
    from .worker import Worker

    worker = Worker()
    leave.watch_threads(wire)
    tokometer_worker.serve(wire, worker.hello, worker.methods())
    leave.leave(worker.close)


if __name__ == "__main__":
    main()
