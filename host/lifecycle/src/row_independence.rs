//! Whether a component's answer for a row hangs on the row, and on nothing else.
//!
//! A metric is worth nothing if a predictor may answer by the place of a row in a table that is
//! sorted by its target, and a digest is worth nothing if a transformer may count its calls. State,
//! model, seed and clocks of an instance are fixed, so what a fresh instance answers to a row alone
//! is a function of the row. A sample of the rows (all of them in a small table) is asked again, in
//! the ways of [`Sample::ways`], and every bit must be what it was. The digest of the state or the
//! model chooses the rows. The component's author cannot know that digest.
//!
//! The check costs as much as scoring [`SAMPLE`] rows once and starting two instances. The time
//! counts against the limits of the component that is asked; rows and bytes are no part of what its
//! stage did.

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

/// The rows of a table of which all are asked again.
const SMALL: u64 = 1024;

/// Rows of a larger one that are: a component that cheats in one of 100 rows gets away with it once
/// in 170 times.
const SAMPLE: u64 = 512;

/// Rows that are at most so far apart are read together.
const NEAR: u64 = 64;

/// Rows that are asked one at a time: enough calls for a counter to show. The first is what no
/// state can have touched.
const SINGLES: usize = 16;

/// The longest text of a cell that a fault shows, in characters.
const SHOWN: usize = 60;

/// Checks that a transformer makes the same features of its rows again: of each table's, and what
/// it made of them. One instance is asked for all.
///
/// # Errors
/// [`StageFault::Contract`] that names the export and a row; or asking fails.
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
    let aside = Aside::of(context);
    let (_, again) = models.transform_again(&aside.context, state, &rows.schema, &batches)?;
    let mut again = places(&again);
    for (sample, asked, made) in samples {
        let first = read(made, &sample.rows)?;
        for ((way, position), (batch, row)) in asked.in_turn().zip(&mut again) {
            if let Some(column) = differing((&first, position), (batch, row)) {
                return Err(impure(
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

/// A model's predictions for rows, which [`check_predict`] finds to hang on the rows alone.
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
/// `rows`: for each row one number, or one for each class.
///
/// # Errors
/// As for [`check_transform`]; the export is the transformer's if its features differ, else the
/// predictor's.
fn check_predict(models: &dyn ModelRunner, model: &ModelParts, rows: &View, scores: &[f64]) -> Result<(), StageFault> {
    let Some(sample) = Sample::of(rows, usize::MAX, model.model.digest())? else { return Ok(()) };
    let width = model.width();
    let asides = (Aside::of(&model.transformation), Aside::of(&model.training));
    let asked = sample.questions(model.model.digest());
    let batches = sample.batches(&asked)?;
    let (inputs, features) = models.transform_again(&asides.0.context, &model.state, &rows.schema, &batches)?;
    let again = models.predict_again(&asides.1.context, &model.model, &inputs, &model.task, &features)?;
    for (((way, position), place), again) in asked.in_turn().zip(places(&features)).zip(again.chunks(width)) {
        let row = sample.rows[position];
        let first = &scores[row as usize * width..][..width];
        if let Some(class) = (0..width).find(|&class| first[class].to_bits() != again[class].to_bits()) {
            let features = features_again(models, model, rows, row, &asides.0.context)?;
            let one = [sample.one(position)?];
            let (_, alone) = models.transform_again(&asides.0.context, &model.state, &rows.schema, &one)?;
            for other in [(&features.0, features.1), place] {
                if let Some(column) = differing(other, (&alone[0], 0)) {
                    let name = alone[0].schema_ref().field(column).name();
                    let (first, again) =
                        (shown(&**other.0.column(column), other.1), shown(&**alone[0].column(column), 0));
                    let what = format!("row {row}, column `{name}`");
                    return Err(impure(&model.transformation, TRANSFORM, ALONE, &what, &first, &again));
                }
            }
            let (first, again) = (first[class].to_string(), again[class].to_string());
            return Err(impure(&model.training, PREDICT, way, &format!("row {row}"), &first, &again));
        }
    }
    Ok(())
}

const TRANSFORM: &str = "transformer.transform";
const PREDICT: &str = "predictor.predict";

/// Ways in which a row is asked for again.
const ALONE: &str = "alone";
const ONE_BY_ONE: &str = "one row at a time";
const REORDERED: &str = "in another order";

fn impure(context: &StageContext, export: &str, way: &str, what: &str, first: &str, again: &str) -> StageFault {
    StageFault::Contract {
        stage: context.world.into(),
        component: context.component.name.clone(),
        export: export.to_owned(),
        message: format!(
            "{what}: {first} among all rows, and {again} when asked again {way}; an answer may hang on its row alone, not on other rows, their order or earlier calls"
        ),
    }
}

/// Transforms a row again in its chunk, as the transformer was asked for it the first time. Returns
/// the features, and the row's place in them.
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

/// A component that is asked again: within its stage's time, and with no artifacts, figures or
/// curves.
struct Aside<'a> {
    of: &'a StageContext,
    context: Arc<StageContext>,
    /// The stage's CPU time before.
    before: u64,
}

impl<'a> Aside<'a> {
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
            tracker: Arc::new(Quiet(of.tracker.clone())),
            workers: 1,
            cancel: of.cancel.clone(),
            shelf: Shelf::default(),
        };
        Self { of, context: Arc::new(context), before }
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.context.shelf.clear();
        self.of.meter.settle(&self.context.meter, self.before);
    }
}

/// Passes on what somebody should look at; the rest was said the first time.
struct Quiet(Arc<dyn Tracker>);

impl Tracker for Quiet {
    fn log(&self, level: Level, message: &str) {
        if level >= Level::Warn {
            self.0.log(level, message);
        }
    }
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: Figure) {}
}

/// Rows that are asked again.
struct Sample {
    /// Their numbers in the table, ascending. A position, below, is a place in this list.
    rows: Vec<u64>,
    /// The values that they hold.
    values: RecordBatch,
}

/// The questions to one fresh instance: the positions of each batch, in turn.
struct Questions {
    batches: Vec<Vec<usize>>,
    /// The first batches, of one row each, which are asked before any other has left a state.
    singles: usize,
}

impl Questions {
    /// The positions, each with the way in which it is asked for.
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
        // A chunk is about as much as crosses in one batch.
        let most = most.min(view.table.schema().chunk_rows()) as u64;
        let mut most = most.min(if all > SMALL { SAMPLE } else { all });
        while most > 0 {
            let rows = chosen(all, most, &mut Random::new(seed));
            let parts = parts(view, &rows)?;
            let bytes = parts.iter().map(|part| packed::batch_bytes(part, &view.schema)).sum::<Result<usize, _>>();
            // Long texts: fewer rows will do.
            if most == 1 || bytes.map_err(StageFault::host)? <= MAX_BATCH_BYTES {
                let values = concat_batches(&parts[0].schema(), &parts).map_err(StageFault::host)?;
                return Ok(Some(Self { rows, values }));
            }
            most = (most / 4).max(1);
        }
        Ok(None)
    }

    /// The questions: some rows one at a time, and then all in another order, with no row in its
    /// place and batches of other sizes. One instance is asked, since each costs its start and may
    /// load a large model.
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

    /// All positions, none in its place (Sattolo 1986, "An algorithm to generate a random cyclic
    /// permutation").
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

/// `most` of the rows `0..all`, spread over all of them, ascending.
fn chosen(all: u64, most: u64, random: &mut Random) -> Vec<u64> {
    let edge = |part: u64| (u128::from(part) * u128::from(all) / u128::from(most)) as u64;
    (0..most).map(|part| edge(part) + random.below(edge(part + 1) - edge(part))).collect()
}

/// Rows of a view, ascending, as one batch.
fn read(view: &View, rows: &[u64]) -> Result<RecordBatch, StageFault> {
    let parts = parts(view, rows)?;
    concat_batches(&parts[0].schema(), &parts).map_err(StageFault::host)
}

/// The same in parts.
fn parts(view: &View, rows: &[u64]) -> Result<Vec<RecordBatch>, StageFault> {
    let chunk = view.table.schema().chunk_rows() as u64;
    let mut parts = Vec::new();
    // A read costs about as much as checking the rows that lie between two that are near.
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

/// Batch and row of each row, in order.
fn places(batches: &[RecordBatch]) -> impl Iterator<Item = (&RecordBatch, usize)> {
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)))
}

/// The first column in which two rows differ in a bit.
fn differing(left: (&RecordBatch, usize), right: (&RecordBatch, usize)) -> Option<usize> {
    let columns = left.0.columns().iter().zip(right.0.columns());
    columns.into_iter().position(|(a, b)| cell(&**a, left.1) != cell(&**b, right.1))
}

/// A cell's value.
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

/// A cell for people.
fn shown(array: &dyn Array, row: usize) -> String {
    match cell(array, row) {
        Cell::Null => "null".to_owned(),
        Cell::Boolean(value) => value.to_string(),
        Cell::Integer(value) => value.to_string(),
        Cell::Bits(bits) => f64::from_bits(bits).to_string(),
        Cell::Text(text) => format!("`{}`", guest_text(&text.chars().take(SHOWN).collect::<String>())),
    }
}

/// Numbers that are the same in every run (SplitMix64; Steele, Lea and Flood 2014, "Fast splittable
/// pseudorandom number generators").
struct Random(u64);

impl Random {
    fn new(seed: Digest) -> Self {
        Self(seed.as_bytes().iter().take(8).fold(0, |seed, &byte| seed << 8 | u64::from(byte)))
    }

    /// A number below `end`, which is not 0. That some are likelier by one in 2^32 matters to
    /// nobody.
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
