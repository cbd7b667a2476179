//! Decides the contents of a manifest from what was seen in the table. It does no I/O, so that
//! tests can try any table.

use stagewright_data::{ColumnReport, DataError, DataFault, Inference, UnusableColumn, shown};
use stagewright_manifest::{
    ContractTable, ExtraColumns, Identifier, SplitMethod, SplitSection, Starter, StarterField, TaskKind, TaskSection,
    write_manifest,
};
use stagewright_store::{DataType, Role};

use super::choices::Choices;
use super::task;
use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// Validation allows this share of nulls by default: one row in so many.
const DEFAULT_NULLS: u64 = 10;
/// With fewer rows of a class, the split is stratified: by hash, the probability that no test row
/// has the class would be above 1 in 10^5.
const FEW_ROWS: u64 = 50;
/// With fewer rows, too: by hash, the probability that early stopping has no row would be above 1
/// in 10^7.
const FEW_ROWS_IN_ALL: u64 = 200;
/// With fewer rows of a class, half of the rows are test rows, so that the class is among them.
const VERY_FEW_ROWS: u64 = 5;
/// With fewer rows of a class, no row is left for early stopping.
const ROWS_TO_STOP_BY: u64 = 20;
/// With fewer values, and values in less than half of the rows, a column may have none among the
/// training rows, and so no median.
const FEW_VALUES: u64 = 20;
/// Text with more distinct values is not categorical: `transform-table` refuses it.
const MOST_CATEGORIES: u64 = 65_536;
/// The number of unusable columns that are named.
const MAX_NAMED: usize = 20;

/// The contents of a manifest.
pub(super) struct Proposal {
    pub(super) task: TaskSection,
    pub(super) fields: Vec<StarterField>,
    null_values: Vec<String>,
    extra_columns: ExtraColumns,
    split: SplitSection,
    pub(super) notes: Vec<String>,
    /// The servers of PostgreSQL that the manifest grants.
    pub(super) postgres: Vec<String>,
    contract: Vec<ContractTable>,
}

impl Proposal {
    /// Decides the task, the identifier, the unused columns and the split.
    ///
    /// # Errors
    /// The target cannot be learnt, the identifier does not exist, or no feature is left.
    pub(super) fn of(choices: &Choices, inference: &Inference, split_seed: u64) -> anyhow::Result<Self> {
        let (task, guesses) = task::task(choices, inference)?;
        let mut fields: Vec<StarterField> =
            inference.columns.iter().map(|it| starter_field(it, inference.rows)).collect();
        if let Some(identifier) = &choices.identifier {
            identify(&mut fields, inference, &task, identifier)?;
        }
        refuse_without_features(&fields)?;
        let (split, split_note) = split(&task, inference, split_seed)?;
        let mut notes = left_out(&inference.left_out);
        notes.extend(guesses);
        notes.extend(split_note);
        let extra_columns = if inference.left_out.is_empty() { ExtraColumns::Error } else { ExtraColumns::Ignore };
        let null_values = inference.signature.null_values.clone();
        Ok(Self { task, fields, null_values, extra_columns, split, notes, postgres: Vec::new(), contract: Vec::new() })
    }

    /// Adds a contract for the data. Each column with nulls gets a limit of its own.
    pub(super) fn require(&mut self, contract: Vec<ContractTable>, inference: &Inference) {
        self.contract = contract;
        for (field, column) in self.fields.iter_mut().zip(&inference.columns).filter(|(_, column)| column.nulls > 0) {
            field.max_null_ratio = Some(roomy_ratio(column.nulls, inference.rows));
        }
    }

    /// Returns the text of the manifest. `uri` is the source as seen from the file.
    pub(super) fn manifest(&self, pipeline: &Identifier, uri: &str) -> String {
        write_manifest(&Starter {
            pipeline,
            uri,
            delimiter: None,
            task: &self.task,
            null_values: &self.null_values,
            extra_columns: self.extra_columns,
            fields: &self.fields,
            split: &self.split,
            notes: &self.notes,
            postgres: &self.postgres,
            contract: &self.contract,
        })
    }

    /// Returns the lines for the terminal: the notes, and the columns about which there is
    /// something to say.
    pub(super) fn lines(&self, inference: &Inference) -> Vec<String> {
        let mut lines = self.notes.clone();
        for (column, field) in inference.columns.iter().zip(&self.fields) {
            let says = column.field.role == Role::Identifier || column.nulls > 0 || !field.notes.is_empty();
            if says {
                let notes: String = field.notes.iter().map(|note| format!("; {note}")).collect();
                let name = shown(&column.field.name);
                lines.push(format!("`{name}`: {}, {} missing{notes}", column.reason, column.nulls));
            }
        }
        lines
    }
}

fn starter_field(column: &ColumnReport, rows: u64) -> StarterField {
    let is_feature = column.field.role == Role::Feature;
    let is_empty = column.distinct == 0;
    let is_constant = column.distinct == 1 && column.nulls == 0;
    let is_date = column.field.data_type == DataType::Timestamp;
    let is_text = matches!(column.field.data_type, DataType::Utf8 | DataType::Categorical);
    let values = rows - column.nulls;
    let is_sparse = values < FEW_VALUES && values * 2 < rows && !is_text;
    let is_prose = is_text && column.distinct > MOST_CATEGORIES;
    let mut notes = column.doubts.clone();
    let is_dropped = is_feature && (is_empty || is_constant || is_date || is_sparse || is_prose);
    if is_dropped {
        let why = if is_empty {
            "no row has a value: no feature is made of it"
        } else if is_date {
            "no feature is made of a date; `as = \"float64\"` instead of `drop` makes it seconds"
        } else if is_sparse {
            "so few rows have a value that no feature is made of it"
        } else if is_prose {
            "so many different texts are no categories: no feature is made of it"
        } else {
            "no feature is made of it"
        };
        notes.push(why.to_owned());
    }
    StarterField { max_null_ratio: null_ratio(column.nulls, rows), is_dropped, notes, field: column.field.clone() }
}

/// Returns the share of nulls to allow, a twentieth above what was seen, where the default would
/// refuse the table.
fn null_ratio(nulls: u64, rows: u64) -> Option<f64> {
    let exceeds = nulls.saturating_mul(DEFAULT_NULLS) >= rows;
    exceeds.then(|| roomy_ratio(nulls, rows))
}

fn roomy_ratio(nulls: u64, rows: u64) -> f64 {
    ((nulls as f64 / rows as f64 * 100.0 + 5.0).ceil() / 100.0).min(1.0)
}

fn identify(
    fields: &mut [StarterField],
    inference: &Inference,
    task: &TaskSection,
    identifier: &str,
) -> anyhow::Result<()> {
    if identifier == task.target {
        return Err(UsageError::error(
            ErrorCode::NoColumn,
            format!("`{}` is the target, and cannot name the rows too", shown(identifier)),
            "name another column with --identifier",
        ));
    }
    if let Some(column) = inference.left_out.iter().find(|column| column.name == identifier) {
        let message = format!("the column `{}` cannot be read: {}", shown(identifier), column.reason);
        return Err(UsageError::error(ErrorCode::NoColumn, message, "rename it in the data"));
    }
    let field = fields.iter_mut().find(|it| it.field.name == identifier).ok_or_else(|| {
        UsageError::error(
            ErrorCode::NoColumn,
            format!("the table has no column `{}`", shown(identifier)),
            "name one of its columns with --identifier",
        )
    })?;
    field.field.role = Role::Identifier;
    field.is_dropped = false;
    field.notes.clear();
    Ok(())
}

fn refuse_without_features(fields: &[StarterField]) -> anyhow::Result<()> {
    if fields.iter().any(|it| it.field.role == Role::Feature && !it.is_dropped) {
        return Ok(());
    }
    let why = |it: &StarterField| match it.field.role {
        Role::Feature => "a date, almost empty, or the same in every row",
        Role::Identifier => "it names the rows",
        Role::Time => "it says when",
        _ => "the target",
    };
    let named = |it: &StarterField| format!("`{}` ({})", shown(&it.field.name), why(it));
    let mut names: Vec<String> = fields.iter().take(MAX_NAMED).map(named).collect();
    if fields.len() > MAX_NAMED {
        names.push(format!("{} more", fields.len() - MAX_NAMED));
    }
    Err(UsageError::error(
        ErrorCode::NothingToLearn,
        format!("no column is left to learn from: {}", names.join(", ")),
        "name a table with numbers or categories beside the target",
    ))
}

fn left_out(columns: &[UnusableColumn]) -> Vec<String> {
    let note = |column: &UnusableColumn| {
        let name = if column.name.is_empty() { String::new() } else { format!(" (`{}`)", shown(&column.name)) };
        format!("left out: column {}{name}: {}", column.place + 1, column.reason)
    };
    let mut notes: Vec<String> = columns.iter().take(MAX_NAMED).map(note).collect();
    if columns.len() > MAX_NAMED {
        notes.push(format!("left out: {} more columns", columns.len() - MAX_NAMED));
    }
    notes
}

/// Returns a split that has each class among the training and the test rows, and a note if there
/// are few rows.
///
/// # Errors
/// A class has only one row.
fn split(task: &TaskSection, inference: &Inference, seed: u64) -> Result<(SplitSection, Option<String>), DataError> {
    let usual = SplitSection { seed, ..SplitSection::default() };
    let classes = inference.target.iter().flat_map(|target| &target.classes);
    let Some((class, rows)) = classes.min_by_key(|(_, rows)| *rows).filter(|_| task.kind != TaskKind::Regression)
    else {
        return Ok((usual, None));
    };
    if *rows >= FEW_ROWS && inference.rows >= FEW_ROWS_IN_ALL {
        return Ok((usual, None));
    }
    let class = shown(class);
    if *rows == 1 {
        let message = format!(
            "only one row is of class `{class}`: there must be one to learn from and another to test on\nhint: add rows, or name another --target"
        );
        return Err(DataFault::new(message).in_column(&task.target).into());
    }
    let split = SplitSection {
        method: SplitMethod::Stratified,
        test: if *rows < VERY_FEW_ROWS { 0.5 } else { usual.test },
        validation: if *rows < ROWS_TO_STOP_BY { 0.0 } else { usual.validation },
        ..usual
    };
    let note = || format!("only {rows} rows are of class `{class}`: what is measured on so few says little");
    Ok((split, (*rows < FEW_ROWS).then(note)))
}
