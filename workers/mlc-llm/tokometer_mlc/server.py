"""A model behind MLC-LLM's own HTTP server, which is started here and measured from outside."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque

from tokometer_worker import Failed

from . import child, environ, usage
from .request import Request
from .stream import complete, tokens_of

#: Seconds between two looks at a server that is starting.
_LOOK = 0.1
#: Seconds that it has for leaving by itself.
_PATIENCE = 1.5


class Served:
    """The server and the model that it has loaded."""

    #: The server tells text alone.
    tokenizer = None

    def __init__(self, request: Request):
        self._request = request
        self._port = _free_port()
        self._last = deque(maxlen=6)
        words = ["serve", str(request.model.weights), "--model-lib", str(request.library), "--device", request.device["name"],
                 "--mode", "interactive", "--enable-debug", "--prefix-cache-mode", request.prefix_cache, "--prefill-mode",
                 request.prefill_mode, "--overrides", ";".join(f"{k}={v}" for k, v in _overrides(request).items()),
                 "--host", "127.0.0.1", "--port", str(self._port)]
        env = {**os.environ, **environ.variables(request.threads), "NO_COLOR": "1"}
        # In the worker's process group: whoever kills the worker's group kills this too.
        self._process = subprocess.Popen([sys.executable, "-m", "mlc_llm", *words], stdin=subprocess.DEVNULL, env=env,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=environ.die_with_parent)
        threading.Thread(target=child.pass_on, args=(self._process.stdout, self._last), name="output", daemon=True).start()
        self.pid = self._process.pid
        try:
            self._wait()
        except BaseException:
            self.close()
            raise
        self.details = {"engine": "AsyncMLCEngine behind mlc_llm serve"}

    def _wait(self) -> None:
        """Until it lists its models and has completed one token. How long that may take is the harness's business."""
        while True:
            if self._process.poll() is not None:
                raise Failed("engine", f"`mlc_llm serve` left with code {self._process.returncode}; its last words: {' | '.join(self._last)}")
            if _lists_models(self._port):
                break
            time.sleep(_LOOK)
        self._complete([self._request.model.bos or 0], 1)

    def generate(self, context: list, prompt: list, count: int) -> dict:
        """One measured pass. A step is a chunk, with the number of its tokens."""
        if context:
            raise Failed("unsupported", "a context before the prompt cannot be put into the server's cache unmeasured: measure "
                         "depth in the engine, without --via serve")
        streamed, figures = self._complete(prompt, count)
        counts, estimated = tokens_of([text for _, text in streamed.chunks], count)
        steps = _merged([stamp for stamp, _ in streamed.chunks], counts, [text for _, text in streamed.chunks])
        answer = {"prompt_tokens": len(prompt), "context_tokens": 0, "tokens": [], "done_ns": steps[0], "step_tokens": steps[1],
                  "pieces": steps[2], "engine_figures": {f"server_{name}": value for name, value in figures.items()}}
        if estimated:
            answer["warnings"] = {"estimated_chunks": f"{count} tokens came in {len(streamed.chunks)} chunks: how many each of them "
                                  "brought is estimated from its text"}
        return answer

    def complete(self, wanted, on_token) -> str:
        """Not offered: the server is one already, and tells no token ids."""
        raise Failed("unsupported", "MLC-LLM's server tells no token ids: serve the engine itself, without via=serve")

    def _complete(self, prompt: list, count: int):
        body = {"model": str(self._request.model.weights), "prompt": prompt, "max_tokens": count, "temperature": 0.0, "seed": 0,
                "stream": True, "stream_options": {"include_usage": True}, "debug_config": {"ignore_eos": True}}
        streamed = complete(self._port, body)
        told = streamed.usage or {}
        figures = usage.check(streamed.usage, len(prompt), 0, count, told.get("completion_tokens", 0), streamed.reason)
        if not streamed.chunks:
            raise Failed("engine", f"{count} tokens were generated, but no text came: there is nothing to stamp")
        return streamed, figures

    def close(self) -> None:
        """Ends the server: asked first, killed then. It often waits for its threads for ever."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _overrides(request: Request) -> dict:
    """The names are the server's."""
    return {"max_num_sequence": 1, "max_total_seq_length": request.kv_tokens, "context_window_size": request.longest,
            "prefill_chunk_size": request.chunk}


def _lists_models(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1/models")
        response = connection.getresponse()
        return response.status == 200 and bool(json.loads(response.read()).get("data"))
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def _merged(stamps: list, counts: list, texts: list) -> tuple[list, list, list]:
    """Chunks that arrived at once are one step."""
    done, tokens, pieces = [], [], []
    for stamp, count, text in zip(stamps, counts, texts):
        if done and stamp <= done[-1]:
            tokens[-1] += count
            pieces[-1] += text
        else:
            done.append(stamp)
            tokens.append(count)
            pieces.append(text)
    return done, tokens, pieces
