"""What differs between tinygrad 0.13 and 0.14. All other modules are written once, for both.

Most of it is about kernels of our own. In 0.13 the type of a node says how many lanes it has, and an index is a pointer or a
load. In 0.14 the type is that of one number, the lanes are the shape, which a node written in C takes over from its sources,
and an index is a pointer until it is loaded.
"""

from tinygrad import UOp, dtypes
from tinygrad.device import Buffer
from tinygrad.dtype import DType
from tinygrad.uop.ops import Ops

from .environ import before_0_14

_OLD = before_0_14()


def threads(asked: int) -> int:
    """The threads that the parts of one kernel on a CPU run on: 0.14 calls them one after another."""
    return asked if _OLD else 1


def write(buffer: Buffer, content: memoryview) -> None:
    """Fills a buffer with bytes from the host, without a kernel."""
    if _OLD:
        buffer.copyin(content)
    else:
        buffer.allocator._copyin(buffer._buf, content)


def variable(bound: UOp) -> UOp:
    """What stands inside a kernel for a variable that was given a value."""
    return bound.src[0] if _OLD else bound.src[0].replace(op=Ops.PARAM)


def const(value: int | float, dtype: DType) -> UOp:
    """One number."""
    return UOp.const(dtype, value) if _OLD else UOp.const(value, dtype)


def pointer(buffer: UOp, index: UOp) -> UOp:
    """The address of an element, for a node that is written in C."""
    return buffer.index(index, ptr=True) if _OLD else buffer.index(index)


def element(buffer: UOp, index: UOp) -> UOp:
    """The value of an element, for a node that is written in C."""
    return buffer.index(index) if _OLD else buffer.index(index).load()


def vector(dtype: DType, lanes: int, text: str, *sources: UOp) -> UOp:
    """A node written in C that has `lanes` numbers, of which some source may have just as many."""
    if _OLD:
        return UOp(Ops.CUSTOM, dtype.vec(lanes), sources, text)
    if all(source.shape != (lanes,) for source in sources):
        sources = (*sources, UOp.const((0,) * lanes, dtypes.int))  # not in the text: there for its shape
    return UOp(Ops.CUSTOM, dtype, sources, text)


def lanes_of(node: UOp) -> int:
    """How many numbers a node has."""
    return node.dtype.count if _OLD else node.max_numel()


def numbers(loaded: UOp) -> UOp:
    """What `{0}[i]` takes single numbers from, of a vector that was loaded as it is, so that its lanes are not taken over."""
    return loaded if _OLD else loaded.src[0]
