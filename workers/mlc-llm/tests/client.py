"""Talks to a real worker process, as the harness does. `TOKOMETER_MLC_PYTHON` names an interpreter with the real MLC-LLM; without
it the stand-in is used."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REAL = os.environ.get("TOKOMETER_MLC_PYTHON")


class Failure(Exception):
    """An `error` reply."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.kind = error["kind"]


class Client:
    """One worker. Replies that are not the answer are kept in `said`; stderr goes to a file."""

    def __init__(self, stderr, faults="", **env):
        own = [str(ROOT), str(ROOT.parent / "python-protocol")]
        paths = own + ([os.environ["PYTHONPATH"]] if REAL and os.environ.get("PYTHONPATH") else [])
        paths += [] if REAL else [str(ROOT / "tests" / "standin")]
        self.stderr = open(stderr, "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [REAL or sys.executable, "-m", "tokometer_mlc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr, text=True,
            start_new_session=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MLC_STANDIN": faults, **env})
        self.number, self.said = 0, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.stderr.close()

    def send(self, method, **fields):
        """Sends a call."""
        self.number += 1
        self.process.stdin.write(json.dumps({"id": self.number, "method": method, **fields}) + "\n")
        self.process.stdin.flush()

    def __call__(self, method, **fields):
        """Sends a call; returns the fields of its result, raises Failure."""
        self.send(method, **fields)
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
        """What the worker and its engine wrote to stderr so far."""
        self.stderr.seek(0)
        return self.stderr.read()

    def leave(self):
        """Asks it to go; its exit code and the seconds that it took."""
        began = time.monotonic()
        self("shutdown")
        return self.process.wait(timeout=30), time.monotonic() - began


def alive(group):
    """The processes of a group that have not ended."""
    ran = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in ran.stdout.splitlines()]
    return [row[2] for row in rows if len(row) == 3 and row[0] == str(group) and not row[1].startswith("Z")]
