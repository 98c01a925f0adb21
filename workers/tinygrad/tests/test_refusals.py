"""Every wrong request and damaged file gets an answer of the right kind, and the worker stays."""

import json
import os
import tempfile
import unittest
from pathlib import Path

import checkpoints
from client import Client, Failure


class Refusals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)
        cls.model = cls.path / "tiny"
        cls.config, cls.weights = checkpoints.write_tiny(cls.model, num_hidden_layers=1)
        cls.client = Client(cls.path / "stderr.txt")

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.folder.cleanup()

    def refused(self, kind, words, **load):
        with self.assertRaises(Failure) as caught:
            self.client("load", **{"model": str(self.model), "ctx_tokens": 64, **load})
        self.assertEqual(caught.exception.kind, kind, caught.exception)
        self.assertIn(words, str(caught.exception))

    def changed(self, name, **changes):
        """A folder with another config.json."""
        folder = self.path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({**self.config, **changes}))
        os.link(self.model / "model.safetensors", folder / "model.safetensors")
        return str(folder)

    def test_settings_that_this_engine_lacks(self):
        self.refused("unsupported", "nf4", quantize="Q4_K_M")
        self.refused("unsupported", "gpu_layers", options={"gpu_layers": "3"})
        self.refused("unsupported", "kernels", options={"kernels": "fast"})
        self.refused("unsupported", "flash", flash_attn=True)
        self.refused("unsupported", "q8_0", kv_type="q8_0")
        self.refused("protocol", "ctx_tokens", ctx_tokens=0)
        self.refused("protocol", "threads", threads=0)

    def test_models_that_are_not_there_or_not_known(self):
        self.refused("model", "there is no", model=str(self.path / "nothing"))
        self.refused("model", "config.json", model=str(self.path))
        self.refused("unsupported", "mamba", model=self.changed("mamba", model_type="mamba"))
        self.refused("unsupported", "yarn", model=self.changed("yarn", rope_scaling={"rope_type": "yarn", "factor": 2.0}))
        self.refused("unsupported", "gelu", model=self.changed("gelu", hidden_act="gelu"))
        self.refused("unsupported", "window", model=self.changed("window", sliding_window=32))
        self.refused("model", "nonsense", model=self.changed("empty", hidden_size=None))
        self.refused("model", "configuration says", model=self.changed("vocab", vocab_size=2049))
        self.refused("model", "layers.1", model=self.changed("layers", num_hidden_layers=2))

    def test_damaged_safetensors(self):
        whole = (self.model / "model.safetensors").read_bytes()
        length = int.from_bytes(whole[:8], "little")
        far = whole[8 : 8 + length].replace(b'"data_offsets": [0,', b'"data_offsets": [9,')
        damaged = {
            "cut": whole[:-1], "stub": whole[:5], "long": (1 << 62).to_bytes(8, "little") + whole[8:],
            "noise": whole[:8] + b"x" * length + whole[8 + length :], "shifted": whole[:8] + far + whole[8 + length :],
        }
        for name, content in damaged.items():
            with self.subTest(damage=name):
                folder = self.path / f"damaged-{name}"
                folder.mkdir()
                (folder / "config.json").write_text(json.dumps(self.config))
                (folder / "model.safetensors").write_bytes(content)
                self.refused("model", "safetensors", model=str(folder))
        folder = self.path / "outside"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(self.config))
        (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../tiny/model.safetensors"}}')
        self.refused("model", "outside", model=str(folder))

    def test_damaged_gguf(self):
        path = self.path / "model.gguf"
        metadata = {"general.architecture": "llama", "tokenizer.ggml.tokens": ["a", "bc"], "llama.block_count": 1}
        checkpoints.write_gguf(path, metadata, {"token_embd.weight": (0, (4, 8), bytes(128))})
        whole = path.read_bytes()
        self.refused("model", "llama.embedding_length", model=str(path))
        for place in range(0, len(whole) - 1, 7):
            path.write_bytes(whole[:place])
            self.refused("model", "model.gguf", model=str(path))
        for place in (8, 16, 24):  # counts and lengths that the file cannot hold
            path.write_bytes(whole[:place] + b"\xff" * 8 + whole[place + 8 :])
            self.refused("model", "model.gguf", model=str(path))

    def test_the_worker_still_works(self):
        self.client("load", model=str(self.model), ctx_tokens=16)
        self.assertEqual(len(self.client("generate", prompt=[1], gen_tokens=2)["tokens"]), 2)

    def test_without_clang_the_way_out_is_named(self):
        client = Client(self.path / "without.txt", PATH=str(self.path), CC="", DEV="")
        try:
            lack = client("hello", protocol=2)["build"]["clang"]
            self.assertTrue(lack.startswith("not found: ") and "apt-get install clang" in lack, lack)
            with self.assertRaises(Failure) as caught:
                client("load", model=str(self.model), ctx_tokens=16, device="CPU")
            self.assertEqual(caught.exception.kind, "unsupported")
            self.assertIn("apt-get install clang", str(caught.exception))
        finally:
            client.close()

    def test_a_variable_that_tinygrad_cannot_read_is_explained(self):
        client = Client(self.path / "variable.txt", DEBUG="app:*")
        try:
            with self.assertRaises(Failure) as caught:
                client("load", model=str(self.model), ctx_tokens=16)
            self.assertIn("app:*", str(caught.exception))
        finally:
            client.close()

    def test_the_kernel_cache_is_ours_and_warms_the_next_start(self):
        cache = self.path / "cache"
        started = []
        for _ in range(2):
            client = Client(self.path / "cache.txt", TOKOMETER_CACHE=str(cache))
            started.append(client("load", model=str(self.model), ctx_tokens=16, threads=1)["details"]["jit"])
            self.assertEqual(client.close(), 0)
        self.assertEqual(started, ["cold", "warm"])
        self.assertEqual(len(list((cache / "tinygrad").glob("kernels-*.db"))), 1)


if __name__ == "__main__":
    unittest.main()
