"""Draws and the largest values, without tinygrad."""

import sys
import unittest
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python-protocol"))

from tokometer_tinygrad.sampling import Sampler, largest  # noqa: E402

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))


class Sampling(unittest.TestCase):
    def shares(self, temperature, top_p, draws=4000):
        sampler = Sampler(temperature, top_p, 3, None)
        counts = Counter(sampler.choose(LOGITS)[0] for _ in range(draws))
        return [counts[i] / draws for i in range(4)]

    def test_draws_follow_the_probabilities(self):
        for share, wanted in zip(self.shares(1.0, 1.0), (0.5, 0.3, 0.15, 0.05)):
            self.assertAlmostEqual(share, wanted, delta=0.04)

    def test_temperature_sharpens(self):
        squares = np.array([0.25, 0.09, 0.0225, 0.0025])
        for share, wanted in zip(self.shares(0.5, 1.0), squares / squares.sum()):
            self.assertAlmostEqual(share, wanted, delta=0.04)

    def test_top_p_keeps_as_few_as_reach_it(self):
        self.assertEqual([share > 0 for share in self.shares(1.0, 0.75)], [True, True, False, False])
        self.assertEqual(self.shares(1.0, 0.1), [1, 0, 0, 0])

    def test_log_probabilities_are_of_the_model_whatever_the_temperature(self):
        token, logprob, top = Sampler(0.0, 1.0, 0, 2).choose(LOGITS)
        self.assertEqual((token, [i for i, _ in top]), (0, [0, 1]))
        self.assertAlmostEqual(logprob, float(np.log(0.5)), places=6)
        self.assertEqual(Sampler(0.0, 1.0, 0, None).choose(LOGITS), (0, None, []))

    def test_the_first_of_equals_is_told_first(self):
        self.assertEqual(list(largest(np.array([1.0, 3.0, 3.0, 2.0]), 3)), [1, 2, 3])
        self.assertEqual(list(largest(np.array([1.0]), 9)), [0])

    def test_nonsense_is_an_error(self):
        with self.assertRaises(Exception) as caught:
            Sampler(1.0, 1.0, 0, None).choose(np.array([np.nan, 1.0], dtype=np.float32))
        self.assertEqual(caught.exception.kind, "engine")


if __name__ == "__main__":
    unittest.main()
