//! The rows that stand first, of all that are offered.

use std::collections::BinaryHeap;

/// Keeps the smallest of the items that are offered, up to a number.
#[derive(Debug)]
pub(super) struct First<T: Ord> {
    most: usize,
    kept: BinaryHeap<T>,
}

impl<T: Ord> First<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: BinaryHeap::new() }
    }

    pub(super) fn offer(&mut self, item: T) {
        if self.kept.len() < self.most {
            self.kept.push(item);
        } else if self.kept.peek().is_some_and(|greatest| item < *greatest) {
            self.kept.pop();
            self.kept.push(item);
        }
    }

    /// Returns the items in order.
    pub(super) fn into_sorted(self) -> Vec<T> {
        self.kept.into_sorted_vec()
    }
}
