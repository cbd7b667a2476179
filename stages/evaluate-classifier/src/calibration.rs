//! The calibration of probabilities.

/// The rows whose scores are in one of several ranges of equal width.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    /// The number of rows.
    pub rows: f64,
    /// The number of positive rows.
    pub positives: f64,
    /// The sum of their scores.
    pub scores: f64,
}

/// Divides rows into `count` ranges of equal width from 0 to 1. A score of 1 is in the last.
pub fn bins(scores: &[f64], classes: &[bool], count: usize) -> Vec<Bin> {
    let mut bins = vec![Bin::default(); count];
    for (&score, &class) in scores.iter().zip(classes) {
        let bin = &mut bins[((score * count as f64) as usize).min(count - 1)];
        bin.rows += 1.0;
        bin.positives += f64::from(class);
        bin.scores += score;
    }
    bins
}

/// Returns the mean distance between score and observed rate, weighted by rows (Naeini, Cooper and
/// Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015). 0 is
/// perfect.
pub fn expected_calibration_error(bins: &[Bin]) -> f64 {
    let rows: f64 = bins.iter().map(|bin| bin.rows).sum();
    bins.iter().map(|bin| (bin.scores - bin.positives).abs()).sum::<f64>() / rows
}

/// Returns the mean squared distance between score and class (Brier, "Verification of Forecasts
/// Expressed in Terms of Probability", 1950). 0 is perfect.
pub fn brier(scores: &[f64], classes: &[bool]) -> f64 {
    let squares = scores.iter().zip(classes).map(|(score, &class)| (score - f64::from(class)).powi(2));
    squares.sum::<f64>() / scores.len() as f64
}

/// Returns the mean score and the observed rate of each range that has rows.
pub fn curve(bins: &[Bin]) -> (Vec<f64>, Vec<f64>) {
    let filled = bins.iter().filter(|bin| bin.rows > 0.0);
    filled.map(|bin| (bin.scores / bin.rows, bin.positives / bin.rows)).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_equal_to_the_observed_rate_have_no_calibration_error() {
        let classes = [true, false, false, false];
        assert_eq!(expected_calibration_error(&bins(&[0.25; 4], &classes, 10)), 0.0);
    }

    #[test]
    fn a_score_of_one_falls_into_the_last_bin() {
        assert_eq!(bins(&[1.0], &[true], 5)[4].rows, 1.0);
    }

    #[test]
    fn brier_and_calibration_error_match_figures_worked_by_hand() {
        let (scores, classes) = ([0.1, 0.4, 0.35, 0.8], [false, false, true, true]);
        // (0.01 + 0.16 + 0.4225 + 0.04) / 4
        assert!((brier(&scores, &classes) - 0.158_125).abs() < 1e-15);
        // [0, 0.5): 0.85 against 1; [0.5, 1]: 0.8 against 1
        assert!((expected_calibration_error(&bins(&scores, &classes, 2)) - 0.35 / 4.0).abs() < 1e-15);
    }
}
