//! Whether two sets of right and wrong answers to the same questions differ.

/// McNemar's test in its exact form, two-sided: of `b` questions that only the first answers rightly and `c` that only the
/// second does, each way is as likely under the null hypothesis (Q. McNemar, "Note on the sampling error of the difference
/// between correlated proportions or percentages", Psychometrika 12, 1947; exact: F. Mosteller, Psychometrika 17, 1952).
pub fn mcnemar(b: usize, c: usize) -> f64 {
    let (n, fewer) = (b + c, b.min(c));
    // ln of the binomial probability of k of n, from k = 0 on.
    let mut term = n as f64 * -std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=fewer {
        tail += term.exp();
        term += ((n - k) as f64 / (k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::mcnemar;

    #[test]
    fn values_are_those_of_binom_test() {
        // R: binom.test(b, b + c)$p.value
        for (b, c, p) in [
            (0, 0, 1.0),
            (5, 5, 1.0),
            (0, 5, 0.0625),
            (1, 9, 0.021_484_375),
            (3, 12, 0.035_156_25),
            (10, 0, 0.001_953_125),
            (9, 1, 0.021_484_375),
        ] {
            assert!((mcnemar(b, c) - p).abs() < 1e-9, "{b} {c} {}", mcnemar(b, c));
        }
        // Thousands neither underflow nor lose their digits: the normal approximation of 5100 against 4900 is 0.0466.
        assert!((mcnemar(5100, 4900) - 0.0466).abs() < 5e-4, "{}", mcnemar(5100, 4900));
        assert!(mcnemar(0, 5000) < 1e-300);
    }
}
