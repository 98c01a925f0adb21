"""What the model sees at a step: questions with their answers in rows of three lengths, and windows of plain text.
A step's data follow from the seed and its number alone, so that a run which was interrupted goes on as it would have."""

import random

import numpy as np

import tasks
import tokenizer
import words

# Of each step: (row length, rows, tasks by weight). Rows hold every question of their tasks.
ROWS = [
    (24, 32, {"arithmetic": 1}),
    (32, 32, {"reverse-text": 6, "copy": 3, "sort": 3}),
    (52, 8, {"choice": 1}),
]
# From this step on there are half as many sums again: they are learnt last.
MORE_SUMS_FROM = 1000
TEXT_LENGTH = 512
# A window of text goes into every second step: a text this short is soon known by heart.
TEXT_EVERY = 2


def row(codec, question, length):
    """Ids [length + 1] and the weight of each prediction [length]: 1 where the answer and its end are predicted."""
    before = codec.encode(tokenizer.conversation(question.prompt))
    after = codec.encode(question.answer + tokenizer.END_OF_TURN)
    ids = before + after
    if len(ids) > length + 1:
        raise ValueError(f"{question.prompt!r} has {len(ids)} tokens, a row of its task {length + 1}")
    padding = length + 1 - len(ids)
    end = tokenizer.special_id(tokenizer.END_OF_TEXT)
    return ids + [end] * padding, [0] * (len(before) - 1) + [1] * len(after) + [0] * padding


class Data:
    """The training data."""

    def __init__(self, seed):
        self.seed = seed
        self.codec = tokenizer.Codec()
        training, held_out = words.prose()
        self.text = np.array(self.codec.encode(training), np.int32)
        self.unseen = np.array(self.codec.encode(held_out), np.int32)

    def step(self, number):
        """A list of (ids [rows, length + 1], weights [rows, length]): the questions, then perhaps the text."""
        rng = random.Random(f"{self.seed} step {number}")
        found = []
        for length, rows, mix in ROWS:
            if "arithmetic" in mix and number >= MORE_SUMS_FROM:
                rows += rows // 2
            names = rng.choices(list(mix), weights=list(mix.values()), k=rows)
            pairs = [row(self.codec, tasks.draw(name, rng, "train"), length) for name in names]
            found.append(tuple(np.array(part, np.int32) for part in zip(*pairs)))
        if number % TEXT_EVERY == 0:
            found.append(windows(self.text, [rng.randrange(len(self.text) - TEXT_LENGTH)]))
        return [(ids, weights.astype(np.float32)) for ids, weights in found]


def windows(text, starts):
    """Windows of a text, each after the token that begins every text."""
    bos = tokenizer.special_id(tokenizer.BOS)
    ids = np.array([[bos, *text[at : at + TEXT_LENGTH]] for at in starts], np.int32)
    return ids, np.ones((len(starts), TEXT_LENGTH), np.int32)
