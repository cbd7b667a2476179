//! `models history`: the changes of a model, and the champion at a given time.

use stagewright_store::{AuditEntry, Home};

use crate::commands::models::version::numbered;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::output::print_json;
use crate::terminal::{moment, table};
use crate::usage_error::UsageError;

/// Shows the history of a model, or its champion at a given time.
pub(super) fn history(home: &Home, model: &str, at: Option<&str>, json: bool) -> anyhow::Result<ExitCode> {
    let (name, version) = numbered(model)?.map_or((model, None), |(name, version)| (name, Some(version)));
    if let Some(at) = at {
        return champion_at(home, name, at, json);
    }
    let entries = home.registry.audit_of(name, version)?;
    if entries.is_empty() {
        return Err(UsageError::error(
            ErrorCode::NoHistory,
            format!("nothing ever happened to `{model}`"),
            "`stagewright models` lists models",
        ));
    }
    if json {
        print_json(&entries)?;
    } else {
        println!("{}", audit_table(&entries, false));
    }
    Ok(ExitCode::Done)
}

/// Returns audit entries as a table.
pub(crate) fn audit_table(entries: &[AuditEntry], named: bool) -> crate::terminal::Grid {
    let mut shown = table(&["when (UTC)", "who", "what", "version", "from", "to", "reason"]);
    for entry in entries {
        let version = entry.version.map(|version| version.to_string()).unwrap_or_default();
        shown.add_row(vec![
            moment(entry.at_ms),
            entry.actor.clone(),
            entry.action.clone(),
            if named { format!("{}/{version}", entry.model) } else { version },
            entry.old_state.clone().unwrap_or_default(),
            entry.new_state.clone().unwrap_or_default(),
            entry.reason.clone(),
        ]);
    }
    shown
}

fn champion_at(home: &Home, model: &str, at: &str, json: bool) -> anyhow::Result<ExitCode> {
    let moment = point_in_time(at)?;
    let champion = home.registry.champion_at(model, moment.as_millisecond())?;
    if json {
        print_json(&serde_json::json!({ "model": model, "at": moment.to_string(), "version": champion }))?;
    } else {
        match champion {
            Some(version) => println!("version {version} of `{model}` was in production at {moment}"),
            None => println!("no version of `{model}` was in production at {moment}"),
        }
    }
    Ok(ExitCode::Done)
}

/// Parses a time, or a day, which means its end. In UTC.
fn point_in_time(text: &str) -> anyhow::Result<jiff::Timestamp> {
    time_or_day(text, |day| day.at(23, 59, 59, 999_999_999))
}

/// Parses a time, or a day, which means the time of it that is given. In UTC.
pub(super) fn time_or_day(
    text: &str,
    of_day: impl Fn(jiff::civil::Date) -> jiff::civil::DateTime,
) -> anyhow::Result<jiff::Timestamp> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(moment);
    }
    // A time without a zone is in UTC, as all times that are shown.
    if text.contains([':', 'T'])
        && let Ok(moment) = text.parse::<jiff::civil::DateTime>()
    {
        return Ok(moment.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp());
    }
    let day = text.parse::<jiff::civil::Date>().ok();
    let time = day.and_then(|day| of_day(day).to_zoned(jiff::tz::TimeZone::UTC).ok());
    time.map(|time| time.timestamp()).ok_or_else(|| {
        UsageError::error(
            ErrorCode::Argument,
            format!("`{text}` is not a date"),
            "write 2026-11-21, or 2026-11-21T14:30:00Z",
        )
    })
}
