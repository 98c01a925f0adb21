//! "Did you mean ...": the names nearest to one that is unknown.

/// Up to three of `known` that look like `name`, best first. Case does not count.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = name.to_lowercase();
    let mut scored: Vec<(usize, &str)> =
        known.into_iter().map(|candidate| (distance(&wanted, &candidate.to_lowercase()), candidate)).collect();
    scored.sort();
    let limit = (name.chars().count() / 2).max(2);
    scored.into_iter().filter(|(d, _)| *d <= limit).take(3).map(|(_, candidate)| candidate).collect()
}

/// A sentence for an error message: `; did you mean a, b?`, or the whole list where nothing is near.
pub fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let near = nearest(name, known.clone());
    if near.is_empty() {
        format!("; known are {}", known.into_iter().collect::<Vec<_>>().join(", "))
    } else {
        format!("; did you mean {}?", near.join(" or "))
    }
}

/// Levenshtein's edit distance (V. Levenshtein, 1966), in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_found() {
        assert_eq!(nearest("q4km", ["Q8_0", "Q4_K_M", "F16"]), ["Q4_K_M"]);
        assert_eq!(hint("tinygard", ["llamacpp", "tinygrad"]), "; did you mean tinygrad?");
    }

    #[test]
    fn nothing_near_lists_all() {
        assert_eq!(hint("xyzxyzxyz", ["a", "b"]), "; known are a, b");
    }
}
