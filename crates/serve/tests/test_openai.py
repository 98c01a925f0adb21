"""The endpoint over real llama.cpp with a small made-up model, asked by the official `openai` client and by curl.

`TOKOMETER` names the program; without it that of the source tree's release build is taken.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

import openai

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = os.environ.get("TOKOMETER") or str(ROOT / "target" / "release" / "tokometer")
KEY = "a key for tests"
CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello there"}]


class Endpoint:
    """A server in a folder of its own."""

    def __init__(self, folder, engine="llamacpp", quantize="default"):
        words = ["--dir", folder, "serve", "--engine", engine, "--model", "synthetic:tiny", "--quantize", quantize,
                 "--port", "0", "--ctx-size", "512", "--json"]
        self.errors = open(Path(folder) / "stderr.txt", "w+", encoding="utf-8")
        self.process = subprocess.Popen([PROGRAM, *words], stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env={**os.environ, "TOKOMETER_API_KEY": KEY})
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise AssertionError(f"the server left with code {self.process.wait()}: {self.errors.read()[-2000:]}")
        self.ready = json.loads(line)

    def stop(self):
        """Asks it to stop; its exit code and what else it printed on stdout."""
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=60)
        self.errors.close()
        return self.process.returncode, rest


class OpenAI(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.server = Endpoint(cls.folder.name)
        cls.model = cls.server.ready["model"]
        cls.client = openai.OpenAI(base_url=cls.server.ready["url"], api_key=KEY, max_retries=0, timeout=120)

    @classmethod
    def tearDownClass(cls):
        code, rest = cls.server.stop()
        cls.folder.cleanup()
        assert (code, rest) == (0, ""), (code, rest)

    def chat(self, **more):
        return self.client.chat.completions.create(model=self.model, messages=CHAT, **more)

    def text(self, prompt="Once upon", **more):
        return self.client.completions.create(model=self.model, prompt=prompt, **more)

    def test_what_is_served_is_told(self):
        ready = self.server.ready
        self.assertEqual((ready["ready"], ready["engine"], ready["quantize"], ready["native"]), (True, "llamacpp", "default", "Q6_K"))
        self.assertEqual([model.id for model in self.client.models.list()], [self.model])
        self.assertEqual(self.client.models.retrieve(self.model).id, self.model)

    def test_a_chat_is_answered_with_usage(self):
        answer = self.chat(max_tokens=12, temperature=0, extra_body={"ignore_eos": True})
        choice = answer.choices[0]
        self.assertEqual((choice.message.role, choice.finish_reason), ("assistant", "length"))
        self.assertTrue(choice.message.content)
        self.assertEqual(answer.usage.completion_tokens, 12)
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + 12)

    def test_a_stream_is_the_whole_answer_in_pieces(self):
        settings = {"max_tokens": 24, "temperature": 0.9, "top_p": 0.95, "seed": 11, "extra_body": {"ignore_eos": True}}
        whole = self.chat(**settings)
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}, **settings))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual([c.choices[0].finish_reason for c in chunks if c.choices][-1], "length")
        self.assertEqual(chunks[-1].usage, whole.usage)
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(len({chunk.id for chunk in chunks}), 1)
        without = list(self.chat(stream=True, **settings))
        self.assertTrue(all(chunk.usage is None and chunk.choices for chunk in without))

    def test_seeds_draw_again(self):
        settings = {"max_tokens": 20, "temperature": 1.5, "extra_body": {"ignore_eos": True}}
        texts = [self.text(seed=seed, **settings).choices[0].text for seed in (1, 1, 2)]
        self.assertEqual(texts[0], texts[1])
        self.assertNotEqual(texts[0], texts[2])

    def test_a_stop_string_ends_the_text_before_it(self):
        settings = {"max_tokens": 30, "temperature": 0, "extra_body": {"ignore_eos": True}}
        whole = self.text(**settings).choices[0].text
        stop = whole[len(whole) // 2 :][:3]
        cut = self.text(stop=[stop, "never to be seen"], **settings)
        self.assertEqual(cut.choices[0].text, whole[: whole.index(stop)])
        self.assertEqual(cut.choices[0].finish_reason, "stop")
        self.assertLess(cut.usage.completion_tokens, 30)
        streamed = "".join(c.choices[0].text for c in self.text(stop=stop, stream=True, **settings) if c.choices)
        self.assertEqual(streamed, cut.choices[0].text)

    def test_log_probabilities(self):
        chat = self.chat(max_tokens=5, temperature=0, logprobs=True, top_logprobs=3, extra_body={"ignore_eos": True})
        content = chat.choices[0].logprobs.content
        self.assertEqual(len(content), 5)
        for token in content:
            self.assertEqual(len(token.top_logprobs), 3)
            self.assertEqual(token.logprob, token.top_logprobs[0].logprob)
            self.assertLessEqual(token.logprob, 0)

    def test_a_given_text_is_scored_as_evaluations_do(self):
        ids = [1, 17, 300, 42, 99, 7]
        # What lm-eval's local-completions sends; the token after the prompt comes with it.
        scored = self.text(prompt=[ids], max_tokens=1, temperature=0, logprobs=1, echo=True, seed=1)
        logprobs = scored.choices[0].logprobs
        self.assertEqual(len(logprobs.tokens), len(ids) + 1)
        self.assertIsNone(logprobs.token_logprobs[0])
        for logprob, top in zip(logprobs.token_logprobs[1:], logprobs.top_logprobs[1:]):
            self.assertLessEqual(logprob, max(top.values()))
        alone = self.text(prompt=ids, max_tokens=0, temperature=0, logprobs=1, echo=True).choices[0].logprobs
        self.assertEqual(alone.token_logprobs, logprobs.token_logprobs[:-1])
        # The generated token is the one that a completion begins with.
        next_one = self.text(prompt=ids, max_tokens=1, temperature=0, logprobs=1, extra_body={"ignore_eos": True})
        self.assertAlmostEqual(next_one.choices[0].logprobs.token_logprobs[0], logprobs.token_logprobs[-1], places=3)
        self.assertEqual((scored.usage.prompt_tokens, scored.usage.completion_tokens), (6, 1))

    def test_several_prompts_are_several_choices(self):
        settings = {"max_tokens": 6, "temperature": 0, "extra_body": {"ignore_eos": True}}
        both = self.text(prompt=["One", "Two words"], **settings)
        self.assertEqual([choice.index for choice in both.choices], [0, 1])
        each = [self.text(prompt=prompt, **settings).choices[0].text for prompt in ("One", "Two words")]
        self.assertEqual([choice.text for choice in both.choices], each)
        self.assertEqual(both.usage.completion_tokens, 12)

    def test_errors_are_the_clients_own_kinds(self):
        for kind, call in [
            (openai.NotFoundError, lambda: self.client.completions.create(model="another", prompt="x")),
            (openai.BadRequestError, lambda: self.chat(n=2)),
            (openai.BadRequestError, lambda: self.chat(temperature=9)),
            (openai.BadRequestError, lambda: self.text(prompt="x", max_tokens=512)),
            (openai.BadRequestError, lambda: self.text(prompt=[999_999])),
            (openai.AuthenticationError, lambda: self.client.with_options(api_key="wrong").models.list()),
        ]:
            with self.assertRaises(kind):
                call()
        with self.assertRaises(openai.BadRequestError) as caught:
            self.text(prompt="word " * 5000)
        self.assertEqual(caught.exception.code, "context_length_exceeded")

    def test_clients_at_once_get_their_own_answers(self):
        seeds, texts = list(range(12)), {}
        settings = {"max_tokens": 10, "temperature": 1.5, "extra_body": {"ignore_eos": True}}

        def ask(seed):
            texts[seed] = self.text(seed=seed, **settings).choices[0].text

        threads = [threading.Thread(target=ask, args=(seed,)) for seed in seeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(texts), seeds)
        self.assertEqual(texts[5], self.text(seed=5, **settings).choices[0].text)

    def test_a_client_that_leaves_makes_room_for_the_next(self):
        stream = self.chat(stream=True, max_tokens=400, temperature=0, extra_body={"ignore_eos": True})
        next(iter(stream))
        stream.close()
        self.assertEqual(self.text(max_tokens=2, temperature=0, extra_body={"ignore_eos": True}).usage.completion_tokens, 2)

    @unittest.skipUnless(shutil.which("curl"), "curl is not installed")
    def test_curl_is_answered(self):
        body = json.dumps({"model": self.model, "prompt": "a", "max_tokens": 3, "stream": True, "ignore_eos": True})
        ran = subprocess.run(["curl", "-sN", f"{self.server.ready['url']}/completions", "-H", f"Authorization: Bearer {KEY}",
                              "-H", "Content-Type: application/json", "-d", body], capture_output=True, text=True, timeout=60, check=True)
        lines = [line for line in ran.stdout.splitlines() if line]
        self.assertTrue(all(line.startswith("data: ") for line in lines), ran.stdout)
        self.assertEqual(lines[-1], "data: [DONE]")


if __name__ == "__main__":
    unittest.main()
