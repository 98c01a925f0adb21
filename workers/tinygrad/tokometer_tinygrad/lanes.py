"""Vector lanes of the host's CPU, and the few nodes with which kernels use them.

tinygrad's own loads on a CPU are at most four floats wide and one byte narrow. The nodes made here load, convert and
look up a whole vector at once, written as Clang's portable vector types, so that no instruction set is named. Loops,
indices, threads, compilation and scheduling stay tinygrad's.
"""

import functools
import platform
import re

from tinygrad import UOp, dtypes
from tinygrad.dtype import AddrSpace
from tinygrad.uop.ops import Ops

from .versions import const, lanes_of, numbers, pointer, vector

_C_NAMES = {
    "float32": (dtypes.float32, "float"), "float16": (dtypes.float16, "__fp16"),
    "bfloat16": (dtypes.uint16, "unsigned_short"), "int8": (dtypes.int8, "signed_char"),
    "uint8": (dtypes.uint8, "unsigned_char"), "nibbles": (dtypes.uint8, "unsigned_char"),
}
#: What a part of a format is stored as.
STORED = {name: dtype for name, (dtype, _) in _C_NAMES.items()}


@functools.cache
def width() -> int:
    """Floats in one vector register of this CPU: 16 with AVX-512, 8 with AVX2, else 4."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return 4
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            flags = next((line.split() for line in f if line.startswith("flags")), [])
    except OSError:
        return 8
    return 16 if "avx512f" in flags else 8 if "avx2" in flags else 4


def rows_at_once() -> int:
    """Rows whose sums stay in registers: two vectors each, beside the vectors that are being multiplied."""
    return 4 if width() == 8 else 8


def custom(dtype, text: str, *sources: UOp) -> UOp:
    """A node that is rendered as `text`; `{0}`, `{1}` stand for the sources."""
    return UOp(Ops.CUSTOM, dtype, sources, text)


def flat(node: UOp) -> UOp:
    """The buffer behind a kernel's parameter, to be indexed by one number. Cheaper to lower than a shaped view."""
    return node.src[0] if node.op is Ops.RESHAPE else node


def load(buffer: UOp, offset: UOp, stored: str, lanes: int) -> UOp:
    """`lanes` numbers from `offset` on, as floats."""
    dtype, name = _C_NAMES[stored]
    raw = vector(dtype, lanes, f"(*(({name}{lanes}*)({{0}})))", pointer(buffer, offset))
    if stored == "float32":
        return raw
    if stored == "bfloat16":
        wide = to_int(raw, lanes)
        return vector(dtypes.float, lanes, f"__builtin_bit_cast(float{lanes}, {{0}}<<16)", wide)
    return to_float(raw, lanes)


def store(places: list) -> UOp:
    """Writes vectors of floats: `places` holds (buffer, offset, value)."""
    return together([
        (f"*((float{lanes_of(value)}*)({{0}})) = {{1}};", [pointer(buffer, offset), value])
        for buffer, offset, value in places
    ])


def together(statements: list) -> UOp:
    """Statements (text, sources) as one node, so that one end of a loop closes them all."""
    text, sources = "", []
    for each, wanted in statements:
        numbers = {f"{{{i}}}": f"{{{i + len(sources)}}}" for i in range(len(wanted))}
        text += re.sub(r"\{\d+\}", lambda match, numbers=numbers: numbers[match[0]], each)
        sources += wanted
    return custom(dtypes.void, text, *sources)


class Sums:
    """Vectors in registers that a loop adds to. `count` of them, `lanes` wide; `outer` are the loops around."""

    def __init__(self, count: int, lanes: int, slot: int, outer: list, first: float = 0.0):
        self._count, self._lanes = count, lanes
        self._registers = UOp.placeholder((count * lanes,), dtypes.float, slot, AddrSpace.REG)
        begun, start = self._registers.after(*outer), constant(first, lanes)
        self._begun = store([(begun, self._place(i), start) for i in range(count)])

    def _place(self, i: int) -> UOp:
        return const(i * self._lanes, dtypes.weakint)

    def over(self, loops: list, terms: list) -> list:
        """Adds to vector i, in every pass, the products (vector, scalar) of `terms[i]`; the sums after the loops."""
        place = f"*((float{self._lanes}*)({{0}}))"
        statements = []
        for i, products in enumerate(terms):
            text = "".join(f"{place} += {{{1 + 2 * j}}}*{{{2 + 2 * j}}};" for j in range(len(products)))
            statements.append((i, text, [factor for product in products for factor in product]))
        return self._run(loops, statements)

    def highest(self, loops: list, value: UOp) -> UOp:
        """The larger of vector 0 and `value` in every lane, over all passes."""
        kind, ints = f"float{self._lanes}", f"__builtin_bit_cast(int{self._lanes}, "
        place = f"*(({kind}*)({{0}}))"
        mask = f"({place}<{{1}})"
        text = f"{place} = __builtin_bit_cast({kind}, ({ints}{place})&~{mask})|({ints}{{1}})&{mask}));"
        return self._run(loops, [(0, text, [value])])[0]

    def _run(self, loops: list, statements: list) -> list:
        inside = self._registers.after(*loops)
        bodies = [(text, [pointer(inside, self._place(i)), *sources]) for i, text, sources in statements]
        bodies.append(("", [self._begun]))  # no text: only says what comes first
        done = self._registers.after(together(bodies).end(*loops))
        return [load(done, self._place(i), "float32", self._lanes) for i in range(self._count)]


def load_bytes(buffer: UOp, offset: UOp, lanes: int) -> UOp:
    """`lanes` unsigned bytes from `offset` on, as ints."""
    return to_int(vector(dtypes.uint8, lanes, f"(*((unsigned_char{lanes}*)({{0}})))", pointer(buffer, offset)), lanes)


def to_int(value: UOp, lanes: int) -> UOp:
    """Every lane as an int."""
    return vector(dtypes.int, lanes, f"__builtin_convertvector({{0}}, int{lanes})", value)


def alu(text: str, *sources: UOp) -> UOp:
    """Arithmetic on whole vectors, such as `{0}*{1}`; the type is that of the first source."""
    return custom(sources[0].dtype, text, *sources)


def to_float(value: UOp, lanes: int) -> UOp:
    """Every lane as a float."""
    return vector(dtypes.float, lanes, f"__builtin_convertvector({{0}}, float{lanes})", value)


def constant(value: float, lanes: int) -> UOp:
    """The same float in every lane."""
    return vector(dtypes.float, lanes, f"((float{lanes}){{{{}}}}+({value:.1f}f))")


def across(text: str, loaded: UOp) -> UOp:
    """All lanes of a vector that `load` made, joined, in pairs, by an expression of two floats: one float."""
    values = [custom(dtypes.float, f"{{0}}[{i}]", numbers(loaded)) for i in range(lanes_of(loaded))]
    while len(values) > 1:
        values = [custom(dtypes.float, text, a, b) for a, b in zip(values[::2], values[1::2])]
    return values[0]


def select(mask: UOp, yes: UOp, no: UOp, lanes: int) -> UOp:
    """The lanes of `yes` where the int lanes of `mask` are all ones, those of `no` where they are 0."""
    yes_bits, no_bits = (f"__builtin_bit_cast(int{lanes}, {{{i}}})" for i in range(2))
    text = f"__builtin_bit_cast(float{lanes}, (({yes_bits}&{{2}})|({no_bits}&~{{2}})))"
    return vector(dtypes.float, lanes, text, yes, no, mask)


def exp(value: UOp, lanes: int) -> UOp:
    """e to the power of every lane, for lanes <= 0; below 2^-126 it is 2^-126.

    The exponent is split into a whole part, which is added to the bits of the result, and a rest within +-1/2, for
    which the Taylor series of 2^x to the 6th power is exact to 2e-7.
    """
    power = alu("({0}*1.44269504f)", value)
    small = vector(dtypes.int, lanes, "({0}<-126.0f)", power)
    power = select(small, constant(-126.0, lanes), power, lanes)
    shifted = alu("({0}+12582912.0f)", power)  # 1.5 * 2^23: what is behind the point falls off
    rest = alu("({0}-({1}-12582912.0f))", power, shifted)
    series = alu("({0}*0.000154035f+0.00133336f)", rest)
    for factor in ("0.00961813f", "0.0555041f", "0.240227f", "0.693147f", "1.0f"):
        series = alu("({0}*{1}+" + factor + ")", series, rest)
    bits = f"__builtin_bit_cast(int{lanes}, {{0}})+(__builtin_bit_cast(int{lanes}, {{1}})<<23)"
    return alu(f"__builtin_bit_cast(float{lanes}, ({bits}))", series, shifted)


def count_up(start: UOp, lanes: int) -> UOp:
    """Ints from `start` on."""
    steps = ",".join(str(i) for i in range(lanes))
    return vector(dtypes.int, lanes, f"((int{lanes}){{{{{steps}}}}}+{{0}})", start.cast(dtypes.int))


class Table:
    """A table of 16 floats held in registers. A look-up is one permutation per 16 lanes where the CPU has it."""

    def __init__(self, buffer: UOp, lanes: int):
        self._lanes = lanes
        step = 16 if lanes == 16 else 8
        self._halves = [load(buffer, const(at, dtypes.weakint), "float32", step) for at in range(0, 16, step)]
        if step > lanes:
            self._halves = [numbers(half) for half in self._halves]

    def look_up(self, index: UOp) -> UOp:
        """The table's entries at the lanes of `index`, each 0..=15."""
        lanes = self._lanes

        def permute(table: UOp, at: UOp) -> UOp:
            entries = ",".join(f"{{0}}[{{1}}[{i}]]" for i in range(lanes))
            return vector(dtypes.float, lanes, f"(float{lanes}){{{{{entries}}}}}", table, at)

        if len(self._halves) == 1:
            return permute(self._halves[0], index)
        within = alu("{0}&7", index)
        low, high = (permute(half, within) for half in self._halves)
        mask = alu("(0-({0}>>3))", index)
        return select(mask, high, low, lanes)
