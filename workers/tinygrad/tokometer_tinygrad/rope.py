"""Angles of the rotary position embedding, with the scalings that change them. Plain arithmetic in double precision."""

import array
import math
from dataclasses import dataclass

from tokometer_worker import Failed


@dataclass(frozen=True)
class Rope:
    """How positions are turned: `base` (theta), and `scaling`, one of none, linear, llama3."""

    base: float
    scaling: str = "none"
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original: int = 8192

    @staticmethod
    def from_table(base: float, table: dict) -> "Rope":
        """From the `rope_scaling` (or `rope_parameters`) of a config.json."""
        kind = table.get("rope_type", table.get("type", "default"))
        try:
            if kind == "default":
                return Rope(base)
            if kind == "linear":
                return Rope(base, "linear", float(table["factor"]))
            if kind == "llama3":
                return Rope(base, "llama3", float(table["factor"]), float(table["low_freq_factor"]),
                            float(table["high_freq_factor"]), int(table["original_max_position_embeddings"]))
        except (KeyError, TypeError, ValueError) as error:
            raise Failed("model", f"the RoPE scaling {table} is incomplete: {error!r}") from None
        raise Failed("unsupported", f"RoPE scaling {kind!r}: this worker knows default, linear and llama3")

    def frequencies(self, size: int) -> list:
        """Radians per position of each of the `size / 2` pairs.

        llama3: long waves are stretched by the factor, short ones kept, with a ramp between. Source: the
        `_compute_llama3_parameters` of Hugging Face's transformers, whose constants the config names.
        """
        plain = [self.base ** (-2.0 * i / size) for i in range(size // 2)]
        if self.scaling == "linear":
            return [f / self.factor for f in plain]
        if self.scaling == "llama3":
            return [self._stretched(f) for f in plain]
        return plain

    def _stretched(self, frequency: float) -> float:
        turns = self.original * frequency / (2.0 * math.pi)
        if turns < self.low:
            return frequency / self.factor
        if turns > self.high:
            return frequency
        ramp = (turns - self.low) / (self.high - self.low)
        return (1.0 - ramp) * frequency / self.factor + ramp * frequency


def tables(frequencies: list, positions: int) -> tuple:
    """Cosines and sines of all positions, [positions, pairs] as float32 bytes each."""
    cosines, sines = array.array("f"), array.array("f")
    for position in range(positions):
        angles = [position * f for f in frequencies]
        cosines.extend(map(math.cos, angles))
        sines.extend(map(math.sin, angles))
    return cosines.tobytes(), sines.tobytes()
