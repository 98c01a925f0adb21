"""The HTTP server: a list of models, and completions as a stream of events."""

import argparse
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mlc_llm.serve.config import EngineConfig

from . import faults
from .model import Model, Run


def main(argv):
    """Serves until it is killed."""
    parser = argparse.ArgumentParser("serve")
    parser.add_argument("model")
    for name in ("--model-lib", "--device", "--mode", "--prefix-cache-mode", "--prefill-mode", "--overrides", "--host"):
        parser.add_argument(name, default="")
    parser.add_argument("--enable-debug", action="store_true")
    parser.add_argument("--port", type=int)
    args = parser.parse_args(argv)
    if faults.on("no_server"):
        sys.exit("OSError: the stand-in's server does not start")
    if faults.on("hang_in_constructor"):
        faults.hang()
    over = {name: int(value) for name, value in (pair.split("=") for pair in args.overrides.split(";"))}
    config = EngineConfig(over["max_num_sequence"], over["max_total_seq_length"], over["context_window_size"],
                          over["prefill_chunk_size"], args.prefix_cache_mode or "radix")
    model = Model(args.model, args.model_lib, args.device, config)
    if faults.on("hang_at_exit"):
        threading.Thread(target=faults.hang).start()
    handler = type("Handler", (_Handler,), {"model": model, "name": args.model, "debug": args.enable_debug})
    ThreadingHTTPServer((args.host, args.port), handler).serve_forever()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Says nothing."""

    def do_GET(self):
        """`/v1/models`."""
        body = json.dumps({"object": "list", "data": [{"id": self.name}]}).encode()
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        """`/v1/completions`, streamed."""
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert wanted["stream"] and wanted["temperature"] == 0.0 and wanted["debug_config"]["ignore_eos"]
        if len(wanted["prompt"]) + wanted["max_tokens"] > self.model.config.max_single_sequence_length:
            return self._refuse("the prompt is too long")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        run, tokens, told, usage = Run(self.model, wanted["prompt"], wanted["max_tokens"]), [], "", None
        while usage is None:
            delta = run.step()
            tokens, usage = tokens + delta.tokens, delta.usage
            text = self.model.tokenizer.decode(tokens)
            # As the original: what is not a whole character yet is held back, and nothing is sent for it.
            held = text.endswith("\ufffd") and not delta.reason
            if delta.tokens and not held and (text != told or delta.reason):
                self._event({"choices": [{"index": 0, "text": text[len(told) :], "finish_reason": delta.reason}]})
                told = text
        counted = json.loads(usage)
        if not self.debug:
            del counted["extra"]
        self._event({"choices": [], "usage": counted})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _refuse(self, text):
        body = json.dumps({"message": text}).encode()
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _event(self, event):
        self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")

    def _chunk(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()
