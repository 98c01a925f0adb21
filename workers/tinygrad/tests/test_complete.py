"""Completions: the tokens of a measurement, log-probabilities, draws, ends, and a cancel while one runs."""

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np

import checkpoints
import reference
from client import Client, Failure

PROMPT = [int(t) for t in np.random.default_rng(9).integers(0, 2048, 70)]


class Complete(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)
        cls.model = cls.path / "tiny"
        cls.weights = checkpoints.write_folder(
            cls.model, checkpoints.TINY, checkpoints.random_weights(checkpoints.TINY), "F32")
        greedy = cls.greedy_of(reference.logits(checkpoints.TINY, cls.weights, PROMPT))
        # The model ends its text with the first token that it generates.
        (cls.model / "generation_config.json").write_text(json.dumps({"eos_token_id": [greedy, 5]}), encoding="utf-8")
        template = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
        (cls.model / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}), encoding="utf-8")
        cls.client = Client(cls.path / "stderr.txt")
        cls.loaded = cls.client("load", model=str(cls.model), ctx_tokens=160, threads=2)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.folder.cleanup()

    @staticmethod
    def greedy_of(logits):
        return int(logits[-1].argmax())

    def complete(self, count, **fields):
        del self.client.said[:]
        answer = self.client("complete", prompt=PROMPT, max_tokens=count, **fields)
        return answer, [reply["token"] for reply in self.client.said]

    def test_what_serving_needs_is_told(self):
        self.assertEqual(self.loaded["chat_template"], "D")
        self.assertEqual(self.loaded["eos"][1], 5)

    def test_greedy_tokens_are_those_of_a_measurement_with_and_without_logits(self):
        measured = self.client("generate", prompt=PROMPT, gen_tokens=20)["tokens"]
        plain, said = self.complete(20, ignore_eos=True)
        self.assertEqual([token["token"] for token in said], measured)
        self.assertEqual((plain["prompt_tokens"], plain["completion_tokens"], plain["finish"]), (70, 20, "length"))
        _, told = self.complete(20, ignore_eos=True, top_logprobs=2)
        self.assertEqual([token["token"] for token in told], measured)

    def test_log_probabilities_are_those_of_the_model(self):
        _, said = self.complete(8, ignore_eos=True, top_logprobs=3, temperature=1.5, seed=4)
        tokens = [token["token"] for token in said]
        logits = reference.logits(checkpoints.TINY, self.weights, PROMPT + tokens[:-1])[len(PROMPT) - 1 :]
        logprobs = logits - logits.max(1, keepdims=True)
        logprobs -= np.log(np.exp(logprobs).sum(1, keepdims=True))
        for place, token in enumerate(said):
            self.assertAlmostEqual(token["logprob"], logprobs[place, token["token"]], delta=2e-4)
            told = [p for _, _, p in token["top"]]
            self.assertEqual(told, sorted(told, reverse=True))
            self.assertAlmostEqual(told[0], logprobs[place].max(), delta=2e-4)

    def test_a_seed_draws_again_and_another_one_otherwise(self):
        draws = [[token["token"] for token in self.complete(24, ignore_eos=True, temperature=2.0, seed=seed)[1]]
                 for seed in (1, 1, 2)]
        self.assertEqual(draws[0], draws[1])
        self.assertNotEqual(draws[0], draws[2])

    def test_the_model_ends_its_text(self):
        answer, said = self.complete(20)
        self.assertEqual((answer["finish"], answer["completion_tokens"], said), ("stop", 1, []))

    def test_a_cancel_ends_it_after_the_current_token(self):
        client = self.client
        client.number += 1
        number = client.number
        for call in ({"id": number, "method": "complete", "prompt": PROMPT, "max_tokens": 90, "ignore_eos": True},
                     {"id": number + 1, "method": "cancel", "call": number}):
            client.process.stdin.write(json.dumps(call) + "\n")
        client.process.stdin.flush()
        client.number += 1
        while "result" not in (reply := json.loads(client.process.stdout.readline())):
            self.assertEqual(reply["id"], number)
        self.assertEqual(reply["result"]["finish"], "cancelled")
        self.assertLess(reply["result"]["completion_tokens"], 90)
        self.assertEqual(self.complete(3, ignore_eos=True)[0]["finish"], "length")

    def test_what_does_not_fit_is_refused(self):
        for fields in ({"prompt": PROMPT, "max_tokens": 92}, {"prompt": [], "max_tokens": 1}, {"prompt": [2048], "max_tokens": 1}):
            with self.assertRaises(Failure) as caught:
                self.client("complete", **fields)
            self.assertEqual(caught.exception.kind, "protocol")


if __name__ == "__main__":
    unittest.main()
