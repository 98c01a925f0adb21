"""The loop and the wire, with a real process where file descriptors matter."""

import io
import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from tokometer_worker import Failed, Wire, serve  # noqa: E402

WORKER = """
import ctypes, os, subprocess, sys
from tokometer_worker import Wire, serve
wire = Wire.take_over()
def noisy(params, replies):
    print("python prints")
    os.write(1, b"the descriptor prints\\n")
    ctypes.CDLL(None).puts(b"C prints")
    ctypes.CDLL(None).fflush(None)
    subprocess.run(["sh", "-c", "echo a child prints; cat"], check=True)
    replies.progress("noise", 1, 2)
    return {"kind": "done"}
serve(wire, lambda: {"engine": "test"}, {"noisy": noisy})
print("after the loop")
"""


def talk(methods, *lines):
    """The replies of a worker with these methods to these lines."""
    out = io.StringIO()
    serve(Wire(io.StringIO("".join(f"{line}\n" for line in lines)), out), lambda: {"engine": "test"}, methods)
    return [json.loads(line) for line in out.getvalue().splitlines()]


class Loop(unittest.TestCase):
    def test_the_handshake_names_the_methods(self):
        (reply,) = talk({"unload": None, "load": None}, '{"id":7,"method":"hello","protocol":2}')
        wanted = {"kind": "hello", "protocol": 2, "engine": "test", "methods": ["load", "unload"]}
        self.assertEqual(reply, {"id": 7, "result": wanted})

    def test_another_version_is_refused(self):
        (reply,) = talk({}, '{"id":1,"method":"hello","protocol":1}')
        self.assertEqual(reply["error"]["kind"], "protocol")

    def test_garbage_is_answered_and_the_next_call_works(self):
        lines = ["{", "[1]", '{"id":"x","method":"a"}', '{"id":3}', "", '{"id":4,"method":"none"}']
        replies = talk({}, *lines, '{"id":5,"method":"shutdown"}', '{"id":6,"method":"shutdown"}')
        self.assertEqual([r["id"] for r in replies], [0, 0, 0, 3, 4, 5])
        self.assertEqual([r["error"]["kind"] for r in replies[:5]], ["protocol"] * 4 + ["unsupported"])
        self.assertEqual(replies[5], {"id": 5, "result": {"kind": "done"}})

    def test_exceptions_become_errors(self):
        def raising(error):
            def method(params, replies):
                raise error
            return method

        methods = {
            "memory": raising(MemoryError("no 3 GB")),
            "driver": raising(RuntimeError("CUDA_ERROR_OUT_OF_MEMORY")),
            "other": raising(KeyError("x")),
            "own": raising(Failed("model", "cut")),
        }
        stderr, sys.stderr = sys.stderr, io.StringIO()
        try:
            replies = talk(methods, *(json.dumps({"id": i, "method": m}) for i, m in enumerate(methods, 1)))
        finally:
            sys.stderr = stderr
        kinds = [(r["id"], r["error"]["kind"]) for r in replies]
        self.assertEqual(kinds, [(1, "out_of_memory"), (2, "out_of_memory"), (3, "engine"), (4, "model")])
        self.assertEqual(replies[3]["error"]["message"], "cut")

    def test_parameters_are_checked(self):
        def method(params, replies):
            return {"kind": "done", "n": params.count("n", 1), "t": params.tokens("t", 1), "f": params.flag("f")}

        calls = [{"n": 3, "t": [1]}, {"n": 0, "t": [1]}, {"n": True, "t": [1]}, {"n": 1, "t": []}, {"n": 1, "t": [-1]}]
        replies = talk({"m": method}, *(json.dumps({"id": 1, "method": "m", **c}) for c in calls))
        self.assertEqual(replies[0]["result"], {"kind": "done", "n": 3, "t": [1], "f": None})
        self.assertTrue(all(r["error"]["kind"] == "protocol" for r in replies[1:]))

    def test_a_number_that_json_lacks_is_an_error_not_a_broken_line(self):
        stderr, sys.stderr = sys.stderr, io.StringIO()
        try:
            (reply,) = talk({"m": lambda p, r: {"kind": "done", "x": float("nan")}}, '{"id":1,"method":"m"}')
        finally:
            sys.stderr = stderr
        self.assertEqual(reply["error"]["kind"], "engine")


class Descriptors(unittest.TestCase):
    def test_nothing_that_is_printed_reaches_the_harness(self):
        calls = '{"id":1,"method":"noisy"}\n{"id":2,"method":"shutdown"}\n'
        ran = subprocess.run(
            [sys.executable, "-c", WORKER], input=calls, capture_output=True, text=True, timeout=60,
            env={**os.environ, "PYTHONPATH": os.path.dirname(HERE)},
        )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        replies = [json.loads(line) for line in ran.stdout.splitlines()]
        self.assertEqual(replies[0], {"id": 1, "progress": {"stage": "noise", "done": 1, "total": 2}})
        self.assertEqual([r["result"] for r in replies[1:]], [{"kind": "done"}, {"kind": "done"}])
        for words in ("python prints", "the descriptor prints", "C prints", "a child prints", "after the loop"):
            self.assertIn(words, ran.stderr)


if __name__ == "__main__":
    unittest.main()
