//! The check that a component's answer for a row depends on that row alone.
//!
//! A metric is worthless if a predictor may answer by the position of a row in a table that is
//! sorted by its target. A digest is worthless if a transformer may count its calls. The state, the
//! model, the seed and the clocks of an instance are fixed, so the answer of a fresh instance to a
//! single row is a function of the row. A sample of the rows (all rows of a small table) is
//! therefore asked again, by [`Sample::questions`], and every bit of the answers must be equal. The
//! digest of the state or of the model chooses the sample; the component's author cannot know it.
//!
//! The check costs as much as scoring [`SAMPLE`] rows once and starting two instances. Its time
//! counts against the limits of the component that is asked. Its rows and bytes do not count as the
//! stage's.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch, UInt64Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use stagewright_evaluation::figure::Figure;
use stagewright_store::{Blob, DataType, Digest, MAX_BATCH_BYTES, packed};

use crate::fault::{StageFault, guest_text};
use crate::limits::Meter;
use crate::sandbox::{Level, ModelParts, ModelRunner, Shelf, StageContext, Tracker, View};

/// In a table of at most this many rows, all rows are asked again.
const SMALL: u64 = 1024;

/// The number of rows that are asked again in a larger table. A component that cheats in 1 of 100
/// rows passes 1 time in 170.
const SAMPLE: u64 = 512;

/// Rows that are at most this far apart are read together.
const NEAR: u64 = 64;

/// The number of rows that are asked one at a time: enough calls to expose a counter. No state can
/// have affected the first one.
const SINGLES: usize = 16;

/// The longest text of a cell that a fault shows, in characters.
const SHOWN: usize = 60;

/// Checks that a transformer makes the same features of its rows again. `tables` are the raw rows
/// and the features of each table. One instance is asked for all.
///
/// # Errors
/// [`StageFault::Contract`] with the export and a row, or a fault of the call.
pub(crate) fn check_transform(
    models: &dyn ModelRunner,
    context: &Arc<StageContext>,
    state: &Blob,
    tables: &[(View, View)],
) -> Result<(), StageFault> {
    let mut samples = Vec::new();
    let mut batches = Vec::new();
    for (rows, made) in tables {
        let most = made.table.schema().chunk_rows();
        let Some(sample) = Sample::of(rows, most, state.digest())? else { continue };
        let asked = sample.questions(state.digest());
        batches.extend(sample.batches(&asked)?);
        samples.push((sample, asked, made));
    }
    let Some((rows, _)) = tables.first().filter(|_| !samples.is_empty()) else { return Ok(()) };
    let separate = SeparateContext::of(context);
    let (_, again) = models.transform_again(&separate.context, state, &rows.schema, &batches)?;
    let mut again = places(&again);
    for (sample, asked, made) in samples {
        let first = read(made, &sample.rows)?;
        for ((way, position), (batch, row)) in asked.in_turn().zip(&mut again) {
            if let Some(column) = differing((&first, position), (batch, row)) {
                return Err(dependence(
                    context,
                    TRANSFORM,
                    way,
                    &format!("row {}, column `{}`", sample.rows[position], first.schema_ref().field(column).name()),
                    &shown(&**first.column(column), position),
                    &shown(&**batch.column(column), row),
                ));
            }
        }
    }
    Ok(())
}

/// Predicts rows, and checks that the predictions depend on the rows alone.
///
/// # Errors
/// As for [`check_predict`].
pub(crate) fn predict_checked(
    models: &dyn ModelRunner,
    model: &ModelParts,
    rows: &View,
) -> Result<Vec<f64>, StageFault> {
    let scores = models.predict(model, rows)?;
    check_predict(models, model, rows, &scores)?;
    Ok(scores)
}

/// Checks that a model predicts the same for its rows again. `scores` are its predictions for
/// `rows`: one value for each row, or one for each class.
///
/// # Errors
/// As for [`check_transform`]. The fault names the transformer's export if the features differ, and
/// else the predictor's.
fn check_predict(models: &dyn ModelRunner, model: &ModelParts, rows: &View, scores: &[f64]) -> Result<(), StageFault> {
    let Some(sample) = Sample::of(rows, usize::MAX, model.model.digest())? else { return Ok(()) };
    let width = model.width();
    let contexts = (SeparateContext::of(&model.transformation), SeparateContext::of(&model.training));
    let asked = sample.questions(model.model.digest());
    let batches = sample.batches(&asked)?;
    let (inputs, features) = models.transform_again(&contexts.0.context, &model.state, &rows.schema, &batches)?;
    let again = models.predict_again(&contexts.1.context, &model.model, &inputs, &model.task, &features)?;
    for (((way, position), place), again) in asked.in_turn().zip(places(&features)).zip(again.chunks(width)) {
        let row = sample.rows[position];
        let first = &scores[row as usize * width..][..width];
        if let Some(class) = (0..width).find(|&class| first[class].to_bits() != again[class].to_bits()) {
            let features = features_again(models, model, rows, row, &contexts.0.context)?;
            let one = [sample.one(position)?];
            let (_, alone) = models.transform_again(&contexts.0.context, &model.state, &rows.schema, &one)?;
            for other in [(&features.0, features.1), place] {
                if let Some(column) = differing(other, (&alone[0], 0)) {
                    let name = alone[0].schema_ref().field(column).name();
                    let (first, again) =
                        (shown(&**other.0.column(column), other.1), shown(&**alone[0].column(column), 0));
                    let what = format!("row {row}, column `{name}`");
                    return Err(dependence(&model.transformation, TRANSFORM, ALONE, &what, &first, &again));
                }
            }
            let (first, again) = (first[class].to_string(), again[class].to_string());
            return Err(dependence(&model.training, PREDICT, way, &format!("row {row}"), &first, &again));
        }
    }
    Ok(())
}

const TRANSFORM: &str = "transformer.transform";
const PREDICT: &str = "predictor.predict";

/// The ways in which a row is asked again.
const ALONE: &str = "alone";
const ONE_BY_ONE: &str = "one row at a time";
const REORDERED: &str = "in another order";

fn dependence(context: &StageContext, export: &str, way: &str, what: &str, first: &str, again: &str) -> StageFault {
    StageFault::Contract {
        stage: context.world.into(),
        component: context.component.name.clone(),
        export: export.to_owned(),
        message: format!(
            "{what}: {first} among all rows, and {again} when asked again {way}; an answer may depend on its row alone, not on other rows, their order or earlier calls"
        ),
    }
}

/// Transforms a row again in its chunk, as the first time. Returns the features and the row's index
/// in them.
fn features_again(
    models: &dyn ModelRunner,
    model: &ModelParts,
    rows: &View,
    row: u64,
    context: &Arc<StageContext>,
) -> Result<(RecordBatch, usize), StageFault> {
    let chunk = rows.table.schema().chunk_rows();
    let start = row - row % chunk as u64;
    let batch = rows.table.read(start, chunk, Some(&rows.columns)).map_err(StageFault::host)?;
    let (_, features) = models.transform_again(context, &model.state, &rows.schema, &[batch])?;
    let found = places(&features).nth((row - start) as usize);
    let (batch, row) = found.ok_or_else(|| StageFault::host("a transformer returned fewer rows than it was given"))?;
    Ok((batch.clone(), row))
}

/// A context in which a component is asked again: within its stage's time, and without artifacts,
/// figures or metrics.
struct SeparateContext<'a> {
    of: &'a StageContext,
    context: Arc<StageContext>,
    /// The stage's CPU time before, in nanoseconds.
    before: u64,
}

impl<'a> SeparateContext<'a> {
    fn of(of: &'a StageContext) -> Self {
        let meter = Arc::new(of.meter.aside());
        let before = Meter::get(&meter.cpu_ns);
        let context = StageContext {
            world: of.world,
            component: of.component.clone(),
            parameters: of.parameters.clone(),
            seed: of.seed,
            roles: of.roles.clone(),
            as_of: of.as_of,
            limits: of.limits,
            staging: None,
            meter,
            tracker: Arc::new(WarningsOnly(of.tracker.clone())),
            workers: 1,
            cancel: of.cancel.clone(),
            shelf: Shelf::default(),
        };
        Self { of, context: Arc::new(context), before }
    }
}

impl Drop for SeparateContext<'_> {
    fn drop(&mut self) {
        self.context.shelf.clear();
        self.of.meter.settle(&self.context.meter, self.before);
    }
}

/// A tracker that passes on warnings and errors only. The other messages came the first time.
struct WarningsOnly(Arc<dyn Tracker>);

impl Tracker for WarningsOnly {
    fn log(&self, level: Level, message: &str) {
        if level >= Level::Warn {
            self.0.log(level, message);
        }
    }
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: Figure) {}
}

/// The rows that are asked again.
struct Sample {
    /// Their numbers in the table, ascending. A position is an index into this list.
    rows: Vec<u64>,
    /// Their values.
    values: RecordBatch,
}

/// The questions to one fresh instance: the positions of each batch, in turn.
struct Questions {
    batches: Vec<Vec<usize>>,
    /// The number of batches of one row, which are asked before any larger batch can leave a state.
    singles: usize,
}

impl Questions {
    /// Returns the positions in turn, each with the way in which it is asked.
    fn in_turn(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.batches.iter().enumerate().flat_map(|(number, batch)| {
            let way = if number < self.singles { ONE_BY_ONE } else { REORDERED };
            batch.iter().map(move |&position| (way, position))
        })
    }
}

impl Sample {
    /// Chooses at most `most` rows; `None` if there are none.
    fn of(view: &View, most: usize, seed: Digest) -> Result<Option<Self>, StageFault> {
        let all = view.rows();
        // A chunk is about as much as one batch carries.
        let most = most.min(view.table.schema().chunk_rows()) as u64;
        let mut most = most.min(if all > SMALL { SAMPLE } else { all });
        while most > 0 {
            let rows = chosen(all, most, &mut Random::new(seed));
            let parts = parts(view, &rows)?;
            let bytes = parts.iter().map(|part| packed::batch_bytes(part, &view.schema)).sum::<Result<usize, _>>();
            // With long texts, fewer rows suffice.
            if most == 1 || bytes.map_err(StageFault::host)? <= MAX_BATCH_BYTES {
                let values = concat_batches(&parts[0].schema(), &parts).map_err(StageFault::host)?;
                return Ok(Some(Self { rows, values }));
            }
            most = (most / 4).max(1);
        }
        Ok(None)
    }

    /// Returns the questions: some rows one at a time, and then all rows in another order, each at
    /// another position and in batches of other sizes. One instance is asked, because starting one
    /// may load a large model.
    fn questions(&self, seed: Digest) -> Questions {
        let random = &mut Random::new(seed);
        let order = self.reordered(random);
        let mut batches: Vec<Vec<usize>> = self.reordered(random).chunks(1).take(SINGLES).map(<[_]>::to_vec).collect();
        let singles = batches.len();
        let mut rest = &order[..];
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rest.len().min(1 << (batches.len() - singles)));
            batches.push(batch.to_vec());
            rest = later;
        }
        Questions { batches, singles }
    }

    /// Returns all positions in a random order in which none is at its own index (Sattolo 1986, "An
    /// algorithm to generate a random cyclic permutation").
    fn reordered(&self, random: &mut Random) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last as u64) as usize);
        }
        order
    }

    fn batches(&self, asked: &Questions) -> Result<Vec<RecordBatch>, StageFault> {
        asked.batches.iter().map(|positions| self.taken(positions)).collect()
    }

    fn one(&self, position: usize) -> Result<RecordBatch, StageFault> {
        self.taken(&[position])
    }

    fn taken(&self, positions: &[usize]) -> Result<RecordBatch, StageFault> {
        let positions: UInt64Array = positions.iter().map(|&position| position as u64).collect::<Vec<_>>().into();
        take_record_batch(&self.values, &positions).map_err(StageFault::host)
    }
}

/// Chooses `most` of the rows `0..all`, spread over all of them, ascending.
fn chosen(all: u64, most: u64, random: &mut Random) -> Vec<u64> {
    let edge = |part: u64| (u128::from(part) * u128::from(all) / u128::from(most)) as u64;
    (0..most).map(|part| edge(part) + random.below(edge(part + 1) - edge(part))).collect()
}

/// Reads rows of a view, ascending, as one batch.
fn read(view: &View, rows: &[u64]) -> Result<RecordBatch, StageFault> {
    let parts = parts(view, rows)?;
    concat_batches(&parts[0].schema(), &parts).map_err(StageFault::host)
}

/// Reads rows of a view, ascending, as several batches.
fn parts(view: &View, rows: &[u64]) -> Result<Vec<RecordBatch>, StageFault> {
    let chunk = view.table.schema().chunk_rows() as u64;
    let mut parts = Vec::new();
    // Reading the rows between two near ones costs about as much as another read.
    for near in rows.chunk_by(|row, next| next - row <= NEAR && row / chunk == next / chunk) {
        let (start, end) = (near[0], near[near.len() - 1] + 1);
        let span = view.table.read(start, (end - start) as usize, Some(&view.columns)).map_err(StageFault::host)?;
        if span.num_rows() == near.len() {
            parts.push(span);
        } else {
            let places: UInt64Array = near.iter().map(|row| row - start).collect::<Vec<_>>().into();
            parts.push(take_record_batch(&span, &places).map_err(StageFault::host)?);
        }
    }
    Ok(parts)
}

/// Returns the batch and the index of each row, in order.
fn places(batches: &[RecordBatch]) -> impl Iterator<Item = (&RecordBatch, usize)> {
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)))
}

/// Returns the first column in which two rows differ in a bit.
fn differing(left: (&RecordBatch, usize), right: (&RecordBatch, usize)) -> Option<usize> {
    let columns = left.0.columns().iter().zip(right.0.columns());
    columns.into_iter().position(|(a, b)| cell(&**a, left.1) != cell(&**b, right.1))
}

/// The value of a cell.
#[derive(PartialEq)]
enum Cell<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Bits(u64),
    Text(&'a str),
}

fn cell(array: &dyn Array, row: usize) -> Cell<'_> {
    if array.is_null(row) {
        return Cell::Null;
    }
    match DataType::from_arrow(array.data_type()) {
        Some(DataType::Boolean) => Cell::Boolean(array.as_boolean().value(row)),
        Some(DataType::Int64) => Cell::Integer(array.as_primitive::<Int64Type>().value(row)),
        Some(DataType::Timestamp) => Cell::Integer(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        Some(DataType::Float64) => Cell::Bits(array.as_primitive::<Float64Type>().value(row).to_bits()),
        Some(DataType::Utf8) => Cell::Text(array.as_string::<i32>().value(row)),
        Some(DataType::Categorical) => {
            let column = array.as_dictionary::<Int32Type>();
            Cell::Text(column.values().as_string::<i32>().value(column.keys().value(row) as usize))
        }
        // Tables and transformers have no other types.
        None => Cell::Null,
    }
}

/// Formats a cell for an error.
fn shown(array: &dyn Array, row: usize) -> String {
    match cell(array, row) {
        Cell::Null => "null".to_owned(),
        Cell::Boolean(value) => value.to_string(),
        Cell::Integer(value) => value.to_string(),
        Cell::Bits(bits) => f64::from_bits(bits).to_string(),
        Cell::Text(text) => format!("`{}`", guest_text(&text.chars().take(SHOWN).collect::<String>())),
    }
}

/// A deterministic random number generator (SplitMix64; Steele, Lea and Flood 2014, "Fast
/// splittable pseudorandom number generators").
struct Random(u64);

impl Random {
    fn new(seed: Digest) -> Self {
        Self(seed.as_bytes().iter().take(8).fold(0, |seed, &byte| seed << 8 | u64::from(byte)))
    }

    /// Returns a number below `end`, which must not be 0. The bias of at most 2^-32 does not matter
    /// here.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[cfg(test)]
mod tests;
