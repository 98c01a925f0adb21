//! What a GGUF file weighs: parameters, bytes and bits per weight, measured from its tensors.

use std::collections::BTreeMap;

use super::read::Gguf;
use super::types::GgmlType;

/// How much of a file is stored in one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeShare {
    /// The type.
    pub ty: GgmlType,
    /// Tensors of that type.
    pub tensors: usize,
    /// Their elements.
    pub elements: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Gguf {
    /// Bytes of all tensors, without header and padding.
    pub fn tensor_bytes(&self) -> u64 {
        self.tensors.iter().map(|t| t.bytes).sum()
    }

    /// Elements of all tensors: the number of parameters (helper tensors like `rope_freqs`
    /// included, as llama.cpp counts).
    pub fn n_params(&self) -> u64 {
        self.tensors.iter().fold(0, |n, t| n.saturating_add(t.elements))
    }

    /// Measured bits per weight: 8 x tensor bytes / parameters. `None` for a file without tensors.
    pub fn bits_per_weight(&self) -> Option<f64> {
        match self.n_params() {
            0 => None,
            n => Some(self.tensor_bytes() as f64 * 8.0 / n as f64),
        }
    }

    /// Shares by type, the one with most bytes first.
    pub fn by_type(&self) -> Vec<TypeShare> {
        let mut shares: BTreeMap<u32, TypeShare> = BTreeMap::new();
        for t in &self.tensors {
            let share = shares.entry(t.ty.id).or_insert(TypeShare { ty: t.ty, tensors: 0, elements: 0, bytes: 0 });
            share.tensors += 1;
            share.elements = share.elements.saturating_add(t.elements);
            share.bytes = share.bytes.saturating_add(t.bytes);
        }
        let mut shares: Vec<TypeShare> = shares.into_values().collect();
        shares.sort_by_key(|s| std::cmp::Reverse(s.bytes));
        shares
    }
}
