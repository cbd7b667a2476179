//! A tree during growth. Its splits are by bins, so training and validation rows find their leaves
//! by codes.

use crate::matrix::BinnedMatrix;

/// A split or a leaf.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct GrownNode {
    /// The left child, which the right child follows; 0 for a leaf, since the root is no child.
    pub(crate) left: u32,
    /// The feature of the split.
    pub(crate) feature: u32,
    /// Codes up to this one go left.
    pub(crate) bin: u8,
    /// Whether missing values go left.
    pub(crate) missing_left: bool,
    /// The gain of the split.
    pub(crate) gain: f64,
    /// The value of the leaf.
    pub(crate) value: f64,
}

/// A grown tree. Children are in pairs and after their parent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GrownTree {
    pub(crate) nodes: Vec<GrownNode>,
}

impl GrownTree {
    /// Creates a tree of one leaf.
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

    /// Adds the value of each row's leaf to its element of `scores`. Reorders `rows`; `spare` is a
    /// buffer that is at least as long. The rows descend level by level, as in growth: each step
    /// reads one column and has no unpredictable branch.
    pub(crate) fn add_to(&self, features: &BinnedMatrix, rows: &mut [u32], spare: &mut [u32], scores: &mut [f64]) {
        let mut waiting = vec![(0, 0..rows.len())];
        while let Some((number, range)) = waiting.pop() {
            if range.is_empty() {
                continue;
            }
            let (node, here) = (&self.nodes[number], &mut rows[range.clone()]);
            if node.left == 0 {
                add_value(here, node.value, scores);
                continue;
            }
            let column = &features.features[node.feature as usize];
            let lefts = partition(here, spare, |row| column.codes[row as usize], node, column.bins.missing_code());
            let (left, middle) = (node.left as usize, range.start + lefts);
            waiting.push((left, range.start..middle));
            waiting.push((left + 1, middle..range.end));
        }
    }
}

/// Adds the value of a leaf to the scores of its rows.
// A separate function, like all hot loops here: within a large function, Wasm's compiler keeps the
// loop's values on the stack.
#[inline(never)]
pub(crate) fn add_value(rows: &[u32], value: f64, scores: &mut [f64]) {
    for &row in rows {
        scores[row as usize] += value;
    }
}

/// Moves the rows that go left to the front, keeping the order on both sides, and returns their
/// number. `code` returns the code of the split's feature for a row. `spare` is a buffer that is at
/// least as long as `rows`.
#[inline(never)]
pub(crate) fn partition(
    rows: &mut [u32],
    spare: &mut [u32],
    code: impl Fn(u32) -> u8,
    split: &GrownNode,
    missing_code: u8,
) -> usize {
    // The missing code is the largest. Subtracting it modulo 256 makes it the smallest and keeps
    // the order of the others.
    let shift = if split.missing_left { missing_code } else { 0 };
    let limit = split.bin.wrapping_sub(shift);
    let goes_left = |row| usize::from(code(row).wrapping_sub(shift) <= limit);
    let spare = &mut spare[..rows.len()];
    let mut lefts = 0;
    let mut place = 0;
    while let Some(&[a, b, c, d]) = rows[place..].first_chunk() {
        // The codes of four rows are loaded before their positions depend on each other.
        for (row, left) in [(a, goes_left(a)), (b, goes_left(b)), (c, goes_left(c)), (d, goes_left(d))] {
            // Both positions are written and one of them counts, which avoids a branch.
            rows[lefts] = row;
            spare[place - lefts] = row;
            lefts += left;
            place += 1;
        }
    }
    while place < rows.len() {
        let row = rows[place];
        rows[lefts] = row;
        spare[place - lefts] = row;
        lefts += goes_left(row);
        place += 1;
    }
    let rights = rows.len() - lefts;
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
