"""Converting and compiling, with the stand-in and with the real tools."""

import json
import unittest

import checkpoints
import prepared
from client import REAL, Client, Failure


class Prepare(unittest.TestCase):
    def test_weights_and_library_are_made_and_the_checkpoint_is_left_alone(self):
        before = sorted(path.name for path in prepared.checkpoint().iterdir())
        library, said = prepared.model()
        self.assertEqual(sorted(path.name for path in prepared.checkpoint().iterdir()), before)
        weights = prepared.ROOT / "weights"
        names = {path.name for path in weights.iterdir()}
        self.assertTrue({"mlc-chat-config.json", "tokenizer.json", "params_shard_0.bin"} <= names, names)
        self.assertFalse([name for name in names if name.startswith(".")])
        self.assertGreater((library / "lib.so").stat().st_size, 0)
        config = json.loads((weights / "mlc-chat-config.json").read_text(encoding="utf-8"))
        self.assertEqual((config["quantization"], config["vocab_size"]), (prepared.NATIVE, 288))
        self.assertEqual(config["conv_template"]["name"], "llama-3_1")

    def test_the_time_is_told_before_it_begins_and_while_it_runs(self):
        said = prepared.model()[1]
        told = [step["stage"] for step in said if "total" not in step]
        self.assertEqual(len(told), 2)
        self.assertTrue("converting" in told[0] and "about" in told[0] and "estimate" in told[0], told)
        self.assertTrue("compiling" in told[1] and "once for each device" in told[1], told)
        self.assertTrue(all(step["done"] <= step["total"] for step in said if "total" in step))

    def test_a_checkpoint_without_weights_or_configuration_is_refused(self):
        with Client(prepared.ROOT / "refused.txt") as client:
            for name, kept in (("no-config", "model.safetensors"), ("no-weights", "config.json")):
                folder = prepared.ROOT / name
                folder.mkdir()
                (folder / kept).write_bytes((prepared.checkpoint() / kept).read_bytes())
                with self.assertRaises(Failure) as caught:
                    client("quantize", input=str(folder), output=str(prepared.ROOT / "nothing"), native="q0f16", threads=1)
                self.assertEqual(caught.exception.kind, "model")

    def test_an_index_that_is_there_is_used(self):
        folder = checkpoints.write(prepared.ROOT / "indexed", index=True)
        with Client(prepared.ROOT / "indexed.txt") as client:
            made = client("quantize", input=str(folder), output=str(prepared.ROOT / "indexed-weights"), native="q0f16", threads=2)
        self.assertGreater(made["bytes"], 0)
        self.assertGreater(made["elapsed_ns"], 0)

    def test_a_format_that_this_version_lacks_is_its_own_error(self):
        with Client(prepared.ROOT / "format.txt") as client, self.assertRaises(Failure) as caught:
            client("quantize", input=str(prepared.checkpoint()), output=str(prepared.ROOT / "q9"), native="q9f99_9", threads=1)
        self.assertEqual(caught.exception.kind, "unsupported")
        self.assertIn("q9f99_9", str(caught.exception))

    @unittest.skipIf(REAL, "needs the stand-in")
    def test_failing_tools_say_their_last_words(self):
        for fault, call, words in (
            ("fail_convert", ("quantize", {"input": str(prepared.checkpoint()), "native": "q0f16"}), "Parameter not found"),
            ("fail_compile", ("compile", {"model": str(prepared.ROOT / "weights"), "device": "cpu", "ctx_tokens": 64,
                                          "prefill_chunk": 8}), "no code for this processor"),
        ):
            prepared.model()
            with Client(prepared.ROOT / f"{fault}.txt", fault) as client, self.assertRaises(Failure) as caught:
                client(call[0], output=str(prepared.ROOT / fault), threads=1, **call[1])
            self.assertEqual(caught.exception.kind, "engine")
            self.assertIn(words, str(caught.exception))

    @unittest.skipIf(REAL, "needs the stand-in")
    def test_a_version_without_the_template_gets_the_plain_one(self):
        output = prepared.ROOT / "plain"
        with Client(prepared.ROOT / "plain.txt", "no_templates") as client:
            client("quantize", input=str(prepared.checkpoint()), output=str(output), native="q0f16", threads=1)
        config = json.loads((output / "mlc-chat-config.json").read_text(encoding="utf-8"))
        self.assertEqual(config["conv_template"]["name"], "LM")


class Loading(unittest.TestCase):
    def refused(self, kind, words, **load):
        with Client(prepared.ROOT / "loading.txt") as client, self.assertRaises(Failure) as caught:
            client("load", **prepared.loading(**load))
        self.assertEqual(caught.exception.kind, kind, caught.exception)
        self.assertIn(words, str(caught.exception))

    def test_settings_that_do_not_fit_the_library(self):
        self.refused("unsupported", "context of 2048", ctx_tokens=2048)
        self.refused("unsupported", "not 65", ubatch=65)
        self.refused("unsupported", "attention", flash_attn=True)
        self.refused("unsupported", "f16", kv_type="f16")
        self.refused("unsupported", "q0f16", quantize="q0f16")
        self.refused("unsupported", "gpu_layers", options={"gpu_layers": "3"})
        self.refused("unsupported", "via", options={"via": "pigeon"})
        self.refused("unsupported", "no device", device="metal")
        self.refused("model", "mlc-chat-config.json", model=str(prepared.checkpoint()))
        self.refused("model", "no compiled library", model=str(prepared.model()[0].parent / "weights"))

    def test_a_library_for_another_processor_never_reaches_the_engine(self):
        library = prepared.ROOT / "other"
        library.mkdir()
        (library / "lib.so").write_bytes((prepared.model()[0] / "lib.so").read_bytes())
        with Client(prepared.ROOT / "other.txt") as client:
            hello = client("hello", protocol=2)
        prepared.write_joined(library, hello, {"processor": "abacus"})
        self.refused("model", "abacus", model=str(library))

    def test_damaged_files_are_named(self):
        library = prepared.ROOT / "damaged"
        library.mkdir()
        (library / "compiled.json").write_text('{"weights": 3}', encoding="utf-8")
        self.refused("model", "damaged", model=str(library))
        (library / "compiled.json").write_text('{"weights": "../weights", "library": "gone.so"}', encoding="utf-8")
        self.refused("model", "gone.so", model=str(library))


if __name__ == "__main__":
    unittest.main()
