//! Intervals against formulas and published values.

use super::*;

/// Returns a fixed pseudo-random sequence from 0 to 1.
fn noise(rows: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    (0..rows)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        })
        .collect()
}

fn table(rows: usize) -> (Vec<u8>, Vec<f64>, Vec<f64>) {
    let labels: Vec<u8> = noise(rows, 1).into_iter().map(|value| u8::from(value < 0.3)).collect();
    let scores = |seed, strength: f64| -> Vec<f64> {
        labels.iter().zip(noise(rows, seed)).map(|(&label, value)| 0.6 * value + strength * f64::from(label)).collect()
    };
    let (candidate, champion) = (scores(2, 0.3), scores(3, 0.2));
    (labels, candidate, champion)
}

/// Returns the standard error from the structural components of the paper, with every pair
/// compared.
fn by_pairs(labels: &[u8], candidate: &[f64], champion: &[f64]) -> f64 {
    let of = |class: u8| labels.iter().enumerate().filter(move |(_, label)| **label == class).map(|(row, _)| row);
    let ahead = |positive: f64, negative: f64| match positive.total_cmp(&negative) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    };
    let (positives, negatives): (Vec<usize>, Vec<usize>) = (of(1).collect(), of(0).collect());
    let component = |scores: &[f64], row: usize| -> f64 {
        if labels[row] == 1 {
            let wins: f64 = negatives.iter().map(|&other| ahead(scores[row], scores[other])).sum();
            wins / negatives.len() as f64
        } else {
            let wins: f64 = positives.iter().map(|&other| ahead(scores[other], scores[row])).sum();
            wins / positives.len() as f64
        }
    };
    let covariance = |rows: &[usize], a: &[f64], b: &[f64]| -> f64 {
        let pairs: Vec<(f64, f64)> = rows.iter().map(|&row| (component(a, row), component(b, row))).collect();
        let count = pairs.len() as f64;
        let (mean_a, mean_b) =
            (pairs.iter().map(|it| it.0).sum::<f64>() / count, pairs.iter().map(|it| it.1).sum::<f64>() / count);
        pairs.iter().map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>() / (count - 1.0)
    };
    let variance = |rows: &[usize]| {
        covariance(rows, candidate, candidate) + covariance(rows, champion, champion)
            - 2.0 * covariance(rows, candidate, champion)
    };
    (variance(&positives) / positives.len() as f64 + variance(&negatives) / negatives.len() as f64).sqrt()
}

#[test]
fn delong_by_sorting_equals_delong_by_pairs_with_ties_too() {
    let (labels, candidate, champion) = table(400);
    let coarse = |scores: &[f64]| -> Vec<f64> { scores.iter().map(|score| (score * 8.0).round() / 8.0).collect() };
    for (candidate, champion) in
        [(candidate.clone(), champion.clone()), (coarse(&candidate), coarse(&champion)), (coarse(&candidate), champion)]
    {
        let ours = delong::standard_error(&labels, &candidate, &champion).unwrap();
        let theirs = by_pairs(&labels, &candidate, &champion);
        assert!((ours - theirs).abs() < 1e-13, "{ours} {theirs}");
    }
}

#[test]
fn the_difference_is_that_of_the_metrics_and_lies_within_its_interval() {
    let (labels, candidate, champion) = table(500);
    for metric in ["roc_auc", "accuracy", "precision", "recall", "f1", "log_loss", "average_precision", "brier"] {
        let found =
            difference(Labels::Binary(&labels), &candidate, &champion, metric, 0.95, &|| false).unwrap().unwrap();
        let of = |scores: &[f64]| metrics::binary(&labels, scores, 0.5).unwrap().named().get(metric).unwrap();
        assert_eq!(found.value, of(&candidate) - of(&champion), "{metric}");
        assert!(found.low < found.value && found.value < found.high, "{found:?}");
        assert_eq!(found.method == Method::Delong, metric == "roc_auc");
        let swapped =
            difference(Labels::Binary(&labels), &champion, &candidate, metric, 0.95, &|| false).unwrap().unwrap();
        assert!((swapped.value + found.value).abs() < 1e-15 && (swapped.low + found.high).abs() < 1e-12, "{metric}");
        let narrower =
            difference(Labels::Binary(&labels), &candidate, &champion, metric, 0.5, &|| false).unwrap().unwrap();
        assert!(narrower.low > found.low && narrower.high < found.high, "{metric}");
    }
}

/// The formula is the Wald interval of a difference of paired proportions (Agresti, Categorical
/// Data Analysis, 2nd edition, section 10.1.1).
#[test]
fn the_bootstrap_of_accuracy_equals_the_formula_of_paired_proportions() {
    let (labels, candidate, champion) = table(4_000);
    let found =
        difference(Labels::Binary(&labels), &candidate, &champion, "accuracy", 0.95, &|| false).unwrap().unwrap();
    let right = |scores: &[f64]| -> Vec<bool> {
        labels.iter().zip(scores).map(|(&label, &score)| (score >= 0.5) == (label == 1)).collect()
    };
    let pairs: Vec<(bool, bool)> = right(&candidate).into_iter().zip(right(&champion)).collect();
    let rows = pairs.len() as f64;
    let only = |pair: (bool, bool)| pairs.iter().filter(|it| **it == pair).count() as f64;
    let (gained, lost) = (only((true, false)), only((false, true)));
    let error = ((gained + lost - (gained - lost).powi(2) / rows) / (rows * rows)).sqrt();
    let (low, high) = (found.value - 1.959_964 * error, found.value + 1.959_964 * error);
    let width = high - low;
    assert!(
        (found.low - low).abs() < 0.05 * width && (found.high - high).abs() < 0.05 * width,
        "{found:?} {low} {high}"
    );
}

/// For many rows, the bootstrap interval of a mean is its normal interval.
#[test]
fn the_bootstrap_of_the_brier_score_equals_the_interval_of_a_mean() {
    let (labels, candidate, champion) = table(4_000);
    let found = difference(Labels::Binary(&labels), &candidate, &champion, "brier", 0.9, &|| false).unwrap().unwrap();
    let term = |label: u8, score: f64| (score - f64::from(label)).powi(2);
    let terms: Vec<f64> = labels
        .iter()
        .zip(candidate.iter().zip(&champion))
        .map(|(&label, (&ours, &theirs))| term(label, ours) - term(label, theirs))
        .collect();
    let rows = terms.len() as f64;
    let mean = terms.iter().sum::<f64>() / rows;
    let error = (terms.iter().map(|term| (term - mean).powi(2)).sum::<f64>() / (rows - 1.0) / rows).sqrt();
    let (low, high) = (mean - 1.644_854 * error, mean + 1.644_854 * error);
    let width = high - low;
    assert!(
        (found.low - low).abs() < 0.05 * width && (found.high - high).abs() < 0.05 * width,
        "{found:?} {low} {high}"
    );
}

#[test]
fn the_bootstrap_of_a_ranking_agrees_with_delong() {
    let (labels, candidate, champion) = table(2_000);
    let by_formula =
        difference(Labels::Binary(&labels), &candidate, &champion, "roc_auc", 0.95, &|| false).unwrap().unwrap();
    let (low, high) =
        bootstrap::interval(Labels::Binary(&labels), &candidate, &champion, "roc_auc", 0.95, &|| false).unwrap();
    let width = by_formula.high - by_formula.low;
    assert!((low - by_formula.low).abs() < 0.07 * width, "{low} {by_formula:?}");
    assert!((high - by_formula.high).abs() < 0.07 * width, "{high} {by_formula:?}");
}

/// Ranking and counting metrics of a draw equal those of a table built for the draw.
#[test]
fn a_draw_is_measured_like_the_table_of_its_rows() {
    let (labels, candidate, champion) = table(300);
    let coarse: Vec<f64> = candidate.iter().map(|score| (score * 16.0).round() / 16.0).collect();
    for scores in [&candidate, &champion, &coarse] {
        for metric in metrics::binary(&labels, scores, 0.5).unwrap().named().iter().map(|(name, _)| name) {
            bootstrap::tests::assert_drawn_like_whole(&labels, scores, metric);
        }
    }
}

#[test]
fn the_same_rows_give_the_same_interval() {
    let (labels, candidate, champion) = table(200);
    let found = || difference(Labels::Binary(&labels), &candidate, &champion, "f1", 0.95, &|| false).unwrap();
    assert_eq!(found(), found());
}

#[test]
fn models_that_rank_alike_have_no_difference() {
    let (labels, candidate, _) = table(200);
    let halved: Vec<f64> = candidate.iter().map(|score| score / 2.0).collect();
    let found = difference(Labels::Binary(&labels), &candidate, &halved, "roc_auc", 0.95, &|| false).unwrap().unwrap();
    assert_eq!((found.value, found.low, found.high, found.p_value), (0.0, 0.0, 0.0, Some(1.0)));
    let same =
        difference(Labels::Binary(&labels), &candidate, &candidate, "log_loss", 0.95, &|| false).unwrap().unwrap();
    assert_eq!((same.value, same.low, same.high), (0.0, 0.0, 0.0));
}

#[test]
fn an_undefined_difference_is_none_and_a_bad_input_an_error() {
    let none = |labels: &[u8], metric: &str| {
        let scores = vec![0.5; labels.len()];
        difference(Labels::Binary(labels), &scores, &scores, metric, 0.95, &|| false).unwrap()
    };
    assert_eq!(none(&[1, 1, 1], "roc_auc"), None);
    assert_eq!(none(&[1, 0, 0], "roc_auc"), None);
    assert_eq!(none(&[1, 0, 0, 1], "conversion"), None);
    let scores = [0.5, 0.5];
    assert_eq!(difference(Labels::Binary(&[]), &[], &[], "roc_auc", 0.95, &|| false), Err(Error::Empty));
    let short = difference(Labels::Binary(&[0, 1]), &scores, &scores[..1], "f1", 0.95, &|| false);
    assert_eq!(short, Err(Error::Length { expected: 2, predictions: 1 }));
}

#[test]
fn other_tasks_have_intervals_too() {
    let actual = noise(300, 5);
    let near = |seed, spread: f64| -> Vec<f64> {
        actual.iter().zip(noise(300, seed)).map(|(value, noise)| value + spread * (noise - 0.5)).collect()
    };
    let (candidate, champion) = (near(6, 0.2), near(7, 0.4));
    let found =
        difference(Labels::Regression(&actual), &candidate, &champion, "rmse", 0.95, &|| false).unwrap().unwrap();
    assert!(found.low < found.value && found.value < found.high && found.high < 0.0, "{found:?}");
    assert!((found.least_gain() + found.high).abs() < 1e-15 && found.least_gain() > 0.0);

    let labels: Vec<u32> = noise(300, 8).into_iter().map(|value| (value * 3.0) as u32).collect();
    let scores = |strength: f64| -> Vec<f64> {
        let row = |&label: &u32| -> Vec<f64> {
            let own = 1.0 / 3.0 + strength * f64::from(label);
            (0..3).map(|class| if class == label { own } else { (1.0 - own) / 2.0 }).collect()
        };
        labels.iter().flat_map(row).collect()
    };
    let (candidate, champion) = (scores(0.2), scores(0.1));
    let multi = Labels::MultiClass { labels: &labels, classes: 3 };
    let found = difference(multi, &candidate, &champion, "log_loss", 0.95, &|| false).unwrap().unwrap();
    assert!(found.low <= found.value && found.value <= found.high && found.high < 0.0, "{found:?}");
}

/// Values of scipy 1.x, `scipy.stats.norm.ppf`.
#[test]
fn the_normal_quantile_equals_scipys() {
    for (p, expected) in [
        (0.5, 0.0),
        (0.75, 0.674_489_750_196_081_7),
        (0.95, 1.644_853_626_951_472_2),
        (0.975, 1.959_963_984_540_054),
        (0.995, 2.575_829_303_548_900_4),
        (0.025, -1.959_963_984_540_054_5),
        (0.999_999, 4.753_424_308_817_087),
        (1e-20, -9.262_340_089_798_408),
    ] {
        let found = normal::quantile(p);
        assert!((found - expected).abs() < 1e-14 * expected.abs().max(1.0), "{p}: {found} {expected}");
    }
    assert!((normal::two_sided(1.959_963_984_540_054) - 0.05).abs() < 1e-15);
}
