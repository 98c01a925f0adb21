//! Quantiles of the normal distribution and of Student's t, central and not, which the standard library does not have.
//!
//! What they are used for stands with `bootstrap`, `verdict` and `rounds`.

use std::f64::consts::{PI, TAU};

/// Degrees of freedom up to which the finite series is summed.
const SERIES: u32 = 200;

/// P(Z <= x) of the standard normal distribution: the series of G. Marsaglia, "Evaluating the normal distribution",
/// Journal of Statistical Software 11(4), 2004.
pub(super) fn normal_cdf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x.abs() > 8.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut sum, mut term, mut odd) = (x, x, 1.0);
    loop {
        odd += 2.0;
        term *= x * x / odd;
        let next = sum + term;
        if next == sum {
            break;
        }
        sum = next;
    }
    0.5 + sum * (-0.5 * x * x).exp() / TAU.sqrt()
}

/// The value that a share `level` (in (0, 1)) of Student's t with `df` degrees of freedom stays below in absolute value.
pub fn t_critical(level: f64, df: u32) -> f64 {
    let df = df.max(1);
    if df > SERIES {
        return expanded(bisect(8.0, |x| 2.0 * normal_cdf(x) - 1.0 >= level), f64::from(df));
    }
    bisect(doubled(2.0, 1e9, |t| within(t, df) >= level), |t| within(t, df) >= level)
}

/// P(|T| <= t): the finite series of M. Abramowitz and I. Stegun, "Handbook of mathematical functions", 1964, 26.7.3
/// and 26.7.4.
fn within(t: f64, df: u32) -> f64 {
    let angle = (t / f64::from(df).sqrt()).atan();
    let (sin, cos) = angle.sin_cos();
    let odd = df % 2 == 1;
    let mut term = if odd { cos } else { 1.0 };
    let mut sum = 0.0;
    for j in 1..=df / 2 {
        sum += term;
        let even = f64::from(2 * j);
        term *= cos * cos * if odd { even / (even + 1.0) } else { (even - 1.0) / even };
    }
    if odd { 2.0 / PI * (angle + sin * sum) } else { sin * sum }
}

/// A quantile of Student's t from the normal one, for many degrees of freedom (ibid., 26.7.5).
fn expanded(z: f64, df: f64) -> f64 {
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    z + first / df + second / (df * df)
}

/// The quantile `power` of (Z + shift) / U: Z is standard normal, U the root of a chi square divided by its `df` degrees of
/// freedom. This is the noncentral t distribution (N. Johnson and B. Welch, "Applications of the non-central
/// t-distribution", Biometrika 31, 1940), here by summing over U.
pub(super) fn noncentral_t(power: f64, df: u32, shift: f64) -> f64 {
    const NODES: usize = 160;
    let df = f64::from(df.max(1));
    let reach = 8.0 / (2.0 * df).sqrt();
    let (low, high) = ((1.0 - reach).max(0.0), 1.0 + reach);
    let node = |i: usize| {
        let u = low + (high - low) * (i as f64 + 0.5) / NODES as f64;
        (u, ((df - 1.0) * u.ln() - df * (u * u - 1.0) / 2.0).exp())
    };
    let nodes: Vec<(f64, f64)> = (0..NODES).map(node).collect();
    let total: f64 = nodes.iter().map(|(_, weight)| weight).sum();
    let reached = |x: f64| {
        let share: f64 = nodes.iter().map(|(u, weight)| weight * normal_cdf(x * u - shift)).sum();
        share >= power * total
    };
    bisect(doubled(shift.abs() + 2.0, 1e6, reached), reached)
}

/// The first of `start`, `2 start`, ... that is enough, or `limit`.
fn doubled(start: f64, limit: f64, enough: impl Fn(f64) -> bool) -> f64 {
    let mut value = start;
    while value < limit && !enough(value) {
        value *= 2.0;
    }
    value
}

/// The smallest value in (0, high] that is enough, to nine digits.
fn bisect(mut high: f64, enough: impl Fn(f64) -> bool) -> f64 {
    let mut low = 0.0;
    while high - low > 1e-9 * high {
        let middle = 0.5 * (low + high);
        if enough(middle) { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 2e-4 * b.abs(), "{a} {b}");
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        close(normal_cdf(1.959_964), 0.975);
        close(normal_cdf(-3.0), 0.001_349_898);
        assert_eq!((normal_cdf(9.0), normal_cdf(-9.0)), (1.0, 0.0));
        // Two-sided critical values of Student's t as any textbook prints them.
        for (level, df, value) in [
            (0.95, 1, 12.7062),
            (0.95, 2, 4.302_65),
            (0.95, 3, 3.182_45),
            (0.95, 9, 2.262_16),
            (0.95, 10, 2.228_14),
            (0.99, 2, 9.924_84),
            (0.99, 30, 2.749_996),
            (0.999, 4, 8.610_30),
            (0.95, 200, 1.971_896),
            (0.95, 1000, 1.962_339),
            (0.99, 400, 2.588_22),
        ] {
            close(t_critical(level, df), value);
        }
    }

    #[test]
    fn without_a_shift_noncentral_is_central() {
        // A one-sided 97.5% quantile is a two-sided 95% one.
        for df in [2, 5, 30] {
            let (own, table) = (noncentral_t(0.975, df, 0.0), t_critical(0.95, df));
            assert!((own / table - 1.0).abs() < 0.01, "{df}: {own} {table}");
        }
    }

    #[test]
    fn a_shift_and_many_degrees_of_freedom_are_nearly_a_sum() {
        let own = noncentral_t(0.95, 2000, 3.0);
        assert!((own - (3.0 + 1.645)).abs() < 0.1, "{own}");
    }
}
