"""Tokometer's MLC-LLM worker: has models converted and compiled, loads them, generates, and says when each token was there.

Run as `python -m tokometer_mlc` in an environment that has MLC-LLM. The order of the modules:

- `worker` answers the calls; `request` checks what a load asks for; `environ` and `devices` know the machine;
- `prepare` drives MLC-LLM's own tools in `child` processes: `links` lays out a checkpoint for them, `templates` chooses the
  conversation template, `durations` remembers how long they took;
- `models` reads what was made; `engine` loads it into this process, `generate` is its timed loop;
- `server` starts MLC-LLM's HTTP server instead, `stream` measures it;
- `usage` holds what the engine says of itself against what was asked; `tokens` is its tokenizer;
- `leave` ends the process for certain, which this engine does not do by itself.

Only `engine`, `generate` and `tokens` import MLC-LLM, and not before the environment is prepared.
"""

__version__ = "0.1.0"
