"""An engine that hangs, dies in the background or computes something else: the stand-in does it on demand."""

import os
import signal
import time
import unittest

import prepared
from client import REAL, Client, Failure, alive

PROMPT = list(range(40))


@unittest.skipIf(REAL, "needs the stand-in")
class Faults(unittest.TestCase):
    def failing(self, fault, words, count=12, kind="engine"):
        with Client(prepared.ROOT / f"{fault}.txt", fault) as client:
            client("load", **prepared.loading())
            with self.assertRaises(Failure) as caught:
                client("generate", prompt=PROMPT, gen_tokens=count)
        self.assertEqual(caught.exception.kind, kind)
        self.assertIn(words, str(caught.exception))

    def test_pre_emption_fails_the_pass(self):
        self.failing("preempt", "pre-empted")

    def test_a_prefix_cache_fails_the_pass(self):
        self.failing("cached", "prefix cache")

    def test_a_missing_token_fails_the_pass(self):
        self.failing("short", "12 tokens were asked for, 11 came")

    def test_steps_that_bring_nothing_end(self):
        self.failing("idle", "brought nothing")

    def test_a_stack_of_c_is_not_what_people_read(self):
        with Client(prepared.ROOT / "step.txt", "error_in_step") as client:
            client("load", **prepared.loading())
            with self.assertRaises(Failure) as caught:
                client("generate", prompt=PROMPT, gen_tokens=3)
            self.assertIn("the stand-in fails", str(caught.exception))
            self.assertNotIn("engine.cc", str(caught.exception))
            self.assertIn("engine.cc", client.printed())

    def test_tokens_that_come_together_are_one_step(self):
        with Client(prepared.ROOT / "together.txt", "together") as client:
            client("load", **prepared.loading())
            generated = client("generate", prompt=PROMPT, gen_tokens=12)
        self.assertEqual(generated["step_tokens"], [1, 2, 2, 2, 2, 2, 1])
        self.assertEqual((len(generated["tokens"]), len(generated["done_ns"]), len(generated["pieces"])), (12, 7, 7))
        self.assertIn("tokens_together", generated["warnings"])

    def test_what_the_engine_prints_stays_out_of_the_protocol(self):
        with Client(prepared.ROOT / "print.txt", "print") as client:
            client("load", **prepared.loading())
            self.assertEqual(len(client("generate", prompt=PROMPT, gen_tokens=3)["tokens"]), 3)
            self.assertIn("the engine writes to descriptor 1", client.printed())

    def test_an_exception_in_a_background_thread_answers_the_call_and_ends_the_worker(self):
        with Client(prepared.ROOT / "thread.txt", "raise_in_thread") as client:
            with self.assertRaises(Failure) as caught:
                client("load", **prepared.loading())
            self.assertIn("background loop", str(caught.exception))
            self.assertIn("does not fit the model", str(caught.exception))
            self.assertNotEqual(client.process.wait(timeout=30), 0)

    def test_an_engine_that_hangs_at_exit_is_left_behind(self):
        with Client(prepared.ROOT / "exit.txt", "hang_at_exit") as client:
            client("load", **prepared.loading())
            code, seconds = client.leave()
            self.assertEqual(code, 0)
            self.assertLess(seconds, 20)
            self.assertEqual(alive(client.process.pid), [])

    def test_a_constructor_that_hangs_dies_with_its_group(self):
        with Client(prepared.ROOT / "constructor.txt", "hang_in_constructor") as client:
            client.send("load", **prepared.loading())
            time.sleep(1)
            self.assertIsNone(client.process.poll())
            os.killpg(client.process.pid, signal.SIGKILL)
            client.process.wait(timeout=30)
            self.assertEqual(alive(client.process.pid), [])


if __name__ == "__main__":
    unittest.main()
