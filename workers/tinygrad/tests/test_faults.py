"""An engine that fails is answered for while it can answer, and leaves its last words where it cannot."""

import os
import tempfile
import unittest
from pathlib import Path

import checkpoints
from client import ROOT, Client, Failure


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)
        cls.model = cls.path / "tiny"
        checkpoints.write_tiny(cls.model, num_hidden_layers=1)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def client(self, faults):
        """A worker with these faults, one for each load."""
        places = [Path(__file__).resolve().parent / "faults", ROOT, ROOT.parent / "python-protocol"]
        return Client(self.path / f"{faults.replace(':', '-')}.txt", TINYGRAD_TEST_FAULTS=faults,
                      PYTHONPATH=os.pathsep.join(map(str, places)))

    def load(self, client):
        return client("load", model=str(self.model), ctx_tokens=64, threads=1, quantize="int8")

    def test_an_exception_in_load_or_jit_is_an_answer_and_the_worker_goes_on(self):
        client = self.client("load:raise,jit:raise")
        for place in ("load", "jit"):
            with self.assertRaises(Failure) as caught:
                self.load(client)
            self.assertEqual((caught.exception.kind, str(caught.exception)),
                             ("engine", "RuntimeError: an engine that gave up"))
            self.assertIn(f"about to fail: {place}:raise", client.printed())
            self.assertIn("Traceback", client.printed())
            with self.assertRaises(Failure) as caught:
                client("generate", prompt=[1], gen_tokens=2)
            self.assertEqual(caught.exception.kind, "protocol")
        self.load(client)
        self.assertEqual(len(client("generate", prompt=[1], gen_tokens=2)["tokens"]), 2)
        self.assertEqual(client.close(), 0)

    def test_a_process_that_dies_in_step_17_ends_with_its_last_words(self):
        client = self.client("step:exit")
        self.load(client)
        prompt = list(range(1, 17))
        self.assertEqual(len(client("generate", prompt=prompt, gen_tokens=20)["tokens"]), 20)
        with self.assertRaises(AssertionError) as caught:
            client("generate", prompt=prompt, gen_tokens=20)
        self.assertIn("left with code 3", str(caught.exception))
        self.assertTrue(client.printed().rstrip().endswith("about to fail: step:exit"), client.printed()[-500:])
        client.process.stdin.close()
        client.process.stdout.close()
        client.stderr.close()


if __name__ == "__main__":
    unittest.main()
