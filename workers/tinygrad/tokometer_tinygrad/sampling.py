"""Chooses a token by its logits, in float64: temperature first, then top-p, then a draw."""

import numpy as np
from tokometer_worker import Failed


class Sampler:
    """Draws of one completion. The same seed draws the same tokens from the same logits."""

    def __init__(self, temperature: float, top_p: float, seed: int, top_logprobs: int | None):
        self._temperature, self._top_p, self._told = temperature, top_p, top_logprobs
        self._random = np.random.Generator(np.random.PCG64(seed))

    def choose(self, logits: np.ndarray) -> tuple[int, float | None, list]:
        """The token; its log-probability and those of the most probable ones, as (id, log-probability), where they are told."""
        logits = logits.astype(np.float64)
        if not np.isfinite(logits.max()):
            raise Failed("engine", "the logits are not finite: the engine computed garbage, or the weights are")
        token = int(logits.argmax()) if self._temperature == 0 else self._draw(logits)
        if self._told is None:
            return token, None, []
        logprobs = logits - logits.max()
        logprobs -= np.log(np.exp(logprobs).sum())
        return token, float(logprobs[token]), [(int(i), float(logprobs[i])) for i in largest(logprobs, self._told)]

    def _draw(self, logits: np.ndarray) -> int:
        weights = np.exp((logits - logits.max()) / self._temperature)
        if self._top_p >= 1:
            return self._pick(weights)
        order = np.argsort(-weights, kind="stable")
        sums = np.cumsum(weights[order])
        # As few as reach the share, and one at least.
        kept = order[: int(np.searchsorted(sums, self._top_p * sums[-1])) + 1]
        return int(kept[self._pick(weights[kept])])

    def _pick(self, weights: np.ndarray) -> int:
        sums = np.cumsum(weights)
        return min(int(np.searchsorted(sums, self._random.random() * sums[-1], side="right")), len(sums) - 1)


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """The places of the largest values, largest first; of equals the first."""
    if count == 0:
        return np.empty(0, dtype=np.int64)
    count = min(count, len(values))
    places = np.argpartition(-values, count - 1)[:count]
    return places[np.lexsort((places, -values[places]))]
