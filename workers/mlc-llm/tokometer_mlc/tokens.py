"""Text and token ids, by the tokenizer that MLC-LLM itself uses."""

import json
from pathlib import Path


class Tokenizer:
    """The tokenizer of one model, given an object with `encode` and `decode`."""

    def __init__(self, implementation, folder: Path):
        self._tokenizer = implementation
        self._around = _special_tokens(folder)

    def ids(self, text: str, add_special: bool) -> list:
        """Token ids of a text."""
        before, after = self._around if add_special else ([], [])
        return [*before, *(int(token) for token in self._tokenizer.encode(text)), *after]

    def stream(self) -> "Pieces":
        """Takes tokens one by one and gives the text that each adds."""
        return Pieces(self._tokenizer)

    def pieces(self, tokens: list) -> list:
        """The text of each token; joined they are the whole text."""
        stream = self.stream()
        pieces = [stream.push(token) for token in tokens]
        if pieces:
            pieces[-1] += stream.rest()
        return pieces


class Pieces:
    """The text of a growing sequence. An unfinished character is held back until the token that ends it."""

    #: Tokens after which the beginning is forgotten, and those that are kept: the work per token stays constant.
    _MOST, _KEPT = 48, 16

    def __init__(self, tokenizer):
        self._tokenizer, self._recent, self._told = tokenizer, [], ""

    def push(self, token: int) -> str:
        """The text that this token adds."""
        self._recent.append(token)
        text = self._text()
        if text.endswith("\ufffd"):
            return ""
        piece, self._told = text[len(self._told) :], text
        if len(self._recent) > self._MOST:
            self._recent = self._recent[-self._KEPT :]
            self._told = self._text()
        return piece

    def rest(self) -> str:
        """What was held back and never ended."""
        return self._text()[len(self._told) :]

    def _text(self) -> str:
        return str(self._tokenizer.decode(self._recent)) if self._recent else ""


def _special_tokens(folder: Path) -> tuple[list, list]:
    """The ids that the model's tokenizer puts before and after a text, by its post-processor."""
    try:
        told = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")).get("post_processor") or {}
    except (OSError, ValueError, AttributeError):
        return [], []
    steps = told.get("processors") if told.get("type") == "Sequence" else [told]
    before, after = [], []
    for step in steps or []:
        if not isinstance(step, dict) or step.get("type") != "TemplateProcessing":
            continue
        ids = {name: entry.get("ids") or [] for name, entry in (step.get("special_tokens") or {}).items()}
        side = before
        for part in step.get("single") or []:
            if "Sequence" in part:
                side = after
            elif "SpecialToken" in part:
                side += ids.get(part["SpecialToken"].get("id"), [])
    return before, after
