"""Tokometer's task sets for verifiers: JSON lines with id, prompt, answer, scorer, scored as Tokometer scores them."""

import json
import re
from pathlib import Path

import verifiers.v1 as vf
from tokometer_chat import TokometerChat


def lcs(a, b):
    """Length of the longest common subsequence."""
    before = [0] * (len(b) + 1)
    for x in a:
        row = [0]
        for j, y in enumerate(b):
            row.append(before[j] + 1 if x == y else max(row[j], before[j + 1]))
        before = row
    return before[-1]


def score(scorer, answer, reply):
    """0 to 1."""
    reply = reply.strip()
    if scorer == "regex":
        return float(re.search(answer, reply) is not None)
    answer = answer.strip()
    if scorer == "lcs":
        both = len(answer) + len(reply)
        return 2 * lcs(reply, answer) / both if both else 1.0
    return float(reply == answer)


class TokometerData(vf.TaskData):
    """One line of the file."""

    answer: str
    scorer: str


class TokometerTask(vf.Task[TokometerData]):
    """A question with its answer."""

    @vf.reward(weight=1.0)
    async def answered(self, trace: vf.Trace) -> float:
        return score(self.data.scorer, self.data.answer, trace.last_reply or "")


class TokometerConfig(vf.TasksetConfig):
    """Where the questions are."""

    data: str = ""


class TokometerTaskset(vf.Taskset[TokometerTask, TokometerConfig]):
    """The questions of one file, in its order. A choice is asked as a question: chat has no log-likelihoods."""

    def load(self):
        for line in Path(self.config.data).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            names = {"id": row["id"], "name": row["id"]}
            data = TokometerData(**names, prompt=row["prompt"], answer=row["answer"], scorer=row["scorer"])
            yield TokometerTask(data, self.config.task)


__all__ = ["TokometerChat", "TokometerTaskset"]
