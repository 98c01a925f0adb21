"""The worker computes the same model as a numpy reference in float64: every format, both ways of computing.

Tolerances are on natural logarithms of probabilities, over all positions; the logits have a spread of several units.
"""

import ctypes
import ctypes.util
import tempfile
import unittest
from pathlib import Path

import numpy as np

import checkpoints
import ggml_blocks
import reference
from client import Client

#: 310 positions: five prefill chunks of 64, the last one cut.
SEQUENCE = [int(t) for t in np.random.default_rng(5).integers(0, 2048, 310)]


def opencl_platforms():
    """How many OpenCL platforms there are."""
    library, count = ctypes.util.find_library("OpenCL"), ctypes.c_uint(0)
    if library is None or ctypes.CDLL(library).clGetPlatformIDs(0, None, ctypes.byref(count)) != 0:
        return 0
    return count.value


class Numbers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def check(self, model, config, weights, tolerance=2e-4, **load):
        """Scores a sequence and generates greedily; both must agree with the reference."""
        client = Client(self.path / "stderr.txt")
        try:
            loaded = client("load", **{"model": str(model), "ctx_tokens": 400, "threads": 2, **load})
            self._scores(client, config, weights, tolerance)
            self._greedy(client, config, weights, tolerance)
        finally:
            client.close()
        return loaded

    def _scores(self, client, config, weights, tolerance):
        expected = reference.log_softmax(reference.logits(config, weights, SEQUENCE))[:-1]
        self.assertGreater(expected.std(), 1.0, "the reference's logits are flat: nothing would be tested")
        got = client("score", tokens=SEQUENCE)
        rows = np.arange(len(SEQUENCE) - 1)
        self.assertLess(np.abs(np.array(got["logprobs"]) - expected[rows, SEQUENCE[1:]]).max(), tolerance)
        self.assertLess(np.abs(np.array(got["top_logprobs"]) - expected.max(1)).max(), tolerance)
        chosen = expected[rows, got["top_tokens"]]
        self.assertLess((expected.max(1) - chosen).max(), tolerance)
        self._whole(client, expected, got, tolerance)

    def _whole(self, client, expected, all_scores, tolerance):
        """From the middle of a chunk on, with the whole vocabulary in a file."""
        start, file = 155, self.path / "rows.f32"
        got = client("score", **{"tokens": SEQUENCE, "from": start, "full": str(file)})
        whole = np.fromfile(file, dtype="<f4").reshape(-1, expected.shape[1])
        self.assertEqual(whole.shape[0], len(SEQUENCE) - 1 - start)
        # A row holds a thousand times as many values as there are given tokens, and the tails of their errors reach further.
        off = np.abs(whole - expected[start:])
        self.assertLess(off.max(), 3 * tolerance)
        self.assertLess(np.sqrt((off**2).mean()), tolerance / 2)
        for name in ("logprobs", "top_tokens", "top_logprobs"):
            np.testing.assert_allclose(got[name], all_scores[name][start:], atol=1e-6)

    def _greedy(self, client, config, weights, tolerance):
        prompt = SEQUENCE[:150]
        got = client("generate", prompt=prompt, gen_tokens=100)["tokens"]
        self.assertEqual(len(got), 100)
        expected = reference.logits(config, weights, prompt + got)[len(prompt) - 1 : -1]
        behind = expected.max(1) - expected[np.arange(100), got]
        self.assertLess(behind.max(), tolerance)

    def tiny(self, name, kind="F32", shards=1, changes=None, **switches):
        config = {**checkpoints.TINY, **(changes or {})}
        weights = checkpoints.random_weights(config, **switches)
        return self.path / name, config, checkpoints.write_folder(self.path / name, config, weights, kind, shards)

    def test_default_float32_and_float16_of_a_sharded_model(self):
        model, config, weights = self.tiny("f32", shards=3)
        loaded = self.check(model, config, weights)
        self.assertEqual(loaded["native_quantize"], "float32")
        self.assertEqual(loaded["n_params"], sum(w.size for w in weights.values()))
        self.assertEqual(loaded["weights_bytes"], 4 * loaded["n_params"])
        half = {n: w.astype(np.float16) if w.ndim == 2 else w for n, w in weights.items()}
        loaded = self.check(model, config, half, quantize="float16")
        self.assertEqual(loaded["weights_bytes"], sum(w.nbytes for w in half.values()))

    def test_default_of_bfloat16_with_a_head_of_its_own(self):
        model, config, weights = self.tiny("bf16", "BF16", changes={"tie_word_embeddings": False, "vocab_size": 2047})
        loaded = self.check(model, config, weights, threads=3)
        self.assertEqual(loaded["native_quantize"], "bfloat16, computed in float32")
        self.assertEqual(loaded["weights_bytes"] - loaded["weights_read_bytes"], 2046 * 256 * 2)

    def test_int8_and_nf4_against_the_same_quantization_in_numpy(self):
        model, config, weights = self.tiny("quantized")  # float32: with bfloat16 many weights lie exactly between two codes
        for native, fake in (("int8", reference.fake_int8), ("nf4", reference.fake_nf4)):
            expected = {name: w.astype(np.float16) if "embed" in name else fake(w) if w.ndim == 2 else w
                        for name, w in weights.items()}
            for kernels in ("tokometer", "stock"):
                with self.subTest(native=native, kernels=kernels):
                    self.check(model, config, expected, quantize=native, options={"kernels": kernels})

    def test_qwen2_qwen3_and_linear_scaling(self):
        linear = {"rope_scaling": {"rope_type": "linear", "factor": 3.0}}
        for name, changes, switches in (("qwen2", linear, {"bias": True}), ("qwen3", {"head_dim": 64}, {"qk_norm": True})):
            with self.subTest(model=name):
                self.check(*self.tiny(name, "F16", changes={"model_type": name, **changes}, **switches))

    def test_stock_kernels_with_a_float16_cache(self):
        model, config, weights = self.tiny("stock", "F16")
        loaded = self.check(model, config, weights, options={"kernels": "stock"})
        self.assertEqual(loaded["details"]["kernels"], "stock")
        loaded = self.check(model, config, weights, tolerance=0.02, kv_type="f16")
        self.assertEqual((loaded["kv_type"], loaded["kv_bytes_per_token"]), ("f16", 4 * 2 * 4 * 32 * 2))

    @unittest.skipUnless(opencl_platforms(), "no OpenCL device: PoCL makes one of any processor")
    def test_a_device_that_is_not_the_cpu(self):
        model, config, weights = self.tiny("opencl", "F16", changes={"num_hidden_layers": 1})
        expected = {name: w.astype(np.float16) if "embed" in name else reference.fake_nf4(w) if w.ndim == 2 else w
                    for name, w in weights.items()}
        loaded = self.check(model, config, expected, tolerance=0.02, device="CL", quantize="nf4")
        self.assertEqual((loaded["device"], loaded["kv_type"], loaded["details"]["kernels"]), ("CL", "f16", "stock"))

    def test_gguf_of_every_type(self):
        rng = np.random.default_rng(3)
        pairs = (("Q4_K", "Q6_K"), ("Q8_0", "F16"), ("Q5_K", "Q4_0"), ("BF16", "Q5_0"), ("F32", "Q8_0"))
        for number, kinds in enumerate(pairs):
            with self.subTest(kinds=kinds):
                path, weights = self._gguf(rng, kinds, self.path / f"{number}.gguf")
                self.check(path, checkpoints.TINY, weights)

    def _gguf(self, rng, kinds, path):
        """A llama GGUF whose matrices alternate between two types; the tied embedding has the second."""
        config, weights = checkpoints.TINY, {}
        plain = {"F32": 0, "F16": 1, "BF16": 30}
        tensors = {}
        for i, (name, w) in enumerate(checkpoints.random_weights(config).items()):
            kind = "F32" if w.ndim == 1 else kinds[1] if "embed" in name else kinds[i % 2]
            if kind in plain:
                raw, values = checkpoints.stored(w, kind)
                kept = checkpoints.stored(checkpoints.neighbours(w, 32), kind)[0] if name[-13:] in _TURNED else raw
                tensors[checkpoints.gguf_name(name)] = (plain[kind], w.shape, kept)
            else:
                type_number, raw, values = ggml_blocks.random_matrix(rng, kind, *w.shape)
                if name[-13:] in _TURNED:  # what lies in the file is in the order of neighbours
                    values = values.reshape(-1, 16, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)
                if kind == "Q5_0":  # has no form of its own
                    values = values.astype(np.float16)
                tensors[checkpoints.gguf_name(name)] = (type_number, w.shape, raw)
            weights[name] = values
        factors = (config["rope_theta"] ** (-np.arange(0, 32, 2) / 32) / reference.frequencies(config)).astype(np.float32)
        tensors["rope_freqs.weight"] = (0, factors.shape, factors.tobytes())
        metadata = {
            "general.architecture": "llama", "llama.block_count": 4, "llama.embedding_length": 256,
            "llama.feed_forward_length": 512, "llama.attention.head_count": 8, "llama.attention.head_count_kv": 4,
            "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.freq_base": 10000.0,
            "llama.rope.dimension_count": 32, "tokenizer.ggml.tokens": ["a", "b"], "tokenizer.ggml.bos_token_id": 1,
        }
        checkpoints.write_gguf(path, metadata, tensors)
        return path, weights


_TURNED = ("q_proj.weight", "k_proj.weight")

if __name__ == "__main__":
    unittest.main()
