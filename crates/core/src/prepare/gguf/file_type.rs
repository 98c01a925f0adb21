//! `general.file_type`: the label that a quantizer gives to a whole file.
//!
//! Numbers from `llama_ftype` in llama.cpp's `llama.h`, names from its quantize tool.

/// One label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileType {
    /// The number in `general.file_type`.
    pub id: u32,
    /// The name as a user types it.
    pub name: &'static str,
}

const fn label(id: u32, name: &'static str) -> FileType {
    FileType { id, name }
}

/// All labels in use. A file may mix types: only the tensors say what is stored.
pub const FILE_TYPES: &[FileType] = &[
    label(0, "F32"),
    label(1, "F16"),
    label(2, "Q4_0"),
    label(3, "Q4_1"),
    label(7, "Q8_0"),
    label(8, "Q5_0"),
    label(9, "Q5_1"),
    label(10, "Q2_K"),
    label(11, "Q3_K_S"),
    label(12, "Q3_K_M"),
    label(13, "Q3_K_L"),
    label(14, "Q4_K_S"),
    label(15, "Q4_K_M"),
    label(16, "Q5_K_S"),
    label(17, "Q5_K_M"),
    label(18, "Q6_K"),
    label(19, "IQ2_XXS"),
    label(20, "IQ2_XS"),
    label(21, "Q2_K_S"),
    label(22, "IQ3_XS"),
    label(23, "IQ3_XXS"),
    label(24, "IQ1_S"),
    label(25, "IQ4_NL"),
    label(26, "IQ3_S"),
    label(27, "IQ3_M"),
    label(28, "IQ2_S"),
    label(29, "IQ2_M"),
    label(30, "IQ4_XS"),
    label(31, "IQ1_M"),
    label(32, "BF16"),
    label(36, "TQ1_0"),
    label(37, "TQ2_0"),
    label(38, "MXFP4_MOE"),
    label(39, "NVFP4"),
    label(40, "Q1_0"),
    label(41, "Q2_0"),
];

/// The flag that says "this label was guessed from the tensors".
const GUESSED: u32 = 1024;

/// The name of a `general.file_type`, or `None` for one that llama.cpp does not know.
pub fn file_type_name(id: u32) -> Option<&'static str> {
    FILE_TYPES.iter().find(|t| t.id == id & !GUESSED).map(|t| t.name)
}

/// The `general.file_type` of a name, in any case.
pub fn file_type_id(name: &str) -> Option<u32> {
    FILE_TYPES.iter().find(|t| t.name.eq_ignore_ascii_case(name)).map(|t| t.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for t in FILE_TYPES {
            assert_eq!(file_type_name(t.id), Some(t.name));
            assert_eq!(file_type_id(&t.name.to_lowercase()), Some(t.id));
        }
        assert_eq!(file_type_name(15 | GUESSED), Some("Q4_K_M"));
        assert_eq!(file_type_name(4), None);
        assert_eq!(file_type_id("Q9_Z"), None);
    }
}
