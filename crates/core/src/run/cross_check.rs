//! What a worker and its engine say of a repetition, held against each other.

use tokometer_protocol::Generated;

/// Difference between our figure and the engine's own from which on a reader must know, as a share of the engine's.
const TOLERANCE: f64 = 0.05;
/// Decode steps below which a difference says nothing.
const FEWEST_STEPS: u64 = 16;

/// Warnings that belong to a repetition: the worker's own, and a decode speed that the engine itself puts elsewhere.
/// Short name and words.
pub fn warnings(generated: &Generated, repetition: u32) -> Vec<(String, String)> {
    let own = generated.warnings.iter();
    let mut all: Vec<_> = own.map(|(code, text)| (code.clone(), format!("repetition {repetition}: {text}"))).collect();
    all.extend(disagreement(generated, repetition));
    all
}

fn disagreement(generated: &Generated, repetition: u32) -> Option<(String, String)> {
    let theirs = *generated.engine_figures.get("decode_tokens_per_s")?;
    let (tokens, ns) = generated.decode();
    if tokens < FEWEST_STEPS || ns == 0 || theirs <= 0.0 {
        return None;
    }
    let ours = tokens as f64 * 1e9 / ns as f64;
    let message = format!(
        "repetition {repetition}: {ours:.2} decode tok/s were measured, the engine's own figure is {theirs:.2}"
    );
    ((ours - theirs).abs() > TOLERANCE * theirs).then(|| ("engine_disagrees".to_owned(), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(theirs: f64) -> Generated {
        Generated {
            done_ns: (1..=101).map(|i| i * 1_000_000).collect(),
            engine_figures: [("decode_tokens_per_s".to_owned(), theirs)].into(),
            ..Generated::default()
        }
    }

    #[test]
    fn figures_that_agree_are_silent_and_others_are_told() {
        assert!(warnings(&generated(1000.0), 1).is_empty());
        assert!(warnings(&generated(960.0), 1).is_empty());
        let told = warnings(&generated(256_000.0), 3);
        assert_eq!(told[0].0, "engine_disagrees");
        assert!(told[0].1.contains("repetition 3") && told[0].1.contains("256000"), "{told:?}");
    }

    #[test]
    fn a_workers_own_warnings_are_passed_on_and_few_steps_say_nothing() {
        let mut few = generated(5.0);
        few.done_ns.truncate(3);
        few.warnings.insert("estimated_chunks".into(), "words".into());
        assert_eq!(warnings(&few, 2), [("estimated_chunks".to_owned(), "repetition 2: words".to_owned())]);
    }
}
