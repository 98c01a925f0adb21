"""The timed loop: prefill a prompt, decode token by token, stamp a clock. Nothing else happens inside it."""

import gc
import time
from dataclasses import dataclass, field

from tinygrad.helpers import GlobalCounters

from .compiled import Compiled


@dataclass
class Generation:
    """One pass. Times are nanoseconds since the work of the request began; all lists have one entry per token."""

    tokens: list = field(default_factory=list)
    enqueued_ns: list = field(default_factory=list)
    done_ns: list = field(default_factory=list)
    engine_bytes: list = field(default_factory=list)


def generate(compiled: Compiled, context: list, prompt: list, forced: list, count: int) -> Generation:
    """Puts `context` into the cache, then, with the clock running, the prompt and `count` tokens.

    Step 0 is the prefill of the prompt with its first token. A token of `forced` is the input of the next step in
    place of the greedy one.
    """
    result = Generation()
    if context:
        feed(compiled, context, 0)
        compiled.synchronize()
    gc.collect()
    gc.disable()
    try:
        _timed(compiled, len(context), prompt, forced, count, result)
    finally:
        gc.enable()
    return result


def _timed(compiled: Compiled, at: int, prompt: list, forced: list, count: int, result: Generation) -> None:
    clock = time.perf_counter_ns
    begin, token = clock(), 0
    for i in range(count):
        GlobalCounters.reset()
        if i == 0:
            pending = feed(compiled, prompt, at)
            at += len(prompt)
        else:
            pending = compiled.step(forced[i - 1] if i <= len(forced) else token, at)
            at += 1
        result.enqueued_ns.append(clock() - begin)
        token = int(pending.item())
        result.done_ns.append(clock() - begin)
        result.tokens.append(token)
        result.engine_bytes.append(int(GlobalCounters.global_mem))


def feed(compiled: Compiled, tokens: list, at: int, logits: bool = False, is_cancelled=None):
    """Runs tokens from position `at` on; returns the greedy token after the last, or with `logits` its logits, not waited for.
    None where `is_cancelled` said so before the end.

    Whole chunks go through the prefill. A short rest costs less as single steps than as a chunk that is mostly padding.
    """
    chunk = compiled.chunk
    rest = len(tokens) % chunk
    single = rest if rest <= chunk // 8 else 0
    whole = len(tokens) - single
    pending = None
    head, step = (compiled.first_logits, compiled.step_logits) if logits else (compiled.first_token, compiled.step)
    for first in range(0, whole, chunk):
        if is_cancelled and is_cancelled():
            return None
        part = tokens[first : first + chunk]
        hidden = compiled.prefill(part, at + first)
        if first + chunk >= whole and not single:
            pending = head(hidden, len(part) - 1)
    for i in range(whole, len(tokens)):
        pending = (step if i == len(tokens) - 1 else compiled.step)(tokens[i], at + i)
    return pending
