//! A tree as it is grown: splits are bins, so training and validation rows find their leaf by codes.

use crate::matrix::BinnedMatrix;

/// A split or a leaf.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct GrownNode {
    /// The left child; the right one follows it. 0 in a leaf: the root is nobody's child.
    pub(crate) left: u32,
    /// The feature that is split on.
    pub(crate) feature: u32,
    /// Codes up to this one go left.
    pub(crate) bin: u8,
    /// Whether missing values go left.
    pub(crate) missing_left: bool,
    /// How much the split gained.
    pub(crate) gain: f64,
    /// What a leaf says.
    pub(crate) value: f64,
}

/// A grown tree. Children come in pairs and after their parent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GrownTree {
    pub(crate) nodes: Vec<GrownNode>,
}

impl GrownTree {
    /// A tree of one leaf.
    pub(crate) fn stump() -> Self {
        Self { nodes: vec![GrownNode::default()] }
    }

    /// Splits the leaf `parent` and returns the number of its left child.
    pub(crate) fn split(&mut self, parent: usize, split: GrownNode) -> usize {
        let left = self.nodes.len();
        self.nodes[parent] = GrownNode { left: left as u32, ..split };
        self.nodes.extend([GrownNode::default(); 2]);
        left
    }

    /// Adds the value of each row's leaf to its entry in `scores`.
    pub(crate) fn add_to(&self, features: &BinnedMatrix, rows: impl Iterator<Item = usize>, scores: &mut [f64]) {
        for row in rows {
            let mut node = &self.nodes[0];
            while node.left != 0 {
                let feature = &features.features[node.feature as usize];
                let code = feature.codes[row];
                let right = if code == feature.bins.missing_code() { !node.missing_left } else { code > node.bin };
                node = &self.nodes[node.left as usize + usize::from(right)];
            }
            scores[row] += node.value;
        }
    }
}

/// Moves the rows that go left to the front, keeping the order on both sides, and returns how many there are. `code` gives a
/// row's code of the split's feature. `spare` is at least as long as `rows` and may hold anything.
pub(crate) fn partition(
    rows: &mut [u32],
    spare: &mut [u32],
    code: impl Fn(u32) -> u8,
    split: &GrownNode,
    missing_code: u8,
) -> usize {
    // The missing code is the largest. Subtracting it, modulo 256, makes it the smallest and keeps the order of the others.
    let shift = if split.missing_left { missing_code } else { 0 };
    let limit = split.bin.wrapping_sub(shift);
    let spare = &mut spare[..rows.len()];
    let (mut lefts, mut rights) = (0, 0);
    for i in 0..rows.len() {
        let row = rows[i];
        let goes_left = usize::from(code(row).wrapping_sub(shift) <= limit);
        // Both are written and one of them counts: no branch to guess.
        rows[lefts] = row;
        spare[rights] = row;
        lefts += goes_left;
        rights += 1 - goes_left;
    }
    rows[lefts..].copy_from_slice(&spare[..rights]);
    lefts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_parted_by_code_and_missing_values_follow_their_direction() {
        let codes = [0, 3, 1, 2, 3, 0];
        for (missing_left, left, right) in
            [(true, [0, 1, 2, 4, 5].as_slice(), [3].as_slice()), (false, &[0, 2, 5], &[1, 3, 4])]
        {
            let mut rows = [0, 1, 2, 3, 4, 5];
            let split = GrownNode { bin: 1, missing_left, ..GrownNode::default() };
            let lefts = partition(&mut rows, &mut [0; 6], |row| codes[row as usize], &split, 3);
            assert_eq!((&rows[..lefts], &rows[lefts..]), (left, right));
        }
    }
}
