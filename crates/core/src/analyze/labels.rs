//! What cases are called where they stand together.

use super::Group;
use std::collections::BTreeMap;

/// Labels of engines, with the words of a version that tell it from others of the same engine and quantization:
/// `mlc_llm (via=serve)`.
pub struct EngineLabels {
    /// By engine and quantization: its versions, each once, in the order in which they come.
    versions: BTreeMap<(String, String), Vec<Option<String>>>,
}

impl EngineLabels {
    /// For cases that stand together.
    pub fn among<'a>(groups: impl IntoIterator<Item = &'a Group>) -> EngineLabels {
        let mut versions: BTreeMap<_, Vec<Option<String>>> = BTreeMap::new();
        for group in groups {
            let known = versions.entry(kind(group)).or_default();
            if !known.contains(&group.key.engine_version) {
                known.push(group.key.engine_version.clone());
            }
        }
        EngineLabels { versions }
    }

    /// The label of one of them.
    pub fn of(&self, group: &Group) -> String {
        let mut own: Vec<&str> = Vec::new();
        for other in self.versions.get(&kind(group)).into_iter().flatten() {
            let known = words(other.as_deref());
            for word in words(group.key.engine_version.as_deref()) {
                if !known.contains(&word) && !own.contains(&word) {
                    own.push(word);
                }
            }
        }
        match own.is_empty() {
            true => group.engine_label(),
            false => format!("{} ({})", group.engine_label(), own.join(" ")),
        }
    }
}

fn kind(group: &Group) -> (String, String) {
    (group.key.engine.clone(), group.quantize_label())
}

fn words(version: Option<&str>) -> Vec<&str> {
    version.map_or_else(Vec::new, |text| text.split(' ').collect())
}

#[cfg(test)]
mod tests {
    use super::super::groups;
    use super::super::testing::case;
    use super::*;

    #[test]
    fn two_ways_into_an_engine_are_told_apart() {
        let version = |text: &str| {
            let mut all = case("nf4", "run", &[1.0]);
            all[0].context.engine_version = Some(text.to_owned());
            all.remove(0)
        };
        let groups = groups(&[version("1.0 via=serve"), version("1.0")]);
        let labels = EngineLabels::among(&groups);
        let mut told: Vec<String> = groups.iter().map(|group| labels.of(group)).collect();
        told.sort();
        assert_eq!(told, ["mock", "mock (via=serve)"]);
        assert_eq!(EngineLabels::among(&groups[..1]).of(&groups[0]), "mock");
    }
}
