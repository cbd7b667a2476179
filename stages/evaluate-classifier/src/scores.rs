//! The scores of the test rows: one pass over the table, with calls of `predict` that the host
//! serves from other sandboxes.
//!
//! This holds 8 bytes for each row and model, and one byte a row for the class; the rows of the
//! table are held batch by batch.

use stagewright_kit::{Batch, Failure, Model, Role, Table, tracking};

/// The classes of all rows, and the scores of the models.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Whether each row is of the positive class.
    pub classes: Vec<bool>,
    /// The candidate's probabilities.
    pub candidate: Vec<f64>,
    /// The champion's probabilities, if there is one.
    pub champion: Option<Vec<f64>>,
}

/// Predicts all test rows with both models.
///
/// # Errors
/// `data` if there are no rows; `internal` if a model does not return one probability for each row;
/// the failures of the models.
pub fn collect(test: &dyn Table, candidate: &dyn Model, champion: Option<&dyn Model>) -> Result<Scores, Failure> {
    let total = test.rows();
    if total == 0 {
        return Err(Failure::data("there are no test rows"));
    }
    let mut columns = test.columns_with(Role::Feature);
    let target = test.column_with(Role::Target).ok_or_else(|| Failure::internal("the test table has no target"))?;
    columns.push(target);
    let mut scores = Scores { classes: Vec::new(), candidate: Vec::new(), champion: champion.map(|_| Vec::new()) };
    for batch in test.batches(Some(&columns)) {
        let (start, mut batch) = batch?;
        let rows = batch.len();
        let classes = batch.columns.pop().and_then(|column| column.into_numbers(rows));
        let classes = classes.ok_or_else(|| Failure::internal("the target is not a number"))?;
        scores.classes.extend(classes.iter().map(|&class| class == 1.0));
        scores.candidate.extend(ask("candidate", candidate, &batch)?);
        if let (Some(model), Some(answers)) = (champion, &mut scores.champion) {
            answers.extend(ask("champion", model, &batch)?);
        }
        tracking::progress(start + rows as u64, total);
    }
    Ok(scores)
}

fn ask(name: &str, model: &dyn Model, batch: &Batch) -> Result<Vec<f64>, Failure> {
    let answers = model.predict(batch)?;
    if answers.len() != batch.len() {
        return Err(Failure::internal(format!("the {name} gave {} scores for {} rows", answers.len(), batch.len())));
    }
    match answers.iter().find(|score| !(0.0..=1.0).contains(*score)) {
        Some(score) => Err(Failure::internal(format!("the {name} gave {score}, which is not a probability"))),
        None => Ok(answers),
    }
}
