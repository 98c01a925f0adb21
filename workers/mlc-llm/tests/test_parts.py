"""The parts that need no engine."""

import contextlib
import io
import json
import os
import struct
import tempfile
import unittest
from pathlib import Path

import prepared  # noqa: F401  sets the cache aside
from tokometer_mlc import devices, durations, environ, errors, links, models, stream, templates, usage
from tokometer_mlc.tokens import Tokenizer
from tokometer_worker import Failed


class Halves:
    """A tokenizer whose ids 6 and 7 are the halves of a character."""

    def encode(self, text):
        return [ord(char) for char in text]

    def decode(self, ids):
        return b"".join({6: b"\xc3", 7: b"\xa9"}.get(i, bytes([i])) for i in ids).decode("utf-8", "replace")


class Parts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_chunks_have_at_least_a_token_and_add_up(self):
        self.assertEqual(stream.tokens_of(["a", "b"], 2), ([1, 1], False))
        self.assertEqual(stream.tokens_of(["a", "é", "b"], 4), ([1, 2, 1], True))
        self.assertEqual(stream.tokens_of(["a", "b"], 5), ([1, 4], True))
        counts, _ = stream.tokens_of(["é", "日本", "x", "é"], 12)
        self.assertEqual(sum(counts), 12)
        self.assertGreater(counts[1], counts[0])
        with self.assertRaises(Failed):
            stream.tokens_of(["a", "b"], 1)

    def test_events_may_be_cut_anywhere(self):
        text = b'data: {"choices":[{"text":"a"}]}\r\n\r\ndata: {"choices":[{"text":"b","finish_reason":"length"}]}\n\n' \
               b'data: {"choices":[],"usage":{"completion_tokens":2}}\n\ndata: [DONE]\n\n'
        for cut in range(1, len(text)):
            read = stream._read([(5, text[:cut]), (9, text[cut:])])
            self.assertEqual(("".join(chunk for _, chunk in read.chunks), read.reason), ("ab", "length"), cut)
            self.assertEqual(read.usage, {"completion_tokens": 2})
            self.assertEqual(read.chunks[-1][0], 9 if cut < text.index(b'data: {"choices":[],') else 5)

    def test_usage_that_tells_nothing_is_no_measurement(self):
        extra = {"prefill_tokens": 4, "decode_tokens": 1, "ttft_s": 0.5}
        good = {"prompt_tokens": 4, "completion_tokens": 2, "extra": extra}
        self.assertEqual(usage.check(good, 4, 0, 2, 2, "length")["ttft_s"], 0.5)
        for bad in (None, {**good, "extra": None}, {**good, "completion_tokens": 3}, {**good, "prompt_tokens": 3},
                    {**good, "extra": {**extra, "decode_tokens": 2}}, {**good, "extra": {**extra, "prefill_tokens": 1}}):
            with self.assertRaises(Failed):
                usage.check(bad, 4, 0, 2, 2, "length")

    def test_headers_of_safetensors_that_lie_are_refused(self):
        header = json.dumps({"__metadata__": {}, "a": {}, "b": {}}).encode()
        file = self.folder / "model.safetensors"
        file.write_bytes(struct.pack("<Q", len(header)) + header)
        self.assertEqual(links.tensors(file), ["a", "b"])
        for damaged in (b"", b"123", struct.pack("<Q", 1 << 62), struct.pack("<Q", 4) + b"nope", struct.pack("<Q", 2) + b"[]"):
            file.write_bytes(damaged)
            with self.assertRaises(Failed):
                links.tensors(file)

    def test_a_checkpoint_is_laid_out_without_its_pickles(self):
        checkpoint = self.folder / "checkpoint"
        checkpoint.mkdir()
        header = json.dumps({"w": {}}).encode()
        for name in ("one.safetensors", "consolidated.safetensors"):
            (checkpoint / name).write_bytes(struct.pack("<Q", len(header)) + header)
        for name in ("config.json", "pytorch_model.bin", ".hidden.json"):
            (checkpoint / name).write_text("{}", encoding="utf-8")
        with links.Links(checkpoint, self.folder) as laid:
            self.assertEqual({path.name for path in laid.iterdir()},
                             {"config.json", "one.safetensors", "model.safetensors.index.json"})
            index = json.loads((laid / "model.safetensors.index.json").read_text(encoding="utf-8"))
            self.assertEqual(index["weight_map"], {"w": "one.safetensors"})
        self.assertFalse(laid.exists())
        self.assertFalse((checkpoint / "model.safetensors.index.json").exists())

    def test_templates_follow_the_chat_template(self):
        for model_type, chat, wanted in (("llama", "<|start_header_id|>", "llama-3_1"), ("llama", "[INST]", "llama-2"),
                                         ("mistral", "[INST]", "mistral_default"), ("qwen3", "<|im_start|>", "qwen3"),
                                         ("other", "<|im_start|>", "chatml"), ("llama", "", "LM")):
            (self.folder / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
            (self.folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": chat}), encoding="utf-8")
            self.assertEqual(templates.choose(self.folder), wanted)

    def test_pieces_join_to_the_text_however_long(self):
        tokenizer = Tokenizer(Halves(), self.folder)
        ids = [97, 6, 7, 98, 6] * 40 + [6]
        pieces = tokenizer.pieces(ids)
        self.assertEqual(len(pieces), len(ids))
        self.assertEqual(pieces[:4], ["a", "", "é", "b"])
        self.assertEqual("".join(pieces), Halves().decode(ids))

    def test_durations_are_remembered_and_scaled(self):
        os.environ["TOKOMETER_CACHE"], before = str(self.folder), os.environ["TOKOMETER_CACHE"]
        self.addCleanup(os.environ.__setitem__, "TOKOMETER_CACHE", before)
        self.assertEqual(durations.expected("compile", "cpu", 4, 0.1)[1], "an estimate")
        durations.remember("compile", "cpu", 4, 0.1, 50)
        seconds, source = durations.expected("compile", "cpu", 4, 0.1)
        self.assertEqual((round(seconds), source), (50, "as measured here before"))
        self.assertGreater(durations.expected("compile", "cpu", 16, 1)[0], 60)
        self.assertEqual(durations.expected("compile", "cuda", 4, 1)[1], "an estimate")
        (self.folder / "mlc_llm" / "durations.json").write_text("[", encoding="utf-8")
        self.assertEqual(durations.expected("compile", "cpu", 4, 0.1)[1], "an estimate")
        self.assertEqual((durations.words(40), durations.words(200)), ("40 s", "3 min"))

    def test_bytes_of_a_model_are_counted_as_they_lie_in_memory(self):
        def record(name, shape, dtype, form="raw"):
            return {"name": name, "shape": shape, "dtype": dtype, "format": form, "nbytes": 1}

        config = {"quantization": "q0f32", "vocab_size": 10,
                  "model_config": {"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 32}}
        tensors = {r["name"]: r for r in (record("model.embed_tokens.weight", [10, 4], "float32", "f32-to-bf16"),
                                          record("lm_head.weight", [10, 4], "float32"), record("x.weight", [4, 4], "float16"))}
        model = models.Model(self.folder, None, config, tensors, {"ParamBytes": 352.0, "BitsPerParam": 29.333333}, {}, None)
        self.assertEqual((model.weights_bytes(), model.weights_read_bytes()), (352, 352 - 160 + 16))
        self.assertEqual((model.parameters(), model.kv_bytes_per_token()), (96, 2 * 2 * 8 * 3 * 4))
        self.assertEqual(model.native_words(), "q0f32 (weights rounded to bfloat16)")
        tied = {name: r for name, r in tensors.items() if name != "lm_head.weight"}
        model = models.Model(self.folder, None, config, tied, {}, {}, None)
        self.assertEqual((model.weights_read_bytes(), model.parameters()), (192, None))

    def test_names_of_devices(self):
        self.assertEqual([devices.plain(name) for name in ("CUDA0", "cuda:0", "cuda", "cuda:1", "cuda10")],
                         ["cuda", "cuda", "cuda", "cuda1", "cuda10"])

    def test_long_errors_are_cut_in_the_middle(self):
        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            failed = errors.told(RuntimeError("begin " + "x" * 5000 + " end"))
            kinds = [errors.told(error).kind for error in (FileNotFoundError("x"), RuntimeError("CUDA: out of memory"))]
        self.assertGreater(len(stderr.getvalue()), 5000)
        self.assertLess(len(failed.message), 700)
        self.assertTrue(failed.message.startswith("RuntimeError: begin") and failed.message.endswith("end"))
        self.assertEqual(kinds, ["model", "out_of_memory"])

    def test_variables_leave_what_the_user_set(self):
        os.environ["TVM_BIND_THREADS"] = "1"
        self.addCleanup(os.environ.pop, "TVM_BIND_THREADS")
        told = environ.variables(3)
        self.assertEqual((told["TVM_NUM_THREADS"], told["TVM_BIND_THREADS"], told["MLC_JIT_POLICY"]), ("3", "1", "OFF"))


if __name__ == "__main__":
    unittest.main()
