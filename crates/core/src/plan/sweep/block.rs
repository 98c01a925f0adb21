//! Cases that are measured together: in rounds, so that their ratios are paired.

use super::Planned;
use serde::{Deserialize, Serialize};

/// Cases of a block at most: a round visits every one of them, and cases that stand too far apart are no pairs.
const MOST: usize = 32;

/// Cases that are measured in one run: the same model, workload, threads, device and seed, in several engines and
/// quantizations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Twelve hex digits of its cases' hashes.
    pub hash: String,
    /// The cases.
    pub cases: Vec<Planned>,
}

/// Cuts the cases into blocks, in the order of their first cases.
pub fn blocks(cases: Vec<Planned>) -> Vec<Block> {
    let mut open: Vec<(String, Vec<Planned>)> = Vec::new();
    let mut place: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for planned in cases {
        let key = key(&planned);
        match place.get(&key).copied().filter(|at| open[*at].1.len() < MOST) {
            Some(at) => open[at].1.push(planned),
            None => {
                place.insert(key.clone(), open.len());
                open.push((key, vec![planned]));
            }
        }
    }
    open.into_iter()
        .map(|(_, cases)| {
            let hashes: Vec<&str> = cases.iter().map(|planned| planned.hash.as_str()).collect();
            Block { hash: crate::fingerprint::of_value(&hashes)[..12].to_owned(), cases }
        })
        .collect()
}

/// All that must be equal for two cases to be compared.
fn key(planned: &Planned) -> String {
    let case = &planned.case;
    format!(
        "{}\0{:?}\0{:?}\0{:?}\0{}",
        case.model, case.workload, case.settings.threads, case.settings.device, case.seed
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Case, Settings, Workload};

    fn planned(engine: &str, depth: u32, n: usize) -> Planned {
        let case = Case {
            engine: engine.into(),
            model: "synthetic:tiny".into(),
            quantize: format!("q{n}"),
            native: "x".into(),
            workload: Workload { depth, ..Workload::default() },
            settings: Settings::default(),
            seed: 42,
        };
        Planned { hash: case.hash(), case, refused: None }
    }

    #[test]
    fn what_is_compared_is_measured_together() {
        let cases = vec![planned("a", 0, 0), planned("a", 512, 0), planned("b", 0, 0), planned("b", 512, 0)];
        let blocks = blocks(cases);
        let depths: Vec<Vec<u32>> =
            blocks.iter().map(|b| b.cases.iter().map(|p| p.case.workload.depth).collect()).collect();
        assert_eq!(depths, [[0, 0], [512, 512]]);
        assert_ne!(blocks[0].hash, blocks[1].hash);
    }

    #[test]
    fn a_block_is_not_endless() {
        let blocks = blocks((0..70).map(|n| planned("a", 0, n)).collect());
        assert_eq!(blocks.iter().map(|b| b.cases.len()).collect::<Vec<_>>(), [32, 32, 6]);
    }
}
