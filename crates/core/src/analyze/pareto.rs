//! The Pareto front: the cases that no other case beats in everything (V. Pareto, "Manuale di economia politica", 1906).

/// Which end of an axis is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

impl Better {
    /// The value, turned so that more is better.
    fn gain(self, value: f64) -> f64 {
        match self {
            Better::Higher => value,
            Better::Lower => -value,
        }
    }
}

/// Indices of the points (x, y) that no other point beats, in ascending order of x: a point is beaten by one that is at least
/// as good on both axes and better on one. Points with a coordinate that is no number are never on it.
pub fn front(points: &[(f64, f64)], x: Better, y: Better) -> Vec<usize> {
    let gain = |i: usize| (x.gain(points[i].0), y.gain(points[i].1));
    let known = |i: &usize| points[*i].0.is_finite() && points[*i].1.is_finite();
    let beats = |a: usize, b: usize| {
        let ((ax, ay), (bx, by)) = (gain(a), gain(b));
        ax >= bx && ay >= by && (ax > bx || ay > by)
    };
    let all: Vec<usize> = (0..points.len()).filter(known).collect();
    let mut front: Vec<usize> = all.iter().copied().filter(|i| !all.iter().any(|j| beats(*j, *i))).collect();
    front.sort_by(|a, b| points[*a].0.total_cmp(&points[*b].0).then(points[*a].1.total_cmp(&points[*b].1)));
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beaten_in_everything_is_not_on_it() {
        let points = [(10.0, 0.9), (20.0, 0.8), (15.0, 0.7), (30.0, 0.5), (30.0, 0.4), (5.0, 0.9)];
        assert_eq!(front(&points, Better::Higher, Better::Higher), [0, 1, 3]);
        // Small and near: size against divergence.
        let points = [(2.5, 0.0), (1.3, 0.01), (0.8, 0.05), (1.0, 0.2)];
        assert_eq!(front(&points, Better::Lower, Better::Lower), [2, 1, 0]);
    }

    #[test]
    fn equal_points_stand_together_and_unknown_ones_nowhere() {
        let points = [(1.0, 1.0), (1.0, 1.0), (f64::NAN, 9.0)];
        assert_eq!(front(&points, Better::Higher, Better::Higher), [0, 1]);
        assert!(front(&[], Better::Lower, Better::Higher).is_empty());
    }
}
