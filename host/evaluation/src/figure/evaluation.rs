//! The figures that the host makes of an evaluation, with candidate and champion on one plot.

use super::{BarPlot, BarSeries, Figure, LinePlot, MatrixPlot, Plot, Series};
use crate::Error;
use crate::metrics::{Binning, ConfusionMatrix, Curve, DRAWN_POINTS, Ranking, calibration_curve};
use crate::text::number;

/// The bins of a calibration curve.
const BINS: usize = 10;
/// The features of an importance figure.
const FEATURES: usize = 20;

/// The predictions of a model on the test rows.
#[derive(Debug, Clone, Copy)]
pub struct Predictions<'a> {
    /// The model's name in the legend: `candidate`, `champion v3`.
    pub name: &'a str,
    /// The probability of class 1 for each test row.
    pub scores: &'a [f64],
}

/// The feature importance of a model.
#[derive(Debug, Clone, Copy)]
pub struct Importance<'a> {
    /// The model's name in the legend.
    pub name: &'a str,
    /// Features with their importance, which is not negative.
    pub features: &'a [(String, f64)],
}

/// Returns the ROC, precision-recall and calibration curves of models on the same test rows, as far
/// as they exist: some need both classes.
///
/// # Errors
///
/// As [`Ranking::new`], for any of the models.
pub fn prediction_figures(labels: &[u8], models: &[Predictions<'_>]) -> Result<Vec<Figure>, Error> {
    let ranked = rank(labels, models)?;
    let calibration = calibration_figure(labels, models)?;
    Ok(roc_of(&ranked).into_iter().chain(precision_recall_of(&ranked)).chain([calibration]).collect())
}

/// Returns the ROC curves (figure `roc`), with the diagonal of chance; `None` if there is only one
/// class.
///
/// # Errors
///
/// As [`Ranking::new`].
pub fn roc_figure(labels: &[u8], models: &[Predictions<'_>]) -> Result<Option<Figure>, Error> {
    Ok(roc_of(&rank(labels, models)?))
}

/// Returns the precision-recall curves (figure `precision-recall`), with the share of positives,
/// which is the precision of chance; `None` without positives.
///
/// # Errors
///
/// As [`Ranking::new`].
pub fn precision_recall_figure(labels: &[u8], models: &[Predictions<'_>]) -> Result<Option<Figure>, Error> {
    Ok(precision_recall_of(&rank(labels, models)?))
}

/// Ranks the predictions of every model, once for all figures.
fn rank<'a>(labels: &[u8], models: &[Predictions<'a>]) -> Result<Vec<(&'a str, Ranking)>, Error> {
    models.iter().map(|model| Ok((model.name, Ranking::new(labels, model.scores)?))).collect()
}

fn roc_of(ranked: &[(&str, Ranking)]) -> Option<Figure> {
    let mut series = vec![reference("chance", &[(0.0, 0.0), (1.0, 1.0)])];
    for (name, ranking) in ranked {
        series.push(of_curve(format!("{name} (AUC {})", number(ranking.roc_auc())), &ranking.roc_curve()?));
    }
    Some(unit_figure("roc", "ROC curve", "False positive rate", "True positive rate", series))
}

fn precision_recall_of(ranked: &[(&str, Ranking)]) -> Option<Figure> {
    let (_, first) = ranked.first()?;
    let share = first.positives() as f64 / (first.positives() + first.negatives()) as f64;
    let mut series = vec![reference("chance", &[(0.0, share), (1.0, share)])];
    for (name, ranking) in ranked {
        let curve = ranking.precision_recall_curve()?;
        series.push(of_curve(format!("{name} (AP {})", number(ranking.average_precision())), &curve));
    }
    Some(unit_figure("precision-recall", "Precision and recall", "Recall", "Precision", series))
}

/// Returns the calibration curves (figure `calibration`), in ten bins with equal numbers of rows.
///
/// # Errors
///
/// As [`Ranking::new`].
pub fn calibration_figure(labels: &[u8], models: &[Predictions<'_>]) -> Result<Figure, Error> {
    let mut series = vec![reference("perfectly calibrated", &[(0.0, 0.0), (1.0, 1.0)])];
    for model in models {
        let curve = calibration_curve(labels, model.scores, BINS, Binning::Quantile)?;
        series.push(Series::new(model.name, curve.predicted, curve.observed));
    }
    Ok(unit_figure("calibration", "Calibration", "Mean predicted probability", "Share of positives", series))
}

/// Returns the confusion matrix of a model (figure `confusion-MODEL`). `model` must be an
/// identifier, such as `candidate`. `classes` are the names of class 0 and class 1.
#[must_use]
pub fn confusion_figure(model: &str, classes: [&str; 2], confusion: &ConfusionMatrix) -> Figure {
    let ConfusionMatrix { true_negatives, false_positives, false_negatives, true_positives } = *confusion;
    Figure {
        name: format!("confusion-{model}"),
        title: format!("Confusion matrix of the {model}"),
        plot: Plot::Matrix(MatrixPlot {
            rows: classes.iter().map(|class| format!("actual {class}")).collect(),
            columns: classes.iter().map(|class| format!("predicted {class}")).collect(),
            values: [true_negatives, false_positives, false_negatives, true_positives].map(|rows| rows as f64).to_vec(),
        }),
    }
}

/// Returns features by importance, scaled to sum to 1, in descending order and by name within ties.
/// Negative and non-finite values count as 0. If all are 0, they stay 0.
#[must_use]
pub fn scaled_importance(features: &[(String, f64)]) -> Vec<(String, f64)> {
    let usable = |importance: f64| if importance.is_finite() { importance.max(0.0) } else { 0.0 };
    // Divided by the greatest first, so that the sum cannot overflow.
    let greatest = features.iter().map(|(_, importance)| usable(*importance)).fold(0.0, f64::max);
    let relative = |importance: f64| if greatest > 0.0 { usable(importance) / greatest } else { 0.0 };
    let total: f64 = features.iter().map(|(_, importance)| relative(*importance)).sum();
    let mut scaled: Vec<(String, f64)> = features
        .iter()
        .map(|(feature, importance)| (feature.clone(), relative(*importance) / total.max(1.0)))
        .collect();
    scaled.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    scaled
}

/// Returns the importance of features (figure `importance`): the first model's twenty most
/// important ones, scaled as by [`scaled_importance`] for each model. A feature that a model lacks
/// counts as 0. `None` if the first model names none.
#[must_use]
pub fn importance_figure(models: &[Importance<'_>]) -> Option<Figure> {
    let scaled: Vec<(&str, Vec<(String, f64)>)> =
        models.iter().map(|model| (model.name, scaled_importance(model.features))).collect();
    let (_, first) = scaled.first().filter(|(_, features)| !features.is_empty())?;
    let labels: Vec<String> = first.iter().take(FEATURES).map(|(feature, _)| feature.clone()).collect();
    let value_of = |features: &[(String, f64)], label: &String| {
        features.iter().find(|(feature, _)| feature == label).map_or(0.0, |(_, importance)| *importance)
    };
    let series = scaled
        .iter()
        .filter(|(_, features)| !features.is_empty())
        .map(|(name, features)| BarSeries {
            name: (*name).to_owned(),
            values: labels.iter().map(|label| value_of(features, label)).collect(),
        })
        .collect();
    let value_label = "Share of the model's total importance".to_owned();
    Some(Figure {
        name: "importance".to_owned(),
        title: "Feature importance".to_owned(),
        plot: Plot::Bars(BarPlot { value_label, labels, series }),
    })
}

fn of_curve(name: String, curve: &Curve) -> Series {
    let Curve { x, y, .. } = curve.thinned(DRAWN_POINTS);
    Series::new(name, x, y)
}

fn reference(name: &str, points: &[(f64, f64)]) -> Series {
    let (x, y) = points.iter().copied().unzip();
    Series { name: name.to_owned(), x, y, reference: true }
}

fn unit_figure(name: &str, title: &str, x_label: &str, y_label: &str, series: Vec<Series>) -> Figure {
    let plot = LinePlot { unit_axes: true, ..LinePlot::new(x_label, y_label, series) };
    Figure { name: name.to_owned(), title: title.to_owned(), plot: Plot::Lines(plot) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn importance_is_scaled_sorted_and_lined_up_with_the_champions() {
        let candidate: Vec<(String, f64)> = vec![("b".into(), 2.0), ("tenure".into(), 4.0), ("a".into(), 2.0)];
        let champion: Vec<(String, f64)> = vec![("tenure".into(), 0.5), ("old".into(), 0.5)];
        let figure = importance_figure(&[
            Importance { name: "candidate", features: &candidate },
            Importance { name: "champion", features: &champion },
        ])
        .unwrap();
        let Plot::Bars(plot) = &figure.plot else { panic!("not bars") };
        assert_eq!(plot.labels, ["tenure", "a", "b"]);
        assert_eq!(plot.series[0].values, [0.5, 0.25, 0.25]);
        assert_eq!(plot.series[1].values, [0.5, 0.0, 0.0]);
        assert_eq!(figure.check(), Ok(()));
        assert_eq!(importance_figure(&[Importance { name: "candidate", features: &[] }]), None);
    }

    #[test]
    fn importance_sums_to_one_whatever_a_model_says() {
        let features = |values: &[f64]| -> Vec<(String, f64)> {
            values.iter().enumerate().map(|(number, value)| (format!("f{number}"), *value)).collect()
        };
        for values in [&[1.0, 3.0][..], &[f64::MAX, f64::MAX, 1.0], &[f64::NAN, -4.0, 0.25, f64::INFINITY]] {
            let scaled = scaled_importance(&features(values));
            let total: f64 = scaled.iter().map(|(_, importance)| importance).sum();
            assert!((total - 1.0).abs() < 1e-12, "{scaled:?}");
            assert!(scaled.is_sorted_by(|a, b| a.1 >= b.1), "{scaled:?}");
        }
        assert_eq!(scaled_importance(&features(&[0.0, -1.0])), features(&[0.0, 0.0]));
    }

    #[test]
    fn figures_of_many_predictions_stay_within_the_caps() {
        let labels: Vec<u8> = (0..50_000_u32).map(|row| u8::from(row % 7 < row / 10_000)).collect();
        let scores: Vec<f64> = (0..50_000).map(|row| f64::from(row) / 50_000.0).collect();
        let models =
            [Predictions { name: "candidate", scores: &scores }, Predictions { name: "champion", scores: &scores }];
        let figures = prediction_figures(&labels, &models).unwrap();
        assert_eq!(
            figures.iter().map(|figure| figure.name.as_str()).collect::<Vec<_>>(),
            ["roc", "precision-recall", "calibration"]
        );
        for figure in figures {
            assert_eq!(figure.check(), Ok(()));
            let Plot::Lines(plot) = figure.plot else { panic!("not lines") };
            assert_eq!(plot.series.len(), 3);
            assert!(plot.series.iter().all(|series| series.x.len() <= DRAWN_POINTS));
        }
    }

    #[test]
    fn figures_that_need_two_classes_are_omitted_for_one() {
        let models = [Predictions { name: "candidate", scores: &[0.1, 0.2] }];
        let figures = prediction_figures(&[0, 0], &models).unwrap();
        assert_eq!(figures.iter().map(|figure| figure.name.as_str()).collect::<Vec<_>>(), ["calibration"]);
    }
}
