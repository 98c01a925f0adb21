"""A model loaded into this process: MLC-LLM's synchronous engine, one thread, one request at a time."""

import dataclasses

from mlc_llm.protocol.debug_protocol import DebugConfig
from mlc_llm.protocol.generation_config import GenerationConfig
from mlc_llm.serve import data
from mlc_llm.serve.config import EngineConfig
from mlc_llm.serve.sync_engine import SyncMLCEngine
from tokometer_worker import Completion, Failed

from . import usage
from .generate import Outputs, follow, run
from .request import Request
from .tokens import Tokenizer


class InProcess:
    """The engine and what it has loaded."""

    #: The process that computes is this one.
    pid = None

    def __init__(self, request: Request):
        self._request = request
        self._number = 0
        self._outputs = outputs = Outputs()
        self._engine = SyncMLCEngine(
            str(request.model.weights), request.device["name"], model_lib=str(request.library), mode="interactive",
            engine_config=_config(request), request_stream_callback=lambda delta_outputs: outputs(delta_outputs))
        self.tokenizer = Tokenizer(self._engine.tokenizer, request.model.weights)
        self.details = {"engine": "SyncMLCEngine"}

    def generate(self, context: list, prompt: list, count: int) -> dict:
        """One measured pass."""
        if context and self._request.prefix_cache != "radix":
            raise Failed("unsupported", "a context before the prompt needs the engine's prefix cache, which is otherwise off: "
                         "--option prefix_cache=radix fills it with the context and empties it after each repetition")
        if self._request.prefix_cache == "radix":
            self._engine.reset()
        if context:
            self._pass(context, 1)
        steps = self._pass(context + prompt, count)
        figures = usage.check(self._outputs.usage, len(prompt), len(context), count, len(steps.tokens), self._outputs.reason)
        answer = {"prompt_tokens": len(prompt), "context_tokens": len(context), "tokens": steps.tokens, "done_ns": steps.done_ns,
                  "engine_figures": figures}
        pieces = self.tokenizer.pieces(steps.tokens)
        if steps.step_tokens:
            answer["step_tokens"] = steps.step_tokens
            answer["warnings"] = {"tokens_together": f"{len(steps.tokens)} tokens came in {len(steps.done_ns)} steps: the times of "
                                  "those that came together are not known"}
            pieces = _joined(pieces, steps.step_tokens)
        return {**answer, "pieces": pieces}

    def complete(self, wanted: Completion, on_token) -> str:
        """Continues a prompt for a user; sampling is the engine's own. See `generate.follow`."""
        if wanted.top_logprobs is not None:
            raise Failed("unsupported", "MLC-LLM's log-probabilities are those of its choice, one-hot at temperature 0, not the "
                         "model's: they are not offered")
        if self._request.prefix_cache == "radix":
            self._engine.reset()
        settings = {"temperature": wanted.temperature, "top_p": wanted.top_p, "max_tokens": wanted.max_tokens,
                    "seed": wanted.seed % 2**31, "debug_config": DebugConfig(ignore_eos=wanted.ignore_eos)}
        if not wanted.ignore_eos:
            settings["stop_token_ids"] = self._request.model.eos
        name, inputs = self._name(), data.TokenData(wanted.prompt)
        request = lambda: self._engine.create_request(name, inputs, GenerationConfig(**settings))  # noqa: E731
        return follow(self._engine, self._outputs, request, name, on_token)

    def _name(self) -> str:
        self._number += 1
        return f"tokometer-{self._number}"

    def _pass(self, tokens: list, count: int):
        name, inputs = self._name(), data.TokenData(tokens)
        wanted = GenerationConfig(temperature=0.0, max_tokens=count, seed=0, debug_config=DebugConfig(ignore_eos=True))
        return run(self._engine, self._outputs, lambda: self._engine.create_request(name, inputs, wanted), count)

    def close(self) -> None:
        """Lets the engine go. Not every version has an end of its own."""
        engine, self._engine = self._engine, None
        if engine is not None:
            getattr(engine, "terminate", engine.reset)()


def _config(request: Request) -> EngineConfig:
    """Settings that this version knows; one request, no prefix cache, room for all."""
    wanted = {"prefix_cache_mode": request.prefix_cache, "verbose": False, "max_num_sequence": 1,
              "max_total_sequence_length": request.kv_tokens, "max_single_sequence_length": request.longest,
              "prefill_chunk_size": request.chunk, "prefill_mode": request.prefill_mode}
    known = {field.name for field in dataclasses.fields(EngineConfig)}
    if "prefix_cache_mode" not in known:
        raise Failed("unsupported", "this version of MLC-LLM cannot switch its prefix cache off: it cannot be measured")
    return EngineConfig(**{name: value for name, value in wanted.items() if name in known})


def _joined(pieces: list, counts: list) -> list:
    joined, at = [], 0
    for count in counts:
        joined.append("".join(pieces[at : at + count]))
        at += count
    return joined
