"""Text to ids and back, with characters that are split between tokens."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python-protocol"))

from tokometer_tinygrad import tokens  # noqa: E402

TEXT = "The übergroße speedometer 🚀🚀 says: 42 tok/s — naïve?\n" * 12


@unittest.skipUnless(tokens.offered(), "the tokenizers package is not installed")
class Tokens(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        alphabet = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
        made = Tokenizer(models.BPE(vocab=alphabet, merges=[]))  # every byte a token
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        with tempfile.TemporaryDirectory() as folder:
            made.save(f"{folder}/tokenizer.json")
            cls.tokenizer = tokens.Tokenizer.find(Path(folder))

    def test_pieces_join_to_the_text(self):
        ids = self.tokenizer.ids(TEXT, add_special=False)
        self.assertEqual(len(ids), len(TEXT.encode()))
        pieces = self.tokenizer.pieces(ids)
        self.assertEqual(len(pieces), len(ids))
        self.assertEqual("".join(pieces), TEXT)
        self.assertIn("🚀", pieces)

    def test_what_never_ends_is_not_lost(self):
        ids = self.tokenizer.ids("a🚀", add_special=False)
        self.assertEqual(self.tokenizer.pieces(ids[:1]), ["a"])
        self.assertTrue(self.tokenizer.pieces(ids[:3])[-1].startswith("\ufffd"))

    def test_a_file_that_is_none(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "tokenizer.json").write_text("{")
            with self.assertRaises(Exception) as caught:
                tokens.Tokenizer.find(Path(folder))
            self.assertEqual(caught.exception.kind, "model")
            self.assertIsNone(tokens.Tokenizer.find(Path(folder) / "none"))


if __name__ == "__main__":
    unittest.main()
