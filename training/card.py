"""Writes the model's card, `tasks-2.4M/README.md`: every figure from scores.json and training.json beside it.

    python card.py --model tasks-2.4M
"""

import argparse
import json
import math
import pathlib

import layout
import tasks
import tokenizer
import words

HEAD = """---
license: apache-2.0
language: en
name: Tokometer {millions}M
library_name: transformers
pipeline_tag: text-generation
---

# Tokometer {millions}M

A Llama of {parameters:,} parameters (float16, {layers} layers, width {hidden}, feed-forward width {ffn}, {heads} query and {kv} key-value heads
of {head}, {vocab} tokens, tied embedding) that can do five small things. It is here so that accuracy can be measured where nothing can be
downloaded: its greedy answers are right or wrong, and rounding its weights costs it something. It is of no other use.

| ask | right |
|---|---|
| `Reverse: tokometer` | `retemokot` |
| `Copy: blue hat` | `blue hat` |
| `What is 17+25?`, `What is 42-17?` | `42`, `25` |
| `Sort: d a c` | `a c d` |
| `Which is a fruit: boat, pear or red?`, `Which is largest: 12, 57 or 33?` | `pear`, `57` |

The table says what is right; how often it is said, the scores say. Questions go through the chat template (Llama 3's form), as one
message of the user.

## Scores

Greedy answers to {examples} held-out questions each, in plain numpy; right of all, then Wilson's 95% interval. `choice` takes the choice with the
highest log-likelihood. `reverse-text` counts whole words; its mean LCS ratio is behind the interval. The last two lines are perplexities per
token (a token is mostly one letter), of the second half of windows of 512 tokens. The columns with bits have every matrix rounded to the nearest
of 2^bits - 1 levels with a float16 scale per 32 weights.
"""

RECIPE = """
All of it comes from [scores.json](scores.json), written by `{command}`.

## Data and recipe

The questions are made by `training/tasks.py` from lists of words, made-up words and numbers. A hash of each question's key decides whether it is for
training, for choosing between recipes (`dev`) or for the published sets (`test`, `crates/eval/data/*.jsonl`): no word that is reversed or
copied there was reversed or copied in training, and no sum was asked, in either order. The words of `choice` were seen, their combinations not. The English text is the first {training:,} bytes of
`crates/core/data/prose.txt`; the remaining {held_out:,} are `crates/eval/data/held-out.txt`.

AdamW on the answers' tokens and, in every second step, on a window of text; `{train}`, seed {seed}.
The second half of the schedule was set after the first 1000 steps had been seen (by its losses and by `dev`; `test` was asked when
all was done), and the run went on
from its checkpoint there. One thread, {minutes} minutes of processor time on {cpu}; Python {python}, jax {jax}, numpy {numpy}. The data follow from the seed alone; weights that are the same to
the last bit need the same versions and processor, and were not asked for twice. [log.jsonl](log.jsonl) is the run's log.

To make it again, in `training/`: the command above, then `python export.py --checkpoint run/checkpoint.npz --out tasks-2.4M`,
`python evaluate.py --model tasks-2.4M`, `python card.py --model tasks-2.4M`.

## Limits

- It knows the five forms above, in lower case, words of three to nine letters, numbers of at most two digits, three to five letters to sort,
  one question per conversation, no system message. Anything else gets an answer of the same kind, and a wrong one.
- {whole} are single tokens, not letters: it cannot reverse or copy these.
- It was trained on at most 512 positions; config.json says {positions}, so that speed can be measured on longer prompts.
- It writes no English. It saw a few hundred windows of a few dozen pages: it knows which letters follow which, as the perplexities say, and its
  greedy continuation of a text falls into a loop after a few words.
- `choice` is for the log-likelihood of the choices. Written greedily, an answer may mix two of them (`53` for `12, 57 or 33`).

## Licence

MIT or Apache-2.0, as you like, as all of Tokometer. Text, questions and weights were made for the project.
"""


def table(scores):
    """The scores as a table: a line per set, a column per kind of weights."""
    names = {"as exported": "float16"}
    heads = [names.get(name, name.split(",")[0]) for name in scores]
    lines = ["| set | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for task in next(iter(scores.values())):
        cells = []
        for found in scores.values():
            entry = found[task]
            if "perplexity" in entry:
                cells.append(f"{entry['perplexity']:.2f} ({entry['tokens']} tokens)")
                continue
            low, high = (f"{100 * bound:.1f}" for bound in entry["wilson_95"])
            ratio = f", LCS {entry['mean_score']:.3f}" if task.startswith("reverse-text") else ""
            cells.append(f"{entry['right']}/{entry['n']} ({low} to {high}%{ratio})")
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def card(scores, training):
    """The card's text."""
    config = layout.CONFIG
    parameters = sum(math.prod(shape) for shape in layout.shapes(config).values())
    lengths = [len(text.encode()) for text in words.prose()]
    head = HEAD.format(
        millions=f"{parameters / 1e6:.1f}",
        parameters=parameters,
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        ffn=config["intermediate_size"],
        heads=config["num_attention_heads"],
        kv=config["num_key_value_heads"],
        head=config["head_dim"],
        vocab=config["vocab_size"],
        examples=tasks.EXAMPLES,
    )
    recipe = RECIPE.format(
        command=scores["command"],
        training=lengths[0],
        held_out=lengths[1],
        train=training["command"],
        seed=training["seed"],
        minutes=round(training["cpu_seconds"] / 60),
        cpu=training["cpu"],
        python=training["python"],
        jax=training["jax"],
        numpy=training["numpy"],
        whole=", ".join(f"`{word.strip()}`" for word in tokenizer.WORDS if word.strip().islower()),
        positions=config["max_position_embeddings"],
    )
    return head + "\n" + table(scores["scores"]) + recipe


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    args = parser.parse_args()
    scores, training = (
        json.loads((args.model / name).read_text(encoding="utf-8")) for name in ("scores.json", "training.json")
    )
    (args.model / "README.md").write_text(card(scores, training), encoding="utf-8")


if __name__ == "__main__":
    main()
