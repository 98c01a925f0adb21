"""What the stand-in does wrong on demand."""

import os
import time

KNOWN = {
    "hang_in_constructor": "the engine's constructor never returns",
    "raise_in_thread": "a background thread raises, and the constructor waits for it for ever",
    "hang_at_exit": "a thread that is no daemon never ends, and letting go of the engine hangs",
    "preempt": "the prompt is prefilled twice",
    "cached": "only one token of the prompt is prefilled",
    "short": "one token less than asked for",
    "together": "two tokens in one callback",
    "print": "it prints to stdout",
    "error_in_step": "a step raises",
    "idle": "steps bring nothing",
    "wrong_figures": "it claims a decode speed of 256000",
    "fail_convert": "convert_weight fails",
    "fail_compile": "compile fails",
    "no_templates": "gen_config knows only LM",
    "no_server": "serve leaves at once",
}


def on(name):
    """Whether that fault is wanted."""
    wanted = [word for word in os.environ.get("MLC_STANDIN", "").split(",") if word]
    for word in wanted:
        assert word in KNOWN, f"the stand-in knows no {word!r}"
    return name in wanted


def hang():
    """For ever, as far as a test is concerned."""
    time.sleep(3600)
