"""Python scores as Rust does: the tests of `crates/eval/src/score.rs` read the same table."""

import json
import pathlib
import unittest

import tokometer_scores

TABLE = pathlib.Path(tokometer_scores.__file__).resolve().parent / "scores.jsonl"


class Scores(unittest.TestCase):
    def test_the_table(self):
        for line in TABLE.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            found = tokometer_scores.score(case["scorer"], case["answer"], case["reply"])
            self.assertAlmostEqual(found, case["score"], places=12, msg=line)

    def test_lm_eval_is_given_the_same(self):
        doc = {"scorer": "lcs", "answer": "ace"}
        self.assertEqual(tokometer_scores.process_results(doc, [" abcde\n"]), {"score": 0.75})


if __name__ == "__main__":
    unittest.main()
