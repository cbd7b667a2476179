//! Decides the kind of task from the target's values, and which of two classes is the positive one.

use stagewright_data::{DataError, DataFault, Inference, TargetReport, shown};
use stagewright_manifest::{TaskKind, TaskSection};
use stagewright_store::DataType;

use super::choices::Choices;
use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// Values that usually mean "yes", in lower case.
const POSITIVE: [&str; 8] = ["yes", "true", "1", "y", "churned", "positive", "1.0", "t"];

/// Above this many distinct whole numbers, the target is probably a quantity and not categorical.
const MAX_CLASSES: usize = 20;

/// Returns the task, and notes about guesses.
///
/// # Errors
/// Nothing can be learnt from the target, or it does not have the positive class.
pub(super) fn task(choices: &Choices, inference: &Inference) -> anyhow::Result<(TaskSection, Vec<String>)> {
    let (Some(report), Some(column)) =
        (&inference.target, inference.columns.iter().find(|column| column.field.name == choices.target))
    else {
        return Err(UsageError::error(
            ErrorCode::NoColumn,
            format!("the table has no column `{}`", shown(&choices.target)),
            "name one of its columns with --target",
        ));
    };
    refuse_missing(&choices.target, report, inference.rows)?;
    let data_type = column.field.data_type;
    let mut guesses = Vec::new();
    let kind = match (data_type, report.classes.len()) {
        (_, 0 | 1) => {
            return Err(UsageError::error(
                ErrorCode::NothingToLearn,
                format!(
                    "`{}` has {} distinct values: nothing can be learnt",
                    shown(&choices.target),
                    report.classes.len()
                ),
                "name another --target",
            ));
        }
        (_, 2) if !report.is_cut => {
            let (positive, guess) = positive(choices, report, data_type)?;
            guesses.extend(guess);
            TaskKind::Binary { positive }
        }
        (DataType::Float64, _) => TaskKind::Regression,
        (DataType::Int64, classes) if classes > MAX_CLASSES => TaskKind::Regression,
        _ if report.is_cut => {
            return Err(UsageError::error(
                ErrorCode::NothingToLearn,
                format!("`{}` has more than 1000 distinct texts: they are no classes", shown(&choices.target)),
                "name another --target",
            ));
        }
        _ => {
            guesses.extend(alike(report));
            TaskKind::MultiClass
        }
    };
    Ok((TaskSection { kind, target: choices.target.clone() }, guesses))
}

/// Refuses a target with missing values. Nothing can be learnt from such rows, and leaving them out
/// is the user's decision.
fn refuse_missing(target: &str, report: &TargetReport, rows: u64) -> Result<(), DataError> {
    if report.missing == 0 {
        return Ok(());
    }
    let spelt = match &report.missing_as[..] {
        [] => String::new(),
        texts => format!(" (`{}`)", texts.join("`, `")),
    };
    let message = format!(
        "{} of {rows} rows have no value{spelt}, and a row without a target teaches nothing\nhint: remove these rows, or give them a value; a SQLite source can leave them out with a query",
        report.missing
    );
    Err(DataFault::new(message).in_column(target).into())
}

/// Returns the positive class, and a note if it is a guess.
fn positive(choices: &Choices, report: &TargetReport, data_type: DataType) -> anyhow::Result<(String, Option<String>)> {
    let names = || report.classes.iter().map(|(name, _)| name);
    if let Some(asked) = &choices.positive {
        let is_number = matches!(data_type, DataType::Int64 | DataType::Float64);
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|_| is_number);
        let is_asked = |name: &&String| {
            *name == asked
                || (number(asked).is_some() && number(asked) == number(name))
                || (data_type == DataType::Boolean && name.eq_ignore_ascii_case(asked.trim()))
        };
        return names().find(is_asked).map(|name| (name.clone(), None)).ok_or_else(|| {
            let names: Vec<String> = names().map(|name| format!("`{}`", shown(name))).collect();
            UsageError::error(
                ErrorCode::NoColumn,
                format!("the target has no value `{}`", shown(asked)),
                format!("it has {}", names.join(" and ")),
            )
        });
    }
    if let Some(usual) = names().find(|name| POSITIVE.contains(&name.to_lowercase().as_str())) {
        return Ok((usual.clone(), None));
    }
    // The positive class is usually the rarer one.
    let rarer = report.classes.iter().rev().min_by_key(|(_, rows)| *rows).map(|(name, _)| name.clone());
    let rarer = rarer.unwrap_or_default();
    let guess =
        format!("`{}` is taken for the positive class, being the rarer one: --positive says otherwise", shown(&rarer));
    Ok((rarer, Some(guess)))
}

/// Returns a note if two classes differ only in case or spaces.
fn alike(report: &TargetReport) -> Option<String> {
    let plain = |name: &str| name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let mut names: Vec<(String, &String)> = report.classes.iter().map(|(name, _)| (plain(name), name)).collect();
    names.sort();
    let pair = names.windows(2).find(|pair| pair[0].0 == pair[1].0)?;
    Some(format!(
        "the classes `{}` and `{}` differ in case or spaces alone: if they are one, write them alike in the data",
        shown(pair[0].1),
        shown(pair[1].1)
    ))
}
