"""Examples are counted when all their answers are in the cache. With a stand-in for lm_eval's cache: the real one is run by the
tests of the `tokometer` program."""

import json
import pathlib
import sys
import tempfile
import types
import unittest
from unittest import mock

import tokometer_lm_eval


class Instance:
    """A request as lm_eval has it."""

    def __init__(self, place, *args):
        self.task_name, self.doc_id, self.args = "t", place, args


class StandIn:
    """The names of `lm_eval.api.model` that are replaced, around a model that answers some requests and dies."""

    def __init__(self, known, most):
        stand_in = self
        self.hash_args = lambda attr, args: json.dumps([attr, *args])

        class CacheHook:
            def __init__(self, cache):
                self.dbdict = cache.dbdict

            def add_partial(self, attr, req, res):
                self.dbdict[stand_in.hash_args(attr, req)] = res

        class CachingLM:
            def __init__(self):
                self.dbdict = known
                self.hook = self.get_cache_hook()

            def get_cache_hook(self):
                return CacheHook(self)

            def __getattr__(self, attr):
                def answer(requests):
                    missing = [one for one in requests if stand_in.hash_args(attr, one.args) not in self.dbdict]
                    # The longest first, as lm_eval does.
                    for one in sorted(missing, key=lambda one: -len(one.args[1]))[:most]:
                        self.hook.add_partial(attr, one.args, 1.0)
                    if len(missing) > most:
                        raise RuntimeError("dead")

                return answer

        self.CacheHook, self.CachingLM = CacheHook, CachingLM


class Counting(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "examples.jsonl"
        self.cache = {}

    def attempt(self, requests, most, attr="loglikelihood"):
        """An attempt that gets so many answers; the examples that are done then."""
        stand_in = StandIn(self.cache, most)
        model = types.SimpleNamespace(**vars(stand_in))
        modules = {"lm_eval": types.ModuleType("lm_eval"), "lm_eval.api": types.SimpleNamespace(model=model)}
        with mock.patch.dict(sys.modules, modules):
            tokometer_lm_eval.watch(str(self.path))
        try:
            getattr(model.CachingLM(), attr)(requests)
        except RuntimeError:
            pass
        return sorted(json.loads(line)["doc_id"] for line in self.path.read_text(encoding="utf-8").splitlines())

    def test_an_example_is_done_with_its_last_answer(self):
        choices = [Instance(place, f"q{place}", "x" * n) for place in range(3) for n in (1, 2, 3)]
        # Of each example two of three: six answers, and none is done.
        self.assertEqual(self.attempt(choices, 6), [])
        self.assertEqual(self.attempt(choices, 2), [0, 1])
        self.assertEqual(self.attempt(choices, 99), [0, 1, 2])

    def test_what_the_cache_lost_is_not_done(self):
        requests = [Instance(place, f"q{place}", {"until": ["x"]}) for place in range(3)]
        self.assertEqual(self.attempt(requests, 2, "generate_until"), [0, 1])
        self.cache.clear()
        self.assertEqual(self.attempt(requests, 1, "generate_until"), [0])

    def test_equal_requests_of_two_examples_each_have_an_answer(self):
        same = [Instance(place, "q", "x") for place in range(2)]
        self.assertEqual(self.attempt(same, 1), [0])
        self.cache.clear()
        self.assertEqual(self.attempt(same, 2), [0, 1])

    def test_other_attributes_are_left_alone(self):
        self.assertEqual(self.attempt([], 0), [])
        stand_in = types.SimpleNamespace(**vars(StandIn({}, 0)))
        with mock.patch.dict(sys.modules, {"lm_eval": types.ModuleType("lm_eval"),
                                           "lm_eval.api": types.SimpleNamespace(model=stand_in)}):
            tokometer_lm_eval.watch(str(self.path))
        self.path.unlink()
        stand_in.CachingLM().rank([Instance(0, "q", "x")][:0])
        self.assertFalse(self.path.exists())


if __name__ == "__main__":
    unittest.main()
