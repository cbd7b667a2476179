//! `[gates]`: the conditions for a candidate to become champion.
//!
//! Owns which gates can be written: those on metrics that the host computes for the task.
//! `stagewright-evaluation` judges; there, a gate whose metric is missing fails.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stagewright_data::TaskKind;
use stagewright_metric_names::canonical_name;

use crate::document::{Origin, Value};
use crate::nearest::nearest;
use crate::reader::{Item, Section};
use crate::task::TaskDraft;

/// Returns the metrics that the host computes for a task. A test compares them with those that it
/// does compute.
pub const fn metrics_of(kind: &TaskKind) -> &'static [&'static str] {
    match kind {
        TaskKind::Binary { .. } => &[
            "roc_auc",
            "accuracy",
            "precision",
            "recall",
            "f1",
            "log_loss",
            "precision_at_recall_80",
            "average_precision",
            "brier",
        ],
        TaskKind::MultiClass => &["roc_auc_ovr", "accuracy", "f1_macro", "log_loss"],
        TaskKind::Regression => &["rmse", "mae", "r2"],
    }
}

/// Metrics of which less is better. They cannot be the primary metric.
const LOSSES: [&str; 4] = ["log_loss", "brier", "rmse", "mae"];
/// Metrics without bounds. All others are between 0 and 1.
const UNBOUNDED: [&str; 4] = ["log_loss", "rmse", "mae", "r2"];

/// The largest `overlap-rows-per-class`. More than any test table has is a typing error.
const MOST_ROWS_PER_CLASS: u64 = 1_000_000_000;

/// `[gates]`: the conditions for a candidate to become champion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct GatesSection {
    /// How candidate and champion are compared.
    pub policy: Policy,
    /// The metric in which they are compared. More is better.
    pub primary: String,
    /// The margin of the policy; at least 0, below 1.
    pub margin: f64,
    /// The confidence that the comparison must reach: at least 0.5, below 1. `None` if the point
    /// estimates decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// The least allowed value, by metric.
    pub minimum: BTreeMap<String, f64>,
    /// The greatest allowed value, by metric.
    pub maximum: BTreeMap<String, f64>,
    /// How far metrics may fall below the champion's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_regression: Option<NoRegression>,
    /// How to proceed when the champion cannot read today's table.
    pub champion_unreadable: ChampionUnreadable,
    /// How to proceed when the champion learnt from test rows.
    pub champion_overlap: ChampionOverlap,
    /// How many rows of each class a comparison needs after overlapping rows are excluded; with
    /// fewer, the verdict is undecided. At least 1.
    pub overlap_rows_per_class: u64,
    /// Which candidates are registered as versions.
    pub register: RegisterPolicy,
}

/// How candidate and champion are compared in the primary metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The candidate must be better by more than the margin.
    Better,
    /// The candidate must not be worse by more than the margin.
    NoWorse,
    /// They are not compared. `minimum` and `maximum` decide.
    Absolute,
}

impl Policy {
    /// Every policy with its name.
    pub const ALL: [(&str, Self); 3] =
        [("better", Self::Better), ("no-worse", Self::NoWorse), ("absolute", Self::Absolute)];
}

/// How to proceed when the champion learnt from test rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChampionOverlap {
    /// Exclude those rows from the comparison.
    Exclude,
    /// Fail the run.
    Error,
}

/// Which candidates are registered as versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegisterPolicy {
    /// Every candidate, as soon as it is trained.
    Always,
    /// Approved candidates.
    Passed,
}

/// The default of `overlap-rows-per-class`. With fewer rows, a single one moves the area under the
/// ROC curve by more than gates usually ask for.
const OVERLAP_ROWS_PER_CLASS: u64 = 10;

/// How far metrics may fall below the champion's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NoRegression {
    /// The share of the champion's value that may be lost; at least 0, below 1.
    pub tolerance: f64,
    /// The metrics that are compared. More is better in each.
    pub metrics: Vec<String>,
}

/// How to proceed when the champion cannot read today's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChampionUnreadable {
    /// Fail the run.
    Error,
    /// Judge the candidate by `minimum` and `maximum` alone.
    AbsoluteGates,
}

impl Default for GatesSection {
    /// Returns the gates of a binary task whose file has none. Records of earlier versions lack
    /// newer keys, which then have these values.
    fn default() -> Self {
        Self::defaults(None)
    }
}

impl GatesSection {
    /// Returns the default: a comparison with the champion in the task's usual metric, and no other
    /// gate.
    pub(crate) fn defaults(kind: Option<&TaskKind>) -> Self {
        let primary = match kind {
            Some(TaskKind::MultiClass) => "accuracy",
            Some(TaskKind::Regression) => "r2",
            Some(TaskKind::Binary { .. }) | None => "roc_auc",
        };
        Self {
            policy: Policy::Better,
            primary: primary.to_owned(),
            margin: 0.0,
            confidence: None,
            minimum: BTreeMap::new(),
            maximum: BTreeMap::new(),
            no_regression: None,
            champion_unreadable: ChampionUnreadable::Error,
            champion_overlap: ChampionOverlap::Exclude,
            overlap_rows_per_class: OVERLAP_ROWS_PER_CLASS,
            register: RegisterPolicy::Always,
        }
    }

    pub(crate) fn read(section: Section<'_>, task: &TaskDraft) -> Self {
        let mut gates = Self::defaults(task.kind.as_ref());
        // A task that could not be read is reported there. Every metric is then accepted.
        let known = task.kind.as_ref().map(metrics_of);
        if let Some(policy) = section.get("policy").and_then(|item| item.choice(&Policy::ALL)) {
            gates.policy = policy;
        }
        if let Some(primary) = section.get("primary").and_then(|item| compared_metric(&item, known)) {
            gates.primary = primary;
        }
        let margin =
            section.get("margin").and_then(|it| it.float_within("from 0 to below 1", |x| (0.0..1.0).contains(&x)));
        gates.margin = margin.unwrap_or(gates.margin);
        gates.confidence = section
            .get("confidence")
            .and_then(|it| it.float_within("from 0.5 to below 1, such as 0.95", |x| (0.5..1.0).contains(&x)));
        (gates.minimum, gates.maximum) = bounds(&section, known);
        gates.no_regression = section.section("no-regression").and_then(|it| no_regression(it, &gates.primary, known));
        gates.read_champion(&section);
        gates.read_register(&section);
        section.finish_with(|name| {
            let metric = canonical_name(name);
            known.unwrap_or_default().contains(&metric).then(|| format!("write `minimum = {{ {metric} = ... }}`"))
        });
        gates
    }

    /// Reads the keys about champions that cannot be compared as they are.
    fn read_champion(&mut self, section: &Section<'_>) {
        let choices = [("error", ChampionUnreadable::Error), ("absolute-gates", ChampionUnreadable::AbsoluteGates)];
        if let Some(choice) = section.get("champion-unreadable").and_then(|item| item.choice(&choices)) {
            self.champion_unreadable = choice;
        }
        let choices = [("exclude", ChampionOverlap::Exclude), ("error", ChampionOverlap::Error)];
        if let Some(choice) = section.get("champion-overlap").and_then(|item| item.choice(&choices)) {
            self.champion_overlap = choice;
        }
        let rows = section.get("overlap-rows-per-class").and_then(|item| item.integer(1, MOST_ROWS_PER_CLASS));
        self.overlap_rows_per_class = rows.unwrap_or(self.overlap_rows_per_class);
    }

    fn read_register(&mut self, section: &Section<'_>) {
        let choices = [("always", RegisterPolicy::Always), ("passed", RegisterPolicy::Passed)];
        if let Some(choice) = section.get("register").and_then(|item| item.choice(&choices)) {
            self.register = choice;
        }
        // A key of earlier versions; the hint names its replacement.
        if let Some(item) = section.get("register-rejected") {
            let word = match item.node.value {
                Value::Boolean(false) => "passed",
                _ => "always",
            };
            item.report(
                format!("`{}` is called `register` now", item.key),
                Some(format!("write `register = \"{word}\"`")),
            );
        }
    }
}

/// Reads `minimum` and `maximum`, by metric.
fn bounds(section: &Section<'_>, known: Known) -> (BTreeMap<String, f64>, BTreeMap<String, f64>) {
    let minimum = section.section("minimum").map(|it| thresholds(it, known)).unwrap_or_default();
    let Some(maximum) = section.section("maximum") else { return (minimum, BTreeMap::new()) };
    for (metric, item) in maximum.items() {
        let (Some(least), Some(greatest)) = (minimum.get(canonical_name(metric)), number(&item)) else {
            continue;
        };
        if greatest < *least {
            let hint = format!("no model can have at least {least} and at most {greatest}");
            item.report(format!("`{}` lies below the minimum of the same metric", item.key), Some(hint));
        }
    }
    (minimum, thresholds(maximum, known))
}

/// Returns the number of an item and reports nothing.
fn number(item: &Item<'_>) -> Option<f64> {
    match item.node.value {
        Value::Float(number) => Some(number),
        Value::Integer(number) => Some(number as f64),
        _ => None,
    }
}

/// The metrics that gates may name, if the task is known.
type Known = Option<&'static [&'static str]>;

/// Reads thresholds by metric. An argument may use another name of the metric and replaces the
/// threshold of the file.
fn thresholds(section: Section<'_>, known: Known) -> BTreeMap<String, f64> {
    let mut thresholds: BTreeMap<String, (f64, bool)> = BTreeMap::new();
    for (name, item) in section.items() {
        let metric = canonical_name(name);
        let fine = check_metric(name, known, |message, hint| item.report(message, hint));
        let figure = if fine && !UNBOUNDED.contains(&metric) {
            item.float_within("from 0 to 1: this metric is never outside", |x| (0.0..=1.0).contains(&x))
        } else {
            item.float()
        };
        let (true, Some(figure)) = (fine, figure) else { continue };
        let is_argument = matches!(item.node.origin, Origin::Argument(_));
        match thresholds.get(metric) {
            Some((_, argument)) if *argument == is_argument => {
                let hint = format!("keep one of them; the host calls it `{metric}`");
                item.report(format!("`{}` names a metric that is there already", item.key), Some(hint));
            }
            Some((_, true)) => {}
            Some((_, false)) | None => drop(thresholds.insert(metric.to_owned(), (figure, is_argument))),
        }
    }
    thresholds.into_iter().map(|(metric, (figure, _))| (metric, figure)).collect()
}

fn no_regression(section: Section<'_>, primary: &str, known: Known) -> Option<NoRegression> {
    let tolerance = section
        .require("tolerance", "tolerance = 0.01")
        .and_then(|it| it.float_within("from 0 to below 1", |x| (0.0..1.0).contains(&x)));
    let metrics = match section.get("metrics") {
        None => Some(vec![primary.to_owned()]),
        Some(item) => item.array().and_then(|items| {
            if items.is_empty() {
                item.report_value(format!("`{}` is empty", item.key), Some("name at least one metric".to_owned()));
            }
            items.iter().map(|item| compared_metric(item, known)).collect::<Vec<_>>().into_iter().collect()
        }),
    };
    section.finish();
    Some(NoRegression { tolerance: tolerance?, metrics: metrics? })
}

/// Reads the name of a metric in which candidate and champion are compared.
fn compared_metric(item: &Item<'_>, known: Known) -> Option<String> {
    let name = item.string()?;
    if !check_metric(name, known, |message, hint| item.report_value(message, hint)) {
        return None;
    }
    let metric = canonical_name(name);
    if LOSSES.contains(&metric) {
        let hint =
            format!("compare in a metric where more is better, and bound this one by `maximum = {{ {metric} = ... }}`");
        item.report_value(format!("`{}` needs a metric where more is better, not `{metric}`", item.key), Some(hint));
        return None;
    }
    Some(metric.to_owned())
}

/// Returns whether the host computes this metric for the task, under any of its names; reports it
/// if not.
fn check_metric(name: &str, known: Known, report: impl Fn(String, Option<String>)) -> bool {
    let Some(known) = known else { return true };
    let metric = canonical_name(name);
    if known.contains(&metric) {
        return true;
    }
    // Tasks with several classes have variants: `roc_auc_ovr`, `f1_macro`.
    let family = known.iter().copied().find(|known| known.starts_with(metric) && metric.len() > 1);
    let hint = match family.or_else(|| nearest(&metric.to_ascii_lowercase(), known.iter().copied())) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            format!("the host computes {}", known.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "))
        }
    };
    report(format!("`{}` is not a metric of this task", name.escape_debug()), Some(hint));
    false
}
