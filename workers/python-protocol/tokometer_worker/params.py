"""Reads the parameters of a call, and says exactly what is wrong with them."""

import math

from .failure import Failed

_U32 = 2**32


class Params:
    """The fields of one call. A field that is absent has the protocol's default; null counts as absent."""

    def __init__(self, method: str, fields: dict):
        self.method = method
        self._fields = fields

    def _get(self, name: str):
        return self._fields.get(name)

    def _wrong(self, name: str, wanted: str) -> Failed:
        return Failed("protocol", f"{self.method}: `{name}` must be {wanted}, not {self._fields.get(name)!r:.80}")

    def text(self, name: str) -> str:
        """A string that must be there."""
        value = self._get(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def optional_text(self, name: str) -> str | None:
        """A string, or None where it is absent."""
        return None if self._get(name) is None else self.text(name)

    def count(self, name: str, least: int = 0) -> int:
        """A number from `least` up to 32 bits; absent is 0."""
        value = self._get(name)
        value = 0 if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _U32:
            raise self._wrong(name, f"a whole number from {least}")
        return value

    def optional_count(self, name: str, least: int = 0) -> int | None:
        """A number, or None where it is absent."""
        return None if self._get(name) is None else self.count(name, least)

    def number(self, name: str, default: float) -> float:
        """A finite number; absent is `default`."""
        value = self._get(name)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self._wrong(name, "a number")
        return float(value)

    def seed(self, name: str) -> int:
        """A number of up to 64 bits; absent is 0."""
        value = self._get(name)
        value = 0 if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**64:
            raise self._wrong(name, "a whole number of up to 64 bits")
        return value

    def flag(self, name: str) -> bool | None:
        """True, false, or None where it is absent."""
        value = self._get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def tokens(self, name: str, least: int = 0) -> list:
        """A list of token ids with at least `least` entries; absent is empty."""
        value = self._get(name)
        value = [] if value is None else value
        good = isinstance(value, list) and all(
            isinstance(t, int) and not isinstance(t, bool) and 0 <= t < _U32 for t in value
        )
        if not good or len(value) < least:
            raise self._wrong(name, f"a list of at least {least} token ids")
        return value

    def settings(self, name: str) -> dict:
        """A table of strings by name; absent is empty."""
        value = self._get(name)
        value = {} if value is None else value
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise self._wrong(name, "a table of strings")
        return value
