"""Runs one of MLC-LLM's tools and says every second how it goes. Its output goes on to stderr."""

import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass

from tokometer_worker import Failed, Replies

from . import environ

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
#: The heading of what MLC-LLM's argument parser has to say.
_ERROR = re.compile(r"^-+ Error -+$")
#: Lines of a tool's output that are kept for its failure.
_KEPT = 6


@dataclass(frozen=True)
class Tool:
    """What to run: the words after `python -m mlc_llm`, what it is for people, how long it may and should take."""

    words: list
    stage: str
    expected_s: float
    limit_s: float


def run(tool: Tool, threads: int, replies: Replies, already_s: float = 0.0, whole_s: float | None = None) -> float:
    """Runs a tool to its end; the seconds it took. Raises Failed with its last words.

    `already_s` of `whole_s` seconds of the work have been done by tools before it: progress goes on from there.
    """
    whole = max(1, round(whole_s or tool.expected_s))
    env = {**os.environ, **environ.variables(threads), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
    began = time.monotonic()
    try:
        # In the worker's process group, so that whoever ends the worker ends this too.
        process = subprocess.Popen([sys.executable, "-m", "mlc_llm", *tool.words], stdin=subprocess.DEVNULL, env=env,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=environ.die_with_parent)
    except OSError as error:
        raise Failed("engine", f"{tool.stage}: {sys.executable} cannot be started: {error}") from error
    last = deque(maxlen=_KEPT)
    reader = threading.Thread(target=pass_on, args=(process.stdout, last), name="output", daemon=True)
    reader.start()
    try:
        while not _ended(process):
            spent = time.monotonic() - began
            replies.progress(tool.stage, min(round(already_s + spent), whole), whole)
            if spent > tool.limit_s:
                raise Failed("engine", f"{tool.stage}: not done after {tool.limit_s:.0f} s, ended; its last words: {' | '.join(last)}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join(2)
    if process.returncode != 0:
        said = " | ".join(last)
        kind = "out_of_memory" if process.returncode == -9 else "unsupported" if "invalid choice" in said else "engine"
        raise Failed(kind, f"{tool.stage}: `mlc_llm {tool.words[0]}` left with code {process.returncode}; its last words: {said}")
    return time.monotonic() - began


def _ended(process: subprocess.Popen) -> bool:
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        return False
    return True


def pass_on(stream, last: deque) -> None:
    """Hands lines on to stderr, without colours, and keeps the last of them."""
    try:
        for raw in stream:
            line = _COLOURS.sub("", raw.decode("utf-8", "replace")).rstrip()
            print(line, file=sys.stderr)
            if _ERROR.match(line):
                last.clear()  # how the tool is called stands before it
            elif line:
                last.append(line[:500])
    except (OSError, ValueError):  # closed under our hands
        pass
