"""What takes the place of computing: each token is a sum over the ones before it, and takes a moment."""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import faults

_PREFILL_S = 5e-6
_DECODE_S = float(os.environ.get("MLC_STANDIN_TOKEN_MS", "1")) / 1e3


class Tokenizer:
    """Two of eight ids are the halves of one character."""

    def encode(self, text):
        """One id per byte."""
        return list(text.encode())

    def decode(self, token_ids):
        """Text."""
        halves = {6: b"\xc3", 7: b"\xa9"}
        return b"".join(halves.get(i % 8, bytes([97 + i % 26])) for i in token_ids).decode("utf-8", "replace")


class Model:
    """A loaded model."""

    def __init__(self, folder, library, device, config):
        told = json.loads((Path(folder) / "mlc-chat-config.json").read_text(encoding="utf-8"))
        made = json.loads(Path(library).read_text(encoding="utf-8"))
        assert made["quantization"] == told["quantization"] and made["device"] == device, (made, told["quantization"], device)
        window = min(made["context_window_size"], told["context_window_size"])
        assert config.max_single_sequence_length <= window, "the context is longer than the library's"
        assert config.prefill_chunk_size <= made["prefill_chunk_size"], "more tokens at once than the library computes"
        self.vocab, self.config, self.cached, self.tokenizer = told["vocab_size"], config, [], Tokenizer()


@dataclass
class Delta:
    """What one step brought."""

    tokens: list = field(default_factory=list)
    reason: str | None = None
    usage: str | None = None


class Run:
    """One request."""

    def __init__(self, model, prompt, count, ends=(), salt=0):
        self._ends, self._salt = ends, salt
        self._model, self._prompt, self._made = model, prompt, []
        self._count = count - faults.on("short")
        self._began, self._first = time.perf_counter(), None
        known = model.cached if model.config.prefix_cache_mode == "radix" and prompt[: len(model.cached)] == model.cached else []
        self._known = min(len(known), len(prompt) - 1)
        self._to_prefill = len(prompt) - self._known

    def step(self):
        """The next piece of work."""
        if self._to_prefill:
            now = min(self._to_prefill, self._model.config.prefill_chunk_size)
            time.sleep(now * _PREFILL_S)
            self._to_prefill -= now
            if self._to_prefill:
                return Delta()
            self._first = time.perf_counter()
            return self._next(1)
        return self._next(2 if faults.on("together") else 1)

    def _next(self, count):
        delta = Delta()
        for _ in range(min(count, self._count - len(self._made))):
            time.sleep(_DECODE_S)
            history = self._prompt + self._made
            token = (sum(history) * 31 + len(history) * 7 + 11 + self._salt) % self._model.vocab
            self._made.append(token)
            delta.tokens.append(token)
            if token in self._ends:
                break
        ended = bool(self._made) and self._made[-1] in self._ends
        if ended or len(self._made) >= self._count:
            delta.reason, delta.usage = "stop" if ended else "length", json.dumps(self._usage())
            self._model.cached = self._prompt + self._made[:-1]
        return delta

    def _usage(self):
        now, decoded = time.perf_counter(), len(self._made) - 1
        prefilled = len(self._prompt) - self._known
        if faults.on("preempt"):
            prefilled += len(self._prompt)
        if faults.on("cached"):
            prefilled = 1
        extra = {"prompt_tokens": len(self._prompt), "completion_tokens": len(self._made), "prefill_tokens": prefilled,
                 "decode_tokens": decoded, "jump_forward_tokens": 0, "ttft_s": self._first - self._began,
                 "prefill_tokens_per_s": prefilled / (self._first - self._began)}
        if decoded:
            extra["decode_tokens_per_s"] = 256000.0 if faults.on("wrong_figures") else decoded / (now - self._first)
        return {"prompt_tokens": len(self._prompt), "completion_tokens": len(self._made),
                "total_tokens": len(self._prompt) + len(self._made), "extra": extra}
