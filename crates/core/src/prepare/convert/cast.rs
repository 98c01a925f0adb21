//! Number formats: what a checkpoint stores into what a GGUF file stores, rounded to nearest even as
//! torch and numpy do.

use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::tensor::Dtype as StDtype;

use crate::prepare::gguf::GgmlType;

/// How elements lie in the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    F16,
    Bf16,
    F32,
    F64,
}

/// How elements will lie in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    F16,
    Bf16,
    F32,
}

impl Stored {
    /// The floating-point types; `None` for integers, 8-bit floats and the like.
    pub fn of(dtype: StDtype) -> Option<Stored> {
        match dtype {
            StDtype::F16 => Some(Stored::F16),
            StDtype::BF16 => Some(Stored::Bf16),
            StDtype::F32 => Some(Stored::F32),
            StDtype::F64 => Some(Stored::F64),
            _ => None,
        }
    }

    /// Bytes per element.
    pub fn width(self) -> usize {
        match self {
            Stored::F16 | Stored::Bf16 => 2,
            Stored::F32 => 4,
            Stored::F64 => 8,
        }
    }
}

impl Target {
    /// The type in the file.
    pub fn ggml(self) -> GgmlType {
        match self {
            Target::F16 => GgmlType::F16,
            Target::Bf16 => GgmlType::BF16,
            Target::F32 => GgmlType::F32,
        }
    }

    /// Bytes per element.
    pub fn width(self) -> usize {
        match self {
            Target::F16 | Target::Bf16 => 2,
            Target::F32 => 4,
        }
    }
}

/// Elements that are converted at a time; they stay in the first-level cache.
const BLOCK: usize = 1024;

/// Converts as many elements as both slices hold; they should hold the same number.
pub(super) fn convert(from: Stored, source: &[u8], to: Target, target: &mut [u8]) {
    debug_assert_eq!(source.len() / from.width(), target.len() / to.width());
    if matches!((from, to), (Stored::F16, Target::F16) | (Stored::F32, Target::F32)) {
        target.copy_from_slice(source);
        return;
    }
    let mut floats = [0f32; BLOCK];
    for (source, target) in source.chunks(BLOCK * from.width()).zip(target.chunks_mut(BLOCK * to.width())) {
        if (from, to) == (Stored::Bf16, Target::Bf16) {
            copy_bf16(source, target);
        } else {
            let floats = &mut floats[..target.len() / to.width()];
            load(from, source, floats);
            store(floats, to, target);
        }
    }
}

fn load(from: Stored, source: &[u8], floats: &mut [f32]) {
    match from {
        Stored::F32 => pairs(source.as_chunks::<4>().0, floats, |raw| f32::from_le_bytes(*raw)),
        Stored::F64 => pairs(source.as_chunks::<8>().0, floats, |raw| f64::from_le_bytes(*raw) as f32),
        Stored::Bf16 => {
            pairs(source.as_chunks::<2>().0, floats, |raw| f32::from_bits(u32::from(u16::from_le_bytes(*raw)) << 16))
        }
        Stored::F16 => {
            let mut halves = [f16::ZERO; BLOCK];
            let halves = &mut halves[..floats.len()];
            pairs(source.as_chunks::<2>().0, halves, |raw| f16::from_le_bytes(*raw));
            halves.convert_to_f32_slice(floats);
        }
    }
}

fn store(floats: &[f32], to: Target, target: &mut [u8]) {
    match to {
        Target::F32 => pairs(floats, target.as_chunks_mut::<4>().0, |x| x.to_le_bytes()),
        Target::Bf16 => pairs(floats, target.as_chunks_mut::<2>().0, |x| bf16_bits(*x).to_le_bytes()),
        Target::F16 => {
            let mut halves = [f16::ZERO; BLOCK];
            let halves = &mut halves[..floats.len()];
            halves.convert_from_f32_slice(floats);
            pairs(halves, target.as_chunks_mut::<2>().0, |x| x.to_le_bytes());
        }
    }
}

fn pairs<A, B>(from: &[A], to: &mut [B], f: impl Fn(&A) -> B) {
    for (a, b) in from.iter().zip(to) {
        *b = f(a);
    }
}

/// The upper half of a float, rounded to nearest even; a NaN stays one (ggml's `ggml_compute_fp32_to_bf16`).
fn bf16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return (bits >> 16) as u16 | 0x40;
    }
    (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// A copy in which NaNs become quiet, as they do on the reference's way through 32 bits.
fn copy_bf16(source: &[u8], target: &mut [u8]) {
    pairs(source.as_chunks::<2>().0, target.as_chunks_mut::<2>().0, |raw| {
        let bits = u16::from_le_bytes(*raw);
        let quiet = if bits & 0x7fff > 0x7f80 { 0x40 } else { 0 };
        (bits | quiet).to_le_bytes()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(target: Target, values: &[f32]) -> Vec<u16> {
        let source: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut out = vec![0; values.len() * target.width()];
        convert(Stored::F32, &source, target, &mut out);
        out.as_chunks::<2>().0.iter().map(|raw| u16::from_le_bytes(*raw)).collect()
    }

    #[test]
    fn halves_are_rounded_to_nearest_even() {
        // Values and bits from numpy's astype(float16).
        let values = [0.0, -0.0, 65504.0, 65519.9, 65520.0, -1e9, 6e-8, 2.98e-8, 1.000_488_3, 1.001_464_8];
        let expected = [0x0000, 0x8000, 0x7bff, 0x7bff, 0x7c00, 0xfc00, 0x0001, 0x0000, 0x3c00, 0x3c02];
        assert_eq!(to(Target::F16, &values), expected);
    }

    #[test]
    fn brain_floats_are_rounded_to_nearest_even() {
        let values = [1.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, 3.395e38, f32::MAX, f32::NAN, f32::NEG_INFINITY];
        let expected = [0x3f80, 0x3f80, 0x3f82, 0x7f7f, 0x7f80, 0x7fc0, 0xff80];
        assert_eq!(to(Target::Bf16, &values), expected);
    }

    #[test]
    fn blocks_of_every_length_are_complete() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7] {
            let halves: Vec<u8> = (0..length).flat_map(|i| f16::from_f32(i as f32 % 512.0).to_le_bytes()).collect();
            let mut floats = vec![0xee; length * 4];
            convert(Stored::F16, &halves, Target::F32, &mut floats);
            for (i, raw) in floats.as_chunks::<4>().0.iter().enumerate() {
                assert_eq!(f32::from_le_bytes(*raw), i as f32 % 512.0);
            }
            let mut back = vec![0xee; length * 2];
            convert(Stored::F32, &floats, Target::F16, &mut back);
            assert_eq!(back, halves);
        }
    }

    #[test]
    fn doubles_and_brain_floats_widen() {
        let mut out = [0; 4];
        convert(Stored::F64, &0.1f64.to_le_bytes(), Target::F32, &mut out);
        assert_eq!(f32::from_le_bytes(out), 0.1f32);
        convert(Stored::Bf16, &0x3fc0u16.to_le_bytes(), Target::F32, &mut out);
        assert_eq!(f32::from_le_bytes(out), 1.5);
        let mut signalling = [0x81, 0x7f];
        convert(Stored::Bf16, &0x7f81u16.to_le_bytes(), Target::Bf16, &mut signalling);
        assert_eq!(u16::from_le_bytes(signalling), 0x7fc1);
    }
}
