"""Tokometer's task sets for verifiers: JSON lines with id, prompt, answer, scorer, scored as Tokometer scores them."""

import json
from pathlib import Path

import verifiers.v1 as vf
from tokometer_chat import TokometerChat
from tokometer_scores import score


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
