"""What a load promises and a generation keeps: counts, order, no memory of earlier runs, no weights written out."""

import tempfile
import unittest
from pathlib import Path

import numpy as np

import checkpoints
import reference
from client import TWO_THREADS, Client, Failure

PROMPT = [int(t) for t in np.random.default_rng(9).integers(0, 2048, 200)]


class Behaviour(unittest.TestCase):
    """One worker for all tests of the class, as in a long launch."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)
        cls.model = cls.path / "tiny"
        _, cls.weights = checkpoints.write_tiny(cls.model)
        cls.client = Client(cls.path / "stderr.txt", DEBUG="2")
        cls.loaded = cls.client("load", model=str(cls.model), ctx_tokens=320, threads=2)

    @classmethod
    def tearDownClass(cls):
        cls.code = cls.client.close()
        cls.folder.cleanup()

    def generate(self, prompt, count, **fields):
        answer = self.client("generate", prompt=prompt, gen_tokens=count, **fields)
        for name in ("tokens", "done_ns", "enqueued_ns", "engine_bytes"):
            self.assertEqual(len(answer[name]), count, name)
        times = [t for pair in zip(answer["enqueued_ns"], answer["done_ns"]) for t in pair]
        self.assertEqual(times, sorted(times))
        self.assertEqual(answer["prompt_tokens"], len(prompt))
        self.assertEqual(answer["context_tokens"], len(fields.get("context", [])))
        return answer["tokens"]

    def test_a_second_run_gives_the_same_tokens(self):
        first = self.generate(PROMPT, 60)
        self.generate(PROMPT[50:], 120)
        self.assertEqual(self.generate(PROMPT, 60), first)
        self.assertGreater(len(set(first)), 10, "the same token over and over would prove nothing")

    def test_context_and_prompt_are_one_sequence(self):
        whole = self.generate(PROMPT, 20)
        for depth in (1, 64, 100, 199):
            self.assertEqual(self.generate(PROMPT[depth:], 20, context=PROMPT[:depth]), whole, depth)

    def test_prompts_of_every_length_around_a_chunk(self):
        for length in (1, 2, 8, 9, 63, 64, 65, 72, 73, 128):
            (token,) = self.generate(PROMPT[:length], 1)
            logits = reference.logits(checkpoints.TINY, self.weights, PROMPT[:length])[-1]
            self.assertLess(logits.max() - logits[token], 2e-4, length)

    def test_forced_tokens_are_the_inputs(self):
        forced = PROMPT[100:120]
        tokens = self.generate(PROMPT[:30], 21, forced=forced)
        logits = reference.logits(checkpoints.TINY, self.weights, PROMPT[:30] + forced)[29:]
        self.assertLess((logits.max(1) - logits[np.arange(21), tokens]).max(), 2e-4)

    def test_the_last_place_of_the_context_is_usable_and_no_more(self):
        self.generate(PROMPT, 121)
        for fields in ({"prompt": PROMPT, "gen_tokens": 122}, {"prompt": [], "gen_tokens": 1},
                       {"prompt": [2048], "gen_tokens": 1}, {"prompt": [1], "gen_tokens": 0},
                       {"prompt": [1], "gen_tokens": 1, "forced": [5000]}):
            with self.assertRaises(Failure) as caught:
                self.client("generate", **fields)
            self.assertEqual(caught.exception.kind, "protocol")
        self.generate([1], 1)

    def test_what_is_loaded_is_told(self):
        loaded = self.loaded
        self.assertEqual((loaded["threads"], loaded["vocab_size"], loaded["ctx_tokens"]), (TWO_THREADS, 2048, 320))
        self.assertEqual(loaded["kv_bytes"] % loaded["kv_bytes_per_token"], 0)
        self.assertEqual(loaded["kv_bytes_per_token"], 4 * 2 * 4 * 32 * 4)
        self.assertEqual((loaded["bos"], loaded["ubatch"]), (1, 64))
        for name in ("jit_ns", "weights_ns", "kernels_prefill", "kernels_decode"):
            self.assertGreater(int(loaded["details"][name]), 0)
        threads = loaded["details"]["threads_prefill"], loaded["details"]["threads_decode"]
        self.assertEqual(threads, (str(TWO_THREADS), "1"))
        self.assertNotIn(None, loaded.values())

    def test_what_tinygrad_prints_goes_to_stderr(self):
        self.assertIn("*** CPU", self.client.printed())

    def test_other_threads_need_another_worker(self):
        with self.assertRaises(Failure) as caught:
            self.client("load", model=str(self.model), ctx_tokens=64, threads=1)
        self.assertEqual(caught.exception.kind, "unsupported")
        self.generate([1], 1)


class Quantized(unittest.TestCase):
    def test_fewer_bytes_are_really_fewer_bytes(self):
        """A decode step of a quantized model touches little more than its stored weights: they are never written out."""
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "tiny"
            checkpoints.write_folder(model, checkpoints.TINY, checkpoints.random_weights(checkpoints.TINY), "BF16")
            client = Client(Path(folder) / "stderr.txt")
            before = None
            for native in ("float32", "float16", "int8", "nf4"):
                loaded = client("load", model=str(model), ctx_tokens=64, threads=1, quantize=native)
                steps = client("generate", prompt=[1, 2], gen_tokens=3)["engine_bytes"][1:]
                self.assertLess(max(steps), 1.1 * loaded["weights_read_bytes"] + 200_000, native)
                self.assertEqual(loaded["threads"], 1)
                if before:
                    self.assertLess(loaded["weights_bytes"], 0.8 * before)
                before = loaded["weights_bytes"]
            self.assertEqual(client("unload"), {"kind": "done"})
            with self.assertRaises(Failure):
                client("generate", prompt=[1], gen_tokens=1)
            client.close()


if __name__ == "__main__":
    unittest.main()
