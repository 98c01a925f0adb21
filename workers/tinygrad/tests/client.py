"""Talks to a real worker process, as the harness does."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: The threads that kernels on a CPU run on where two are asked for.
TWO_THREADS = 2 if metadata.version("tinygrad").startswith("0.13.") else 1


class Failure(Exception):
    """An `error` reply."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.kind = error["kind"]


class Client:
    """One worker. Replies that are not the answer are kept in `said`; stderr goes to a file."""

    def __init__(self, stderr, **env):
        path = os.pathsep.join([str(ROOT), str(ROOT.parent / "python-protocol")])
        self.stderr = open(stderr, "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tokometer_tinygrad"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.stderr, text=True, env={**os.environ, "PYTHONPATH": path, **env})
        self.number, self.said = 0, []

    def __call__(self, method, **fields):
        """Sends a call; returns the fields of its result, raises Failure."""
        self.number += 1
        self.process.stdin.write(json.dumps({"id": self.number, "method": method, **fields}) + "\n")
        self.process.stdin.flush()
        while line := self.process.stdout.readline():
            reply = json.loads(line)
            assert reply["id"] == self.number, line
            if "result" in reply:
                return reply["result"]
            if "error" in reply:
                raise Failure(reply["error"])
            self.said.append(reply)
        raise AssertionError(f"the worker left with code {self.process.wait()}: {self.printed()[-2000:]}")

    def printed(self):
        """What the worker wrote to stderr so far."""
        self.stderr.seek(0)
        return self.stderr.read()

    def close(self):
        """Lets the worker end by itself; returns its exit code."""
        self.process.stdin.close()
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.stderr.close()
        return code
