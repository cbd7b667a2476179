//! Rows ordered by score, with the result of every threshold: the base of all ranking metrics.

use crate::Error;

/// The most points of a curve for drawing: more than the pixels of a figure.
pub const DRAWN_POINTS: usize = 1_000;

/// Distinct scores in descending order, each with the true and false positives at this threshold.
///
/// Equal scores form one step, so no metric depends on the order of tied rows.
#[derive(Debug, Clone)]
pub struct Ranking {
    thresholds: Vec<f64>,
    true_positives: Vec<u64>,
    false_positives: Vec<u64>,
}

/// The points of a curve, one per threshold, from the strictest threshold on.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Horizontal coordinates.
    pub x: Vec<f64>,
    /// Vertical coordinates.
    pub y: Vec<f64>,
    /// The threshold of each point: the least score that counts as positive. Infinite at the first
    /// point, where none does.
    pub thresholds: Vec<f64>,
}

impl Ranking {
    /// Orders rows by score. Labels are 0 or 1, scores are probabilities of class 1.
    ///
    /// # Errors
    ///
    /// No rows, different numbers of scores and labels, a label above 1, a score outside of 0 to 1.
    pub fn new(labels: &[u8], scores: &[f64]) -> Result<Self, Error> {
        check(labels, scores)?;
        Ok(Self::of_checked(labels.iter().map(|&label| label == 1), scores.iter().copied()))
    }

    /// As [`Ranking::new`], for inputs that were checked before.
    pub(super) fn of_checked(labels: impl Iterator<Item = bool>, scores: impl Iterator<Item = f64>) -> Self {
        // The bits of numbers from 0 to 1 sort like the numbers (adding 0.0 turns -0.0 into 0.0),
        // and their top bit is free. So score and label fit in one integer, which sorts several
        // times faster than a pair.
        let mut keys: Vec<u64> =
            scores.zip(labels).map(|(score, label)| ((score + 0.0).to_bits() << 1) | u64::from(label)).collect();
        keys.sort_unstable_by(|a, b| b.cmp(a));

        let mut ranking = Self { thresholds: Vec::new(), true_positives: Vec::new(), false_positives: Vec::new() };
        let (mut positives, mut negatives) = (0, 0);
        for (row, key) in keys.iter().enumerate() {
            positives += key & 1;
            negatives += 1 - (key & 1);
            let score = key >> 1;
            if keys.get(row + 1).is_none_or(|next| next >> 1 != score) {
                ranking.thresholds.push(f64::from_bits(score));
                ranking.true_positives.push(positives);
                ranking.false_positives.push(negatives);
            }
        }
        ranking
    }

    /// Ranks rows that are repeated or missing. `rows` are scores in descending order with their
    /// labels; `times` returns how often each occurs.
    pub(crate) fn repeated(rows: &[(f64, u8)], times: impl Fn(usize) -> u32) -> Self {
        let mut ranking = Self { thresholds: Vec::new(), true_positives: Vec::new(), false_positives: Vec::new() };
        let (mut positives, mut negatives) = (0, 0);
        for (row, &(score, label)) in rows.iter().enumerate() {
            let times = u64::from(times(row));
            *if label == 1 { &mut positives } else { &mut negatives } += times;
            let is_last = rows.get(row + 1).is_none_or(|next| next.0 != score);
            let before = ranking.true_positives.last().copied().unwrap_or(0)
                + ranking.false_positives.last().copied().unwrap_or(0);
            if is_last && positives + negatives > before {
                ranking.thresholds.push(score);
                ranking.true_positives.push(positives);
                ranking.false_positives.push(negatives);
            }
        }
        ranking
    }

    /// Returns the number of rows of class 1.
    #[must_use]
    pub fn positives(&self) -> u64 {
        self.true_positives.last().copied().unwrap_or(0)
    }

    /// Returns the number of rows of class 0.
    #[must_use]
    pub fn negatives(&self) -> u64 {
        self.false_positives.last().copied().unwrap_or(0)
    }

    /// Returns the area under the ROC curve: the probability that a random positive ranks above a
    /// random negative, with ties counting half (Hanley and McNeil, Radiology 143, 1982). NaN if
    /// there is only one class. Exact except for the last division.
    #[must_use]
    pub fn roc_auc(&self) -> f64 {
        let pairs = u128::from(self.positives()) * u128::from(self.negatives());
        if pairs == 0 {
            return f64::NAN;
        }
        let (mut twice_area, mut last_tp, mut last_fp) = (0_u128, 0, 0);
        for (&tp, &fp) in self.true_positives.iter().zip(&self.false_positives) {
            twice_area += u128::from(fp - last_fp) * u128::from(tp + last_tp);
            (last_tp, last_fp) = (tp, fp);
        }
        twice_area as f64 / (2 * pairs) as f64
    }

    /// Returns recall (1 without positives, as in scikit-learn) and precision at every threshold,
    /// from the strictest on.
    fn precision_recall(&self) -> impl Iterator<Item = (f64, f64)> {
        let positives = self.positives();
        self.true_positives.iter().zip(&self.false_positives).map(move |(&tp, &fp)| {
            let recall = if positives == 0 { 1.0 } else { tp as f64 / positives as f64 };
            (recall, tp as f64 / (tp + fp) as f64)
        })
    }

    /// Returns the average precision: precision summed over thresholds, weighted by the recall that
    /// each adds. Not interpolated; 0 without positives.
    #[must_use]
    pub fn average_precision(&self) -> f64 {
        let mut sum = super::Sum::default();
        let mut last = 0.0;
        for (recall, precision) in self.precision_recall() {
            sum.add((recall - last) * precision);
            last = recall;
        }
        sum.value()
    }

    /// Returns the greatest precision at thresholds whose recall is at least `recall`: the maximum
    /// over scikit-learn's `precision_recall_curve`. 0 without positives.
    #[must_use]
    pub fn precision_at_recall(&self, recall: f64) -> f64 {
        self.precision_recall()
            .filter(|(reached, _)| *reached >= recall)
            .map(|(_, precision)| precision)
            .fold(0.0, f64::max)
    }

    /// Returns the ROC curve: false positive rate (x) and true positive rate (y) from (0, 0) to (1,
    /// 1), with a point for every threshold (as scikit-learn with `drop_intermediate=False`).
    /// `None` if there is only one class.
    #[must_use]
    pub fn roc_curve(&self) -> Option<Curve> {
        let (positives, negatives) = (self.positives(), self.negatives());
        if positives == 0 || negatives == 0 {
            return None;
        }
        let share = |counts: &[u64], all: u64| -> Vec<f64> {
            std::iter::once(0.0).chain(counts.iter().map(|&count| count as f64 / all as f64)).collect()
        };
        Some(Curve {
            x: share(&self.false_positives, negatives),
            y: share(&self.true_positives, positives),
            thresholds: self.thresholds_from_infinity(),
        })
    }

    /// Returns the precision-recall curve: recall (x) and precision (y) from (0, 1) on
    /// (scikit-learn's, reversed). `None` without positives.
    #[must_use]
    pub fn precision_recall_curve(&self) -> Option<Curve> {
        if self.positives() == 0 {
            return None;
        }
        let (x, y) = std::iter::once((0.0, 1.0)).chain(self.precision_recall()).unzip();
        Some(Curve { x, y, thresholds: self.thresholds_from_infinity() })
    }

    fn thresholds_from_infinity(&self) -> Vec<f64> {
        std::iter::once(f64::INFINITY).chain(self.thresholds.iter().copied()).collect()
    }
}

impl Curve {
    /// Returns at most `limit` (at least 2) of the points, including the first and the last. They
    /// are evenly spaced along the curve's length, so that steep and jagged parts keep their shape.
    #[must_use]
    pub fn thinned(&self, limit: usize) -> Self {
        let points = self.x.len();
        let limit = limit.max(2);
        if points <= limit {
            return self.clone();
        }
        let mut travelled = Vec::with_capacity(points);
        let mut length = 0.0;
        travelled.push(length);
        for next in 1..points {
            length += (self.x[next] - self.x[next - 1]).abs() + (self.y[next] - self.y[next - 1]).abs();
            travelled.push(length);
        }
        let step = length / (limit - 1) as f64;
        // The last point is added separately, so steps end before it.
        let mut kept = vec![0];
        for (point, &at) in travelled.iter().enumerate().take(points - 1).skip(1) {
            if kept.len() < limit - 1 && at >= kept.len() as f64 * step {
                kept.push(point);
            }
        }
        kept.push(points - 1);
        let pick = |values: &[f64]| kept.iter().map(|&point| values[point]).collect();
        Self { x: pick(&self.x), y: pick(&self.y), thresholds: pick(&self.thresholds) }
    }
}

/// Checks that labels are binary and scores are probabilities.
pub(super) fn check(labels: &[u8], scores: &[f64]) -> Result<(), Error> {
    if labels.len() != scores.len() {
        return Err(Error::Length { expected: labels.len(), predictions: scores.len() });
    }
    if labels.is_empty() {
        return Err(Error::Empty);
    }
    if let Some(row) = labels.iter().position(|&label| label > 1) {
        return Err(Error::Label { row, label: labels[row].into(), classes: 2 });
    }
    probabilities(scores)
}

/// Checks that scores are probabilities.
pub(super) fn probabilities(scores: &[f64]) -> Result<(), Error> {
    match scores.iter().position(|score| !(0.0..=1.0).contains(score)) {
        None => Ok(()),
        Some(row) if scores[row].is_finite() => Err(Error::Probability { row, value: scores[row] }),
        Some(row) => Err(Error::NotFinite { row, value: scores[row] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_score_or_label_is_named_with_its_row() {
        assert_eq!(Ranking::new(&[], &[]).unwrap_err(), Error::Empty);
        assert_eq!(Ranking::new(&[1], &[]).unwrap_err(), Error::Length { expected: 1, predictions: 0 });
        assert_eq!(Ranking::new(&[0, 2], &[0.1, 0.2]).unwrap_err(), Error::Label { row: 1, label: 2, classes: 2 });
        assert_eq!(Ranking::new(&[0, 1], &[0.1, 1.5]).unwrap_err(), Error::Probability { row: 1, value: 1.5 });
        let nan = Ranking::new(&[0, 1], &[f64::NAN, 0.5]).unwrap_err();
        assert!(matches!(nan, Error::NotFinite { row: 0, .. }), "{nan}");
    }

    #[test]
    fn negative_zero_ties_with_zero() {
        let ranking = Ranking::new(&[0, 1], &[-0.0, 0.0]).unwrap();
        assert_eq!(ranking.thresholds, [0.0]);
        assert_eq!(ranking.roc_auc(), 0.5);
    }

    #[test]
    fn one_class_has_no_roc_curve_and_no_area() {
        let ranking = Ranking::new(&[1, 1], &[0.2, 0.7]).unwrap();
        assert!(ranking.roc_auc().is_nan());
        assert_eq!(ranking.roc_curve(), None);
        assert!(ranking.precision_recall_curve().is_some());
        assert_eq!(Ranking::new(&[0, 0], &[0.2, 0.7]).unwrap().precision_recall_curve(), None);
    }

    #[test]
    fn a_thinned_curve_keeps_its_ends_and_stays_within_its_limit() {
        let labels: Vec<u8> = (0..20_000_u32).map(|row| u8::from(row * 7919 % 13 > row / 4_000)).collect();
        let scores: Vec<f64> = (0..20_000).map(|row| f64::from(row) / 20_000.0).collect();
        let curve = Ranking::new(&labels, &scores).unwrap().roc_curve().unwrap();
        for limit in [2, 10, DRAWN_POINTS] {
            let thinned = curve.thinned(limit);
            assert!(thinned.x.len() <= limit, "{} points", thinned.x.len());
            assert!(thinned.x.len() >= limit / 2, "only {} points", thinned.x.len());
            assert_eq!((thinned.x[0], thinned.y[0]), (0.0, 0.0));
            assert_eq!((thinned.x.last(), thinned.y.last()), (Some(&1.0), Some(&1.0)));
        }
        let widest = curve.thinned(DRAWN_POINTS).x.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        assert!(widest < 0.01, "a gap of {widest} would show");
    }
}
