"""Continues a prompt for a user: prefill, choose, say each token at once, end where the model ends it.

Greedy tokens without log-probabilities come from the graph that is measured; everything else needs the logits, which a graph
of its own returns.
"""

from collections.abc import Callable

from tokometer_worker import Completion, Failed

from .compiled import Compiled
from .generate import feed


def complete(compiled: Compiled, wanted: Completion, ends: set, is_cancelled: Callable[[], bool],
             on_token: Callable[[int, int, float | None, list], None]) -> tuple[int, str]:
    """How many tokens were generated, and why it ended: `stop`, `length` or `cancelled`.

    `ends` are the ids that end the text; `on_token` is given index, id, log-probability and the most probable ones.
    """
    choose = None if wanted.temperature == 0 and wanted.top_logprobs is None else _sampler(wanted)
    step = compiled.step_logits if choose else compiled.step
    vocab, at = compiled.model.config.vocab, len(wanted.prompt)
    pending = feed(compiled, wanted.prompt, 0, choose is not None, is_cancelled)
    if pending is None:
        return 0, "cancelled"
    for index in range(wanted.max_tokens):
        token, logprob, top = choose(pending) if choose else (int(pending.item()), None, [])
        if not 0 <= token < vocab:
            raise Failed("engine", "the logits are not finite: the engine computed garbage, or the weights are")
        if token in ends and not wanted.ignore_eos:
            return index + 1, "stop"
        on_token(index, token, logprob, top)
        if is_cancelled():
            return index + 1, "cancelled"
        if index + 1 < wanted.max_tokens:
            pending = step(token, at)
            at += 1
    return wanted.max_tokens, "length"


def _sampler(wanted: Completion):
    try:
        import numpy as np

        from .sampling import Sampler
    except ImportError as error:
        raise Failed("unsupported", f"sampling and log-probabilities need numpy in the engine's environment ({error})") from None
    sampler = Sampler(wanted.temperature, wanted.top_p, wanted.seed, wanted.top_logprobs)
    return lambda logits: sampler.choose(np.frombuffer(logits.data(), dtype=np.float32))
