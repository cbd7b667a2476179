//! Checks of row weights, before any trainer sees them.
//!
//! They are here and not in the trainers, so that every trainer may rely on them and a wrong weight
//! gets the same message everywhere. Weights are proportions, so bounds lose nothing. The bounds
//! leave room for sums over all rows, and for the single precision in which trees store gradients.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use stagewright_data::Task;
use stagewright_manifest::World;
use stagewright_store::{Role, Table};

use crate::fault::StageFault;
use crate::limits::Watch;
use crate::table_reading::{ReadError, columns};

/// The largest weight. The squares of a billion such weights add up to far less than the largest
/// `f64`, and one such weight is far below the largest `f32`.
const GREATEST: f64 = 1e15;

/// A class counts as one without weight if all its weights are below this.
const LEAST: f64 = 1e-15;

/// Fails if a weight is missing, not finite, negative or too large. `world` is the stage that
/// reports it.
///
/// # Errors
/// A fault of the data that names the first such row, counted in `table`.
pub(crate) fn refuse_invalid(world: World, table: &Table, watch: &Watch) -> Result<(), StageFault> {
    let Some(&place) = table.schema().indices_with(Role::Weight).first() else { return Ok(()) };
    let mut start = 0;
    for rows in columns(table, vec![place], watch) {
        let rows = rows.map_err(|ReadError(fault)| fault)?;
        let weights = numbers(rows.column(0))?;
        let wrong = |weight: &f64| !(0.0..=GREATEST).contains(weight);
        if let Some(row) = weights.iter().position(wrong) {
            let value = weights[row];
            let message = match value {
                _ if rows.column(0).is_null(row) => "a row's weight is missing".to_owned(),
                _ if value > GREATEST && value.is_finite() => {
                    format!("a row's weight is more than {GREATEST:e}: divide all weights by the same number")
                }
                _ => "a row's weight must be finite and at least 0".to_owned(),
            };
            return Err(StageFault::Data {
                stage: world.into(),
                message,
                column: Some(table.schema().fields()[place].name.clone()),
                row: Some(start + row as u64),
                // `Debug` formats large numbers with an exponent.
                value: (!rows.column(0).is_null(row)).then(|| format!("{value:?}")),
            });
        }
        start += rows.num_rows() as u64;
    }
    Ok(())
}

/// Fails if no training row of a class, or of a regression, has a weight. The target of `train` is
/// encoded.
///
/// # Errors
/// A fault of the data that names the class.
pub(crate) fn refuse_weightless(world: World, task: &Task, train: &Table, watch: &Watch) -> Result<(), StageFault> {
    let schema = train.schema();
    let Some(&place) = schema.indices_with(Role::Weight).first() else { return Ok(()) };
    let Some(&target) = schema.indices_with(Role::Target).first() else { return Ok(()) };
    let classes: Vec<&str> = match task {
        Task::Binary { negative, positive } => vec![negative, positive],
        Task::MultiClass { classes } => classes.iter().map(String::as_str).collect(),
        Task::Regression => Vec::new(),
    };
    let mut greatest = vec![0.0_f64; classes.len().max(1)];
    for rows in columns(train, vec![place, target], watch) {
        let rows = rows.map_err(|ReadError(fault)| fault)?;
        let codes = if classes.is_empty() { vec![0.0; rows.num_rows()] } else { numbers(rows.column(1))? };
        for (weight, code) in numbers(rows.column(0))?.into_iter().zip(codes) {
            if let Some(greatest) = greatest.get_mut(code as usize) {
                *greatest = greatest.max(weight);
            }
        }
    }
    let without: Vec<usize> = (0..greatest.len()).filter(|&class| greatest[class] < LEAST).collect();
    let Some(&class) = without.first() else { return Ok(()) };
    let tiny = if greatest[class] > 0.0 { format!(" (below {LEAST:e} counts as 0)") } else { String::new() };
    let message = if without.len() == greatest.len() {
        format!("no training row has a weight above 0{tiny}: nothing can be learnt")
    } else {
        format!(
            "no training row of class `{}` has a weight above 0{tiny}: nothing can be learnt about it",
            classes[class]
        )
    };
    let column = Some(schema.fields()[place].name.clone());
    Err(StageFault::Data { stage: world.into(), message, column, row: None, value: None })
}

/// Returns a column of numbers, with NaN for nulls.
fn numbers(column: &ArrayRef) -> Result<Vec<f64>, StageFault> {
    if let Some(values) = column.as_primitive_opt::<Float64Type>() {
        return Ok(values.iter().map(|value| value.unwrap_or(f64::NAN)).collect());
    }
    let values = column.as_primitive_opt::<Int64Type>();
    let values = values.ok_or_else(|| StageFault::host("a weight is neither float64 nor int64"))?;
    Ok(values.iter().map(|value| value.map_or(f64::NAN, |value| value as f64)).collect())
}
