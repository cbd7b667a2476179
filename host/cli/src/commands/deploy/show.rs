//! Deployments for people.

use stagewright_deployment::{View, percent, status};
use stagewright_store::{Deployment, Home};

use crate::terminal::{Cell, moment, right, table};

/// Returns deployments with their figures.
pub(super) fn views(home: &Home, deployments: &[Deployment], now_ms: i64) -> anyhow::Result<Vec<View>> {
    deployments.iter().map(|deployment| Ok(status(&home.registry, deployment, now_ms)?)).collect()
}

/// Prints a deployment.
pub(super) fn show(view: &View) {
    let View { model, number, strategy, status, .. } = view;
    println!("deployment {number} of `{model}`: {strategy}, {status}");
    println!("started {} by {}{}", moment(view.started_ms), view.started_by, because(&view.reason));
    if let (Some(ended_ms), Some(by)) = (view.ended_ms, &view.ended_by) {
        println!("{status} {} by {by}{}", moment(ended_ms), because(view.end_reason.as_deref().unwrap_or_default()));
    }
    let head = ["arm", "version", "share", "requests", "errors", "p50", "p99", "outcomes", "positive"];
    let mut arms = table(&head);
    for arm in &view.arms {
        let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), percent);
        let latency = |latency: Option<f64>| latency.map_or_else(|| "-".to_owned(), |it| format!("{it} ms"));
        arms.add_row(vec![
            Cell::new(&arm.name),
            right(arm.version),
            right(percent(arm.share)),
            right(arm.total.requests),
            right(rate(arm.total.error_rate)),
            right(latency(arm.total.latency_p50_ms)),
            right(latency(arm.total.latency_p99_ms)),
            right(arm.outcomes),
            right(rate(arm.positive_rate)),
        ]);
    }
    println!("{arms}");
    let noted = |name: &str| view.state.get(name).and_then(serde_json::Value::as_u64);
    if let (Some(compared), Some(different)) = (noted("compared_rows"), noted("different_rows")) {
        let dropped = noted("dropped").unwrap_or_default();
        println!("shadow: {compared} rows compared, {different} different; {dropped} requests not copied");
    }
    if let Some(report) = &view.report {
        println!("{}", report.to_string().trim_end());
        if view.next.is_none() {
            println!("{}", report.verdict_text());
        }
    }
    if let Some(next) = &view.next {
        println!("{}: {}", if next.action == "stay" { "now" } else { next.action }, next.reason);
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}
