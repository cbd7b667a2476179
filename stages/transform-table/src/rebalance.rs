//! SMOTE on tables: reads the rows of rare classes, and writes all rows and then the synthetic
//! ones.
//!
//! This holds the rows of one class at a time in memory, at 12 bytes a value; all other rows only
//! pass through. The original rows come first and unchanged, then the synthetic rows, class by
//! class. Features and weights are interpolated alike.

use stagewright_kit::{Batch, Column, Failure, FinishedTable, Role, Table, TableWriter, Task, info, tracking, warn};

use crate::parameters::Smote;
use crate::smote::{Segments, segments};

/// The size of a written batch in bytes: half of the limit.
const BATCH_BYTES: usize = 4 << 20;

/// Adds synthetic rows until each class has `sampling_strategy` times as many rows as the largest.
/// Returns `None` if no class has fewer.
///
/// # Errors
/// `data` if a feature of a rare class is missing or infinite, or a class has a single row;
/// `parameter` for a regression.
pub(crate) fn rebalance(
    train: &dyn Table,
    task: &Task,
    smote: &Smote,
    seed: u64,
) -> Result<Option<FinishedTable>, Failure> {
    let classes = match task {
        Task::Binary(_) => 2,
        Task::MultiClass(names) => names.len(),
        Task::Regression => return Err(Failure::parameter("smote", "a regression has no classes to rebalance")),
    };
    if smote.k_neighbors == 0 {
        return Err(Failure::parameter("smote.k_neighbors", "at least one neighbour is needed"));
    }
    if !(0.0..=1.0).contains(&smote.sampling_strategy) {
        return Err(Failure::parameter(
            "smote.sampling_strategy",
            format!("`{}` is not from 0 to 1", smote.sampling_strategy),
        ));
    }
    let target = train.column_with(Role::Target).ok_or_else(|| Failure::internal("the table has no target"))?;
    let counts = count_classes(train, target, classes)?;
    let largest = counts.iter().copied().max().unwrap_or_default();
    let wanted = (largest as f64 * smote.sampling_strategy).round() as u64;
    let rare: Vec<usize> = (0..classes).filter(|&class| counts[class] > 0 && counts[class] < wanted).collect();
    if rare.is_empty() {
        return Ok(None);
    }
    let mut writer = TableWriter::new(&train.fields());
    for batch in train.batches(None) {
        writer.write(batch?.1)?;
    }
    for class in rare {
        let have = counts[class];
        info!("class {class}: {have} rows, {} made up", wanted - have);
        make_up(train, target, class as i64, (wanted - have) as usize, smote.k_neighbors as usize, seed, &mut writer)?;
    }
    Ok(Some(writer.finish()?))
}

fn count_classes(train: &dyn Table, target: u32, classes: usize) -> Result<Vec<u64>, Failure> {
    let mut counts = vec![0_u64; classes];
    for batch in train.batches(Some(&[target])) {
        for &class in targets(&batch?.1.columns[0])? {
            let count = usize::try_from(class).ok().and_then(|class| counts.get_mut(class));
            *count.ok_or_else(|| Failure::internal(format!("there is no class {class}")))? += 1;
        }
    }
    Ok(counts)
}

fn targets(column: &Column) -> Result<&[i64], Failure> {
    column.as_i64().ok_or_else(|| Failure::internal("the target of a classification is not int64"))
}

/// Writes `new` synthetic rows of one class.
fn make_up(
    train: &dyn Table,
    target: u32,
    class: i64,
    new: usize,
    k: usize,
    seed: u64,
    writer: &mut TableWriter,
) -> Result<(), Failure> {
    let rows = read_class(train, target, class)?;
    if rows.count() < 2 {
        return Err(Failure::data(format!(
            "class {class} has a single training row, and SMOTE needs two: use more rows, or no SMOTE"
        )));
    }
    // Neighbours are searched among features only, not weights.
    let Segments { segments, approximate } = segments(&rows.features, rows.width, new, k, seed, tracking::progress);
    if approximate > 0 {
        warn!("class {class}: {approximate} of {} rows have neighbours that may not be the very nearest", rows.count());
    }
    let width = train.fields().len();
    for chunk in segments.chunks((BATCH_BYTES / 8 / width).max(1)) {
        let column = |place: usize| -> Column {
            let values = chunk
                .iter()
                .map(|segment| segment.at(rows.value(segment.base, place), rows.value(segment.towards, place)));
            Column::from(values.collect::<Vec<f64>>())
        };
        let columns = rows.places.iter().map(|place| match place {
            Place::Target => Column::from(vec![class; chunk.len()]),
            Place::Feature(feature) => column(*feature),
            Place::Weight => {
                let weights = chunk.iter().map(|segment| {
                    segment.at(rows.weights[segment.base as usize], rows.weights[segment.towards as usize])
                });
                Column::from(weights.collect::<Vec<f64>>())
            }
        });
        writer.write(Batch::new(chunk.len() as u32, columns.collect()))?;
    }
    Ok(())
}

/// The purpose of a column of the training table.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Feature(usize),
    Target,
    Weight,
}

/// The rows of one class.
struct ClassRows {
    /// The values, row by row.
    features: Vec<f64>,
    width: usize,
    weights: Vec<f64>,
    /// For each column of the table.
    places: Vec<Place>,
}

impl ClassRows {
    fn count(&self) -> usize {
        self.features.len() / self.width
    }

    fn value(&self, row: u32, feature: usize) -> f64 {
        self.features[row as usize * self.width + feature]
    }
}

fn places(train: &dyn Table) -> Vec<Place> {
    let mut features = 0..;
    let place = |role| match role {
        Role::Target => Place::Target,
        Role::Weight => Place::Weight,
        Role::Feature | Role::Identifier | Role::Time | Role::Group => {
            Place::Feature(features.next().unwrap_or_default())
        }
    };
    train.roles().into_iter().map(place).collect()
}

fn read_class(train: &dyn Table, target: u32, class: i64) -> Result<ClassRows, Failure> {
    let places = places(train);
    let fields = train.fields();
    let width = places.iter().filter(|place| matches!(place, Place::Feature(_))).count();
    if width == 0 {
        return Err(Failure::data("there are no features"));
    }
    let mut rows = ClassRows { features: Vec::new(), width, weights: Vec::new(), places };
    for batch in train.batches(None) {
        let (start, batch) = batch?;
        let classes = targets(&batch.columns[target as usize])?;
        let members: Vec<usize> = (0..batch.len()).filter(|&row| classes[row] == class).collect();
        let first = rows.features.len();
        rows.features.resize(first + members.len() * width, 0.0);
        for ((place, column), field) in rows.places.iter().zip(&batch.columns).zip(&fields) {
            let values = || {
                column
                    .as_f64()
                    .ok_or_else(|| Failure::data("SMOTE needs features of type float64").in_column(&field.name))
            };
            match place {
                Place::Target => {}
                Place::Weight => rows.weights.extend(
                    members.iter().map(|&row| values().map(|values| values[row])).collect::<Result<Vec<_>, _>>()?,
                ),
                Place::Feature(feature) => {
                    let values = values()?;
                    for (member, &row) in members.iter().enumerate() {
                        if !values[row].is_finite() || column.is_null(row) {
                            let message = "SMOTE needs finite values: fill in missing ones (`numeric.missing`) instead of keeping them";
                            return Err(Failure::data(message).in_column(&field.name).at_row(start + row as u64));
                        }
                        rows.features[first + member * width + feature] = values[row];
                    }
                }
            }
        }
    }
    Ok(rows)
}
