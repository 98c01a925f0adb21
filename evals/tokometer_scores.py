"""Scores of Tokometer's task sets: what `crates/eval/src/score.rs` gives, for lm_eval, verifiers and the training.

`scores.jsonl` holds replies with their scores; the tests of both languages ask for the same."""

import re


def lcs(a, b):
    """Length of the longest common subsequence."""
    before = [0] * (len(b) + 1)
    for x in a:
        row = [0]
        for j, y in enumerate(b):
            row.append(before[j] + 1 if x == y else max(row[j], before[j + 1]))
        before = row
    return before[-1]


def score(scorer, answer, reply):
    """0 to 1, blanks around a reply left out. `lcs` gives 2 LCS / (both lengths), the others 1 or 0."""
    reply = reply.strip()
    if scorer == "regex":
        return float(re.search(answer, reply) is not None)
    answer = answer.strip()
    if scorer == "lcs":
        both = len(answer) + len(reply)
        return 2 * lcs(reply, answer) / both if both else 1.0
    return float(reply == answer)


def process_results(doc, results):
    """The score as lm_eval asks for it."""
    return {"score": score(doc["scorer"], doc["answer"], results[0])}
