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

/// Moves the rows whose code goes left to the front, keeping the order on both sides, and returns how many there are.
/// `left` tells for each code whether it goes left. `spare` is as long as `rows` and may hold anything.
pub(crate) fn partition(rows: &mut [u32], spare: &mut [u32], codes: &[u8], left: &[bool; 256]) -> usize {
    let spare = &mut spare[..rows.len()];
    let (mut lefts, mut rights) = (0, 0);
    for i in 0..rows.len() {
        let row = rows[i];
        let goes_left = usize::from(left[usize::from(codes[row as usize])]);
        // Both are written and one of them counts: no branch to guess.
        rows[lefts] = row;
        spare[rights] = row;
        lefts += goes_left;
        rights += 1 - goes_left;
    }
    rows[lefts..].copy_from_slice(&spare[..rights]);
    lefts
}

/// Which codes go left at a split.
pub(crate) fn left_codes(split: &GrownNode, missing_code: u8) -> [bool; 256] {
    let mut left = [false; 256];
    left[..=usize::from(split.bin)].fill(true);
    left[usize::from(missing_code)] = split.missing_left;
    left
}
