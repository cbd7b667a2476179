//! The standard error of the difference between two areas under ROC curves on the same rows.
//!
//! DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver
//! operating characteristic curves", Biometrics 44 (1988). Placements are found by sorting instead
//! of comparing every pair (Sun and Xu, IEEE Signal Processing Letters 21, 2014), in O(n log n).
//! Since only the difference of two curves is wanted, the variance is that of the differences of
//! placements. It equals the formula with covariances and cannot be negative.

/// Returns the standard error; `None` if a class has fewer than two rows. Labels are 0 or 1, scores
/// from 0 to 1, all of one length.
pub(crate) fn standard_error(labels: &[u8], candidate: &[f64], champion: &[f64]) -> Option<f64> {
    let positives = labels.iter().filter(|&&label| label == 1).count();
    let negatives = labels.len() - positives;
    if positives < 2 || negatives < 2 {
        return None;
    }
    let (ours, theirs) = (placements(labels, candidate), placements(labels, champion));
    let spread = |class: u8, rows: usize| {
        let differences = || {
            let of_class = labels.iter().zip(ours.iter().zip(&theirs)).filter(move |(label, _)| **label == class);
            // Twice a placement is an integer, so differences are exact.
            of_class.map(|(_, (ours, theirs))| *ours as f64 - *theirs as f64)
        };
        let mean = sum(differences()) / rows as f64;
        sum(differences().map(|it| (it - mean) * (it - mean))) / (rows - 1) as f64
    };
    // The placement of a positive is a share of the negatives, and vice versa. Both were counted
    // twice.
    let share = |twice_rows: usize| 1.0 / (2.0 * twice_rows as f64);
    let of_positives = spread(1, positives) * share(negatives) * share(negatives) / positives as f64;
    let of_negatives = spread(0, negatives) * share(positives) * share(positives) / negatives as f64;
    Some((of_positives + of_negatives).sqrt())
}

/// Returns, for each row, twice the number of rows of the other class that the model ranks
/// correctly against it: below a positive, above a negative. Ties count half.
fn placements(labels: &[u8], scores: &[f64]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    // Adding 0.0 makes -0.0 tie with 0.0.
    let score = |row: usize| scores[row] + 0.0;
    order.sort_unstable_by(|&a, &b| score(a).total_cmp(&score(b)));
    let all_positives = labels.iter().filter(|&&label| label == 1).count() as u64;
    let mut placements = vec![0; labels.len()];
    let (mut positives, mut negatives) = (0_u64, 0_u64);
    for tied in order.chunk_by(|&a, &b| score(a) == score(b)) {
        let tied_positives = tied.iter().filter(|&&row| labels[row] == 1).count() as u64;
        let tied_negatives = tied.len() as u64 - tied_positives;
        for &row in tied {
            placements[row] = if labels[row] == 1 {
                2 * negatives + tied_negatives
            } else {
                2 * (all_positives - positives - tied_positives) + tied_positives
            };
        }
        positives += tied_positives;
        negatives += tied_negatives;
    }
    placements
}

fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    let mut sum = crate::metrics::Sum::default();
    terms.for_each(|term| sum.add(term));
    sum.value()
}
