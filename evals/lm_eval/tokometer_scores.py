"""Scores of Tokometer's task sets for lm_eval: the same as its own."""

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


def process_results(doc, results):
    """0 to 1."""
    reply, answer = results[0].strip(), doc["answer"]
    if doc["scorer"] == "regex":
        return {"score": float(re.search(answer, reply) is not None)}
    answer = answer.strip()
    if doc["scorer"] == "lcs":
        both = len(answer) + len(reply)
        return {"score": 2 * lcs(reply, answer) / both if both else 1.0}
    return {"score": float(reply == answer)}
