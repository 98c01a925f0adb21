"""Makes a real worker fail where a test wants it to: Python imports this module at its start where its folder is on the path.

`TINYGRAD_TEST_FAULTS` has one word for each load with int8, as `jit:raise`: where it fails, and how. Places: `load` (the first
layer), `jit` (the recording of a decode step), `step` (the second time that position 32 is computed). Other loads work.
"""

import os
import signal
import sys
import time


def _segfault():
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)  # the signal may come to another thread


def _raise():
    raise RuntimeError("an engine that gave up")


def _fill():
    filled = b"x" * (3 << 29)
    raise RuntimeError(f"nobody minded {len(filled)} bytes")


_WAYS = {"abort": os.abort, "segfault": _segfault, "exit": lambda: os._exit(3), "raise": _raise, "fill": _fill}


def _fail_at(owner, name, number, fault, counts=lambda *arguments: True):
    """The call of this number to a method fails instead; `counts` chooses the calls that are counted."""
    plain, calls = getattr(owner, name), 0

    def counted(self, *arguments):
        nonlocal calls
        calls += counts(*arguments)
        if calls < number:
            return plain(self, *arguments)
        setattr(owner, name, plain)
        print(f"about to fail: {fault}", file=sys.stderr, flush=True)
        return _WAYS[fault.split(":")[1]]()

    setattr(owner, name, counted)


def _arm(fault):
    """Called when a load has prepared the environment, so that tinygrad may be imported."""
    from tokometer_tinygrad import compiled, loader

    place = fault.split(":")[0]
    if place == "load":
        _fail_at(loader.Loader, "_layer", 1, fault)
    elif place == "jit":
        _fail_at(compiled.Compiled, "step", 2, fault)
    else:
        _fail_at(compiled.Compiled, "step", 2, fault, lambda token, start: start == 32)


def _install(faults):
    from tokometer_tinygrad import worker

    plain = worker._new_session

    def new_session(checkpoint, request, *others):
        if faults and request["quantize"] == "int8":
            _arm(faults.pop(0))
        return plain(checkpoint, request, *others)

    worker._new_session = new_session


# Only in a worker: this folder is on the path of the programs that it starts, too.
if os.environ.get("TINYGRAD_TEST_FAULTS") and "tokometer_tinygrad" in sys.orig_argv:
    _install(os.environ["TINYGRAD_TEST_FAULTS"].split(","))
