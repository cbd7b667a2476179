//! Searches the nearest neighbours among the rows of one class.
//!
//! This is the search for SMOTE: the `k` rows nearest to a row by Euclidean distance. It does not
//! depend on tables.
//!
//! One-hot columns are most of a churn table, and the usual trees fail on them: too many dimensions
//! with two values each. So a column of two values whose weight (the squared difference of the
//! values) many columns share is one bit of a word, and contributes the weight times the number of
//! differing bits to the distance. The other columns are 32-bit floats. A k-d tree (Bentley 1975;
//! boxes as in Friedman, Bentley, Finkel 1977) holds both: the box of a node has the least and the
//! greatest floats and the bits that all of its rows share. It is searched best box first (Beis and
//! Lowe, "Shape indexing using approximate nearest-neighbour search", CVPR 1997).
//!
//! The search is exact up to 32,768 rows. Above, a query considers at most its share of [`BUDGET`]
//! rows, the nearest boxes first. So the whole search is not quadratic even where boxes say little
//! (many continuous columns). Among 212,000 customers, neighbours are still exact: a query
//! considers 500 rows, see `examples/timings.rs`.
//!
//! Rejected: brute force (8 s for 21,000 rows of 45 columns in Wasm), vantage-point trees
//! (distances concentrate, so little is cut off), random projections (never exact).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The most rows that all queries together consider: some 20 s with 28 continuous columns in Wasm.
pub const BUDGET: usize = 1 << 30;
/// The number of rows that each query may consider in any case.
const LEAST_CHECKS: usize = 1024;

/// Rows of a lane group: two SIMD registers of four floats in Wasm.
const LANES: usize = 8;
/// The most lane groups of a leaf. Larger leaves compare more rows, smaller ones more boxes; this
/// is the measured optimum.
const LEAF_GROUPS: usize = 6;
/// The least number of two-valued columns with a common weight that become bits. Fewer are as cheap
/// as floats.
const LEAST_BITS: usize = 4;
/// The number of float columns that are added to distances between two checks whether a group is
/// too far.
const COLUMNS_PER_LOOK: usize = 8;
/// The number of sampled rows from which the column of a split is chosen.
const SAMPLE: usize = 128;
/// Bounds of boxes are computed in another order than distances. They are lowered by this share, so
/// that rounding never excludes a row.
const CAUTION: f32 = 1.0 - 1e-5;

/// Up to 64 two-valued columns with a common weight.
#[derive(Debug)]
struct Word {
    weight: f32,
    /// The columns, each with the value that sets its bit.
    columns: Vec<(usize, f32)>,
}

/// The columns that are bits and those that are floats.
#[derive(Debug)]
struct Layout {
    words: Vec<Word>,
    floats: Vec<usize>,
}

impl Layout {
    /// Classifies the columns. `rows` is row by row, with `width` columns each.
    fn of(rows: &[f64], width: usize) -> Self {
        let mut weighed: Vec<(f32, usize, f32)> = Vec::new();
        let mut floats = Vec::new();
        for column in 0..width {
            match two_values(rows, width, column) {
                Some((low, high)) => weighed.push(((high - low) * (high - low), column, high)),
                None => floats.push(column),
            }
        }
        weighed.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
        let mut words = Vec::new();
        for same in weighed.chunk_by(|left, right| left.0 == right.0) {
            if same.len() < LEAST_BITS {
                floats.extend(same.iter().map(|(_, column, _)| *column));
                continue;
            }
            for columns in same.chunks(64) {
                let columns_of_word = columns.iter().map(|(_, column, high)| (*column, *high)).collect();
                words.push(Word { weight: columns[0].0, columns: columns_of_word });
            }
        }
        floats.sort_unstable();
        Self { words, floats }
    }
}

/// Returns the two values of a column with exactly two, the lesser first. A constant column has no
/// such values, and costs nothing as a float.
fn two_values(rows: &[f64], width: usize, column: usize) -> Option<(f32, f32)> {
    let mut values = rows.iter().skip(column).step_by(width).map(|&value| value as f32);
    let first = values.next()?;
    let mut second = None;
    for value in values {
        if value != first && *second.get_or_insert(value) != value {
            return None;
        }
    }
    second.map(|second| (first.min(second), first.max(second)))
}

/// A node of the tree. A leaf has lane groups, an inner node two children.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// The first lane group of a leaf; the left child of an inner node, which the right child
    /// follows.
    first: u32,
    /// The number of lane groups of a leaf; 0 for an inner node.
    groups: u32,
}

/// An index over rows that finds the nearest rows to each.
#[derive(Debug)]
pub struct Neighbours {
    layout: Layout,
    nodes: Vec<Node>,
    /// For each node: the bits that are 1 in all of its rows and those that are 0 in all, word by
    /// word.
    shared: Vec<[u64; 2]>,
    /// For each node: the least and the greatest value of each float column.
    bounds: Vec<[f32; 2]>,
    /// The row in each lane; `u32::MAX` in a lane that pads a leaf.
    lanes: Vec<u32>,
    /// For each lane group and word: a bitmap for each lane.
    bits: Vec<[u64; LANES]>,
    /// For each lane group and float column: a value for each lane.
    floats: Vec<[f32; LANES]>,
    /// The lane of each row.
    lane_of_row: Vec<u32>,
}

/// Rows before they are ordered, which building needs and searching does not.
struct Unordered {
    bits: Vec<u64>,
    floats: Vec<f32>,
    words: usize,
    width: usize,
}

impl Unordered {
    fn of(rows: &[f64], width: usize, layout: &Layout) -> Self {
        let count = rows.len() / width;
        let mut bits = Vec::with_capacity(count * layout.words.len());
        let mut floats = Vec::with_capacity(count * layout.floats.len());
        for row in rows.chunks_exact(width) {
            for word in &layout.words {
                let set = |(bit, &(column, high)): (usize, &(usize, f32))| u64::from(row[column] as f32 == high) << bit;
                bits.push(word.columns.iter().enumerate().map(set).fold(0, |all, bit| all | bit));
            }
            floats.extend(layout.floats.iter().map(|&column| row[column] as f32));
        }
        Self { bits, floats, words: layout.words.len(), width: layout.floats.len() }
    }

    fn bit(&self, row: u32, word: usize, bit: usize) -> bool {
        self.bits[row as usize * self.words + word] >> bit & 1 == 1
    }

    fn float(&self, row: u32, column: usize) -> f32 {
        self.floats[row as usize * self.width + column]
    }
}

/// The split of a node.
#[derive(Debug, Clone, Copy)]
enum Split {
    Bit { word: usize, bit: usize },
    Float { column: usize },
}

impl Neighbours {
    /// Indexes `rows`, row by row, with `width` finite values each. There may be at most 2^32 - 2
    /// rows.
    ///
    /// # Panics
    ///
    /// If `width` is 0 or does not divide the number of values.
    #[must_use]
    pub fn new(rows: &[f64], width: usize) -> Self {
        assert!(width > 0 && rows.len().is_multiple_of(width), "rows of {width} values");
        let layout = Layout::of(rows, width);
        let unordered = Unordered::of(rows, width, &layout);
        let count = rows.len() / width;
        let mut index = Self {
            layout,
            nodes: Vec::new(),
            shared: Vec::new(),
            bounds: Vec::new(),
            lanes: Vec::new(),
            bits: Vec::new(),
            floats: Vec::new(),
            lane_of_row: vec![0; count],
        };
        let mut order: Vec<u32> = (0..count as u32).collect();
        index.add_nodes(1);
        let mut pending = vec![(0_usize, 0_usize, count)];
        while let Some((node, start, end)) = pending.pop() {
            let rows = &mut order[start..end];
            index.set_box(node, rows, &unordered);
            let split =
                if rows.len() <= LANES * LEAF_GROUPS { None } else { choose_split(rows, &unordered, &index.layout) };
            match split.map(|split| partition(rows, split, &unordered)) {
                // Equal rows cannot be separated, so the leaf is large.
                None => index.set_leaf(node, rows, &unordered),
                Some(left) => {
                    let first = index.nodes.len();
                    index.nodes[node] = Node { first: first as u32, groups: 0 };
                    index.add_nodes(2);
                    pending.push((first + 1, start + left, end));
                    pending.push((first, start, start + left));
                }
            }
        }
        index
    }

    fn add_nodes(&mut self, count: usize) {
        let nodes = self.nodes.len() + count;
        self.nodes.resize(nodes, Node { first: 0, groups: 0 });
        self.shared.resize(nodes * self.layout.words.len(), [0; 2]);
        self.bounds.resize(nodes * self.layout.floats.len(), [0.0; 2]);
    }

    fn set_box(&mut self, node: usize, rows: &[u32], unordered: &Unordered) {
        let (words, width) = (unordered.words, unordered.width);
        let shared = &mut self.shared[node * words..(node + 1) * words];
        shared.fill([u64::MAX; 2]);
        let bounds = &mut self.bounds[node * width..(node + 1) * width];
        bounds.fill([f32::INFINITY, f32::NEG_INFINITY]);
        for &row in rows {
            for (shared, bits) in shared.iter_mut().zip(&unordered.bits[row as usize * words..]) {
                *shared = [shared[0] & bits, shared[1] & !bits];
            }
            for (bound, &value) in bounds.iter_mut().zip(&unordered.floats[row as usize * width..]) {
                *bound = [least(bound[0], value), greatest(bound[1], value)];
            }
        }
    }

    fn set_leaf(&mut self, node: usize, rows: &[u32], unordered: &Unordered) {
        self.nodes[node] = Node { first: (self.lanes.len() / LANES) as u32, groups: rows.len().div_ceil(LANES) as u32 };
        for group in rows.chunks(LANES) {
            for lane in 0..LANES {
                let row = group.get(lane).copied().unwrap_or(u32::MAX);
                if row != u32::MAX {
                    self.lane_of_row[row as usize] = self.lanes.len() as u32;
                }
                self.lanes.push(row);
            }
            for word in 0..unordered.words {
                let of_lane = |lane: usize| {
                    group.get(lane).map_or(0, |&row| unordered.bits[row as usize * unordered.words + word])
                };
                self.bits.push(std::array::from_fn(of_lane));
            }
            for column in 0..unordered.width {
                let of_lane = |lane: usize| group.get(lane).map_or(f32::INFINITY, |&row| unordered.float(row, column));
                self.floats.push(std::array::from_fn(of_lane));
            }
        }
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.lane_of_row.len()
    }

    /// Returns the rows in an order in which neighbours in the tree follow each other. Queries in
    /// this order find their nodes in the cache.
    pub fn rows_in_tree_order(&self) -> impl Iterator<Item = u32> + '_ {
        self.lanes.iter().copied().filter(|&row| row != u32::MAX)
    }

    /// Creates a search for the `k` rows nearest to each of several rows.
    #[must_use]
    pub fn search(&self, k: usize) -> Search<'_> {
        let (words, width) = (self.layout.words.len(), self.layout.floats.len());
        Search {
            index: self,
            k,
            bits: vec![0; words],
            floats: vec![0.0; width],
            boxes: BinaryHeap::new(),
            nearest: Vec::with_capacity(k + 1),
        }
    }
}

/// Returns the column with the greatest variance among a sample of the rows, or `None` if all
/// sampled rows are equal.
fn choose_split(rows: &[u32], unordered: &Unordered, layout: &Layout) -> Option<Split> {
    let step = (rows.len() / SAMPLE).max(1);
    let sample: Vec<u32> = rows.iter().copied().step_by(step).collect();
    let count = sample.len() as f32;
    let mut best = None;
    let mut greatest = 0.0;
    for (word, columns) in layout.words.iter().enumerate() {
        for bit in 0..columns.columns.len() {
            let share = sample.iter().filter(|&&row| unordered.bit(row, word, bit)).count() as f32 / count;
            let variance = share * (1.0 - share) * columns.weight;
            if variance > greatest {
                (best, greatest) = (Some(Split::Bit { word, bit }), variance);
            }
        }
    }
    for column in 0..unordered.width {
        let mean = sample.iter().map(|&row| unordered.float(row, column)).sum::<f32>() / count;
        let variance = sample.iter().map(|&row| (unordered.float(row, column) - mean).powi(2)).sum::<f32>() / count;
        let varies = sample.iter().any(|&row| unordered.float(row, column) != unordered.float(sample[0], column));
        if varies && variance > greatest {
            (best, greatest) = (Some(Split::Float { column }), variance);
        }
    }
    best
}

/// Moves the rows of the left child to the front and returns their number, which is at least one
/// and less than all.
fn partition(rows: &mut [u32], split: Split, unordered: &Unordered) -> usize {
    match split {
        Split::Bit { word, bit } => {
            rows.sort_by_key(|&row| unordered.bit(row, word, bit));
            rows.partition_point(|&row| !unordered.bit(row, word, bit))
        }
        Split::Float { column } => {
            let middle = rows.len() / 2;
            let by_value = |left: &u32, right: &u32| {
                unordered.float(*left, column).total_cmp(&unordered.float(*right, column)).then(left.cmp(right))
            };
            rows.select_nth_unstable_by(middle, by_value);
            middle
        }
    }
}

/// Returns the lesser of two numbers. `f32::min` handles NaN, which makes it a function call in
/// Wasm.
fn least(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

/// Returns the greater of two numbers.
fn greatest(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// A row that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Its squared distance, computed in 32-bit floats.
    pub squared_distance: f32,
    /// Its index.
    pub row: u32,
}

/// A node to search, ordered by the least bound and then by number, so that the order is the same
/// on every machine.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
struct Pending {
    /// The bits of the bound; bits of floats that are not negative sort like the floats.
    bound: u32,
    node: u32,
}

/// A search, which reuses its buffers between queries.
#[derive(Debug)]
pub struct Search<'a> {
    index: &'a Neighbours,
    k: usize,
    bits: Vec<u64>,
    floats: Vec<f32>,
    boxes: BinaryHeap<Reverse<Pending>>,
    nearest: Vec<Neighbour>,
}

impl Search<'_> {
    /// Returns the rows nearest to `row` without itself, nearest first: `k` of them, or all others
    /// if there are fewer. Of equally near rows, an unspecified but deterministic one is chosen.
    /// The second value tells whether the search was exact.
    pub fn nearest(&mut self, row: u32) -> (&[Neighbour], bool) {
        let index = self.index;
        let lane = index.lane_of_row[row as usize] as usize;
        for (word, bits) in self.bits.iter_mut().enumerate() {
            *bits = index.bits[lane / LANES * index.layout.words.len() + word][lane % LANES];
        }
        for (column, value) in self.floats.iter_mut().enumerate() {
            *value = index.floats[lane / LANES * index.layout.floats.len() + column][lane % LANES];
        }
        self.nearest.clear();
        self.boxes.clear();
        self.boxes.push(Reverse(Pending { bound: 0, node: 0 }));
        let checks = (BUDGET / index.rows().max(1)).max(LEAST_CHECKS);
        let mut checked = 0;
        while let Some(Reverse(Pending { bound, node })) = self.boxes.pop() {
            if self.nearest.len() == self.k && f32::from_bits(bound) >= self.worst() {
                break;
            }
            if checked >= checks && self.nearest.len() == self.k {
                return (&self.nearest, false);
            }
            let Node { first, groups } = index.nodes[node as usize];
            if groups > 0 {
                checked += groups as usize * LANES;
                self.look_into_leaf(row, first as usize..(first + groups) as usize);
            } else {
                for child in [first, first + 1] {
                    let bound = self.bound(child as usize);
                    if self.nearest.len() < self.k || bound < self.worst() {
                        self.boxes.push(Reverse(Pending { bound: bound.to_bits(), node: child }));
                    }
                }
            }
        }
        (&self.nearest, true)
    }

    /// Returns the squared distance below which a row is nearer than those found.
    fn worst(&self) -> f32 {
        if self.nearest.len() < self.k {
            f32::INFINITY
        } else {
            self.nearest.last().map_or(0.0, |last| last.squared_distance)
        }
    }

    /// Returns a lower bound of the distances of the node's rows.
    #[inline(never)]
    fn bound(&self, node: usize) -> f32 {
        let layout = &self.index.layout;
        let (words, width) = (layout.words.len(), layout.floats.len());
        let mut bound = 0.0;
        let shared = &self.index.shared[node * words..(node + 1) * words];
        for ((bits, [ones, zeros]), word) in self.bits.iter().zip(shared).zip(&layout.words) {
            bound += ((!bits & ones) | (bits & zeros)).count_ones() as f32 * word.weight;
        }
        for (value, [low, high]) in self.floats.iter().zip(&self.index.bounds[node * width..(node + 1) * width]) {
            let outside = greatest(greatest(low - value, value - high), 0.0);
            bound += outside * outside;
        }
        bound * CAUTION
    }

    fn look_into_leaf(&mut self, row: u32, groups: std::ops::Range<usize>) {
        let index = self.index;
        let (words, width) = (index.layout.words.len(), index.layout.floats.len());
        'groups: for group in groups {
            let worst = self.worst();
            if worst <= 0.0 {
                // No row can be nearer than equal rows, however many there are.
                return;
            }
            let mut distances = [0.0_f32; LANES];
            for (word, (mine, theirs)) in
                self.bits.iter().zip(&index.bits[group * words..(group + 1) * words]).enumerate()
            {
                let weight = index.layout.words[word].weight;
                for (distance, bits) in distances.iter_mut().zip(theirs) {
                    *distance += (mine ^ bits).count_ones() as f32 * weight;
                }
            }
            let floats = index.floats[group * width..(group + 1) * width].chunks(COLUMNS_PER_LOOK);
            for (mine, theirs) in self.floats.chunks(COLUMNS_PER_LOOK).zip(floats) {
                // Distances never decrease with more columns.
                if distances.iter().all(|&distance| distance >= worst) {
                    continue 'groups;
                }
                add_squares(mine, theirs, &mut distances);
            }
            if distances.iter().any(|&distance| distance < worst) {
                for (lane, &squared_distance) in distances.iter().enumerate() {
                    let found = index.lanes[group * LANES + lane];
                    if squared_distance < self.worst() && found != row && found != u32::MAX {
                        self.keep(Neighbour { squared_distance, row: found });
                    }
                }
            }
        }
    }

    fn keep(&mut self, found: Neighbour) {
        if self.nearest.len() == self.k {
            self.nearest.pop();
        }
        let place = self.nearest.partition_point(|kept| kept.squared_distance <= found.squared_distance);
        self.nearest.insert(place, found);
    }
}

/// Adds the squared differences of some columns to the distances of a lane group.
// A separate function: within a large function, Wasm's compiler keeps the loop's values on the
// stack.
#[inline(never)]
fn add_squares(mine: &[f32], theirs: &[[f32; LANES]], distances: &mut [f32; LANES]) {
    let mut sums = *distances;
    for (mine, theirs) in mine.iter().zip(theirs) {
        for (sum, value) in sums.iter_mut().zip(theirs) {
            let difference = mine - value;
            *sum += difference * difference;
        }
    }
    *distances = sums;
}
