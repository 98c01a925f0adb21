"""The tasks: answers are right, parts are disjoint, and the published sets are what the generator makes."""

import json
import random
import re
import unittest

import evaluate
import tasks
import tokenizer
import words


def some(task, part="train", count=300):
    rng = random.Random(f"test {task} {part}")
    return [tasks.draw(task, rng, part) for _ in range(count)]


class Answers(unittest.TestCase):
    def test_reversal_and_copy(self):
        for question in some("reverse-text"):
            text = question.prompt.removeprefix("Reverse: ")
            self.assertEqual(question.answer[::-1], text)
            self.assertRegex(text, r"^[a-z]{3,9}$")
        for question in some("copy"):
            self.assertEqual(question.prompt, "Copy: " + question.answer)

    def test_sums_and_differences(self):
        seen = set()
        for question in some("arithmetic"):
            a, sign, b = re.fullmatch(r"What is (\d+)([+-])(\d+)\?", question.prompt).groups()
            seen.add(sign)
            result = int(a) + int(b) if sign == "+" else int(a) - int(b)
            self.assertEqual(question.answer, str(result))
            self.assertGreaterEqual(result, 0)
        self.assertEqual(seen, {"+", "-"})

    def test_sorting_allows_commas_and_nothing_else(self):
        for question in some("sort", count=50):
            letters = question.prompt.removeprefix("Sort: ").split()
            self.assertEqual(question.answer.split(), sorted(letters))
            self.assertIsNotNone(re.search(question.expected, ", ".join(sorted(letters))))
            self.assertIsNone(re.search(question.expected, " ".join(sorted(letters, reverse=True))))
            self.assertIsNone(re.search(question.expected, question.answer + " z"))

    def test_one_choice_is_right(self):
        for question in some("choice"):
            self.assertEqual(len(set(question.choices)), 3)
            kind = re.match(r"Which is (?:an? )?(\w+):", question.prompt)[1]
            if kind in words.KINDS:
                right = [c for c in question.choices if c in words.KINDS[kind]]
            else:
                right = [str((max if kind == "largest" else min)(map(int, question.choices)))]
            self.assertEqual(right, [question.answer])
            for one in question.choices:
                self.assertFalse([c for c in question.choices if c != one and c.startswith(one)], question.choices)

    def test_no_word_has_two_kinds(self):
        every = [word for listed in words.KINDS.values() for word in listed]
        self.assertEqual(len(every), len(set(every)))


class Parts(unittest.TestCase):
    def test_the_published_sets_are_what_the_generator_makes(self):
        for task in tasks.TASKS:
            lines = [question.line(i) for i, question in enumerate(tasks.held_out(task), 1)]
            self.assertEqual((tasks.DATA / f"{task}.jsonl").read_text(encoding="utf-8").splitlines(), lines)
            self.assertEqual(len({json.loads(line)["prompt"] for line in lines}), tasks.EXAMPLES)
        self.assertEqual((tasks.DATA / "held-out.txt").read_text(encoding="utf-8"), words.prose()[1])

    def test_no_published_word_or_sum_is_in_training(self):
        published = {question.key for task in tasks.TASKS for question in tasks.held_out(task)}
        published_words = {key.split()[1] for key in published if key.startswith("word ")}
        for task in tasks.TASKS:
            for question in some(task, count=1000):
                self.assertNotIn(question.key, published)
                if task in ("copy", "reverse-text"):
                    asked = question.prompt.split(": ")[1].split()
                    self.assertFalse(published_words & set(asked), question.prompt)

    def test_the_held_out_text_is_not_in_the_training_text(self):
        training, held_out = words.prose()
        self.assertTrue(held_out.startswith(words.HELD_OUT_FROM))
        for paragraph in filter(lambda p: len(p) > 40, held_out.split("\n")):
            self.assertNotIn(paragraph, training)

    def test_swapped_terms_belong_to_one_part(self):
        keys = {question.prompt: question.key for question in some("arithmetic", count=3000)}
        swapped = 0
        for prompt, key in keys.items():
            a, b = re.findall(r"\d+", prompt)
            other = keys.get(f"What is {b}+{a}?")
            if "+" in prompt and other is not None:
                swapped += 1
                self.assertEqual(key, other)
        self.assertGreater(swapped, 10)


class Scores(unittest.TestCase):
    def test_wilsons_interval(self):
        # Newcombe (1998), table I: 81 of 263.
        low, high = evaluate.wilson(81, 263)
        self.assertAlmostEqual(low, 0.2553, places=4)
        self.assertAlmostEqual(high, 0.3662, places=4)
        self.assertEqual(evaluate.wilson(200, 200)[1], 1.0)


if __name__ == "__main__":
    unittest.main()
