"""The tasks that the model learns, and the held-out sets that `tokometer eval` asks.

Every question has a key, and a hash of the key decides for which part it is (`train`, `dev`, `test`), so that the parts
are disjoint whatever the seeds: a word whose reversal is in a test set is reversed or copied nowhere in training, and a
sum is not asked there with its terms swapped either.

    python tasks.py        # writes crates/eval/data/*.jsonl and held-out.txt
"""

import dataclasses
import hashlib
import json
import pathlib
import random

import tokenizer
import words

DATA = words.HERE.parent / "crates" / "eval" / "data"
HELD_OUT_SEED = 7001
EXAMPLES = 200


@dataclasses.dataclass(frozen=True)
class Question:
    """One question. `answer` is what the model should write; `expected` is what the scorer is given instead, where
    that is not the same."""

    task: str
    key: str
    prompt: str
    answer: str
    scorer: str
    max_tokens: int = 16
    choices: tuple = ()
    expected: str | None = None

    def line(self, number):
        """The line of a JSONL file."""
        entry = {"id": f"{self.task}-{number:04}", "prompt": self.prompt, "answer": self.expected or self.answer}
        entry["scorer"] = self.scorer
        if self.choices:
            entry["choices"] = list(self.choices)
        return json.dumps({**entry, "max_tokens": self.max_tokens}, ensure_ascii=False)


def part_of(key):
    """The part to which a key belongs: about 6% `dev`, 9% `test`, the rest `train`."""
    first = hashlib.sha256(key.encode()).digest()[0]
    return "dev" if first < 16 else "test" if first < 40 else "train"


def word(rng, shortest, longest):
    """A word whose letters are single tokens, forwards and backwards."""
    whole = {token.strip() for token in tokenizer.WORDS}
    while True:
        if rng.random() < 0.4:
            found = rng.choice(words.english())
        else:
            found = words.made_up(rng, rng.randint(shortest, longest))
        if shortest <= len(found) <= longest and found not in whole and found[::-1] not in whole:
            return found


def reverse_text(rng):
    """`Reverse: tokometer` -> `retemokot`"""
    text = word(rng, 3, 9)
    return Question("reverse-text", f"word {text}", f"Reverse: {text}", text[::-1], "lcs")


def copy(rng):
    """`Copy: blue lamp` -> the same; words of another part do not come along as second words."""
    text = word(rng, 3, 9)
    if rng.random() < 0.4:
        first, second = word(rng, 3, 5), word(rng, 3, 3)
        if part_of(f"word {first}") == part_of(f"word {second}"):
            return Question("copy", f"word {first}", f"Copy: {first} {second}", f"{first} {second}", "exact")
    return Question("copy", f"word {text}", f"Copy: {text}", text, "exact")


def number(rng):
    """A number of at most two digits; one-digit ones are drawn more often than they are."""
    return rng.randint(0, 9) if rng.random() < 0.15 else rng.randint(0, 99)


def arithmetic(rng):
    """`What is 17+25?` -> `42`, `What is 42-17?` -> `25`; no result is negative."""
    a, b = number(rng), number(rng)
    if rng.random() < 0.6:
        return Question("arithmetic", f"sum {min(a, b)} {max(a, b)}", f"What is {a}+{b}?", str(a + b), "exact")
    a, b = max(a, b), min(a, b)
    return Question("arithmetic", f"difference {a} {b}", f"What is {a}-{b}?", str(a - b), "exact")


def sort(rng):
    """`Sort: d a c` -> `a c d`; commas between the letters are right as well."""
    letters = rng.sample("abcdefghijklmnopqrstuvwxyz", rng.randint(3, 5))
    ordered = sorted(letters)
    expected = r"^\s*" + r"[,\s]+".join(ordered) + r"\.?\s*$"
    key = "letters " + "".join(ordered)
    return Question("sort", key, "Sort: " + " ".join(letters), " ".join(ordered), "regex", expected=expected)


def choice(rng):
    """`Which is a fruit: boat, pear or red?` and `Which is largest: 12, 57 or 33?`"""
    if rng.random() < 0.4:
        how = rng.choice(["largest", "smallest"])
        choices = [str(n) for n in rng.sample(range(10, 100), 3)]
        answer = (max if how == "largest" else min)(choices)
        key = f"{how} " + " ".join(sorted(choices))
        question = how
    else:
        kinds = rng.sample(sorted(words.KINDS), 3)
        choices = [rng.choice(words.KINDS[kind]) for kind in kinds]
        answer = choices[0]
        key = f"{kinds[0]} " + " ".join(sorted(choices))
        question = ("an " if kinds[0][0] in "aeiou" else "a ") + kinds[0]
        rng.shuffle(choices)
    prompt = f"Which is {question}: {choices[0]}, {choices[1]} or {choices[2]}?"
    return Question("choice", key, prompt, answer, "choice", choices=tuple(choices))


TASKS = {"reverse-text": reverse_text, "arithmetic": arithmetic, "copy": copy, "sort": sort, "choice": choice}


def draw(task, rng, part):
    """A question of a part."""
    while True:
        question = TASKS[task](rng)
        if part_of(question.key) == part:
            return question


def held_out(task, part="test", count=EXAMPLES, seed=HELD_OUT_SEED):
    """`count` different questions of a part."""
    rng = random.Random(f"{seed} {part} {task}")
    found = {}
    while len(found) < count:
        question = draw(task, rng, part)
        found.setdefault(question.prompt, question)
    return list(found.values())


def main():
    """Writes the held-out sets."""
    DATA.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        lines = [question.line(i) for i, question in enumerate(held_out(task), 1)]
        pathlib.Path(DATA / f"{task}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pathlib.Path(DATA / "held-out.txt").write_text(words.prose()[1], encoding="utf-8")


if __name__ == "__main__":
    main()
