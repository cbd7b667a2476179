//! `[gates]`: what a candidate must reach to become champion.
//!
//! Owns which gates can be written: those on metrics that the host computes for the task. Judging is
//! stagewright-evaluation's, where a metric that is missing all the same fails closed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::nearest::nearest;
use crate::reader::{Item, Section};
use crate::task::{TaskDraft, TaskKind};

/// The metrics that the host computes for a task. A test of the binary compares them with what it computes.
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

/// Metrics where less is better, so that a candidate cannot "exceed" a champion in them.
const LOSSES: [&str; 4] = ["log_loss", "brier", "rmse", "mae"];
/// Metrics that may be any number; the others are shares.
const UNBOUNDED: [&str; 4] = ["log_loss", "rmse", "mae", "r2"];

/// What a candidate must reach.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GatesSection {
    /// The metric in which a candidate must beat the champion. More is better.
    pub primary: String,
    /// By more than how much; not negative.
    pub margin: f64,
    /// What each metric must at least be.
    pub minimum: BTreeMap<String, f64>,
    /// What each metric must at most be.
    pub maximum: BTreeMap<String, f64>,
    /// How far metrics may fall below the champion's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_regression: Option<NoRegression>,
    /// What happens when the champion cannot read today's table.
    pub champion_unreadable: ChampionUnreadable,
    /// Whether a rejected candidate gets a number too. Without, only what passes is numbered.
    pub register_rejected: bool,
}

/// How far metrics may fall below the champion's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NoRegression {
    /// The share of the champion's figure that may be lost; from 0, below 1.
    pub tolerance: f64,
    /// The metrics compared. More is better in each.
    pub metrics: Vec<String>,
}

/// What happens when the champion cannot read today's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChampionUnreadable {
    /// The run fails.
    Error,
    /// The candidate is judged by `minimum` and `maximum` alone.
    AbsoluteGates,
}

impl GatesSection {
    /// No gate but the champion, in the task's usual metric.
    pub(crate) fn defaults(kind: Option<&TaskKind>) -> Self {
        let primary = match kind {
            Some(TaskKind::MultiClass) => "accuracy",
            Some(TaskKind::Regression) => "r2",
            Some(TaskKind::Binary { .. }) | None => "roc_auc",
        };
        Self {
            primary: primary.to_owned(),
            margin: 0.0,
            minimum: BTreeMap::new(),
            maximum: BTreeMap::new(),
            no_regression: None,
            champion_unreadable: ChampionUnreadable::Error,
            register_rejected: true,
        }
    }

    pub(crate) fn read(section: Section<'_>, task: &TaskDraft) -> Self {
        let mut gates = Self::defaults(task.kind.as_ref());
        // A task that could not be read is reported where it stands; then every metric is let through.
        let known = task.kind.as_ref().map(metrics_of);
        if let Some(primary) = section.get("primary").and_then(|item| compared_metric(&item, known)) {
            gates.primary = primary;
        }
        let margin =
            section.get("margin").and_then(|it| it.float_within("from 0 to below 1", |x| (0.0..1.0).contains(&x)));
        gates.margin = margin.unwrap_or(gates.margin);
        gates.minimum = section.section("minimum").map(|it| thresholds(it, known)).unwrap_or_default();
        if let Some(maximum) = section.section("maximum") {
            let minimum = &gates.minimum;
            for (metric, item) in maximum.items() {
                let (Some(least), Some(greatest)) = (minimum.get(metric), number(&item)) else {
                    continue;
                };
                if greatest < *least {
                    let hint = format!("no model can have at least {least} and at most {greatest}");
                    item.report(format!("`{}` lies below the minimum of the same metric", item.key), Some(hint));
                }
            }
            gates.maximum = thresholds(maximum, known);
        }
        gates.no_regression = section.section("no-regression").and_then(|it| no_regression(it, &gates.primary, known));
        let policies = [("error", ChampionUnreadable::Error), ("absolute-gates", ChampionUnreadable::AbsoluteGates)];
        if let Some(policy) = section.get("champion-unreadable").and_then(|item| item.choice(&policies)) {
            gates.champion_unreadable = policy;
        }
        if let Some(register) = section.get("register-rejected").and_then(|item| item.boolean()) {
            gates.register_rejected = register;
        }
        section.finish_with(|name| {
            known.unwrap_or_default().contains(&name).then(|| format!("write `minimum = {{ {name} = ... }}`"))
        });
        gates
    }
}

/// The number of an item, without reporting anything.
fn number(item: &Item<'_>) -> Option<f64> {
    match item.node.value {
        crate::document::Value::Float(number) => Some(number),
        crate::document::Value::Integer(number) => Some(number as f64),
        _ => None,
    }
}

/// The names that a gate may have, where the task is known.
type Known = Option<&'static [&'static str]>;

fn thresholds(section: Section<'_>, known: Known) -> BTreeMap<String, f64> {
    let mut thresholds = BTreeMap::new();
    for (metric, item) in section.items() {
        let fine = check_metric(metric, known, |message, hint| item.report(message, hint));
        let figure = if fine && !UNBOUNDED.contains(&metric) {
            item.float_within("from 0 to 1: this metric is never outside", |x| (0.0..=1.0).contains(&x))
        } else {
            item.float()
        };
        if let (true, Some(figure)) = (fine, figure) {
            thresholds.insert(metric.to_owned(), figure);
        }
    }
    thresholds
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

/// The name of a metric in which candidate and champion are compared.
fn compared_metric(item: &Item<'_>, known: Known) -> Option<String> {
    let metric = item.string()?;
    if !check_metric(metric, known, |message, hint| item.report_value(message, hint)) {
        return None;
    }
    if LOSSES.contains(&metric) {
        let hint =
            format!("compare in a metric where more is better, and bound this one by `maximum = {{ {metric} = ... }}`");
        item.report_value(format!("`{}` needs a metric where more is better, not `{metric}`", item.key), Some(hint));
        return None;
    }
    Some(metric.to_owned())
}

/// Whether the host computes this metric for the task.
fn check_metric(metric: &str, known: Known, report: impl Fn(String, Option<String>)) -> bool {
    let Some(known) = known else { return true };
    if known.contains(&metric) {
        return true;
    }
    let meant = match metric.to_ascii_lowercase().as_str() {
        "auc" | "auc_roc" | "roc" | "rocauc" => known.iter().copied().find(|name| name.starts_with("roc_auc")),
        "acc" => Some("accuracy"),
        "f1_score" | "f_score" => known.iter().copied().find(|name| name.starts_with("f1")),
        "logloss" | "cross_entropy" => Some("log_loss"),
        "auprc" | "ap" | "pr_auc" => Some("average_precision"),
        other => nearest(other, known.iter().copied()),
    };
    let hint = match meant.filter(|meant| known.contains(meant)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            format!("the host computes {}", known.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "))
        }
    };
    report(format!("`{}` is not a metric of this task", metric.escape_debug()), Some(hint));
    false
}
