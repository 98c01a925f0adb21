"""What a `complete` asks for, checked; the same for every engine."""

from dataclasses import dataclass

from .failure import Failed
from .params import Params


@dataclass(frozen=True)
class Completion:
    """One request of a user."""

    prompt: list
    max_tokens: int
    #: 0 always takes the most probable token.
    temperature: float
    top_p: float
    seed: int
    ignore_eos: bool
    #: How many of the most probable tokens are told beside each token's log-probability; None: tell nothing.
    top_logprobs: int | None

    @staticmethod
    def read(params: Params) -> "Completion":
        """Checks the parameters; whether the tokens are known and fit into the context is the engine's business."""
        wanted = Completion(
            params.tokens("prompt", 1), params.count("max_tokens", 1), params.number("temperature", 0.0),
            params.number("top_p", 1.0), params.seed("seed"), bool(params.flag("ignore_eos")),
            params.optional_count("top_logprobs"))
        if wanted.temperature < 0 or wanted.top_p <= 0:
            raise Failed("protocol", f"temperature must be 0 or more and top_p above 0, not {wanted.temperature} and {wanted.top_p}")
        return wanted


def completed(prompt_tokens: int, completion_tokens: int, finish: str, rest: str = "") -> dict:
    """The answer to a `complete`: `finish` is `stop`, `length` or `cancelled`, `rest` is text that was held back."""
    answer = {"kind": "completed", "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "finish": finish}
    return {**answer, "rest": rest} if rest else answer
