"""The compiled functions of a model: prefill of one chunk, the head for one row, one decode step, scores of a chunk.

Each is captured once, with a static number of tokens and the position as a variable, so that nothing is compiled
again while the context grows.
"""

import array

from tinygrad import Device, Tensor, TinyJit, UOp, dtypes
from tinygrad.uop.ops import Ops

from . import versions
from .model import Model

#: Calls until a function runs from its recording: eager, capture, replay.
_WARM_UP = 3


class Compiled:
    """A model with its compiled functions for chunks of `chunk` tokens."""

    def __init__(self, model: Model, chunk: int):
        self.model, self.chunk = model, chunk
        self._start = UOp.variable("start", 0, model.math.positions - 1)
        self._row = UOp.variable("row", 0, chunk - 1)
        self._ids = {n: Tensor([0] * n, dtype=dtypes.int32, device=model.device).contiguous().realize() for n in {1, chunk}}
        self._targets = None
        self._prefill = TinyJit(lambda ids, start: model.hidden(ids, start).contiguous().realize())
        self._head = TinyJit(lambda hidden, row: _greedy(model.logits(hidden[row : row + 1].contiguous())).realize())
        self._step = TinyJit(lambda ids, start: _greedy(model.logits(model.hidden(ids, start))).realize())
        self._score = TinyJit(self._scores)
        # Recorded by the first completions that need them, not by a load: measurements never do.
        self._head_logits = TinyJit(lambda hidden, row: _floats(model.logits(hidden[row : row + 1].contiguous())).realize())
        self._step_logits = TinyJit(lambda ids, start: _floats(model.logits(model.hidden(ids, start))).realize())
        self._whole = TinyJit(self._rows)

    def warm_up(self) -> None:
        """Compiles and records everything that a generation needs."""
        for _ in range(_WARM_UP):
            self.first_token(self.prefill([0] * self.chunk, 0), 0).item()
            self.step(0, 0).item()

    def prefill(self, tokens: list, start: int) -> Tensor:
        """Runs at most `chunk` tokens; the rest of the chunk is padding whose cache entries are written over later."""
        self._fill(self._ids[self.chunk], tokens + [0] * (self.chunk - len(tokens)))
        return self._prefill(self._ids[self.chunk], self._start.bind(start))

    def first_token(self, hidden: Tensor, row: int) -> Tensor:
        """The greedy token after one row of a chunk."""
        return self._head(hidden, self._row.bind(row))

    def step(self, token: int, start: int) -> Tensor:
        """The greedy token after `token` at position `start`."""
        self._fill(self._ids[1], [token])
        return self._step(self._ids[1], self._start.bind(start))

    def first_logits(self, hidden: Tensor, row: int) -> Tensor:
        """The logits [1, vocabulary] after one row of a chunk, float32."""
        return self._head_logits(hidden, self._row.bind(row))

    def step_logits(self, token: int, start: int) -> Tensor:
        """The logits [1, vocabulary] after `token` at position `start`, float32."""
        self._fill(self._ids[1], [token])
        return self._step_logits(self._ids[1], self._start.bind(start))

    def score(self, hidden: Tensor, targets: list) -> list:
        """For every row: log-probability of its target, the greedy token, its log-probability. Three lists."""
        if self._targets is None:
            self._targets = Tensor([0] * self.chunk, dtype=dtypes.int32, device=self.model.device).contiguous().realize()
        self._fill(self._targets, targets + [0] * (self.chunk - len(targets)))
        results = self._score(hidden, self._targets)
        return [tensor.tolist()[: len(targets)] for tensor in results]

    def _scores(self, hidden: Tensor, targets: Tensor) -> tuple:
        logits = self.model.logits(hidden).contiguous()
        highest = logits.max(axis=1, keepdim=True)
        norm = (logits - highest).exp().sum(axis=1).log() + highest.squeeze(1)
        places = Tensor.arange(logits.shape[1]).reshape(1, -1)
        chosen = (places == targets.reshape(-1, 1)).where(logits, 0.0).sum(axis=1)
        results = (chosen - norm, logits.argmax(axis=1), highest.squeeze(1) - norm)
        results = tuple(tensor.contiguous() for tensor in results)
        Tensor.realize(*results)
        return results

    def whole(self, hidden: Tensor, first: int, last: int) -> memoryview:
        """Log-probabilities of the whole vocabulary at the rows `first` to before `last`: f32 in the machine's order."""
        row = 4 * self.model.config.vocab
        return self._whole(hidden).data().cast("B")[first * row : last * row]

    def _rows(self, hidden: Tensor) -> Tensor:
        logits = self.model.logits(hidden).contiguous()
        highest = logits.max(axis=1, keepdim=True)
        norm = (logits - highest).exp().sum(axis=1, keepdim=True).log() + highest
        return (logits - norm).cast(dtypes.float32).contiguous().realize()

    def kernels(self) -> dict:
        """Kernels per call by function name: prefill (with its head) and decode."""
        return {"prefill": len(_programs(self._prefill)) + len(_programs(self._head)), "decode": len(_programs(self._step))}

    def threads(self) -> dict:
        """The most threads that a kernel of each function really runs on (1 on a GPU)."""
        if self.model.device.split(":")[0] != "CPU":
            return {"prefill": 1, "decode": 1}
        functions = {"prefill": self._prefill, "decode": self._step}
        parts = {name: max(int(p.arg.global_size[0]) for p in _programs(jit)) for name, jit in functions.items()}
        return {name: versions.threads(count) for name, count in parts.items()}

    def synchronize(self) -> None:
        """Waits until the device has nothing left to do."""
        Device[self.model.device].synchronize()

    @staticmethod
    def _fill(tensor: Tensor, values: list) -> None:
        """Writes ids into a tensor that lives on the device, without a kernel."""
        versions.write(tensor.uop.base.realized, memoryview(array.array("i", values)).cast("B"))


def _greedy(logits: Tensor) -> Tensor:
    """The first of the largest logits of one row."""
    return logits.argmax(axis=1).contiguous()


def _floats(logits: Tensor) -> Tensor:
    return logits.cast(dtypes.float32).contiguous()


def _programs(jit: TinyJit) -> list:
    """The programs that a recorded function runs."""
    found = []
    for call in jit.captured.linear.src:
        ast = call.src[0]
        calls = ast.src[0].src if ast.op is Ops.CUSTOM_FUNCTION and ast.arg == "graph" else (call,)
        found += [c.src[0] for c in calls if c.src[0].op is Ops.PROGRAM]
    return found
