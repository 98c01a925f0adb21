//! How much of what the machine can do a case uses: of memory bandwidth in decode, of arithmetic in prefill
//! (S. Williams, A. Waterman and D. Patterson, "Roofline: an insightful visual performance model for multicore
//! architectures", Communications of the ACM, 2009). The roofs are the probes' best readings with as many threads.

use super::Group;
use serde::{Deserialize, Serialize};

/// A group under its roofs. What is not known is missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Roofline {
    /// Index of the group.
    pub group: usize,
    /// Bytes that a decode step must move, mean over the steps.
    pub bytes_per_token: Option<f64>,
    /// Those bytes / time, GB/s.
    pub memory_gb_s: Option<f64>,
    /// Memory bandwidth of the machine, GB/s.
    pub roof_gb_s: Option<f64>,
    /// The one as a share of the other, percent.
    pub bandwidth_percent: Option<f64>,
    /// Operations of the prefill / time, 10^9/s; see [`flop_per_token`].
    pub prefill_gflops: Option<f64>,
    /// Float32 arithmetic of the machine, 10^9 operations/s.
    pub roof_gflops: Option<f64>,
    /// The one as a share of the other, percent.
    pub compute_percent: Option<f64>,
    /// Why there is no roof, where there can be none.
    pub no_roof: Option<String>,
    /// Whether a share is above 100% and nothing explains it away.
    pub impossible: bool,
    /// What must be known of the shares, in words.
    pub notes: Vec<String>,
}

/// Every group that has figures.
pub fn roofline(groups: &[Group]) -> Vec<Roofline> {
    let measured = groups.iter().enumerate().filter(|(_, group)| group.decode.is_some() || group.prefill.is_some());
    measured.map(|(i, group)| under_roof(i, group)).collect()
}

/// Operations of a forward pass per token: 2 x parameters, a multiplication and an addition for each (J. Kaplan et al.,
/// "Scaling laws for neural language models", 2020, section 2.1, without the term of attention, which is small for short
/// contexts). Embeddings are counted as if they were multiplied, so this is a little too much for small models with large
/// vocabularies. Parameters = 8 x bytes of weights / bits per weight.
pub fn flop_per_token(weights_bytes: u64, bits_per_weight: f64) -> Option<f64> {
    let parameters = 8.0 * weights_bytes as f64 / bits_per_weight;
    Some(2.0 * parameters).filter(|flop| flop.is_finite() && *flop > 0.0)
}

fn under_roof(i: usize, group: &Group) -> Roofline {
    let around = &group.surroundings;
    let bytes_per_token = bytes_per_token(group);
    let memory_gb_s = group.memory.as_ref().map(|memory| memory.mean);
    // A mixture of experts computes with some of its parameters: then its bytes are not known either.
    let flop = group.key.weights_bytes.zip(group.key.bits_per_weight).filter(|_| bytes_per_token.is_some());
    let flop = flop.and_then(|(bytes, bits)| flop_per_token(bytes, bits));
    let prefill_gflops = flop.zip(group.prefill.as_ref()).map(|(flop, prefill)| flop * prefill.mean / 1e9);
    let share = |part: Option<f64>, whole: Option<f64>| Some(100.0 * part? / whole.filter(|whole| *whole > 0.0)?);
    let mut found = Roofline {
        group: i,
        bytes_per_token,
        memory_gb_s,
        roof_gb_s: around.bandwidth_gb_s,
        bandwidth_percent: share(memory_gb_s, around.bandwidth_gb_s),
        prefill_gflops,
        roof_gflops: around.gflops,
        compute_percent: share(prefill_gflops, around.gflops),
        no_roof: None,
        impossible: false,
        notes: Vec::new(),
    };
    annotate(&mut found, group);
    found
}

/// Bytes of all decode steps / their number: rate x time of each repetition.
fn bytes_per_token(group: &Group) -> Option<f64> {
    let bytes = group.repetitions.iter().filter_map(|r| Some(r.memory_gb_s? * 1e9 * (r.tpot_ms? / 1e3)));
    let bytes: Vec<f64> = bytes.filter(|bytes| bytes.is_finite()).collect();
    (!bytes.is_empty()).then(|| bytes.iter().sum::<f64>() / bytes.len() as f64)
}

fn annotate(found: &mut Roofline, group: &Group) {
    if !group.key.device.eq_ignore_ascii_case("cpu") {
        found.no_roof = Some(format!("no roof for {}: the probe measures the processor", group.key.device));
        return;
    }
    if let Some(percent) = found.bandwidth_percent.filter(|percent| *percent > 100.0) {
        match group.surroundings.cache_bytes {
            Some(cache) if found.bytes_per_token.is_some_and(|bytes| bytes < 2.0 * cache as f64) => {
                found.notes.push(format!(
                    "{percent:.0}% of the memory bandwidth: the weights come out of the last-level cache ({:.0} MB), so memory is no roof",
                    cache as f64 / 1e6
                ));
            }
            _ => {
                found.impossible = true;
                found.notes.push(format!(
                    "{percent:.0}% of the memory bandwidth cannot be: bytes per token are counted too high, or the probe was disturbed; an error in somebody's accounting"
                ));
            }
        }
    }
    if let Some(percent) = found.compute_percent.filter(|percent| *percent > 100.0) {
        found.impossible = true;
        found.notes.push(format!(
            "{percent:.0}% of the float32 peak cannot be in float32: the engine computes in narrower numbers (int8, bfloat16), or there is an error in somebody's accounting"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::analyze;
    use super::*;
    use crate::record::{Context, Phase, Series, Step};

    /// 10^9 parameters of 8 bits; prefill of 100 tokens in 1 s; decode steps of 50 ms that move 1 GB.
    fn series(device: &str, probe_gb_s: f64, cache_bytes: u64) -> Series {
        let context = Context {
            engine: "llamacpp".into(),
            device: Some(device.into()),
            weights_bytes: Some(1_000_000_000),
            bits_per_weight: Some(8.0),
            probe_gb_s: (device == "CPU").then_some(probe_gb_s),
            probe_gflops: (device == "CPU").then_some(500.0),
            cache_bytes: Some(cache_bytes),
            ..Context::default()
        };
        let prefill = Step { phase: Phase::Prefill, tokens: Some(100), total_ms: Some(1000.0), ..Step::default() };
        let decode = Step { tokens: Some(1), total_ms: Some(50.0), memory_gb_s: Some(20.0), ..Step::default() };
        Series { context, steps: vec![prefill, decode.clone(), decode] }
    }

    fn only(series: Series) -> Roofline {
        analyze(&[series]).roofline.remove(0)
    }

    #[test]
    fn shares_are_what_was_reached_of_what_can_be() {
        let found = only(series("CPU", 25.0, 0));
        assert!((found.bytes_per_token.unwrap() - 1e9).abs() < 1.0, "{found:?}");
        assert!((found.bandwidth_percent.unwrap() - 80.0).abs() < 1e-9);
        // 2 x 10^9 x 100 operations in a second.
        assert!((found.prefill_gflops.unwrap() - 200.0).abs() < 1e-9);
        assert!((found.compute_percent.unwrap() - 40.0).abs() < 1e-9);
        assert!(!found.impossible && found.notes.is_empty());
    }

    #[test]
    fn more_than_everything_is_an_error_unless_the_cache_explains_it() {
        let found = only(series("CPU", 10.0, 32 << 20));
        assert!(found.impossible && found.notes[0].contains("200% of the memory bandwidth cannot be"), "{found:?}");
        let cached = only(series("CPU", 10.0, 600 << 20));
        assert!(!cached.impossible && cached.notes[0].contains("last-level cache"), "{cached:?}");
        let mut fast = series("CPU", 25.0, 0);
        fast.steps[0].total_ms = Some(100.0);
        let found = only(fast);
        assert!(found.impossible && found.notes[0].contains("400% of the float32 peak"), "{found:?}");
    }

    #[test]
    fn a_gpu_has_no_roof_of_the_processor() {
        let found = only(series("CUDA", 25.0, 0));
        assert_eq!((found.bandwidth_percent, found.compute_percent, found.impossible), (None, None, false));
        assert!(found.no_roof.unwrap().contains("CUDA") && found.bytes_per_token.is_some());
    }

    #[test]
    fn what_is_not_known_has_no_share() {
        let mut unknown = series("CPU", 25.0, 0);
        unknown.steps.iter_mut().for_each(|step| step.memory_gb_s = None);
        let found = only(unknown);
        assert_eq!((found.bytes_per_token, found.bandwidth_percent, found.compute_percent), (None, None, None));
        assert_eq!((flop_per_token(0, 8.0), flop_per_token(10, 0.0)), (None, None));
        assert!(roofline(&[]).is_empty());
    }
}
