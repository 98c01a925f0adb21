"""Runs lm_eval and writes down which examples are done, since lm_eval itself writes nothing before its end.

`python -m tokometer_lm_eval FILE ...` is `python -m lm_eval ...` with that file: a JSON line for each example whose requests
all have an answer in lm_eval's cache (`--use_cache`), so that a later attempt takes them from there. A choice has a request
for each possible answer, and lm_eval sends the longest requests first, so the number of requests says little about examples.

lm_eval offers no hook for this: its cache is replaced by one that also counts (seen with 0.4.13). A version whose cache looks
different is run as it is, and no file is written."""

import json
import os
import runpy
import sys
from collections import defaultdict, deque


class Examples:
    """Which examples wait for how many answers, and the file of those that wait for none."""

    def __init__(self, path):
        self._path, self._file = path, None
        self._left, self._owners = {}, defaultdict(deque)

    def expect(self, instances, hashes, is_known):
        """What is to be answered. `is_known` says of a hash whether the cache has its answer. What an earlier attempt wrote is
        replaced by what the cache really holds; a further call adds to it."""
        left = defaultdict(int)
        for instance, digest in zip(instances, hashes, strict=True):
            example = (str(instance.task_name), int(instance.doc_id))
            if is_known(digest):
                left[example] += 0
            else:
                left[example] += 1
                self._owners[digest].append(example)
        self._left.update(left)
        done = [example for example, count in left.items() if not count]
        if self._file is not None:
            return self._write(done)
        partial = f"{self._path}.partial"
        self._file = open(partial, "w", encoding="utf-8")
        self._write(done)
        os.replace(partial, self._path)

    def answered(self, digest):
        """An answer came, and the cache has it."""
        if not self._owners[digest]:
            return
        example = self._owners[digest].popleft()
        self._left[example] -= 1
        if not self._left[example]:
            self._write([example])

    def _write(self, examples):
        for task, place in examples:
            self._file.write(json.dumps({"task": task, "doc_id": place}) + "\n")
        self._file.flush()


def watch(path):
    """Replaces lm_eval's cache by one that tells `Examples` of requests and answers."""
    from lm_eval.api import model

    examples = Examples(path)

    class Hook(model.CacheHook):
        def add_partial(self, attr, req, res):
            super().add_partial(attr, req, res)
            examples.answered(model.hash_args(attr, req))

    class Cache(model.CachingLM):
        def get_cache_hook(self):
            return Hook(self)

        def __getattr__(self, attr):
            found = super().__getattr__(attr)
            if attr not in ("loglikelihood", "loglikelihood_rolling", "generate_until"):
                return found

            def answer(requests):
                hashes = [model.hash_args(attr, request.args) for request in requests]
                examples.expect(requests, hashes, lambda digest: digest in self.dbdict)
                return found(requests)

            return answer

    model.CachingLM = Cache


def main():
    """The file comes first, lm_eval's own arguments after it."""
    path = os.path.abspath(sys.argv.pop(1))
    try:
        watch(path)
    except (ImportError, AttributeError, TypeError) as error:
        print(f"examples are not counted: {error!r}", file=sys.stderr)
    runpy.run_module("lm_eval", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
