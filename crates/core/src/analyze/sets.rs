//! Sets of cases that stand together, and which of many sets are shown.

use std::collections::BTreeMap;

/// Items with equal keys, in the order of the first of each set.
pub fn by_key<T: Copy, K: Ord>(items: impl IntoIterator<Item = T>, key: impl Fn(T) -> K) -> Vec<Vec<T>> {
    let mut sets: Vec<Vec<T>> = Vec::new();
    let mut known: BTreeMap<K, usize> = BTreeMap::new();
    for item in items {
        let set = *known.entry(key(item)).or_insert_with(|| {
            sets.push(Vec::new());
            sets.len() - 1
        });
        sets[set].push(item);
    }
    sets
}

/// Sets that are shown of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<T> {
    /// These, in their order.
    pub sets: Vec<Vec<T>>,
    /// How many sets there are.
    pub sets_in_all: usize,
    /// How many items there are in all sets.
    pub items_in_all: usize,
}

/// Of many sets as many as can be shown: whole ones, those with the most items first, of equals the first; at most
/// `most_sets` of them with `most_items` items in all. A single set that is larger than that is cut.
pub fn largest<T>(sets: Vec<Vec<T>>, most_sets: usize, most_items: usize) -> Shown<T> {
    let (sets_in_all, items_in_all) = (sets.len(), sets.iter().map(Vec::len).sum());
    let mut order: Vec<usize> = (0..sets.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(sets[*i].len()));
    let mut chosen = vec![false; sets.len()];
    let (mut count, mut room) = (0, most_items);
    for i in order {
        let fits = sets[i].len() <= room || count == 0;
        if fits && count < most_sets {
            chosen[i] = true;
            count += 1;
            room = room.saturating_sub(sets[i].len());
        }
    }
    let mut sets: Vec<Vec<T>> =
        sets.into_iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(set, _)| set).collect();
    sets.iter_mut().for_each(|set| set.truncate(most_items));
    Shown { sets, sets_in_all, items_in_all }
}

impl<T> Shown<T> {
    /// How many items are shown.
    pub fn items(&self) -> usize {
        self.sets.iter().map(Vec::len).sum()
    }

    /// Whether anything is left out.
    pub fn is_part(&self) -> bool {
        self.items() < self.items_in_all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_in_the_order_of_their_first() {
        assert_eq!(by_key([3, 4, 5, 6, 9], |i| i % 3), [vec![3, 6, 9], vec![4], vec![5]]);
    }

    #[test]
    fn the_largest_sets_are_shown_whole_and_in_their_order() {
        let of = |sizes: &[usize]| sizes.iter().map(|n| vec![*n; *n]).collect::<Vec<_>>();
        let shown = largest(of(&[1, 3, 2, 3, 5]), 3, 9);
        assert_eq!(shown.sets, of(&[1, 3, 5]));
        assert_eq!((shown.items(), shown.items_in_all, shown.sets_in_all, shown.is_part()), (9, 14, 5, true));
        assert!(!largest(of(&[2, 2]), 2, 4).is_part());
        let one = largest(of(&[7]), 3, 4);
        assert_eq!((one.items(), one.sets.len()), (4, 1));
        assert!(largest::<u8>(vec![], 3, 4).sets.is_empty());
    }
}
