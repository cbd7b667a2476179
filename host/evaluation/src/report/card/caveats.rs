//! The caveats of a card, derived from its contents, so that nobody has to remember to write them.

use super::content::{Card, CardEvaluation};
use crate::report::{Champion, Confusion, Verdict, WorkingTree};
use crate::text::{count, number};

/// With fewer test rows than this, a share of 0.8 has a standard error of at least 1.8 percentage
/// points, which is more than gates usually ask for.
const FEW_TEST_ROWS: u64 = 500;
/// If a class has less than this share of the test rows, a model that never predicts it is at least
/// 80 % accurate.
const RARE: f64 = 0.2;

impl Card {
    /// Returns the caveats, the one about the decision first.
    #[must_use]
    pub fn caveats(&self) -> Vec<String> {
        let found = [
            decision(self),
            person(self),
            gates(self),
            code(self),
            intended_use(self),
            test_rows(self),
            balance(self),
            undefined(self),
            champion(self),
        ];
        let CardEvaluation { compared, champion, test, .. } = &self.evaluation;
        let rows = test.as_ref().and_then(|test| test.rows);
        found.into_iter().flatten().chain(compared.caveats(champion.as_ref(), rows)).collect()
    }
}

fn decision(card: &Card) -> Option<String> {
    match card.details.verdict {
        Some(Verdict::Approved) => None,
        Some(Verdict::Rejected) => Some("It was rejected: it must not serve.".to_owned()),
        Some(Verdict::Undecided) => {
            Some("It could not be compared with the champion: nothing has been decided about it.".to_owned())
        }
        None => Some("Nothing has been decided about it yet.".to_owned()),
    }
}

/// A person's decision may contradict the verdict of the gates.
fn person(card: &Card) -> Option<String> {
    let last = card.verdicts.last().filter(|verdict| verdict.is_override)?;
    let gates = card.verdicts.iter().rev().find(|verdict| !verdict.is_override);
    let said = gates.map_or_else(
        || "no gate has judged it".to_owned(),
        |gates| format!("the gates said: {}", gates.verdict.name()),
    );
    let done = match last.verdict {
        Verdict::Approved => "approved",
        Verdict::Rejected | Verdict::Undecided => "rejected",
    };
    Some(format!("A person, {}, {done} it by hand; {said}.", last.by))
}

fn gates(card: &Card) -> Option<String> {
    let failed: Vec<&str> = card
        .evaluation
        .gates
        .iter()
        .filter(|result| !result.passed && !result.undecided)
        .map(|result| result.message.as_str())
        .collect();
    (!failed.is_empty()).then(|| format!("It failed gates: {}.", failed.join("; ")))
}

fn code(card: &Card) -> Option<String> {
    match &card.code {
        None | Some(WorkingTree { commit: None, .. }) => Some(
            "The commit that it was made with is not known: the run may not be repeatable from the repository."
                .to_owned(),
        ),
        Some(WorkingTree { dirty: Some(true), .. }) => Some(
            "The working tree had changes that no commit holds: the commit alone does not reproduce it.".to_owned(),
        ),
        Some(WorkingTree { dirty: None, .. }) => Some(
            "Whether the working tree had changes that no commit holds is not known: the commit alone may not reproduce it."
                .to_owned(),
        ),
        Some(_) => None,
    }
}

fn intended_use(card: &Card) -> Option<String> {
    card.intended_use
        .business_objective
        .is_none()
        .then(|| "The manifest does not say what it is meant for: judge its fitness for a purpose yourself.".to_owned())
}

fn test_rows(card: &Card) -> Option<String> {
    let Some(test) = &card.evaluation.test else {
        return Some("It is not known which rows its metrics were measured on.".to_owned());
    };
    test.rows
        .filter(|rows| *rows < FEW_TEST_ROWS)
        .map(|rows| format!("Only {} test rows: small differences between metrics may be chance.", count(rows)))
}

fn balance(card: &Card) -> Option<String> {
    let Confusion { classes, counts } = card.evaluation.confusion.as_ref()?;
    let rows_of: Vec<u64> = counts.chunks(classes.len().max(1)).map(|row| row.iter().sum()).collect();
    let all: u64 = rows_of.iter().sum();
    let (class, rows) = classes.iter().zip(rows_of).min_by_key(|(_, rows)| *rows)?;
    let share = rows as f64 / all.max(1) as f64;
    (all > 0 && share < RARE).then(|| {
        let percent = number((share * 1_000.0).round() / 10.0);
        format!("Class imbalance: `{class}` has {percent} % of the test rows, so accuracy says little about it.")
    })
}

fn undefined(card: &Card) -> Option<String> {
    let undefined: Vec<&str> =
        card.evaluation.metrics.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
    (!undefined.is_empty()).then(|| format!("Undefined on the test rows: {}.", undefined.join(", ")))
}

fn champion(card: &Card) -> Option<String> {
    match card.evaluation.champion.as_ref()? {
        Champion::Unreadable { version, reason, .. } => Some(format!(
            "It was not compared with the champion, version {version}, which cannot read its table: {reason}."
        )),
        Champion::None | Champion::Evaluated(_) => None,
    }
}
