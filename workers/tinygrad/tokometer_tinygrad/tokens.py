"""Text and token ids, by the `tokenizers` package and a folder's tokenizer.json."""

import importlib.util
from pathlib import Path

from tokometer_worker import Failed


def offered() -> bool:
    """Whether this environment can tokenize at all."""
    return importlib.util.find_spec("tokenizers") is not None


class Tokenizer:
    """The tokenizer of one model."""

    def __init__(self, file: Path):
        from tokenizers import Tokenizer as Implementation

        try:
            self._tokenizer = Implementation.from_file(str(file))
        except Exception as error:  # the package raises bare exceptions
            raise Failed("model", f"cannot read {file}: {error}") from None

    @staticmethod
    def find(model: Path) -> "Tokenizer | None":
        """The tokenizer beside a model, if there is one and the package is installed."""
        file = model / "tokenizer.json"
        return Tokenizer(file) if offered() and file.is_file() else None

    def ids(self, text: str, add_special: bool, parse_special: bool = False) -> list:
        """Token ids of a text; with `parse_special` the names of special tokens in it are those tokens."""
        self._tokenizer.encode_special_tokens = not parse_special
        return self._tokenizer.encode(text, add_special_tokens=add_special).ids

    def id_of(self, name: str) -> int | None:
        """The token of that name."""
        return self._tokenizer.token_to_id(name)

    def stream(self, special: bool = True) -> "Pieces":
        """Takes tokens one by one and gives the text that each adds; special ones by their names, or as no text."""
        return Pieces(self._tokenizer, special)

    def pieces(self, tokens: list) -> list:
        """The text of each token; joined they are the whole text."""
        stream = self.stream()
        pieces = [stream.push(token) for token in tokens]
        if pieces:
            pieces[-1] += stream.rest()
        return pieces


class Pieces:
    """The text of a growing sequence. An unfinished character is held back until the token that ends it."""

    def __init__(self, tokenizer, special: bool):
        self._tokenizer, self._special, self._tokens, self._told = tokenizer, special, [], 0
        self._begin = 0

    def push(self, token: int) -> str:
        """The text that this token adds."""
        self._tokens.append(token)
        text = self._text()
        if text.endswith("\ufffd"):
            return ""
        piece, self._told = text[self._told :], len(text)
        if len(self._tokens) - self._begin > 32:  # keeps the work per token constant
            self._begin = len(self._tokens) - 8
            self._told = len(self._text())
        return piece

    def rest(self) -> str:
        """What was held back and never ended."""
        return self._text()[self._told :]

    def _text(self) -> str:
        return self._tokenizer.decode(self._tokens[self._begin :], skip_special_tokens=not self._special)
