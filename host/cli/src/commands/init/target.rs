//! Proposes the column to predict where nobody named one.
//!
//! A column is taken only where nothing speaks for another one: its name usually names a target, no
//! other column's does, and it has two values and none missing. All else is a guess, which a person
//! makes: they get the commands to choose from.

use stagewright_data::{ColumnReport, Inference, shown};
use stagewright_store::{DataType, Role};

use super::shell::word;
use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// Names that usually name the column to predict: those of benchmarks, and of common questions.
const USUAL_NAMES: [&str; 27] = [
    "approved",
    "attrition",
    "bought",
    "canceled",
    "cancelled",
    "churn",
    "churned",
    "class",
    "clicked",
    "conversion",
    "converted",
    "default",
    "defaulted",
    "diagnosis",
    "exited",
    "fraud",
    "fraudulent",
    "label",
    "outcome",
    "purchased",
    "readmitted",
    "responded",
    "response",
    "subscribed",
    "survived",
    "target",
    "y",
];
/// Words that may stand before such a name (`is_fraud`).
const BEFORE: [&str; 4] = ["is", "has", "was", "did"];
/// Words that may stand behind such a name (`churn_flag`).
const BEHIND: [&str; 3] = ["flag", "label", "indicator"];
/// Pairs of values that answer a question.
const ANSWERS: [[&str; 2]; 5] = [["0", "1"], ["false", "true"], ["n", "y"], ["no", "yes"], ["f", "t"]];
/// How many columns an error names.
const MAX_NAMED: usize = 5;
/// The quantile of the normal distribution of which 95 % lie within plus and minus.
const Z: f64 = 1.959_963_984_540_054;

/// A column that may be the one to predict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) name: String,
    /// Clauses of a sentence that speak for or against it.
    reasons: Vec<String>,
    is_named: bool,
    is_last: bool,
    is_answer: bool,
    /// Whether it has two values, and none is missing.
    is_learnable: bool,
}

impl Candidate {
    /// The reasons as the rest of a sentence.
    pub(super) fn because(&self) -> String {
        self.reasons.join(", ")
    }
}

/// Returns the column to predict of a table. `argument` names the table on the command line, and
/// `identifier` the column that names a row, if somebody said so.
///
/// # Errors
/// No column is the one beyond doubt. The hint has the commands to choose from.
pub(super) fn propose(inference: &Inference, argument: &str, identifier: Option<&str>) -> anyhow::Result<Candidate> {
    let mut candidates = candidates(inference);
    candidates.retain(|it| identifier != Some(it.name.as_str()));
    let mut named = candidates.iter().filter(|it| it.is_named);
    if let (Some(only), None) = (named.next(), named.next())
        && only.is_learnable
    {
        return Ok(only.clone());
    }
    if candidates.is_empty() {
        let names = inference.columns.iter().map(|column| column.field.name.clone()).collect();
        let problem = "no column looks like the one to predict: none has two values, or a usual name".to_owned();
        return Err(choose(problem, argument, names));
    }
    let mut told: Vec<String> =
        candidates.iter().take(MAX_NAMED).map(|it| format!("`{}` ({})", shown(&it.name), it.because())).collect();
    if candidates.len() > MAX_NAMED {
        told.push(format!("{} more", candidates.len() - MAX_NAMED));
    }
    let problem = format!("it is not certain which column is to be predicted: {}", told.join("; "));
    Err(choose(problem, argument, candidates.into_iter().map(|it| it.name).collect()))
}

/// An error with the commands of which one is meant.
fn choose(problem: String, argument: &str, names: Vec<String>) -> anyhow::Error {
    let mut commands: Vec<String> = names
        .iter()
        .take(MAX_NAMED)
        .map(|name| format!("stagewright init {} --target {}", word(argument), word(name)))
        .collect();
    if names.len() > MAX_NAMED {
        commands.push(format!("({} more)", names.len() - MAX_NAMED));
    }
    UsageError::error(ErrorCode::NoColumn, problem, format!("name the column:\n{}", commands.join("\n")))
}

/// The columns with two values or a usual name, the likeliest first.
fn candidates(inference: &Inference) -> Vec<Candidate> {
    let last = inference.columns.len().saturating_sub(1);
    let mut found: Vec<Candidate> =
        inference.columns.iter().enumerate().filter_map(|(place, column)| candidate(column, place == last)).collect();
    // The sort is stable: of equals, the first in the table stays first.
    found.sort_by_key(|it| std::cmp::Reverse((it.is_named, it.is_learnable, it.is_last, it.is_answer)));
    found
}

fn candidate(column: &ColumnReport, is_last: bool) -> Option<Candidate> {
    let name = &column.field.name;
    let is_named = is_usual(name);
    let is_binary = column.distinct == 2;
    let names_or_times_rows = matches!(column.field.role, Role::Identifier | Role::Time);
    if names_or_times_rows || !(is_named || is_binary) {
        return None;
    }
    let is_answer = is_binary && (column.field.data_type == DataType::Boolean || is_answer(&column.examples));
    let mut reasons = Vec::new();
    if is_named {
        reasons.push("its name is usual for a target".to_owned());
    }
    if is_last {
        reasons.push("it is the last column".to_owned());
    }
    reasons.push(match column.distinct {
        1 => "it has one value".to_owned(),
        2 => "it has two values".to_owned(),
        count => format!("it has {count} values, and the built-in trainers learn two"),
    });
    if column.nulls > 0 {
        reasons.push(format!("{} rows have none", column.nulls));
    }
    let is_learnable = is_binary && column.nulls == 0;
    Some(Candidate { name: name.clone(), reasons, is_named, is_last, is_answer, is_learnable })
}

/// Whether two values answer a question with yes and no.
fn is_answer(values: &[String]) -> bool {
    let mut values: Vec<String> = values.iter().map(|value| value.trim().to_lowercase()).collect();
    values.sort();
    ANSWERS.iter().any(|pair| values == *pair)
}

/// Whether a name usually names a target, in whichever case and with whichever separators:
/// `Churn`, `is_fraud`, `churnLabel`.
fn is_usual(name: &str) -> bool {
    let words = words(name);
    let is_one = |words: &[String]| matches!(words, [word] if USUAL_NAMES.contains(&word.as_str()));
    let after_prefix = match &words[..] {
        [first, rest @ ..] if BEFORE.contains(&first.as_str()) => rest,
        all => all,
    };
    let core = match after_prefix {
        [rest @ .., last] if BEHIND.contains(&last.as_str()) => rest,
        all => all,
    };
    is_one(&words) || is_one(after_prefix) || is_one(core)
}

/// The words of a name, in lower case: they end at separators and before capitals.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        if letter.is_alphanumeric() {
            words.last_mut().expect("there is one").extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The share of rows of a class, and the interval in which the share lies among all rows of the
/// same kind, with 95 % confidence: Wilson's score interval (Wilson 1927; Brown, Cai and DasGupta
/// 2001).
pub(super) fn share(rows: u64, all: u64) -> String {
    let (n, p) = (all as f64, rows as f64 / all as f64);
    let centre = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    format!("{rows} of {all} rows, {} (95 %: {} to {})", percent(p), percent(centre - half), percent(centre + half))
}

#[cfg(test)]
mod tests {
    use stagewright_data::{CsvOptions, InferenceOptions, Interrupt, Source, SourceUri};

    use super::*;

    fn proposed(text: &str) -> Result<Candidate, (String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        let source = Source::new(SourceUri::Csv { path, options: CsvOptions::default() });
        let inference = stagewright_data::propose(&source, &InferenceOptions::default(), &Interrupt::never()).unwrap();
        propose(&inference, "my table.csv", None).map_err(|error| {
            let error = error.downcast::<UsageError>().unwrap();
            (error.message, error.hint.unwrap())
        })
    }

    #[test]
    fn the_only_column_with_a_usual_name_and_two_values_is_the_target() {
        let rows: String = (0..40).map(|i| format!("{i},{},{},{}\n", i % 2, i % 7, ["No", "Yes"][i % 2])).collect();
        let found = proposed(&format!("row_id,gender,visits,Churn\n{rows}")).unwrap();
        assert_eq!(found.name, "Churn");
        assert_eq!(found.because(), "its name is usual for a target, it is the last column, it has two values");
    }

    #[test]
    fn a_doubtful_target_is_left_to_a_person() {
        let rows: String = (0..40).map(|i| format!("{},{},{}\n", i % 2, i % 7, ["u", "v"][i % 2])).collect();
        let (problem, hint) = proposed(&format!("member,visits,it's\n{rows}")).unwrap_err();
        assert_eq!(
            problem,
            "it is not certain which column is to be predicted: `it's` (it is the last column, it has two values); \
             `member` (it has two values)"
        );
        let commands: Vec<&str> = hint.lines().collect();
        assert_eq!(
            commands,
            [
                "name the column:",
                "stagewright init 'my table.csv' --target 'it'\\''s'",
                "stagewright init 'my table.csv' --target member"
            ]
        );
        // Two usual names, and one with a value too many or too few.
        for (head, last) in [
            ("label,visits,target", ["u", "v", "v"]),
            ("a,visits,class", ["u", "v", "w"]),
            ("a,visits,y", ["u", "v", ""]),
        ] {
            let rows: String = (0..42).map(|i| format!("{},{},{}\n", i % 2, i % 7, last[i % 3])).collect();
            let (problem, hint) = proposed(&format!("{head}\n{rows}")).unwrap_err();
            assert!(problem.starts_with("it is not certain"), "{head}: {problem}");
            let first = head.rsplit(',').next().unwrap();
            assert!(hint.contains(&format!("--target {first}")), "{head}: {hint}");
        }
    }

    #[test]
    fn a_table_without_a_candidate_names_its_columns() {
        let rows: String = (0..40).map(|i| format!("{},{}\n", i % 5, i % 7)).collect();
        let (problem, hint) = proposed(&format!("a,b\n{rows}")).unwrap_err();
        assert!(problem.starts_with("no column looks like"), "{problem}");
        assert!(hint.ends_with("--target a\nstagewright init 'my table.csv' --target b"), "{hint}");
    }

    #[test]
    fn names_are_usual_whatever_their_spelling() {
        for name in [
            "Churn",
            "TARGET",
            "is_fraud",
            "isFraud",
            "churn_flag",
            "has churned",
            "y",
            "Class Label",
            "was-default-flag",
        ] {
            assert!(is_usual(name), "{name}");
        }
        for name in ["churn_date", "classification", "years", "", "flag", "is", "is_member", "fraud_score"] {
            assert!(!is_usual(name), "{name}");
        }
    }

    #[test]
    fn the_interval_of_a_share_is_wilsons() {
        // R 4.3: prop.test(10, 50, correct = FALSE)$conf.int
        assert_eq!(share(10, 50), "10 of 50 rows, 20.0 % (95 %: 11.2 % to 33.0 %)");
        assert_eq!(share(0, 10), "0 of 10 rows, 0.0 % (95 %: 0.0 % to 27.8 %)");
    }
}
