//! Lays out a model's trees for prediction: small steps that compare ranks in place of thresholds.
//!
//! The rank of a value is the number of its feature's thresholds that lie below it. A value is
//! above a threshold exactly if its rank is above the threshold's place among the sorted
//! thresholds. So a row is ranked once, and each step then compares two small integers: a step
//! takes 8 bytes in place of 16, a row one byte a feature in place of 8, and sixteen rows are
//! compared by one instruction.
//!
//! The first levels of a tree, its top, are also laid out as if every node there had two children.
//! A row's way through the top is a number, whose bits are its turns.

use crate::model::{MISSING_LEFT, Node};

/// A rank: the number of a feature's thresholds below a value.
pub(crate) trait Rank: Copy + Ord + std::fmt::Debug {
    /// The place of a column of ranks.
    type Column: Copy + std::fmt::Debug;
    /// The rank of no thresholds.
    const NONE: Self;
    /// The largest rank, above which is none.
    const MAX: Self;
    /// The most thresholds of a feature.
    const THRESHOLDS: usize;
    /// The most columns.
    const COLUMNS: usize;
    /// The most levels of a tree's top.
    const TOP: u32;

    /// Converts a number of at most [`Rank::THRESHOLDS`].
    fn of(number: usize) -> Self;
    /// Converts a place below [`Rank::COLUMNS`].
    fn column(place: usize) -> Self::Column;
    /// Converts it back.
    fn place(column: Self::Column) -> usize;
}

/// Bytes that are compared with a sign, as processors do.
impl Rank for i8 {
    type Column = u16;
    const NONE: Self = Self::MIN;
    const MAX: Self = Self::MAX;
    const THRESHOLDS: usize = u8::MAX as usize;
    const COLUMNS: usize = u16::MAX as usize;
    const TOP: u32 = 5;

    #[inline(always)]
    fn of(number: usize) -> Self {
        (number as u8 ^ 0x80).cast_signed()
    }

    #[inline(always)]
    fn column(place: usize) -> u16 {
        place as u16
    }

    #[inline(always)]
    fn place(column: u16) -> usize {
        usize::from(column)
    }
}

impl Rank for u32 {
    type Column = u32;
    const NONE: Self = 0;
    const MAX: Self = Self::MAX;
    const THRESHOLDS: usize = u32::MAX as usize;
    const COLUMNS: usize = u32::MAX as usize;
    const TOP: u32 = 0;

    #[inline(always)]
    fn of(number: usize) -> Self {
        number as Self
    }

    #[inline(always)]
    fn column(place: usize) -> u32 {
        place as u32
    }

    #[inline(always)]
    fn place(column: u32) -> usize {
        column as usize
    }
}

/// A node for prediction. A leaf leads to itself for every row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<R: Rank> {
    /// The left child, which the right child follows, among the steps of all trees.
    pub(crate) left: u32,
    /// The column of ranks that the step compares.
    pub(crate) column: R::Column,
    /// The largest rank that goes left.
    pub(crate) rank: R,
}

/// The number of rows that pass a tree's top at once.
pub(crate) const GROUP: usize = 16;

/// At least as many as the ways through a top.
pub(crate) const WAYS: usize = 32;

/// A node of a top.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TopNode<R: Rank> {
    /// The largest rank that goes left, for each row of a group.
    pub(crate) ranks: [R; GROUP],
    pub(crate) column: R::Column,
}

/// The steps of a tree.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tree {
    /// The first step.
    pub(crate) root: u32,
    /// The most splits between the root and a leaf.
    pub(crate) depth: u32,
    /// The levels of its top.
    pub(crate) top: u32,
    /// The first node of its top, level after level, among those of all trees.
    pub(crate) first_top: usize,
    /// The first of its exits, by the row's way through its top.
    pub(crate) first_exit: usize,
}

/// A column of ranks: a feature, and the side of its missing values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) feature: usize,
    pub(crate) missing_left: bool,
    /// The thresholds of the feature, among all thresholds.
    pub(crate) first: usize,
    pub(crate) end: usize,
}

/// The trees of a model, with ranks of one type.
#[derive(Debug, Clone)]
pub(crate) struct Trees<R: Rank> {
    pub(crate) steps: Vec<Step<R>>,
    /// The values of leaves, by step.
    pub(crate) values: Vec<f64>,
    pub(crate) trees: Vec<Tree>,
    pub(crate) tops: Vec<TopNode<R>>,
    /// The steps to which tops lead. After those of the last tree are [`WAYS`] more.
    pub(crate) exits: Vec<u32>,
    /// The values of the steps to which tops lead.
    pub(crate) exit_values: Vec<f64>,
    pub(crate) columns: Vec<Column>,
    /// The thresholds of all features, ascending for each.
    pub(crate) thresholds: Vec<f64>,
}

/// The trees of a model. Our learners make at most 254 thresholds of a feature, so that ranks are
/// bytes. Others may make more.
#[derive(Debug, Clone)]
pub(crate) enum Layout {
    Bytes(Trees<i8>),
    Numbers(Trees<u32>),
}

/// The distinct thresholds of a feature, in the order of their first use.
#[derive(Debug, Clone, Default)]
struct Seen {
    values: Vec<f64>,
    /// Places in `values`, counted from 1, by hash; 0 where there is none. The length is a power of
    /// two and at least twice the number of values.
    slots: Vec<u32>,
    /// The columns of ranks, counted from 1, for missing values that go right and left; 0 where no
    /// step needs one.
    columns: [u32; 2],
}

impl Seen {
    /// Returns the place of a threshold in `values`.
    fn place(&mut self, threshold: f64) -> u32 {
        if self.values.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mut at = self.start(threshold);
        loop {
            match self.slots[at] {
                0 => {
                    self.values.push(threshold);
                    self.slots[at] = self.values.len() as u32;
                    return self.slots[at] - 1;
                }
                found if self.values[found as usize - 1].to_bits() == threshold.to_bits() => return found - 1,
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
    }

    /// Returns the slot at which the search for a threshold starts (Fibonacci hashing).
    fn start(&self, threshold: f64) -> usize {
        let hash = threshold.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> 32) as usize & (self.slots.len() - 1)
    }

    fn grow(&mut self) {
        self.slots = vec![0; (self.slots.len() * 4).max(16)];
        for place in 0..self.values.len() {
            let mut at = self.start(self.values[place]);
            while self.slots[at] != 0 {
                at = (at + 1) & (self.slots.len() - 1);
            }
            self.slots[at] = place as u32 + 1;
        }
    }
}

/// Collects trees, and lays them out at the end, when all thresholds are known.
#[derive(Debug)]
pub(crate) struct Builder {
    /// Steps whose ranks are places in [`Seen::values`].
    steps: Vec<Step<u32>>,
    values: Vec<f64>,
    trees: Vec<Tree>,
    features: Vec<Seen>,
    /// Feature and side of each column.
    columns: Vec<(usize, bool)>,
    /// The depth of each node of a tree.
    depths: Vec<u32>,
    /// The numbers of its splits.
    splits: Vec<u32>,
}

impl Builder {
    /// Starts a layout for `features` features, with room for `nodes` nodes.
    pub(crate) fn new(features: usize, nodes: usize) -> Self {
        Self {
            steps: Vec::with_capacity(nodes + 1),
            values: Vec::with_capacity(nodes + 1),
            trees: Vec::new(),
            features: vec![Seen::default(); features],
            columns: Vec::new(),
            depths: Vec::new(),
            splits: Vec::new(),
        }
    }

    /// Appends a tree. Its nodes must be valid: features exist, and children come in pairs after
    /// their parent.
    pub(crate) fn push(&mut self, nodes: &[Node]) {
        let root = self.steps.len() as u32;
        self.values.extend(nodes.iter().map(|node| node.value));
        self.steps.extend((root..).take(nodes.len()).map(leaf));
        // All splits are found without a branch for each node, since half of them are leaves, in no
        // order that a processor foresees.
        self.splits.resize(self.splits.len().max(nodes.len()), 0);
        let mut count = 0;
        for (number, node) in nodes.iter().enumerate() {
            self.splits[count] = number as u32;
            count += usize::from(node.left != 0);
        }
        self.depths.clear();
        self.depths.resize(nodes.len(), 0);
        let mut deepest = 0;
        for place in 0..count {
            let number = self.splits[place] as usize;
            let node = &nodes[number];
            let below = self.depths[number] + 1;
            deepest = deepest.max(below);
            self.depths[node.left as usize] = below;
            self.depths[node.left as usize + 1] = below;
            let (column, rank) = self.place(node);
            self.steps[root as usize + number] = Step { left: root + node.left, column, rank };
        }
        self.trees.push(Tree { root, depth: deepest, ..Tree::default() });
    }

    /// Returns the column of a split, and the place of its threshold.
    fn place(&mut self, node: &Node) -> (u32, u32) {
        let (feature, is_left) = ((node.feature & !MISSING_LEFT) as usize, node.feature & MISSING_LEFT != 0);
        let seen = &mut self.features[feature];
        let rank = seen.place(node.value);
        let column = &mut seen.columns[usize::from(is_left)];
        if *column == 0 {
            self.columns.push((feature, is_left));
            *column = self.columns.len() as u32;
        }
        (*column - 1, rank)
    }

    /// Sorts the thresholds and lays out the trees.
    pub(crate) fn finish(mut self) -> Layout {
        if self.columns.is_empty() {
            // Trees without a split compare a column too.
            self.columns.push((0, false));
        }
        // A tree of one leaf, which fills up the last trees that descend side by side.
        let none = self.steps.len() as u32;
        self.steps.push(leaf(none));
        self.values.push(0.0);
        let most = self.features.iter().map(|seen| seen.values.len()).max().unwrap_or(0);
        if self.columns.len() <= i8::COLUMNS && most <= i8::THRESHOLDS {
            Layout::Bytes(self.ranked())
        } else {
            Layout::Numbers(self.ranked())
        }
    }

    /// Sorts the thresholds, and replaces the places of thresholds by their ranks.
    fn ranked<R: Rank>(self) -> Trees<R> {
        let (mut thresholds, mut ranks) = (Vec::new(), Vec::new());
        let mut ranges = Vec::with_capacity(self.features.len());
        for seen in &self.features {
            let first = thresholds.len();
            let mut order: Vec<u32> = (0..seen.values.len() as u32).collect();
            order.sort_unstable_by(|a, b| seen.values[*a as usize].total_cmp(&seen.values[*b as usize]));
            thresholds.extend(order.iter().map(|place| seen.values[*place as usize]));
            ranks.resize(thresholds.len(), R::NONE);
            for (rank, place) in order.iter().enumerate() {
                ranks[first + *place as usize] = R::of(rank);
            }
            ranges.push((first, thresholds.len()));
        }
        let column = |&(feature, missing_left): &(usize, bool)| {
            let (first, end) = ranges[feature];
            Column { feature, missing_left, first, end }
        };
        let columns: Vec<Column> = self.columns.iter().map(column).collect();
        let step = |step: &Step<u32>| {
            let rank = match step.rank {
                u32::MAX => R::MAX,
                place => ranks[columns[step.column as usize].first + place as usize],
            };
            Step { left: step.left, column: R::column(step.column as usize), rank }
        };
        let steps = self.steps.iter().map(step).collect();
        let (values, trees) = (self.values, self.trees);
        let mut trees = Trees {
            steps,
            values,
            trees,
            tops: Vec::new(),
            exits: Vec::new(),
            exit_values: Vec::new(),
            columns,
            thresholds,
        };
        trees.lay_out_tops();
        trees
    }
}

impl<R: Rank> Trees<R> {
    fn lay_out_tops(&mut self) {
        let mut ways = Vec::new();
        for tree in &mut self.trees {
            (tree.top, tree.first_top, tree.first_exit) = (tree.depth.min(R::TOP), self.tops.len(), self.exits.len());
            ways.clear();
            ways.push(tree.root);
            for _ in 0..tree.top {
                let level = self.exits.len();
                for &place in &ways {
                    let step = &self.steps[place as usize];
                    self.tops.push(TopNode { ranks: [step.rank; GROUP], column: step.column });
                    let right = if step.left == place { place } else { step.left + 1 };
                    self.exits.extend([step.left, right]);
                }
                ways.clear();
                ways.extend(self.exits.drain(level..));
            }
            self.exits.extend_from_slice(&ways);
        }
        // So that `WAYS` exits can be taken from any place.
        self.exits.resize(self.exits.len() + WAYS, 0);
        self.exit_values = self.exits.iter().map(|place| self.values[*place as usize]).collect();
    }
}

/// A step that leads to itself: no rank is above its.
fn leaf(own: u32) -> Step<u32> {
    Step { left: own, column: 0, rank: u32::MAX }
}

impl Layout {
    /// Returns the number of trees.
    pub(crate) fn trees(&self) -> usize {
        match self {
            Self::Bytes(trees) => trees.trees.len(),
            Self::Numbers(trees) => trees.trees.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_has_one_place() {
        let mut seen = Seen::default();
        let thresholds: Vec<f64> = (0..5000).map(|number| f64::from(number) / 7.0 - 300.0).collect();
        for repeat in 0..2 {
            for (place, &threshold) in thresholds.iter().enumerate() {
                assert_eq!(seen.place(threshold), place as u32, "{repeat}");
            }
        }
        assert_eq!(seen.values, thresholds);
    }
}
