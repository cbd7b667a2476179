//! `models promote` and `models rollback`: change the champion, here and at the production
//! location.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};
use stagewright_promotion::promote::{carry_out, repair};
use stagewright_promotion::{Destination, UploadReport};
use stagewright_store::{Home, ModelVersion, Promotion, PromotionRequest};

use crate::arguments::DestinationArguments;
use crate::commands::models::version::contents;
use crate::exit_code::ExitCode;
use crate::installation;
use crate::output::print_json;
use crate::production;
use crate::trust::ModelSignatures;

pub(super) fn promote(
    home: &Home,
    version: &ModelVersion,
    expected: Option<u32>,
    reason: &str,
    destination: &DestinationArguments,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let destination = production::to_write(home, Some(&version.model), destination)?;
    let promotion = promote_version(home, version, expected.map(Some), reason, &destination, json)?;
    show_promotion(&promotion, &destination, json)
}

/// Makes the version that was archived last the champion again.
pub(super) fn rollback(
    home: &Home,
    model: &str,
    reason: &str,
    destination: &DestinationArguments,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let (destination, done) = roll_back(home, model, reason, destination, json)?;
    show_promotion(&done, &destination, json)
}

/// Does what [`rollback`] does, and returns where, and what was done. `quiet` shows no progress.
pub(crate) fn roll_back(
    home: &Home,
    model: &str,
    reason: &str,
    destination: &DestinationArguments,
    quiet: bool,
) -> anyhow::Result<(Destination, (Promotion, UploadReport))> {
    // If there is no version to go back to, this fails before any request to the destination.
    let target = home.registry.rollback_target(model)?;
    check_components(home, &home.registry.version(model, target)?)?;
    let destination = production::to_write(home, Some(model), destination)?;
    repair(home, &destination)?;
    let request = PromotionRequest {
        destination: destination.uri().to_owned(),
        expected: None,
        reason: if reason.is_empty() { "rollback".to_owned() } else { reason.to_owned() },
    };
    let promotion = home.registry.begin_rollback(model, &request)?;
    let uploaded = carry_out_with_progress(home, &destination, &promotion, quiet)?;
    Ok((destination, (promotion, uploaded)))
}

/// Checks that the components of a version are allowed by the operator, before it is promoted.
pub(crate) fn check_components(home: &Home, version: &ModelVersion) -> anyhow::Result<()> {
    let kept = ModelSignatures::of(&installation::operator()?, home.path())?;
    Ok(kept.admit_model(&contents(version)?)?)
}

/// Promotes a version and shows the progress.
pub(crate) fn promote_version(
    home: &Home,
    version: &ModelVersion,
    expected: Option<Option<u32>>,
    reason: &str,
    destination: &Destination,
    json: bool,
) -> anyhow::Result<(Promotion, UploadReport)> {
    check_components(home, version)?;
    repair(home, destination)?;
    let request = PromotionRequest { destination: destination.uri().to_owned(), expected, reason: reason.to_owned() };
    let promotion = home.registry.begin_promotion(&version.model, version.version, &request)?;
    let uploaded = carry_out_with_progress(home, destination, &promotion, json)?;
    Ok((promotion, uploaded))
}

fn carry_out_with_progress(
    home: &Home,
    destination: &Destination,
    promotion: &Promotion,
    json: bool,
) -> anyhow::Result<UploadReport> {
    let bar = (!json && std::io::stderr().is_terminal()).then(|| {
        let style = ProgressStyle::with_template("{spinner} {msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
        let bar = ProgressBar::no_length().with_message(format!("{}/{}", promotion.model, promotion.version));
        style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
    });
    let progress = |done, total| {
        if let Some(bar) = &bar {
            bar.set_length(total);
            bar.set_position(done);
        }
    };
    let uploaded = carry_out(home, destination, promotion, &progress);
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    Ok(uploaded?)
}

fn show_promotion(
    (promotion, uploaded): &(Promotion, UploadReport),
    destination: &Destination,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let Promotion { id, model, version, expected, .. } = promotion;
    if json {
        print_json(&serde_json::json!({
            "promotion": id, "model": model, "version": version, "replaced": expected, "destination": destination.uri(),
            "uploaded_bytes": uploaded.uploaded, "skipped_bytes": uploaded.skipped,
            "upload_ms": uploaded.upload_time.as_secs_f64() * 1e3, "verify_ms": uploaded.verify_time.as_secs_f64() * 1e3,
        }))?;
        return Ok(ExitCode::Done);
    }
    match expected {
        Some(old) if old == version => {
            println!("version {version} of `{model}` is champion; {} agrees", destination.uri())
        }
        Some(old) => println!("version {version} of `{model}` is champion; version {old} is archived"),
        None => println!("version {version} of `{model}` is champion, the first one"),
    }
    println!(
        "{}: {} sent, {} there already, all verified",
        destination.uri(),
        crate::terminal::bytes(uploaded.uploaded),
        crate::terminal::bytes(uploaded.skipped)
    );
    Ok(ExitCode::Done)
}
