"""Runs a kernel of ours among tinygrad's: binds tensors to its parameters and keeps the order of writes."""

from collections.abc import Callable

from tinygrad import Tensor, UOp
from tinygrad.uop.ops import Ops


def launch(kernel: Callable, *tensors: Tensor, bound: UOp | None = None) -> list:
    """The tensors as they are after `kernel` has run; lazy, like every tensor.

    `kernel` takes one node per tensor and returns the program's sink. `bound` is a variable with its value, for
    kernels whose loops depend on it.
    """
    sources = [t.uop if t.uop.op is Ops.AFTER else t.uop.contiguous() for t in tensors]
    nodes = [UOp.placeholder_like(source, slot=i) for i, source in enumerate(sources)]
    call = kernel(*nodes).call(*sources, *(() if bound is None else (bound,)))
    return [Tensor(source.after(call)) for source in sources]


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of `number` that is at most `most`."""
    return max(d for d in range(1, min(number, max(1, most)) + 1) if number % d == 0)
