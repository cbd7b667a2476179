//! SMOTE: synthetic rows of a rare class, on the lines between neighbours of that class.
//!
//! Chawla, Bowyer, Hall, Kegelmeyer: "SMOTE: Synthetic Minority Over-sampling Technique", JAIR 16
//! (2002), section 4.2. As there, each row of the class is the base of equally many new rows, and
//! the bases of the remainder are drawn without replacement. The gap is drawn once for each row, as
//! in the paper's text ("along the line segment"), not once for each column, as its pseudo-code
//! could be read. One-hot columns are interpolated like all others.
//!
//! This works on rows and does not depend on tables.

use crate::draws::Draws;
use crate::neighbours::Neighbours;

/// A synthetic row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Segment {
    /// The row that it starts from.
    pub(crate) base: u32,
    /// The neighbour that it moves towards; the base itself if the class has one row only.
    pub(crate) towards: u32,
    /// The distance, from 0 to below 1.
    pub(crate) gap: f64,
}

impl Segment {
    /// Returns the value of the new row, given the base's and the neighbour's. Where both are
    /// equal, it is exactly that value.
    pub(crate) fn at(&self, base: f64, towards: f64) -> f64 {
        base + self.gap * (towards - base)
    }
}

/// The synthetic rows of a class.
#[derive(Debug)]
pub(crate) struct Segments {
    /// The rows, in the order of their bases.
    pub(crate) segments: Vec<Segment>,
    /// The number of bases whose neighbours may not be the nearest: see
    /// [`crate::neighbours::BUDGET`].
    pub(crate) approximate: usize,
}

/// Draws `new` segments between the rows of one class. `rows` is row by row, with `width` finite
/// values each, and has at least one row. `progress` is called with the number of bases whose
/// neighbours are known, and the number of all bases.
pub(crate) fn segments(
    rows: &[f64],
    width: usize,
    new: usize,
    k: usize,
    seed: u64,
    mut progress: impl FnMut(u64, u64),
) -> Segments {
    let count = rows.len() / width;
    let times = times_as_base(count, new, seed);
    let index = Neighbours::new(rows, width);
    let k = k.min(count - 1);
    let mut nearest = vec![0_u32; count * k];
    let mut search = index.search(k);
    let mut approximate = 0;
    for (done, row) in index.rows_in_tree_order().enumerate() {
        if times[row as usize] == 0 {
            continue;
        }
        let (found, exact) = search.nearest(row);
        approximate += usize::from(!exact);
        for (place, neighbour) in nearest[row as usize * k..].iter_mut().zip(found) {
            *place = neighbour.row;
        }
        if done % 1024 == 0 {
            progress(done as u64, count as u64);
        }
    }
    let mut segments = Vec::with_capacity(new);
    for (base, &times) in times.iter().enumerate() {
        let mut draws = Draws::new(seed, base as u64 + 1);
        for _ in 0..times {
            let towards = if k == 0 { base as u32 } else { nearest[base * k + draws.below(k)] };
            segments.push(Segment { base: base as u32, towards, gap: draws.unit() });
        }
    }
    Segments { segments, approximate }
}

/// Returns how often each of `count` rows is a base, `new` times in total.
fn times_as_base(count: usize, new: usize, seed: u64) -> Vec<u32> {
    let mut times = vec![(new / count) as u32; count];
    let mut draws = Draws::new(seed, 0);
    // The first `new % count` elements of a shuffle (Fisher and Yates).
    let mut order: Vec<u32> = (0..count as u32).collect();
    for place in 0..new % count {
        order.swap(place, place + draws.below(count - place));
        times[order[place] as usize] += 1;
    }
    times
}
