"""The timed loop on the engine in this process, inside of which only a clock is stamped and results are kept; and the loop that
serves, which tells each token at once."""

import gc
import json
import time
from collections.abc import Callable

from tokometer_worker import Failed

#: Steps beyond what a request needs after which the engine counts as going round in circles.
_IDLE_STEPS = 10_000
#: Steps after which a request that was ended has nothing more to say.
_ABORT_STEPS = 4


class Outputs:
    """Takes what the engine calls back with. In a measurement unpacking waits until the clock has stopped."""

    def __init__(self):
        self.stamps, self.packed = [], []
        self._begin()

    def _begin(self) -> None:
        self._unpacked = 0
        self.tokens, self.usage, self.reason = [], None, None

    def start(self) -> None:
        """Forgets the request before."""
        self.stamps.clear()
        self.packed.clear()
        self._begin()

    def __call__(self, delta_outputs) -> None:
        self.stamps.append(time.perf_counter_ns())
        self.packed.append(list(delta_outputs))

    def unpack(self) -> bool:
        """Unpacks what has come since the last time, each once. True when the request is over."""
        for outputs in self.packed[self._unpacked :]:
            tokens = []
            for output in outputs:
                for stream in output.unpack()[1]:
                    tokens += stream.delta_token_ids
                    self.reason = stream.finish_reason or self.reason
                    if stream.request_final_usage_json_str is not None:
                        self.usage = json.loads(stream.request_final_usage_json_str)
            self.tokens.append([int(token) for token in tokens])
        self._unpacked = len(self.packed)
        return self.usage is not None


class Steps:
    """The times of a request: one entry for each callback that brought tokens."""

    def __init__(self, begin: int, outputs: Outputs):
        pairs = [(stamp - begin, tokens) for stamp, tokens in zip(outputs.stamps, outputs.tokens) if tokens]
        self.done_ns = [stamp for stamp, _ in pairs]
        self.tokens = [token for _, tokens in pairs for token in tokens]
        counts = [len(tokens) for _, tokens in pairs]
        self.step_tokens = counts if any(n != 1 for n in counts) else []


def run(engine, outputs: Outputs, request: Callable, count: int) -> Steps:
    """Adds the request that `request()` makes and steps until it is over.

    The engine calls back once per step that yields tokens. Several tokens in one call are one step with their number: when
    each of them was there nobody knows.
    """
    clock, step, stamps = time.perf_counter_ns, engine.step, outputs.stamps
    outputs.start()
    gc.collect()
    gc.disable()
    try:
        idle = over = 0
        begin = clock()
        engine.add_request(request())
        while not over:
            before = len(stamps)
            step()
            came = len(stamps)
            idle = 0 if came > before else idle + 1
            # All that can come has come, or nothing came after something had: time to look.
            if came >= count or (came and idle):
                over = outputs.unpack()
            if idle > _IDLE_STEPS:
                raise Failed("engine", f"{idle} steps of the engine brought nothing: is there room in its KV cache?")
    finally:
        gc.enable()
    return Steps(begin, outputs)


def follow(engine, outputs: Outputs, request: Callable, name: str, on_token: Callable[[int], bool]) -> str:
    """Serves the request that `request()` makes under that name: `on_token(token)` hears of each token as it comes and says
    whether it goes on. Returns why the engine ended it, or `abort`."""
    outputs.start()
    engine.add_request(request())
    idle = told = 0
    while True:
        before = len(outputs.stamps)
        engine.step()
        idle = 0 if len(outputs.stamps) > before else idle + 1
        over = outputs.unpack()
        tokens = [token for tokens in outputs.tokens for token in tokens]
        for token in tokens[told:]:
            told += 1
            if not on_token(token):
                if not over:
                    _abort(engine, outputs, name)
                return "abort"
        if over:
            return outputs.reason or "stop"
        if idle > _IDLE_STEPS:
            raise Failed("engine", f"{idle} steps of the engine brought nothing: is there room in its KV cache?")


def _abort(engine, outputs: Outputs, name: str) -> None:
    """Ends a request. The engine may still say that it did; whatever it says is not left for the next request."""
    engine.abort_request(name)
    for _ in range(_ABORT_STEPS):
        if outputs.unpack():
            break
        engine.step()
