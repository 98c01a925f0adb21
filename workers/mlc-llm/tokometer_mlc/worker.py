"""Answers the calls: checks what is asked, prepares the environment, and hands the work on.

MLC-LLM is imported by the first `load`, since the number of threads is fixed by then and not before.
"""

import os
import platform
import sys
import time

from tokometer_worker import Completion, Failed, Params, Replies, completed

from . import __version__, devices, environ, errors, leave, prepare, request
from .request import Request

#: The formats that are asked for by name; `mlc_llm` itself refuses what its version lacks.
_FORMATS = ("q0f16", "q0bf16", "q0f32", "q3f16_0", "q3f16_1", "q4f16_0", "q4f16_1", "q4f16_2", "q4bf16_0", "q4bf16_1", "q4f32_1")


class Worker:
    """The state between calls: the threads that TVM was imported with, and the loaded model."""

    def __init__(self):
        self._threads = None
        self._session = None
        self._request = None

    def methods(self) -> dict:
        """The requests that this worker answers. There is no `score`: at temperature 0 this engine's log-probabilities are
        those of a certain event, and it tells none of a given prompt."""
        plain = {"load": self.load, "generate": self.generate, "complete": self.complete, "tokenize": self.tokenize,
                 "detokenize": self.detokenize, "quantize": prepare.quantize, "compile": prepare.compile_library,
                 "unload": self.unload}
        return {name: _guarded(method) for name, method in plain.items()}

    def hello(self) -> dict:
        """Who this is; imports neither MLC-LLM nor TVM."""
        environ.require()
        build = {"python": platform.python_version(), "interpreter": sys.executable, "tvm": environ.tvm_version(),
                 "processor": environ.processor(), "recipe": environ.RECIPE}
        return {"engine": "mlc_llm", "engine_version": environ.mlc_version(), "worker_version": __version__, "build": build,
                "devices": list(devices.devices()), "quantizations": list(_FORMATS)}

    def load(self, params: Params, replies: Replies) -> dict:
        """Loads a model into this process, or into a server."""
        started = time.monotonic_ns()
        wanted = request.read(params)
        self._forget()
        if wanted.via == "serve":
            from .server import Served

            session = Served(wanted)
        else:
            session = self._in_process(wanted)
        self._session, self._request = session, wanted
        return _loaded(wanted, session, time.monotonic_ns() - started)

    def _in_process(self, wanted: Request):
        if self._threads is None:
            os.environ.update(environ.variables(wanted.threads))
            self._threads = wanted.threads
        elif self._threads != wanted.threads:
            raise Failed("unsupported", f"this process runs MLC-LLM with {self._threads} threads, which cannot change any more: "
                         "start another worker")
        before = time.monotonic_ns()
        from .engine import InProcess

        imported = time.monotonic_ns() - before
        session = InProcess(wanted)
        session.details["import_ns"] = str(imported)
        return session

    def generate(self, params: Params, replies: Replies) -> dict:
        """One measured pass of the workload."""
        session, prompt, count = self._loaded(), params.tokens("prompt", 1), params.count("gen_tokens", 1)
        context = params.tokens("context")
        if params.tokens("forced"):
            raise Failed("unsupported", "MLC-LLM chooses its tokens itself: none can be forced on it")
        self._check(prompt, context, count)
        return {"kind": "generated", **session.generate(context, prompt, count)}

    def complete(self, params: Params, replies: Replies) -> dict:
        """Continues a prompt for a user."""
        session, wanted = self._loaded(), Completion.read(params)
        self._check(wanted.prompt, [], wanted.max_tokens)
        ends = set() if wanted.ignore_eos else set(self._request.model.eos)
        pieces = session.tokenizer.stream() if session.tokenizer else None
        told, ended = 0, False

        def on_token(token: int) -> bool:
            nonlocal told, ended
            if token in ends:
                ended = True
                return False
            replies.token(told, token, pieces.push(token) if pieces else "")
            told += 1
            return not replies.is_cancelled()

        reason = session.complete(wanted, on_token)
        # An engine that keeps the token that ended the text to itself has made it nevertheless.
        ended = ended or (reason == "stop" and told < wanted.max_tokens)
        finish = "stop" if ended else "cancelled" if reason == "abort" else "length"
        return completed(len(wanted.prompt), told + ended, finish, pieces.rest() if pieces else "")

    def tokenize(self, params: Params, replies: Replies) -> dict:
        """Text to ids."""
        return {"kind": "tokens", "tokens": self._tokenizer().ids(params.text("text"), bool(params.flag("add_special")))}

    def detokenize(self, params: Params, replies: Replies) -> dict:
        """Ids to the text of each."""
        return {"kind": "pieces", "pieces": self._tokenizer().pieces(params.tokens("tokens"))}

    def unload(self, params: Params, replies: Replies) -> dict:
        """Frees the model."""
        self._forget()
        return {"kind": "done"}

    def close(self) -> None:
        """Lets go of what is loaded, on the way out."""
        if self._session is not None:
            self._session.close()

    def _forget(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            leave.closed(session.close)

    def _loaded(self):
        if self._session is None:
            raise Failed("protocol", "no model is loaded")
        return self._session

    def _tokenizer(self):
        tokenizer = self._loaded().tokenizer
        if tokenizer is None:
            raise Failed("unsupported", "MLC-LLM's server does not tokenize: load the model without via=serve")
        return tokenizer

    def _check(self, prompt: list, context: list, count: int) -> None:
        vocab, room = self._request.model.vocab, self._request.ctx_tokens
        for token in (token for tokens in (prompt, context) for token in tokens if vocab and token >= vocab):
            raise Failed("protocol", f"token {token} is outside of the vocabulary of {vocab}")
        needed = len(context) + len(prompt) + count
        if needed > room:
            raise Failed("protocol", f"{needed} tokens do not fit into a context of {room}")


def _guarded(method):
    """While a call is answered, what its engine's threads raise is its answer; what the engine itself raises is shortened."""

    def answered(params: Params, replies: Replies) -> dict:
        with leave.Answering(replies.number):
            try:
                return method(params, replies)
            except Failed:
                raise
            except Exception as error:
                raise errors.told(error) from error

    return answered


def _loaded(wanted: Request, session, load_ns: int) -> dict:
    """The fields of the protocol's `loaded`; what is not known is left out."""
    model, per_token = wanted.model, wanted.model.kv_bytes_per_token()
    details = {
        "mlc_llm": environ.mlc_version(), "tvm": environ.tvm_version(), "python": platform.python_version(), "via": wanted.via,
        "library": str(wanted.library), "library_bytes": str(wanted.library.stat().st_size),
        "kv_tokens": str(wanted.kv_tokens), "prefix_cache": wanted.prefix_cache, "prefill_mode": wanted.prefill_mode,
        **environ.variables(wanted.threads), **{f"made for {name}": str(value) for name, value in model.made_for.items()},
        **session.details}
    answer = {
        "kind": "loaded", "load_ns": load_ns, "device": wanted.device["name"], "device_description": wanted.device["description"],
        "native_quantize": model.native_words(), "weights_bytes": model.weights_bytes() or 0, "n_params": model.parameters() or 0,
        "kv_type": model.compute_type(), "ctx_tokens": wanted.ctx_tokens, "batch": wanted.chunk, "ubatch": wanted.chunk,
        "vocab_size": model.vocab, "details": details}
    optional = {"eos": model.eos or None, "chat_template": model.chat_template, "bos": model.bos,
                "weights_read_bytes": model.weights_read_bytes(), "kv_bytes_per_token": per_token,
                "kv_bytes": per_token and per_token * wanted.kv_tokens, "pid": session.pid,
                "threads": wanted.threads if wanted.device["kind"] == "cpu" else None}
    if model.compile_ns is not None:
        details["compile_ns"] = str(model.compile_ns)
    return {**answer, **{name: value for name, value in optional.items() if value is not None}}
