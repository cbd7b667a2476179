//! Calibration: whether a share of about p of the rows with a predicted probability near p is
//! positive.

use super::{Sum, ranking};
use crate::Error;

/// How scores are binned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binning {
    /// Bins of equal width from 0 to 1.
    Uniform,
    /// Bins with about equal numbers of rows; equal scores share a bin. The better choice for
    /// skewed scores.
    Quantile,
}

/// The bins that contain rows, by increasing score.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// The mean score of each bin.
    pub predicted: Vec<f64>,
    /// The share of positives in each bin.
    pub observed: Vec<f64>,
    /// The number of rows in each bin.
    pub rows: Vec<u64>,
}

/// Computes a calibration curve of at most `bins` bins, as scikit-learn's `calibration_curve`: a
/// score on the edge of two bins belongs to the lower one, empty bins are omitted, and quantiles
/// are interpolated linearly.
///
/// # Errors
///
/// As [`super::Ranking::new`].
pub fn calibration_curve(labels: &[u8], scores: &[f64], bins: usize, binning: Binning) -> Result<Calibration, Error> {
    ranking::check(labels, scores)?;
    let bins = bins.max(1);
    let inner = |bin: usize| bin as f64 * (1.0 / bins as f64);
    let edges: Vec<f64> = match binning {
        Binning::Uniform => (1..bins).map(inner).collect(),
        Binning::Quantile => {
            let mut sorted = scores.to_vec();
            sorted.sort_unstable_by(f64::total_cmp);
            (1..bins).map(|bin| quantile(&sorted, inner(bin))).collect()
        }
    };
    let mut sums: Vec<Sum> = (0..bins).map(|_| Sum::default()).collect();
    let mut positives = vec![0_u64; bins];
    let mut rows = vec![0_u64; bins];
    for (&label, &score) in labels.iter().zip(scores) {
        let bin = edges.partition_point(|edge| *edge < score);
        sums[bin].add(score);
        positives[bin] += u64::from(label);
        rows[bin] += 1;
    }
    let filled: Vec<usize> = (0..bins).filter(|&bin| rows[bin] > 0).collect();
    Ok(Calibration {
        predicted: filled.iter().map(|&bin| sums[bin].value() / rows[bin] as f64).collect(),
        observed: filled.iter().map(|&bin| positives[bin] as f64 / rows[bin] as f64).collect(),
        rows: filled.iter().map(|&bin| rows[bin]).collect(),
    })
}

/// Returns the quantile of sorted values by linear interpolation (Hyndman and Fan, 1996, type 7).
/// It starts from the nearer end, as numpy does, so that equal neighbours give exactly their value.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let (low, high) = (sorted[below], sorted[above]);
    let part = position - below as f64;
    if part >= 0.5 { high - (high - low) * (1.0 - part) } else { low + (high - low) * part }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_scores_fill_one_bin() {
        let curve = calibration_curve(&[0, 1, 1, 0], &[0.3; 4], 10, Binning::Quantile).unwrap();
        assert_eq!(curve, Calibration { predicted: vec![0.3], observed: vec![0.5], rows: vec![4] });
    }

    #[test]
    fn quantile_bins_hold_equally_many_rows() {
        let scores: Vec<f64> = (0..100).map(|row| f64::from(row) / 1e4).collect();
        let curve = calibration_curve(&[0; 100], &scores, 10, Binning::Quantile).unwrap();
        assert_eq!(curve.rows, [10; 10]);
    }
}
