"""What a measurement holds, with the stand-in and with the real engine."""

import unittest

import prepared
from client import REAL, Client, Failure

PROMPT = [256, *range(3, 103)]


class Measure(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = Client(prepared.ROOT / "measure.txt")
        cls.hello = cls.client("hello", protocol=2)
        cls.loaded = cls.client("load", **prepared.loading())

    @classmethod
    def tearDownClass(cls):
        cls.client.__exit__()

    def test_the_worker_says_who_it_is(self):
        self.assertEqual(self.hello["engine"], "mlc_llm")
        self.assertNotIn(self.hello["engine_version"], ("", "unknown"))
        self.assertEqual(self.hello["devices"][-1]["name"], "cpu")
        self.assertNotIn("score", self.hello["methods"])
        self.assertIn("compile", self.hello["methods"])
        self.assertTrue(self.hello["build"]["processor"])

    def test_what_was_loaded_is_told(self):
        loaded = self.loaded
        self.assertEqual((loaded["native_quantize"], loaded["device"], loaded["kv_type"]), (prepared.NATIVE, "cpu", "f32"))
        self.assertEqual((loaded["threads"], loaded["vocab_size"], loaded["bos"]), (2, 288, 256))
        self.assertEqual(loaded["kv_bytes_per_token"], 2 * 2 * 32 * 2 * 4)
        self.assertGreater(loaded["kv_bytes"], loaded["kv_bytes_per_token"] * 256)
        self.assertTrue(0 < loaded["weights_read_bytes"] < loaded["weights_bytes"])
        self.assertEqual((loaded["details"]["TVM_NUM_THREADS"], loaded["details"]["TVM_BIND_THREADS"]), ("2", "0"))
        self.assertGreater(int(loaded["details"]["library_bytes"]), 0)
        self.assertNotIn("pid", loaded)

    def test_exactly_the_tokens_asked_for_with_their_times(self):
        for count in (1, 2, 40):
            generated = self.client("generate", prompt=PROMPT, gen_tokens=count)
            self.assertEqual((len(generated["tokens"]), len(generated["done_ns"]), len(generated["pieces"])), (count,) * 3)
            self.assertEqual((generated["prompt_tokens"], generated["context_tokens"]), (len(PROMPT), 0))
            times = generated["done_ns"]
            self.assertTrue(times[0] > 0 and all(a < b for a, b in zip(times, times[1:])))
            self.assertNotIn("step_tokens", generated)
        figures = generated["engine_figures"]
        self.assertEqual((figures["prefill_tokens"], figures["decode_tokens"]), (len(PROMPT), 39))
        self.assertGreater(figures["decode_tokens_per_s"], 0)

    def test_a_repeated_prompt_is_computed_again_to_the_same_tokens(self):
        first, second = (self.client("generate", prompt=PROMPT, gen_tokens=24) for _ in range(2))
        self.assertEqual(first["tokens"], second["tokens"])
        self.assertEqual(second["engine_figures"]["prefill_tokens"], len(PROMPT))

    def test_the_whole_context_can_be_used_without_pre_emption(self):
        generated = self.client("generate", prompt=list(range(1, 129)), gen_tokens=128)
        self.assertEqual(len(generated["tokens"]), 128)

    def test_the_pieces_are_the_whole_text(self):
        generated = self.client("generate", prompt=PROMPT, gen_tokens=40)
        pieces = self.client("detokenize", tokens=generated["tokens"])["pieces"]
        self.assertEqual("".join(pieces), "".join(generated["pieces"]))
        ids = self.client("tokenize", text="ab", add_special=False)["tokens"]
        self.assertEqual(self.client("tokenize", text="ab", add_special=True)["tokens"], [256, *ids])

    def test_streaming_says_each_token_as_it_comes(self):
        self.client.said.clear()
        generated = self.client("generate", prompt=PROMPT, gen_tokens=10, stream=True)
        streamed = [reply["token"] for reply in self.client.said]
        self.assertEqual([told["token"] for told in streamed], generated["tokens"])
        self.assertEqual([told["index"] for told in streamed], list(range(10)))

    def test_what_this_engine_cannot_do_is_unsupported(self):
        for words, call in (("context", {"context": [1, 2]}), ("forced", {"forced": [1]})):
            with self.assertRaises(Failure) as caught:
                self.client("generate", prompt=PROMPT, gen_tokens=4, **call)
            self.assertEqual(caught.exception.kind, "unsupported")
            self.assertIn(words, str(caught.exception))
        for words, call in (("vocabulary", {"prompt": [288], "gen_tokens": 4}), ("fit", {"prompt": PROMPT, "gen_tokens": 999})):
            with self.assertRaises(Failure) as caught:
                self.client("generate", **call)
            self.assertEqual(caught.exception.kind, "protocol")
            self.assertIn(words, str(caught.exception))

    def test_score_is_not_offered(self):
        with self.assertRaises(Failure) as caught:
            self.client("score", tokens=[1, 2])
        self.assertEqual(caught.exception.kind, "unsupported")


class Lifetime(unittest.TestCase):
    def test_unload_load_and_leave(self):
        with Client(prepared.ROOT / "lifetime.txt") as client:
            client("load", **prepared.loading())
            client("unload")
            with self.assertRaises(Failure):
                client("generate", prompt=[1], gen_tokens=1)
            client("load", **prepared.loading(ctx_tokens=64))
            self.assertEqual(len(client("generate", prompt=[1], gen_tokens=3)["tokens"]), 3)
            with self.assertRaises(Failure) as caught:
                client("load", **prepared.loading(threads=1))
            self.assertIn("2 threads", str(caught.exception))
            self.assertEqual(client.leave()[0], 0)

    def test_a_depth_by_the_prefix_cache(self):
        with Client(prepared.ROOT / "depth.txt") as client:
            client("load", **prepared.loading(options={"prefix_cache": "radix"}))
            results = [client("generate", context=PROMPT, prompt=[7, 8, 9], gen_tokens=8) for _ in range(2)]
            for generated in results:
                self.assertEqual((generated["prompt_tokens"], generated["context_tokens"]), (3, len(PROMPT)))
            self.assertEqual(results[0]["tokens"], results[1]["tokens"])
            whole = client("generate", prompt=[*PROMPT, 7, 8, 9], gen_tokens=8)
            self.assertEqual(whole["engine_figures"]["prefill_tokens"], len(PROMPT) + 3)
            if not REAL:  # real sums differ in their last bits, which can turn a token
                self.assertEqual(whole["tokens"], results[0]["tokens"])


if __name__ == "__main__":
    unittest.main()
