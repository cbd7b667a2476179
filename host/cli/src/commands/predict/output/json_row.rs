//! A prediction as a JSON object.

use stagewright_data::Task;

use super::piece::{Piece, best, classes};

/// A row of a piece, whose members are the kept columns and then the prediction.
pub(super) struct JsonRow<'a> {
    pub(super) piece: &'a Piece<'a>,
    pub(super) row: usize,
    pub(super) task: &'a Task,
    /// One number, or one for each class.
    pub(super) numbers: &'a [f64],
}

/// A member: its name, and its value as JSON text.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) value: String,
}

impl JsonRow<'_> {
    /// Returns the members. Kept numbers have the digits with which they came.
    ///
    /// # Errors
    /// None is known: a number that is not finite is null.
    pub(super) fn members(&self) -> serde_json::Result<Vec<Member>> {
        let kept = self.piece.kept.iter().map(|column| Member {
            name: column.name.clone(),
            value: column.values.with_json(self.row, str::to_owned),
        });
        let mut members: Vec<Member> = kept.collect();
        let mut push = |name: &str, value: serde_json::Result<String>| {
            members.push(Member { name: name.to_owned(), value: value? });
            serde_json::Result::Ok(())
        };
        let (class, number) = best(self.task, self.numbers);
        match self.task {
            Task::Regression => push("value", serde_json::to_string(&number))?,
            task => {
                let classes = classes(task);
                push("label", serde_json::to_string(&classes.get(class)))?;
                match task {
                    Task::MultiClass { .. } => push("probabilities", self.probabilities(&classes))?,
                    _ => push("probability", serde_json::to_string(&number))?,
                }
            }
        }
        Ok(members)
    }

    fn probabilities(&self, classes: &[&str]) -> serde_json::Result<String> {
        let of_class = |(class, number): (&&str, &f64)| ((*class).to_owned(), (*number).into());
        let all: serde_json::Map<_, _> = classes.iter().zip(self.numbers).map(of_class).collect();
        serde_json::to_string(&all)
    }
}

impl Member {
    /// Appends the member to an object in one line.
    pub(super) fn append(&self, text: &mut String) -> serde_json::Result<()> {
        text.push_str(&serde_json::to_string(&self.name)?);
        text.push(':');
        text.push_str(&self.value);
        Ok(())
    }
}
