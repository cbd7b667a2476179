//! The learners on synthetic data with known answers.

use stagewright_trees::{
    BinnedMatrix, BoostedOptions, ForestOptions, Growth, Loss, MAX_BINS, MaxFeatures, Objective, TrainingSet,
    TreeModel, TreesError, boosted, forest,
};

/// Columns of synthetic data with their targets.
struct Data {
    columns: Vec<Vec<f64>>,
    targets: Vec<f64>,
}

impl Data {
    fn views(&self) -> Vec<&[f64]> {
        self.columns.iter().map(Vec::as_slice).collect()
    }

    fn names(&self) -> Vec<String> {
        (0..self.columns.len()).map(|i| format!("f{i}")).collect()
    }

    fn binned(&self) -> BinnedMatrix {
        BinnedMatrix::from_columns(&self.names(), &self.views(), MAX_BINS).unwrap()
    }
}

/// Numbers in [0, 1), from a linear congruential generator.
fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    }
}

/// Returns noise columns, a flag, and column 2, which alone decides the target of 95 % of the rows.
fn planted(rows: usize) -> Data {
    let mut next = uniform(11);
    let mut columns = vec![Vec::new(); 6];
    let mut targets = Vec::with_capacity(rows);
    for _ in 0..rows {
        for (place, column) in columns.iter_mut().enumerate() {
            let value = next();
            column.push(if place == 4 { value.round() } else { value });
        }
        let signal = columns[2][columns[2].len() - 1];
        let flipped = next() < 0.05;
        targets.push(f64::from(u8::from((0.3..0.7).contains(&signal) != flipped)));
    }
    Data { columns, targets }
}

fn fit_boosted(data: &Data, options: BoostedOptions) -> Result<TreeModel, TreesError> {
    fit_boosted_weighted(data, None, options)
}

fn fit_boosted_weighted(
    data: &Data,
    weights: Option<&[f64]>,
    options: BoostedOptions,
) -> Result<TreeModel, TreesError> {
    boosted::train(
        &options.check()?,
        TrainingSet { features: &data.binned(), targets: &data.targets, weights },
        None,
        None,
    )
}

fn fit_forest(data: &Data, options: ForestOptions) -> Result<TreeModel, TreesError> {
    forest::train(
        &options.check()?,
        TrainingSet { features: &data.binned(), targets: &data.targets, weights: None },
        &mut |_| {},
    )
}

fn predict(model: &TreeModel, columns: &[&[f64]]) -> Vec<f64> {
    let mut out = Vec::new();
    model.predictor().predict(columns, &mut out).unwrap();
    out
}

fn accuracy(scores: &[f64], targets: &[f64]) -> f64 {
    let right = scores.iter().zip(targets).filter(|&(&score, &target)| (score > 0.5) == (target == 1.0)).count();
    right as f64 / targets.len() as f64
}

#[test]
fn a_planted_signal_is_found_and_is_the_most_important() {
    let data = planted(3_000);
    let fresh = planted(4_000);
    for growth in [Growth::DepthWise, Growth::LeafWise] {
        let model =
            fit_boosted(&data, BoostedOptions { n_estimators: 40, growth, max_leaves: 8, ..BoostedOptions::default() })
                .unwrap();
        let importance = model.importance();
        assert!(importance[2] > 0.7, "{importance:?}");
        assert!((importance.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(accuracy(&predict(&model, &fresh.views()), &fresh.targets) > 0.9);
    }
    let model =
        fit_forest(&data, ForestOptions { n_estimators: 50, max_depth: Some(6), ..ForestOptions::default() }).unwrap();
    assert!(model.importance()[2] > 0.5, "{:?}", model.importance());
    assert!(accuracy(&predict(&model, &fresh.views()), &fresh.targets) > 0.9);
}

#[test]
fn being_missing_can_be_the_signal() {
    let mut next = uniform(5);
    let mut data = Data { columns: vec![Vec::new(), Vec::new()], targets: Vec::new() };
    for _ in 0..2_000 {
        let missing = next() < 0.4;
        data.columns[0].push(if missing { f64::NAN } else { next() });
        data.columns[1].push(next());
        data.targets.push(f64::from(u8::from(missing)));
    }
    let rows: [&[f64]; 2] = [&[f64::NAN, 0.1, 0.99, f64::INFINITY, f64::NEG_INFINITY], &[0.5; 5]];
    let boosted = fit_boosted(&data, BoostedOptions { n_estimators: 50, ..BoostedOptions::default() }).unwrap();
    let forest = fit_forest(&data, ForestOptions { n_estimators: 20, ..ForestOptions::default() }).unwrap();
    for model in [boosted, forest] {
        let scores = predict(&model, &rows);
        assert!(scores[0] > 0.9 && scores[1..].iter().all(|&score| score < 0.1), "{scores:?}");
    }
}

#[test]
fn a_missing_value_in_the_middle_goes_where_its_rows_belong() {
    let mut next = uniform(6);
    let mut data = Data { columns: vec![Vec::new()], targets: Vec::new() };
    for _ in 0..3_000 {
        let value = next();
        // Rows with missing values behave like rows with small values.
        let missing = next() < 0.2;
        data.columns[0].push(if missing { f64::NAN } else { value });
        data.targets.push(f64::from(u8::from(missing || value < 0.5)));
    }
    let model =
        fit_boosted(&data, BoostedOptions { n_estimators: 30, max_depth: Some(1), ..BoostedOptions::default() })
            .unwrap();
    let scores = predict(&model, &[&[f64::NAN, 0.2, 0.8]]);
    assert!(scores[0] > 0.8 && scores[1] > 0.8 && scores[2] < 0.2, "{scores:?}");
}

#[test]
fn the_training_loss_falls_in_every_round() {
    let data = planted(2_000);
    for growth in [Growth::DepthWise, Growth::LeafWise] {
        let options = BoostedOptions { n_estimators: 60, growth, ..BoostedOptions::default() };
        let mut losses = Vec::new();
        let mut record = |report: boosted::RoundReport| losses.push(report.training_loss.unwrap());
        let watcher = boosted::Watcher { training_loss: true, after_round: &mut record };
        let features = data.binned();
        let set = TrainingSet { features: &features, targets: &data.targets, weights: None };
        boosted::train(&options.check().unwrap(), set, None, Some(watcher)).unwrap();
        assert_eq!(losses.len(), 60);
        assert!(losses.is_sorted_by(|a, b| a > b), "{losses:?}");
    }
}

#[test]
fn early_stopping_keeps_the_best_round() {
    let data = planted(1_000);
    let held_out = planted(3_000);
    let features = data.binned();
    let validation = features.encode(&held_out.views()).unwrap();
    let set = TrainingSet { features: &features, targets: &data.targets, weights: None };
    let validation = TrainingSet { features: &validation, targets: &held_out.targets, weights: None };
    let options = BoostedOptions {
        n_estimators: 500,
        learning_rate: 0.3,
        early_stopping_rounds: Some(10),
        ..BoostedOptions::default()
    };
    let mut losses = Vec::new();
    let mut record = |report: boosted::RoundReport| losses.push(report.validation_loss.unwrap());
    let watcher = boosted::Watcher { training_loss: false, after_round: &mut record };
    let model = boosted::train(&options.clone().check().unwrap(), set, Some(validation), Some(watcher)).unwrap();
    let best = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap();
    assert_eq!((model.trees(), losses.len()), (best + 1, best + 11));
    let without = boosted::train(&options.check().unwrap(), set, None, None).unwrap_err();
    assert!(without.to_string().contains("needs a validation set"), "{without}");
}

#[test]
fn the_same_seed_gives_the_same_model_and_another_seed_another() {
    let data = planted(1_000);
    let options =
        |seed| BoostedOptions { n_estimators: 20, subsample: 0.7, colsample: 0.5, seed, ..BoostedOptions::default() };
    assert_eq!(fit_boosted(&data, options(1)).unwrap(), fit_boosted(&data, options(1)).unwrap());
    assert_ne!(fit_boosted(&data, options(1)).unwrap(), fit_boosted(&data, options(2)).unwrap());
    assert!(accuracy(&predict(&fit_boosted(&data, options(1)).unwrap(), &data.views()), &data.targets) > 0.9);
}

#[test]
fn a_weight_of_two_counts_like_a_row_twice() {
    let data = planted(800);
    let weights: Vec<f64> = (0..800).map(|i| if i % 3 == 0 { 2.0 } else { 1.0 }).collect();
    let mut twice = Data { columns: data.columns.clone(), targets: data.targets.clone() };
    for row in (0..800).step_by(3) {
        for (column, from) in twice.columns.iter_mut().zip(&data.columns) {
            column.push(from[row]);
        }
        twice.targets.push(data.targets[row]);
    }
    let options = BoostedOptions { n_estimators: 20, max_depth: Some(3), ..BoostedOptions::default() };
    // Both tables have the bins of the distinct rows, so that only the weights differ.
    let features = data.binned();
    let doubled = features.encode(&twice.views()).unwrap();
    let params = options.check().unwrap();
    let weighted = boosted::train(
        &params,
        TrainingSet { features: &features, targets: &data.targets, weights: Some(&weights) },
        None,
        None,
    )
    .unwrap();
    let repeated =
        boosted::train(&params, TrainingSet { features: &doubled, targets: &twice.targets, weights: None }, None, None)
            .unwrap();
    for (a, b) in predict(&weighted, &data.views()).iter().zip(predict(&repeated, &data.views())) {
        assert!((a - b).abs() < 1e-4, "{a} and {b}");
    }
    let options = ForestOptions {
        n_estimators: 1,
        max_depth: Some(3),
        bootstrap: false,
        max_features: MaxFeatures::All,
        ..ForestOptions::default()
    };
    let params = options.check().unwrap();
    let weighted = forest::train(
        &params,
        TrainingSet { features: &features, targets: &data.targets, weights: Some(&weights) },
        &mut |_| {},
    )
    .unwrap();
    let repeated =
        forest::train(&params, TrainingSet { features: &doubled, targets: &twice.targets, weights: None }, &mut |_| {})
            .unwrap();
    assert_eq!(predict(&weighted, &data.views()), predict(&repeated, &data.views()));
}

#[test]
fn a_row_of_weight_zero_is_as_good_as_absent() {
    let mut data = planted(600);
    let weights: Vec<f64> = (0..600).map(|i| f64::from(u8::from(i < 300))).collect();
    let options = || BoostedOptions { n_estimators: 10, ..BoostedOptions::default() };
    let before = fit_boosted_weighted(&data, Some(&weights), options()).unwrap();
    data.targets[300..].iter_mut().for_each(|target| *target = 1.0 - *target);
    assert_eq!(fit_boosted_weighted(&data, Some(&weights), options()).unwrap(), before);
}

// invariant: A forest that is trained in parts equals the forest that is trained whole.
#[test]
fn parts_of_a_forest_merge_to_the_whole_whatever_their_sizes() {
    let data = planted(500);
    let features = data.binned();
    let set = TrainingSet { features: &features, targets: &data.targets, weights: None };
    let params = ForestOptions { n_estimators: 12, seed: 9, ..ForestOptions::default() }.check().unwrap();
    let whole = forest::train(&params, set, &mut |_| {}).unwrap();
    for sizes in [vec![12], vec![5, 7], vec![1; 12], vec![3, 4, 5]] {
        let mut start = 0;
        // Grown in reverse order, which must not matter.
        let ranges: Vec<_> = sizes
            .iter()
            .map(|size| {
                (start, {
                    start += size;
                    start
                })
            })
            .collect();
        let mut parts: Vec<_> =
            ranges.iter().rev().map(|&(a, b)| forest::train_trees(&params, set, a..b, &mut |_| {}).unwrap()).collect();
        parts.reverse();
        let merged = forest::merge(parts).unwrap();
        assert_eq!(merged, whole, "{sizes:?}");
        let (mut a, mut b) = (Vec::new(), Vec::new());
        merged.write_to(&mut a).unwrap();
        whole.write_to(&mut b).unwrap();
        assert_eq!(a, b);
    }
}

#[test]
fn parts_with_a_gap_are_refused() {
    let data = planted(200);
    let features = data.binned();
    let set = TrainingSet { features: &features, targets: &data.targets, weights: None };
    let params = ForestOptions { n_estimators: 6, ..ForestOptions::default() }.check().unwrap();
    let part = |range| forest::train_trees(&params, set, range, &mut |_| {}).unwrap();
    for parts in [vec![part(0..2), part(3..6)], vec![part(2..6)], vec![]] {
        assert!(matches!(forest::merge(parts), Err(TreesError::Merge { .. })));
    }
}

#[test]
fn a_forest_keeps_its_limits() {
    let data = planted(2_000);
    let options = |leaf, split| ForestOptions {
        n_estimators: 3,
        min_samples_leaf: leaf,
        min_samples_split: split,
        bootstrap: false,
        ..ForestOptions::default()
    };
    let full = fit_forest(&data, options(1, 2)).unwrap();
    assert_eq!(accuracy(&predict(&full, &data.views()), &data.targets), 1.0);
    for limited in [options(200, 2), ForestOptions { max_depth: Some(3), ..options(1, 2) }] {
        let model = fit_forest(&data, limited).unwrap();
        assert!((4..=3 * 19).contains(&model.nodes()), "{} nodes", model.nodes());
    }
    assert!(fit_forest(&data, options(1, 400)).unwrap().nodes() * 4 < full.nodes());
    // A leaf needs 1,001 of 2,000 rows, so there is no split.
    let model = fit_forest(&data, options(1_001, 2)).unwrap();
    assert_eq!(model.nodes(), 3);
}

#[test]
fn one_class_is_a_clear_error() {
    let data = Data { columns: vec![vec![1.0, 2.0, 3.0]], targets: vec![1.0; 3] };
    let error = fit_boosted(&data, BoostedOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "every training row is of class 1: a classifier needs rows of both classes");
    assert!(matches!(fit_forest(&data, ForestOptions::default()), Err(TreesError::SingleClass { class: 1 })));
}

#[test]
fn data_that_cannot_be_learnt_from_is_refused() {
    let data = |targets: &[f64]| Data { columns: vec![vec![0.0; targets.len()]], targets: targets.to_vec() };
    let error = |targets: &[f64]| fit_boosted(&data(targets), BoostedOptions::default()).unwrap_err().to_string();
    assert_eq!(error(&[0.0, 1.0, 2.0]), "row 2: target `2` is not 0 or 1");
    assert_eq!(error(&[]), "the training table has no rows");
    let nan =
        fit_boosted(&data(&[0.0, f64::NAN]), BoostedOptions { loss: Loss::SquaredError, ..BoostedOptions::default() })
            .unwrap_err();
    assert_eq!(nan.to_string(), "row 1: target `NaN` is not a finite number");
    let weights = fit_boosted_weighted(&data(&[0.0, 1.0]), Some(&[1.0, -1.0]), BoostedOptions::default()).unwrap_err();
    assert_eq!(weights.to_string(), "row 1: weight `-1` is not a finite number of at least 0");
}

#[test]
fn constant_features_give_the_share_of_the_classes() {
    let data = Data { columns: vec![vec![7.0; 8]], targets: vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0] };
    let boosted = fit_boosted(&data, BoostedOptions::default()).unwrap();
    let forest = fit_forest(&data, ForestOptions { bootstrap: false, ..ForestOptions::default() }).unwrap();
    for model in [boosted, forest] {
        let scores = predict(&model, &data.views());
        assert!(scores.iter().all(|score| (score - 0.25).abs() < 1e-7), "{scores:?}");
        assert_eq!(model.importance(), [0.0]);
    }
}

#[test]
fn a_regression_follows_its_curve() {
    let mut next = uniform(3);
    let xs: Vec<f64> = (0..2_000).map(|_| next() * 6.0).collect();
    let data = Data { targets: xs.iter().map(|x| x.sin()).collect(), columns: vec![xs] };
    let model = fit_boosted(&data, BoostedOptions { loss: Loss::SquaredError, ..BoostedOptions::default() }).unwrap();
    assert_eq!(model.objective(), Objective::Value);
    for (score, target) in predict(&model, &data.views()).iter().zip(&data.targets) {
        assert!((score - target).abs() < 0.05, "{score} and {target}");
    }
}

#[test]
fn a_row_is_predicted_the_same_alone_and_in_any_batch() {
    let data = planted(700);
    let model = fit_boosted(&data, BoostedOptions { n_estimators: 15, ..BoostedOptions::default() }).unwrap();
    let together = predict(&model, &data.views());
    for row in (0..700).step_by(53) {
        let alone: Vec<&[f64]> = data.columns.iter().map(|column| &column[row..=row]).collect();
        assert_eq!(predict(&model, &alone), [together[row]]);
        let rest: Vec<&[f64]> = data.columns.iter().map(|column| &column[row..]).collect();
        assert_eq!(predict(&model, &rest), together[row..]);
    }
}

#[test]
fn the_wrong_number_of_columns_is_refused() {
    let data = planted(300);
    let model = fit_boosted(&data, BoostedOptions { n_estimators: 2, ..BoostedOptions::default() }).unwrap();
    let error = model.predictor().predict(&data.views()[1..], &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "columns: expected 6, found 5");
}

#[test]
fn parameters_out_of_range_are_named() {
    let wrong = BoostedOptions { learning_rate: 0.0, ..BoostedOptions::default() }.check().unwrap_err();
    assert_eq!(wrong.to_string(), "parameter `learning_rate` is `0`: must be above 0 and at most 1");
    let wrong =
        ForestOptions { max_features: MaxFeatures::Share(1.5), ..ForestOptions::default() }.check().unwrap_err();
    assert_eq!(wrong.to_string(), "parameter `max_features` is `1.5`: a share must be above 0 and at most 1");
}
