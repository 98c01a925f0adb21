"""How weights lie in memory: the codes, and the scales that belong to them. Descriptions only.

A weight is `code * scale - min`, where `code` may first be looked up in a table of 16 values, `scale` is the product of
the parts in `scales`, and `min` the product of the parts in `mins`. A part holds one number per group of consecutive
columns of a row. Block sizes and meanings of the GGUF types are those of llama.cpp's `ggml-common.h`.

What packs tensors into these forms is `pack`; what computes with them is `matmul` (CPU) and `plain` (everything else).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Scales of a format: tensor `name` of type `dtype`, one entry per `group` columns of a row (0: the whole row)."""

    name: str
    group: int
    dtype: str


@dataclass(frozen=True)
class Format:
    """One way to store a matrix. `codes` is float32, float16, bfloat16, int8 or nibbles (two codes in a byte)."""

    name: str
    codes: str
    scales: tuple = ()
    mins: tuple = ()
    table: tuple = ()

    @property
    def per_byte(self) -> int:
        """Codes in one stored element: 2 for nibbles (the even column is in the low bits), else 1."""
        return 2 if self.codes == "nibbles" else 1

    @property
    def groups(self) -> tuple:
        """The group sizes of all parts, largest first, without those that span the row."""
        return tuple(sorted({part.group for part in (*self.scales, *self.mins) if part.group}, reverse=True))

    @property
    def row_scale(self) -> bool:
        """Whether one scale of the whole row is applied after the dot product."""
        return any(part.group == 0 for part in self.scales)


#: The 16 levels of NF4: quantiles of a normal distribution, scaled to [-1, 1].
#: Source: Dettmers et al., QLoRA (2023), appendix E.
NF4_LEVELS = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)
#: Columns that share one absmax in `nf4`.
NF4_GROUP = 64

FLOAT32 = Format("float32", "float32")
FLOAT16 = Format("float16", "float16")
BFLOAT16 = Format("bfloat16", "bfloat16")
INT8 = Format("int8", "int8", scales=(Part("scale", 0, "float32"),))
NF4 = Format("nf4", "nibbles", scales=(Part("absmax", NF4_GROUP, "float16"),), table=NF4_LEVELS)
Q8_0 = Format("Q8_0", "int8", scales=(Part("d", 32, "float16"),))
Q4_0 = Format("Q4_0", "nibbles", scales=(Part("d", 32, "float16"),), table=tuple(float(i) for i in range(-8, 8)))
Q4_K = Format(
    "Q4_K", "nibbles",
    scales=(Part("d", 256, "float16"), Part("sc", 32, "uint8")),
    mins=(Part("dmin", 256, "float16"), Part("mn", 32, "uint8")),
)
#: Q5_K and Q6_K keep their scales as they are; their codes of 5 and 6 bits are unpacked to one byte each.
Q5_K = Format(
    "Q5_K", "int8",
    scales=(Part("d", 256, "float16"), Part("sc", 32, "uint8")),
    mins=(Part("dmin", 256, "float16"), Part("mn", 32, "uint8")),
)
Q6_K = Format("Q6_K", "int8", scales=(Part("d", 256, "float16"), Part("sc", 16, "int8")))

#: Formats that a user can ask for with `quantize`.
NATIVE = {f.name: f for f in (FLOAT32, FLOAT16, INT8, NF4)}
