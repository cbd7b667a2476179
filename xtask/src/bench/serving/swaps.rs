//! Promotions under load, as fast as they go. No request may fail.

use std::path::Path;
use std::time::{Duration, Instant};

use super::load::Wrk;
use super::models::{MODEL, Models};
use super::server::Server;
use crate::bench::process::{Spread, number_after};
use crate::steps::{Result, output};

/// The connections of the load.
const CONNECTIONS: u32 = 64;

/// The time between two looks at the version that is served.
const LOOK: Duration = Duration::from_millis(2);

/// How long a promotion may take to reach the server.
const PATIENCE: Duration = Duration::from_secs(60);

/// The outcome of all promotions.
pub(super) struct Swaps {
    pub(super) requests: f64,
    pub(super) failed: f64,
    pub(super) per_second: f64,
    pub(super) p99_us: f64,
    /// Milliseconds of an approval and a promotion, each a process.
    pub(super) promotion: Spread,
    /// Milliseconds from that end until the version is served.
    pub(super) followed: Spread,
}

impl Swaps {
    /// Promotes two versions in turn while requests are sent.
    pub(super) fn measure(models: &Models, wrk: &Wrk, body: &Path, swaps: u64) -> Result<Self> {
        promote(models, 1)?;
        let server = Server::start(&mut models.server(MODEL, "pooled"))?;
        until_served(&server, 1)?;
        let load = wrk.begin(&server.url, body, CONNECTIONS)?;
        let (mut promotion, mut followed) = (Vec::new(), Vec::new());
        for swap in 0..swaps {
            let version = if swap % 2 == 0 { 2 } else { 1 };
            let begin = Instant::now();
            promote(models, version)?;
            promotion.push(begin.elapsed().as_secs_f64() * 1e3);
            let promoted = Instant::now();
            until_served(&server, version)?;
            followed.push(promoted.elapsed().as_secs_f64() * 1e3);
        }
        let figures = load.end()?;
        let counted = server.ask("GET", "/metrics", b"")?;
        let refused =
            counted.lines().find(|line| line.starts_with("stagewright_swaps_total") && line.contains("refused"));
        if let Some(line) = refused.filter(|line| !line.ends_with(" 0")) {
            return Err(format!("the server has refused versions: {line}"));
        }
        let (promotion, followed) = (Spread::of_values(promotion), Spread::of_values(followed));
        let super::load::Figures { requests, per_second, p99_us, failed, .. } = figures;
        Ok(Self { requests, failed, per_second, p99_us, promotion, followed })
    }
}

/// Makes a version the champion. An approval is good against one champion, so each promotion needs
/// another one.
fn promote(models: &Models, version: u64) -> Result<()> {
    let name = format!("{MODEL}/{version}");
    for step in ["approve", "promote"] {
        output(models.stagewright().args(["models", step, &name, "--reason", "a benchmark"]))?;
    }
    Ok(())
}

fn until_served(server: &Server, version: u64) -> Result<()> {
    let begin = Instant::now();
    loop {
        let answer = server.ask("GET", &format!("/models/{MODEL}"), b"")?;
        if number_after(&answer, "version") == Some(version as f64) {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("version {version} is not served after {PATIENCE:?}: {answer}"));
        }
        std::thread::sleep(LOOK);
    }
}
