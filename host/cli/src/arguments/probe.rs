//! The arguments of `probe`.

use std::time::Duration;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ProbeArguments {
    /// The page to ask for.
    #[arg(default_value = "http://127.0.0.1:8000/health/ready")]
    pub(crate) url: String,
    /// The seconds to wait for the answer.
    #[arg(long, default_value = "3", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) timeout: Duration,
}

/// Reads a number of seconds between a millisecond and an hour.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "this is no number of seconds".to_owned())?;
    if !(0.001..=3600.0).contains(&seconds) {
        return Err("give between 0.001 and 3600 seconds".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}
