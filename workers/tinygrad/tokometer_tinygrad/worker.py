"""Answers the calls: checks what is asked, prepares the environment, and hands the work on.

tinygrad is imported by the first `load`, since device and threads are fixed by then and not before.
"""

import math
import platform
import time
from pathlib import Path

from tokometer_worker import Completion, Failed, Params, Replies, completed

from . import __version__, environ, formats, tokens
from .checkpoint import open_checkpoint

_OPTIONS = {
    "kernels": "tokometer (CPU default) or stock (tinygrad's own)",
    "beam": "width of tinygrad's kernel search for its own kernels",
}


class Worker:
    """The state between calls: the settings that tinygrad was imported with, and the loaded model."""

    def __init__(self):
        self._settings = None
        self._session = None

    def methods(self) -> dict:
        """The requests that this worker answers. Without the `tokenizers` package it knows token ids only."""
        methods = {"load": self.load, "generate": self.generate, "complete": self.complete, "score": self.score,
                   "unload": self.unload}
        if tokens.offered():
            methods |= {"tokenize": self.tokenize, "detokenize": self.detokenize}
        return methods

    def hello(self) -> dict:
        """Who this is; imports no tinygrad and opens no device."""
        clang = environ.compiler()
        build = {"python": platform.python_version(), "processor": environ.processor(),
                 "clang": clang.version if clang else f"not found: {environ.NO_CLANG}"}
        return {"engine": "tinygrad", "engine_version": environ.tinygrad_version(), "worker_version": __version__,
                "build": build, "devices": environ.devices(), "quantizations": ["default", *formats.NATIVE]}

    def load(self, params: Params, replies: Replies) -> dict:
        """Loads a model, and compiles and records all that a generation needs."""
        started = time.monotonic_ns()
        request = _request(params)
        clang = environ.compiler()
        settings = environ.choose(params.optional_text("device"), params.optional_count("threads", 1), request["beam"])
        checkpoint = open_checkpoint(Path(params.text("model")))
        _check_fit(checkpoint, request)
        self._prepare(settings, clang)
        if not request["kernels"]:
            request["kernels"] = "tokometer" if settings.needs_clang else "stock"
        elif request["kernels"] == "tokometer" and not settings.needs_clang:
            raise Failed("unsupported", "Tokometer's own kernels run on the CPU with Clang only: use kernels=stock")
        self.unload(params, replies)
        self._session = _new_session(checkpoint, request, settings, started, replies)
        return self._session.loaded(clang.version if clang and settings.needs_clang else None, environ.tinygrad_version())

    def _prepare(self, settings: environ.Settings, clang) -> None:
        """Fixes the environment at the first load; a later one cannot change it any more."""
        if self._settings is None:
            environ.prepare(settings, clang)
            self._settings = settings
        elif self._settings != settings:
            raise Failed("unsupported", f"this process runs tinygrad with {self._settings}; device, threads and beam "
                         "cannot change any more: start another worker")

    def generate(self, params: Params, replies: Replies) -> dict:
        """One measured pass of the workload."""
        from .generate import generate

        session, prompt, count = self._loaded(), params.tokens("prompt", 1), params.count("gen_tokens", 1)
        context, forced = params.tokens("context"), params.tokens("forced")
        self._check_tokens(prompt, context, forced)
        self._check_length(len(context) + len(prompt) + count - 1)
        result = generate(session.compiled, context, prompt, forced, count)
        self._check_finite(all(token < session.checkpoint.config.vocab for token in result.tokens))
        answer = {"kind": "generated", "prompt_tokens": len(prompt), "context_tokens": len(context), **vars(result)}
        if session.tokenizer:
            answer["pieces"] = session.tokenizer.pieces(result.tokens)
        return answer

    def complete(self, params: Params, replies: Replies) -> dict:
        """Continues a prompt for a user."""
        from .complete import complete

        session, wanted = self._loaded(), Completion.read(params)
        self._check_tokens(wanted.prompt)
        self._check_length(len(wanted.prompt) + wanted.max_tokens - 1)
        tokenizer = session.tokenizer
        text = tokenizer.stream(special=False) if tokenizer else None

        def on_token(index: int, token: int, logprob: float | None, top: list) -> None:
            named = [(i, tokenizer.pieces([i])[0] if tokenizer else "", p) for i, p in top]
            replies.token(index, token, text.push(token) if text else "", logprob, named)

        count, finish = complete(session.compiled, wanted, set(session.eos), replies.is_cancelled, on_token)
        return completed(len(wanted.prompt), count, finish, text.rest() if text else "")

    def score(self, params: Params, replies: Replies) -> dict:
        """Log-probabilities of given tokens, and where asked of the whole vocabulary into a file."""
        from .score import score

        ids, start, full = params.tokens("tokens", 2), params.count("from"), params.optional_text("full")
        self._check_tokens(ids)
        self._check_length(len(ids))
        if start > len(ids) - 2:
            raise Failed("protocol", f"nothing follows token {start} of {len(ids)}: nothing could be scored")
        scored = score(self._loaded().compiled, ids, start, full)
        self._check_finite(all(map(math.isfinite, scored["logprobs"] + scored["top_logprobs"])))
        return {"kind": "scored", **scored}

    def tokenize(self, params: Params, replies: Replies) -> dict:
        """Text to ids."""
        add_special, parse_special = bool(params.flag("add_special")), bool(params.flag("parse_special"))
        return {"kind": "tokens", "tokens": self._tokenizer().ids(params.text("text"), add_special, parse_special)}

    def detokenize(self, params: Params, replies: Replies) -> dict:
        """Ids to the text of each."""
        ids = params.tokens("tokens")
        self._check_tokens(ids)
        return {"kind": "pieces", "pieces": self._tokenizer().pieces(ids)}

    def unload(self, params: Params, replies: Replies) -> dict:
        """Frees the model."""
        if self._session is not None:
            import gc

            self._session = None
            gc.unfreeze()
            gc.collect()
        return {"kind": "done"}

    def _loaded(self):
        if self._session is None:
            raise Failed("protocol", "no model is loaded")
        return self._session

    def _tokenizer(self):
        session = self._loaded()
        if session.tokenizer is None:
            raise Failed("unsupported", f"{session.checkpoint.path} has no tokenizer.json: token ids only")
        return session.tokenizer

    @staticmethod
    def _check_finite(finite: bool) -> None:
        if not finite:
            raise Failed("engine", "the logits are not finite: the engine computed garbage, or the weights are")

    def _check_tokens(self, *lists: list) -> None:
        vocab = self._loaded().checkpoint.config.vocab
        for token in (token for ids in lists for token in ids if token >= vocab):
            raise Failed("protocol", f"token {token} is outside of the vocabulary of {vocab}")

    def _check_length(self, needed: int) -> None:
        room = self._loaded().request["ctx_tokens"]
        if needed > room:
            raise Failed("protocol", f"{needed} tokens do not fit into a context of {room}")


def _new_session(checkpoint, request: dict, settings, started: int, replies: Replies):
    """The first import of tinygrad happens here."""
    try:
        from .session import Session
    except ValueError as error:
        raise Failed("engine", f"tinygrad cannot be imported: {error}. It reads variables such as DEBUG, BEAM or TC from "
                     "the environment and takes whole numbers only: unset the one that this value belongs to") from error

    return Session(checkpoint, request, settings, started, replies)


def _request(params: Params) -> dict:
    """What a load asks for, checked as far as it can be without the model."""
    options = params.settings("options")
    for name in options:
        if name not in _OPTIONS:
            known = "; ".join(f"{key}: {words}" for key, words in _OPTIONS.items())
            raise Failed("unsupported", f"tinygrad has no option {name!r}; it has {known}")
    kernels, beam = options.get("kernels", ""), options.get("beam", "0")
    if kernels not in ("", "tokometer", "stock") or not beam.isdecimal():
        raise Failed("unsupported", f"kernels is tokometer or stock, beam a whole number: not {options}")
    native = params.optional_text("quantize") or "default"
    if native != "default" and native not in formats.NATIVE:
        raise Failed("unsupported", f"tinygrad offers default, {', '.join(formats.NATIVE)}, not {native!r}")
    if params.flag("flash_attn"):
        raise Failed("unsupported", "tinygrad's worker has no flash attention")
    kv_type = params.optional_text("kv_type")
    if kv_type not in (None, "f32", "f16"):
        raise Failed("unsupported", f"a KV cache of type {kv_type!r}: this worker has f32 and f16")
    chunk = params.optional_count("ubatch", 1) or 64
    batch = params.optional_count("batch", 1) or chunk
    return {"quantize": native, "kernels": kernels, "beam": int(beam), "kv_type": kv_type,
            "chunk": min(chunk, batch), "ctx_tokens": params.count("ctx_tokens", 1)}


def _check_fit(checkpoint, request: dict) -> None:
    """What the model does not allow."""
    window = checkpoint.config.window
    if window and request["ctx_tokens"] > window:
        raise Failed("unsupported", f"sliding-window attention: a context of {request['ctx_tokens']} tokens is longer than "
                     f"the model's window of {window}")
