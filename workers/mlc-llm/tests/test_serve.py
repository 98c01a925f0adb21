"""The way through MLC-LLM's HTTP server."""

import os
import signal
import time
import unittest

import prepared
from client import REAL, Client, Failure, alive
from test_measure import PROMPT

SERVED = {"options": {"via": "serve"}}


class Serve(unittest.TestCase):
    def test_a_server_is_measured_from_outside(self):
        with Client(prepared.ROOT / "served.txt") as client:
            loaded = client("load", **prepared.loading(**SERVED))
            self.assertEqual(loaded["details"]["via"], "serve")
            self.assertTrue(any("serve" in args for args in alive(client.process.pid)))
            self.assertNotEqual(loaded["pid"], client.process.pid)
            texts = []
            for _ in range(2):
                generated = client("generate", prompt=PROMPT, gen_tokens=40)
                self.assertEqual((generated["tokens"], sum(generated["step_tokens"])), ([], 40))
                lengths = {len(generated[name]) for name in ("done_ns", "step_tokens", "pieces")}
                self.assertEqual(len(lengths), 1)
                times = generated["done_ns"]
                self.assertTrue(times[0] > 0 and all(a < b for a, b in zip(times, times[1:])))
                self.assertEqual(generated["engine_figures"]["server_prefill_tokens"], len(PROMPT))
                texts.append("".join(generated["pieces"]))
            self.assertEqual(texts[0], texts[1])
            with self.assertRaises(Failure) as caught:
                client("tokenize", text="a")
            self.assertEqual(caught.exception.kind, "unsupported")
            client("unload")
            self.assertFalse(any(" serve " in args for args in alive(client.process.pid)))
            self.assertEqual(client.leave()[0], 0)

    def test_the_server_goes_with_the_worker_however_that_goes(self):
        with Client(prepared.ROOT / "killed.txt") as client:
            client("load", **prepared.loading(**SERVED))
            client.process.send_signal(signal.SIGKILL)
            client.process.wait(timeout=30)
            deadline = time.monotonic() + 20
            while alive(client.process.pid) and time.monotonic() < deadline:
                time.sleep(0.05)
            self.assertEqual(alive(client.process.pid), [])

    @unittest.skipIf(REAL, "needs the stand-in")
    def test_chunks_are_not_tokens(self):
        with Client(prepared.ROOT / "chunks.txt") as client:
            client("load", **prepared.loading(**SERVED))
            generated = client("generate", prompt=PROMPT, gen_tokens=60)
        self.assertLess(len(generated["step_tokens"]), 60)
        self.assertEqual(sum(generated["step_tokens"]), 60)
        self.assertIn("estimated_chunks", generated["warnings"])

    @unittest.skipIf(REAL, "needs the stand-in")
    def test_faults_of_a_server(self):
        for fault, words in (("no_server", "the stand-in's server does not start"), ("preempt", "pre-empted")):
            with Client(prepared.ROOT / f"serve-{fault}.txt", fault) as client, self.assertRaises(Failure) as caught:
                client("load", **prepared.loading(**SERVED))
            self.assertIn(words, str(caught.exception))

    @unittest.skipIf(REAL, "needs the stand-in")
    def test_a_server_that_hangs_dies_with_the_group(self):
        with Client(prepared.ROOT / "serve-hang.txt", "hang_in_constructor") as client:
            client.send("load", **prepared.loading(**SERVED))
            deadline = time.monotonic() + 20
            while len(alive(client.process.pid)) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            os.killpg(client.process.pid, signal.SIGKILL)
            client.process.wait(timeout=30)
            time.sleep(0.2)
            self.assertEqual(alive(client.process.pid), [])

    @unittest.skipIf(REAL, "needs the stand-in")
    def test_a_server_that_does_not_leave_is_killed(self):
        with Client(prepared.ROOT / "serve-exit.txt", "hang_at_exit") as client:
            client("load", **prepared.loading(**SERVED))
            self.assertEqual(client.leave()[0], 0)
            self.assertEqual(alive(client.process.pid), [])


if __name__ == "__main__":
    unittest.main()
