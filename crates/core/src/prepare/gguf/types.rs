//! The tensor types of ggml: their numbers, names and block sizes.
//!
//! Facts from llama.cpp's `ggml.h`, `ggml-common.h` and `gguf-py/gguf/constants.py`
//! (`GGML_QUANT_SIZES`) of mid 2026.

use std::fmt;

/// How one tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GgmlType {
    /// The number in the file.
    pub id: u32,
    /// The name as llama.cpp's tools write it.
    pub name: &'static str,
    /// Elements per block; a row holds a whole number of blocks.
    pub block_elements: u32,
    /// Bytes per block.
    pub block_bytes: u32,
}

const fn row(id: u32, name: &'static str, block_elements: u32, block_bytes: u32) -> GgmlType {
    GgmlType { id, name, block_elements, block_bytes }
}

/// Every type of current llama.cpp, by number. Numbers that are missing were withdrawn.
pub const TYPES: &[GgmlType] = &[
    GgmlType::F32,
    GgmlType::F16,
    row(2, "Q4_0", 32, 18),
    row(3, "Q4_1", 32, 20),
    row(6, "Q5_0", 32, 22),
    row(7, "Q5_1", 32, 24),
    row(8, "Q8_0", 32, 34),
    row(9, "Q8_1", 32, 36),
    row(10, "Q2_K", 256, 84),
    row(11, "Q3_K", 256, 110),
    row(12, "Q4_K", 256, 144),
    row(13, "Q5_K", 256, 176),
    row(14, "Q6_K", 256, 210),
    row(15, "Q8_K", 256, 292),
    row(16, "IQ2_XXS", 256, 66),
    row(17, "IQ2_XS", 256, 74),
    row(18, "IQ3_XXS", 256, 98),
    row(19, "IQ1_S", 256, 50),
    row(20, "IQ4_NL", 32, 18),
    row(21, "IQ3_S", 256, 110),
    row(22, "IQ2_S", 256, 82),
    row(23, "IQ4_XS", 256, 136),
    row(24, "I8", 1, 1),
    row(25, "I16", 1, 2),
    row(26, "I32", 1, 4),
    row(27, "I64", 1, 8),
    row(28, "F64", 1, 8),
    row(29, "IQ1_M", 256, 56),
    GgmlType::BF16,
    row(34, "TQ1_0", 256, 54),
    row(35, "TQ2_0", 256, 66),
    row(39, "MXFP4", 32, 17),
    row(40, "NVFP4", 64, 36),
    row(41, "Q1_0", 128, 18),
    row(42, "Q2_0", 64, 18),
];

impl GgmlType {
    /// 32-bit floats.
    pub const F32: GgmlType = row(0, "F32", 1, 4);
    /// 16-bit IEEE floats.
    pub const F16: GgmlType = row(1, "F16", 1, 2);
    /// The upper half of a 32-bit float.
    pub const BF16: GgmlType = row(30, "BF16", 1, 2);

    /// The type with this number, or `None` when llama.cpp has none (any more).
    pub fn from_id(id: u32) -> Option<GgmlType> {
        TYPES.iter().copied().find(|t| t.id == id)
    }

    /// The type with this name, in any case.
    pub fn from_name(name: &str) -> Option<GgmlType> {
        TYPES.iter().copied().find(|t| t.name.eq_ignore_ascii_case(name))
    }

    /// Bytes of `rows` rows of `row_elements`; `None` when a row is no whole number of blocks, or
    /// when the product overflows.
    pub fn bytes_of(self, row_elements: u64, rows: u64) -> Option<u64> {
        if !row_elements.is_multiple_of(u64::from(self.block_elements)) {
            return None;
        }
        let blocks = (row_elements / u64::from(self.block_elements)).checked_mul(rows)?;
        blocks.checked_mul(u64::from(self.block_bytes))
    }

    /// Bits per element, scales included.
    pub fn bits_per_element(self) -> f64 {
        f64::from(self.block_bytes) * 8.0 / f64::from(self.block_elements)
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_found() {
        for (i, t) in TYPES.iter().enumerate() {
            assert_eq!(GgmlType::from_id(t.id), Some(*t));
            assert_eq!(GgmlType::from_name(&t.name.to_lowercase()), Some(*t));
            assert!(TYPES[..i].iter().all(|o| o.id < t.id && o.name != t.name), "{t}");
            assert!(t.block_elements > 0 && t.block_bytes > 0);
        }
        assert_eq!(GgmlType::from_id(4), None);
    }

    #[test]
    fn sizes_are_those_of_the_blocks() {
        let q4_k = GgmlType::from_name("q4_k").unwrap();
        assert_eq!(q4_k.bytes_of(512, 3), Some(2 * 144 * 3));
        assert_eq!(q4_k.bytes_of(100, 1), None);
        assert_eq!(GgmlType::F32.bytes_of(u64::MAX, 2), None);
        assert!((q4_k.bits_per_element() - 4.5).abs() < 1e-12);
    }
}
