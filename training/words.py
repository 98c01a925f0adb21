"""The words of the tasks: lists by kind, words of the project's own prose, and made-up ones. What is asked about them
is the business of `tasks`."""

import functools
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
PROSE = HERE.parent / "crates" / "core" / "data" / "prose.txt"
# The story with which the held-out part of the prose begins.
HELD_OUT_FROM = "The Bridge Builder's Three Rules\n"

# What "Which is a KIND" is asked about. No word has two kinds.
KINDS = {
    "animal": "badger bear cat cow dog duck eagle fox goat hen horse lion mouse otter pig rabbit sheep wolf".split(),
    "colour": "black blue brown crimson green grey indigo pink purple red scarlet violet white yellow".split(),
    "fruit": "apple apricot banana cherry fig grape lemon lime mango melon peach pear plum quince".split(),
    "tool": "anvil axe chisel drill file hammer hoe pliers rake saw shovel spade trowel wrench".split(),
    "garment": "apron belt boot cap cloak coat dress glove hat jacket scarf shirt skirt sock".split(),
    "country": "austria brazil canada chile cuba egypt france ghana india japan kenya norway peru spain".split(),
    "drink": "ale beer cider cocoa coffee juice milk mocha punch rum soda tea water wine".split(),
    "vehicle": "barge bicycle boat bus canoe car ferry lorry plane sledge ship tractor train tram".split(),
}

ONSETS = "b c d f g h j k l m n p r s t v w z br cl dr fl gr pl st tr".split()
VOWELS = "a e i o u".split()
CODAS = ["", "", "l", "m", "n", "r", "s", "t", "x", "ck", "nd"]


def prose():
    """The prose that the project ships, as (training part, held-out part)."""
    text = PROSE.read_text(encoding="utf-8")
    at = text.index("\n" + HELD_OUT_FROM) + 1
    return text[:at], text[at:]


@functools.cache
def english():
    """Lower-case words of three to nine letters in the training part of the prose and in the lists, sorted."""
    found = set(re.findall(r"\b[a-z]{3,9}\b", prose()[0]))
    found.update(word for words in KINDS.values() for word in words)
    return sorted(found)


def made_up(rng, length):
    """A word of `length` letters that nobody has said yet: syllables, or any letters."""
    if rng.random() < 0.4:
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(length))
    word = ""
    while len(word) < length:
        word += rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)
    return word[:length]
