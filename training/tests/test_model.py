"""The model and its files: JAX and numpy compute the same, and the folder says what the code says."""

import json
import pathlib
import re
import tempfile
import unittest

import numpy as np

import evaluate
import export
import layout
import reference
import tasks
import tokenizer

MODEL = pathlib.Path(export.__file__).resolve().parent / "tasks-2.4M"

try:
    import jax  # noqa: F401

    import model
except ImportError:
    model = None


class Tokens(unittest.TestCase):
    def setUp(self):
        self.codec = tokenizer.Codec()

    def test_texts_come_back(self):
        for text in ["Reverse: tokometer", "What is 17+25?", "Café, naïve — 日本 🙂\n\n  ok", "user assistant of the and"]:
            self.assertEqual(self.codec.decode(self.codec.encode(text)), text)
            self.assertEqual(self.codec.encode(text, bos=True)[0], tokenizer.special_id(tokenizer.BOS))

    def test_letters_and_digits_are_single_tokens(self):
        prompt = self.codec.encode(tokenizer.conversation("Reverse: tokometer"))
        self.assertEqual(len(prompt), 5 + 2 + 1 + len("tokometer") + 5)
        self.assertEqual(len(self.codec.encode("1234567")), 7)

    def test_every_id_has_a_token_and_none_is_missing(self):
        self.assertEqual(self.codec.inner.get_vocab_size(), tokenizer.size())
        self.assertEqual(sorted(self.codec.inner.get_vocab().values()), list(range(tokenizer.size())))

    def test_whole_words_are_single_tokens(self):
        for word in tokenizer.WORDS:
            self.assertEqual(len(self.codec.encode(word)), 1, repr(word))

    def test_the_template_makes_the_conversation_of_the_training(self):
        try:
            import jinja2
        except ImportError:
            self.skipTest("jinja2 is not installed")
        template = jinja2.Template(tokenizer.CHAT_TEMPLATE)
        messages = [{"role": "user", "content": " Sort: d a c\n"}]
        said = template.render(bos_token=tokenizer.BOS, messages=messages, add_generation_prompt=True)
        self.assertEqual(said, tokenizer.conversation("Sort: d a c"))


class Numbers(unittest.TestCase):
    def setUp(self):
        config = {**layout.CONFIG, "num_hidden_layers": 2}
        rng = np.random.default_rng(5)
        self.config = config
        self.weights = {
            name: (rng.standard_normal(shape) * 0.1 + (len(shape) == 1)).astype(np.float32)
            for name, shape in layout.shapes(config).items()
        }
        self.ids = rng.integers(0, config["vocab_size"], (3, 21))

    def test_a_cache_changes_nothing_and_later_tokens_do_not_count(self):
        whole = reference.Reference(self.config, self.weights, np.float64).feed(self.ids)
        parts = reference.Reference(self.config, self.weights, np.float64)
        said = np.concatenate([parts.feed(self.ids[:, a:b]) for a, b in [(0, 9), (9, 10), (10, 21)]], axis=1)
        np.testing.assert_allclose(said, whole, atol=1e-9)

    @unittest.skipIf(model is None, "jax is not installed")
    def test_jax_computes_what_numpy_computes(self):
        expected = reference.Reference(self.config, self.weights, np.float64).feed(self.ids)
        said = np.asarray(model.logits(self.config, self.weights, self.ids))
        self.assertGreater(np.abs(expected).max(), 1)
        np.testing.assert_allclose(said, expected, atol=1e-3)

    def test_rounding_errs_by_half_a_step_at_most(self):
        w = self.weights["model.embed_tokens.weight"]
        for bits in (8, 4, 3):
            step = np.abs(w.reshape(-1, 32)).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
            wrong = np.abs(reference.round_to_nearest(w, bits) - w).reshape(-1, 32)
            self.assertTrue((wrong <= step * 0.502).all())
            self.assertGreater(wrong.max(), 0.4 * step.min())

    def test_safetensors_come_back(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / export.WEIGHTS).write_bytes(export.safetensors(self.weights))
            (folder / "config.json").write_text(json.dumps(self.config), encoding="utf-8")
            config, weights = export.read(folder)
        self.assertEqual(config, self.config)
        self.assertEqual(set(weights), set(self.weights))
        for name, w in weights.items():
            np.testing.assert_allclose(w, self.weights[name], rtol=1e-3, atol=1e-6)

    def test_matrices_have_the_rows_of_k_quants(self):
        for name, shape in layout.shapes(layout.CONFIG).items():
            self.assertEqual(shape[-1] % 256, 0, name)


class Shipped(unittest.TestCase):
    """The folder that is in the repository."""

    def test_small_files_are_what_export_writes(self):
        for name, content in export.small_files().items():
            self.assertEqual(json.loads((MODEL / name).read_text(encoding="utf-8")), content, name)

    def test_it_answers(self):
        config, weights = export.read(MODEL)
        said = reference.Reference(config, weights)
        codec = tokenizer.Codec(json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8")))
        entries = [json.loads(question.line(i)) for i, question in enumerate(tasks.held_out("copy", "dev", 20))]
        answers = evaluate.answers(said, codec, entries)
        marks = [evaluate.score(e["scorer"], e["answer"], a) for e, a in zip(entries, answers)]
        self.assertGreaterEqual(sum(marks), 16)

    @unittest.skipIf(model is None, "jax is not installed")
    def test_jax_and_numpy_agree_on_it(self):
        config, weights = export.read(MODEL)
        codec = tokenizer.Codec()
        ids = np.array([codec.encode(tokenizer.conversation("What is 17+25?") + "42")])
        expected = reference.Reference(config, weights, np.float64).feed(ids)
        np.testing.assert_allclose(np.asarray(model.logits(config, weights, ids)), expected, atol=1e-3)

    def test_the_card_quotes_the_scores(self):
        card = (MODEL / "README.md").read_text(encoding="utf-8")
        scores = json.loads((MODEL / "scores.json").read_text(encoding="utf-8"))["scores"]
        for found in scores.values():
            for task, entry in found.items():
                figure = f"{entry['right']}/{entry['n']}" if "n" in entry else f"{entry['perplexity']:.2f}"
                self.assertRegex(card, rf"(?m)^\| {re.escape(task)} .*{re.escape(figure)}")


if __name__ == "__main__":
    unittest.main()
