//! The interval of a difference from resampled rows: the paired percentile bootstrap.
//!
//! Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. As many rows as the
//! table has are drawn with replacement, and both models are measured on them. The interval leaves
//! an equal share of the differences beyond each end. A row is drawn with both predictions, which
//! keeps the pairing.
//!
//! The seed of the generator is fixed: a report is stored by its content, so the same rows must
//! give the same bytes. A corrected interval (BCa) would be better for skewed metrics, and would
//! compute the metric once more for every row.

use super::labels::Labels;
use crate::metrics::{
    self, ConfusionMatrix, DECISION_THRESHOLD, READ_AT_RECALL, Ranking, Sum, row_brier, row_log_loss,
};

/// The number of draws. Each end of a 95 % interval is then the 50th difference from outside, and
/// another seed would move it by about a twentieth of the width.
const DRAWS: usize = 2_000;
/// The fewest draws, for tables of many rows, whose intervals are narrow anyway.
const LEAST_DRAWS: usize = 400;
/// The rows that are drawn in all, within those bounds: some seconds.
const DRAWN_ROWS: usize = 200_000_000;

/// The seed of the generator. Any fixed number will do.
const SEED: u64 = 0x5747_6761_7465_7331;

/// Returns the ends of the interval; `None` if the metric is undefined on most draws. The inputs
/// were checked: they have one length, and the metric is defined on all rows.
pub(crate) fn interval(
    labels: Labels<'_>,
    candidate: &[f64],
    champion: &[f64],
    metric: &str,
    confidence: f64,
    stop: &dyn Fn() -> bool,
) -> Option<(f64, f64)> {
    let (ours, theirs) = (Resampled::new(labels, candidate, metric)?, Resampled::new(labels, champion, metric)?);
    drawn(labels.rows(), confidence, stop, |times| ours.value(times) - theirs.value(times))
}

/// Returns the ends of the interval of a model's metric, as [`interval`] does for two.
pub(crate) fn interval_of_one(
    labels: Labels<'_>,
    scores: &[f64],
    metric: &str,
    confidence: f64,
    stop: &dyn Fn() -> bool,
) -> Option<(f64, f64)> {
    let model = Resampled::new(labels, scores, metric)?;
    drawn(labels.rows(), confidence, stop, |times| model.value(times))
}

/// Draws tables, and returns the ends of the interval of a value that is computed on them.
fn drawn(rows: usize, confidence: f64, stop: &dyn Fn() -> bool, value: impl Fn(&[u32]) -> f64) -> Option<(f64, f64)> {
    let draws = (DRAWN_ROWS / rows.max(1)).clamp(LEAST_DRAWS, DRAWS);
    let mut generator = Generator(SEED);
    let mut times = vec![0_u32; rows];
    let mut values = Vec::with_capacity(draws);
    for _ in 0..draws {
        if stop() {
            return None;
        }
        times.fill(0);
        (0..rows).for_each(|_| times[generator.below(rows)] += 1);
        let value = value(&times);
        if value.is_finite() {
            values.push(value);
        }
    }
    if values.len() * 2 < draws {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let beyond = (1.0 - confidence) / 2.0;
    Some((quantile(&values, beyond), quantile(&values, 1.0 - beyond)))
}

/// A model's predictions, prepared for measuring tables in which rows are repeated or missing.
enum Resampled<'a> {
    /// For metrics of the confusion matrix.
    Counted { labels: &'a [u8], scores: &'a [f64], of: fn(&ConfusionMatrix) -> f64 },
    /// For means: each row's summand.
    Mean(Vec<f64>),
    /// For ranking metrics: rows from the greatest score down, and the index of each in the table.
    Ranked { rows: Vec<(f64, u8)>, places: Vec<usize>, of: fn(&Ranking) -> f64 },
    /// For all other metrics, which are computed on whole tables.
    Whole { labels: Labels<'a>, scores: &'a [f64], metric: String },
}

impl<'a> Resampled<'a> {
    fn new(labels: Labels<'a>, scores: &'a [f64], metric: &str) -> Option<Self> {
        let Labels::Binary(classes) = labels else {
            return Some(Self::Whole { labels, scores, metric: metric.to_owned() });
        };
        let counted = |of| Some(Self::Counted { labels: classes, scores, of });
        let mean = |of: fn(u8, f64) -> f64| {
            Some(Self::Mean(classes.iter().zip(scores).map(|(&label, &score)| of(label, score)).collect()))
        };
        let ranked = |of| {
            let mut places: Vec<usize> = (0..scores.len()).collect();
            // Adding 0.0 makes -0.0 tie with 0.0.
            places.sort_unstable_by(|&a, &b| (scores[b] + 0.0).total_cmp(&(scores[a] + 0.0)));
            let rows = places.iter().map(|&row| (scores[row] + 0.0, classes[row])).collect();
            Some(Self::Ranked { rows, places, of })
        };
        match metric {
            "accuracy" => counted(ConfusionMatrix::accuracy),
            "precision" => counted(ConfusionMatrix::precision),
            "recall" => counted(ConfusionMatrix::recall),
            "f1" => counted(ConfusionMatrix::f1),
            "log_loss" => mean(row_log_loss),
            "brier" => mean(row_brier),
            "roc_auc" => ranked(Ranking::roc_auc),
            "average_precision" => ranked(Ranking::average_precision),
            "precision_at_recall_80" => ranked(|ranking| ranking.precision_at_recall(READ_AT_RECALL)),
            _ => None,
        }
    }

    /// Returns the metric of a table with each row this many times.
    fn value(&self, times: &[u32]) -> f64 {
        match self {
            Self::Counted { labels, scores, of } => {
                let mut counts = [0_u64; 4];
                for ((&label, &score), &times) in labels.iter().zip(*scores).zip(times) {
                    counts[usize::from(label) * 2 + usize::from(score >= DECISION_THRESHOLD)] += u64::from(times);
                }
                of(&ConfusionMatrix::of_counts(counts))
            }
            Self::Mean(terms) => {
                let (mut sum, mut rows) = (Sum::default(), 0);
                for (term, &times) in terms.iter().zip(times) {
                    sum.add(term * f64::from(times));
                    rows += u64::from(times);
                }
                sum.value() / rows as f64
            }
            Self::Ranked { rows, places, of } => of(&Ranking::repeated(rows, |row| times[places[row]])),
            Self::Whole { labels, scores, metric } => whole(*labels, scores, metric, times).unwrap_or(f64::NAN),
        }
    }
}

/// Computes the metric on a table that is built for it.
fn whole(labels: Labels<'_>, scores: &[f64], metric: &str, times: &[u32]) -> Option<f64> {
    fn repeated<T: Copy>(values: &[T], width: usize, times: &[u32]) -> Vec<T> {
        let rows = values.chunks(width).zip(times);
        rows.flat_map(|(row, &times)| std::iter::repeat_n(row, times as usize)).flatten().copied().collect()
    }
    let set = match labels {
        Labels::Binary(labels) => {
            metrics::binary(&repeated(labels, 1, times), &repeated(scores, 1, times), DECISION_THRESHOLD).ok()?.named()
        }
        Labels::MultiClass { labels, classes } => {
            let scores = repeated(scores, classes, times);
            metrics::multi_class(&repeated(labels, 1, times), &scores, classes).ok()?.named()
        }
        Labels::Regression(actual) => {
            metrics::regression(&repeated(actual, 1, times), &repeated(scores, 1, times)).ok()?.named()
        }
    };
    set.get(metric)
}

/// Returns the quantile of sorted values by linear interpolation, numpy's default.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor();
    let (low, high) = (sorted[below as usize], sorted[place.ceil() as usize]);
    low + (high - low) * (place - below)
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): small, and good enough for choosing rows.
struct Generator(u64);

impl Generator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound` by multiplication (Lemire 2019), with a bias of at most
    /// `bound` in 2^64.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Checks that the metric of a draw equals the metric of a table with the drawn rows.
    pub(crate) fn assert_drawn_like_whole(labels: &[u8], scores: &[f64], metric: &str) {
        let mut generator = Generator(SEED);
        let known = Labels::Binary(labels);
        let resampled = Resampled::new(known, scores, metric).expect("a metric of the host");
        for _ in 0..20 {
            let mut times = vec![0_u32; labels.len()];
            (0..labels.len()).for_each(|_| times[generator.below(labels.len())] += 1);
            let (drawn, made) = (resampled.value(&times), whole(known, scores, metric, &times).expect("defined"));
            assert!((drawn - made).abs() < 1e-12, "{metric}: {drawn} {made}");
        }
    }
}
