//! `models approve` and `models reject`: a person's verdict, whatever the gates say. It is recorded
//! as such.

use stagewright_store::{CHAMPION, Home, JudgedAgainst, NewVerdict, Verdict};

use super::show::with_verdicts;
use crate::arguments::DecisionArguments;
use crate::commands::models::version::find_version;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::output::print_json;
use crate::usage_error::UsageError;

/// Records a person's decision about a version.
pub(super) fn decide(home: &Home, verdict: Verdict, arguments: &DecisionArguments) -> anyhow::Result<ExitCode> {
    let DecisionArguments { model, reason, json } = arguments;
    if !model.contains(['/', '@']) {
        return Err(UsageError::error(
            ErrorCode::Argument,
            "which version?",
            format!("name it: {model}/VERSION, or {model}@latest"),
        ));
    }
    let version = find_version(home, model, CHAMPION)?;
    let (name, number) = (&version.model, version.version);
    let decision = record(home, verdict, name, number, reason)?;
    if json.json {
        print_json(&with_verdicts(home, &home.registry.version(name, number)?)?)?;
        return Ok(ExitCode::Done);
    }
    let NewVerdict { judged_against, reason, .. } = decision;
    println!("version {number} of `{name}` is {verdict} by a person's decision, against {judged_against}: {reason}");
    if verdict == Verdict::Approved {
        println!("next: stagewright models promote {name}/{number}");
    }
    Ok(ExitCode::Done)
}

/// Records a person's decision about a version, against the present champion.
pub(crate) fn record(
    home: &Home,
    verdict: Verdict,
    name: &str,
    number: u32,
    reason: &str,
) -> anyhow::Result<NewVerdict> {
    // A reason is one line, as the reasons of gates are.
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    if reason.is_empty() {
        return Err(UsageError::error(ErrorCode::Argument, "a decision needs a reason", "say why: --reason \"TEXT\""));
    }
    let champion = home.registry.alias(name, CHAMPION)?;
    if champion == Some(number) && verdict == Verdict::Approved {
        return Err(UsageError::error(
            ErrorCode::ChampionStays,
            format!("version {number} of `{name}` is the champion already"),
            format!("`stagewright models show {name}` lists the other versions"),
        ));
    }
    let judged_against = JudgedAgainst::from(champion);
    let decision = NewVerdict::by_person(verdict, judged_against, &reason);
    home.registry.record_verdict(&home.artifacts, name, number, &decision)?;
    Ok(decision)
}
