"""The engine that is driven step by step."""

import os
import threading
import time
from dataclasses import dataclass

from mlc_llm.standin import faults
from mlc_llm.standin.model import Model, Run

from .data import RequestStreamOutput, SingleRequestStreamOutput


@dataclass
class _Request:
    name: str
    tokens: list
    wanted: object


class SyncMLCEngine:
    """One request at a time."""

    def __init__(self, model, device="auto", *, model_lib=None, mode="local", engine_config=None, enable_tracing=False,
                 request_stream_callback=None):
        assert "TVM_NUM_THREADS" in os.environ, "the number of threads was not set before the engine"
        self._model = Model(model, model_lib, device, engine_config)
        self._callback, self._run, self._name = request_stream_callback, None, None
        self.tokenizer = self._model.tokenizer
        if faults.on("print"):
            print("the engine prints")
            os.write(1, b"the engine writes to descriptor 1\n")
        if faults.on("raise_in_thread"):
            threading.Thread(target=_raise, name="background loop").start()
            faults.hang()
        if faults.on("hang_in_constructor"):
            faults.hang()
        if faults.on("hang_at_exit"):
            threading.Thread(target=faults.hang, name="background loop").start()

    def create_request(self, request_id, inputs, generation_config):
        """A request."""
        return _Request(request_id, list(inputs.token_ids), generation_config)

    def add_request(self, request):
        """Takes it on."""
        wanted = request.wanted
        ends = [] if wanted.debug_config.ignore_eos else wanted.stop_token_ids or []
        salt = wanted.seed if wanted.temperature else 0
        self._name, self._run = request.name, Run(self._model, request.tokens, wanted.max_tokens, ends, salt)

    def abort_request(self, request_id):
        """Ends it."""
        assert request_id == self._name, (request_id, self._name)
        self._run = None

    def step(self):
        """Prefills a part of the prompt, or makes the next tokens."""
        if faults.on("error_in_step"):
            raise RuntimeError("Traceback (most recent call last):\n  File \"engine.cc\", line 1\nInternalError: Check failed: "
                               "(a == b) is false: the stand-in fails")
        if self._run is None or faults.on("idle"):
            return
        delta = self._run.step()
        outputs = []
        if delta.tokens:
            stream = SingleRequestStreamOutput(delta.tokens, None, delta.reason, None, "")
            outputs.append(RequestStreamOutput(self._name, stream))
        if delta.usage is not None:
            outputs.append(RequestStreamOutput(self._name, SingleRequestStreamOutput([], None, None, delta.usage, "")))
            self._run = None
        if outputs:
            self._callback(outputs)

    def reset(self):
        """Forgets requests and cache."""
        if faults.on("hang_at_exit"):
            faults.hang()
        self._model.cached, self._run = [], None


def _raise():
    time.sleep(0.05)
    raise ValueError("the library does not fit the model")
