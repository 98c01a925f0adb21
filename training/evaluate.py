"""Asks the held-out questions and scores the answers, in plain numpy: the exported model as it is, and restored from
8, 4 and 3 bits per weight. Writes scores.json, which the model's card quotes.

    python evaluate.py --model tasks-2.4M            # writes tasks-2.4M/scores.json
    python evaluate.py --checkpoint run/checkpoint.npz --part dev   # while training; prints only
"""

import argparse
import collections
import json
import math
import pathlib
import sys

import numpy as np

import export
import layout
import reference
import tasks
import tokenizer
import words

sys.path.append(str(words.HERE.parent / "evals"))

from tokometer_scores import score

# Of the 95% interval.
Z = 1.959963984540054
CONTEXT = 512
# Reversals of words up to this length are counted once more by themselves.
SHORT = 8


def wilson(right, n):
    """Wilson's interval for a proportion (Wilson, 1927)."""
    p, z2 = right / n, Z * Z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return [round(middle - half, 4), round(middle + half, 4)]


def answers(model, codec, entries):
    """What the model says to each entry, greedily; of `choice`, the choice with the highest log-likelihood."""
    groups = collections.defaultdict(list)
    for i, entry in enumerate(entries):
        for j, choice in enumerate(entry.get("choices", [None])):
            ids = codec.encode(tokenizer.conversation(entry["prompt"]))
            extra = codec.encode(choice) if choice else []
            groups[len(ids), len(extra)].append((i, j, ids + extra))
    said, likelihood = [""] * len(entries), collections.defaultdict(dict)
    end = tokenizer.special_id(tokenizer.END_OF_TURN)
    for (length, extra), members in groups.items():
        rows = np.array([ids for _, _, ids in members])
        if not extra:
            most = max(entries[i]["max_tokens"] for i, _, _ in members)
            for (i, _, _), ids in zip(members, model.greedy(rows, end, most)):
                said[i] = codec.decode(ids)
            continue
        model.reset()
        scores = reference.log_softmax(model.feed(rows[:, :-1]))[:, length - 1 :]
        picked = np.take_along_axis(scores, rows[:, length:, None], axis=-1)[..., 0].sum(axis=1)
        for (i, j, _), value in zip(members, picked):
            likelihood[i][j] = value
    for i, values in likelihood.items():
        said[i] = entries[i]["choices"][max(values, key=values.get)]
    return said


def perplexity(model, codec, text):
    """exp of the mean negative log-likelihood per token, of the second half of each window of 512 tokens, each
    window begun with the token that begins every text (as llama-perplexity does)."""
    ids = codec.encode(text)
    count = len(ids) // CONTEXT
    rows = np.array(ids[: count * CONTEXT]).reshape(count, CONTEXT)
    rows[:, 0] = tokenizer.special_id(tokenizer.BOS)
    total, n = 0.0, 0
    for row in rows:
        model.reset()
        scores = reference.log_softmax(model.feed(row[None, :-1]).astype(np.float64))[0, CONTEXT // 2 - 1 :]
        total -= np.take_along_axis(scores, row[CONTEXT // 2 :, None], axis=-1).sum()
        n += CONTEXT // 2
    return {"perplexity": round(math.exp(total / n), 4), "tokens": n}


def summary(marks):
    """The marks of a set: how many answers got the whole mark, with an interval, and the mean."""
    right = sum(mark == 1 for mark in marks)
    share = {"n": len(marks), "right": right, "share": round(right / len(marks), 4)}
    return {**share, "wilson_95": wilson(right, len(marks)), "mean_score": round(sum(marks) / len(marks), 4)}


def judge(model, codec, sets, texts):
    """Scores of every set and text."""
    found = {}
    for name, entries in sets.items():
        said = zip(entries, answers(model, codec, entries))
        marks = [score(entry["scorer"], entry["answer"], answer) for entry, answer in said]
        found[name] = summary(marks)
        if name == "reverse-text":
            short = [mark for mark, entry in zip(marks, entries) if len(entry["answer"]) <= SHORT]
            found[f"{name} to {SHORT} letters"] = summary(short)
    for name, text in texts.items():
        found[name] = perplexity(model, codec, text)
    return found


def entries_of(task, part):
    """The questions of a part: the published set, or a set made now."""
    if part == "test":
        lines = (tasks.DATA / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()
    else:
        lines = [question.line(i) for i, question in enumerate(tasks.held_out(task, part), 1)]
    return [json.loads(line) for line in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=pathlib.Path, help="exported folder; scores.json is written into it")
    source.add_argument("--checkpoint", type=pathlib.Path, help="checkpoint of a run; scores are printed")
    parser.add_argument("--part", choices=["dev", "test"], default="test")
    parser.add_argument("--bits", default="16,8,4,3", help="16 is as exported")
    args = parser.parse_args()
    if args.model:
        config, weights = export.read(args.model)
        codec = tokenizer.Codec(json.loads((args.model / "tokenizer.json").read_text(encoding="utf-8")))
    else:
        config, codec = layout.CONFIG, tokenizer.Codec()
        with np.load(args.checkpoint) as file:
            weights = {name[2:]: file[name] for name in file.files if name.startswith("0 ")}
    sets = {task: entries_of(task, args.part) for task in tasks.TASKS}
    training, held_out = words.prose()
    texts = {"held-out.txt": held_out, "training text": training[: len(held_out)]}
    scores = {}
    for bits in map(int, args.bits.split(",")):
        restored = weights if bits == 16 else reference.quantized(weights, bits)
        name = "as exported" if bits == 16 else f"{bits} bits, blocks of 32, round to nearest"
        scores[name] = judge(reference.Reference(config, restored), codec, sets, texts)
        print(name, json.dumps(scores[name]), flush=True)
    if args.model:
        about = {"command": f"python evaluate.py --model {args.model.name}", "part": args.part, "z": Z}
        text = json.dumps({**about, "scores": scores}, indent=1)
        (args.model / "scores.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
