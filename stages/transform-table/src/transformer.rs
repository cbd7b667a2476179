//! Transforms raw rows into features. Row-wise: the features of a row depend on that row and on the
//! state only.
//!
//! Most calls of a served model have one row, and cost what is done for each column and not for
//! each row. So names are resolved when the state is loaded, columns are read where they are, and
//! features are written where the host takes them.

use std::ops::Range;

use stagewright_kit::{Batch, BatchView, Column, DataType, Failure, Field, debug, tracking};

use crate::categories::Categories;
use crate::parameters::{Encoding, Unseen};
use crate::reading::{MISSING, UNSEEN, each_known_code, refuse_infinite, shown, write_source};
use crate::state::{Categorical, InputType, MissingNumber, MissingText, Numeric, State, Step};

/// A state that is prepared for transforming.
#[derive(Debug)]
pub(crate) struct Transformer {
    state: State,
    names: Vec<String>,
    /// The columns and features of each step.
    prepared: Vec<Prepared>,
}

/// A step's columns among the inputs, and its features among all.
#[derive(Debug)]
struct Prepared {
    /// The columns that the step reads. If it is one, both are the same.
    inputs: [usize; 2],
    features: Range<usize>,
    /// The treatment of text; `None` for a number.
    text: Option<PreparedText>,
}

/// The codes of a column of text.
#[derive(Debug)]
struct PreparedText {
    categories: Categories,
    /// The code of a category that the training rows did not have, if it has one.
    of_unseen: Option<u32>,
    /// The code of a null, if it has one.
    of_missing: Option<u32>,
    refuses_missing: bool,
}

/// The number of cells of a batch that were changed.
#[derive(Debug, Default)]
struct Touched {
    missing: usize,
    clipped: usize,
    unseen: usize,
}

impl Transformer {
    /// # Errors
    /// `internal` if `fit` does not write such a state.
    pub(crate) fn new(state: State) -> Result<Self, Failure> {
        state.check()?;
        for step in &state.steps {
            if let Step::Categorical(text) = step {
                tracking::count(tracking::UNSEEN, state.input(&text.column).unwrap_or_default(), 0);
            }
        }
        let mut prepared = Vec::with_capacity(state.steps.len());
        let mut first = 0;
        for step in &state.steps {
            let step = Prepared::new(step, &state, first);
            first = step.features.end;
            prepared.push(step);
        }
        Ok(Self { names: state.feature_names(), prepared, state })
    }

    /// Returns the fields of the features: one float64 column each, not nullable. Missing values
    /// that are kept are NaN.
    pub(crate) fn fields(&self) -> Vec<Field> {
        self.names.iter().map(|name| Field::required(name, DataType::Float64)).collect()
    }

    /// # Errors
    /// As for [`Transformer::transform_into`].
    pub(crate) fn transform(&self, batch: &Batch) -> Result<Batch, Failure> {
        let mut features = vec![0.0; self.names.len() * batch.len()];
        self.transform_into(&batch.view(), &mut features)?;
        let column = |place: usize| Column::from(features[place * batch.len()..][..batch.len()].to_vec());
        Ok(Batch::new(batch.rows, (0..self.names.len()).map(column).collect()))
    }

    /// Writes the features over zeros, column after column.
    ///
    /// # Errors
    /// `data`, with column and row, for values that the parameters declare an error; `internal` if
    /// the batch does not have the columns that `fit` saw.
    pub(crate) fn transform_into(&self, batch: &BatchView<'_>, features: &mut [f64]) -> Result<(), Failure> {
        self.check_inputs(batch)?;
        let rows = batch.len();
        if features.len() != rows * self.names.len() {
            return Err(Failure::internal(format!("there is no room for {} features", self.names.len())));
        }
        let mut touched = Touched::default();
        for (step, prepared) in self.state.steps.iter().zip(&self.prepared) {
            let features = &mut features[prepared.features.start * rows..prepared.features.end * rows];
            match (step, &prepared.text) {
                (Step::Categorical(text), Some(codes)) => {
                    self.categorical(text, codes, prepared.inputs[0], batch, features, &mut touched)?;
                }
                (Step::Numeric(numeric), _) => write_numeric(numeric, prepared.inputs, batch, features, &mut touched)?,
                (Step::Categorical(text), None) => {
                    return Err(Failure::internal(format!("`{}` was not prepared", text.column)));
                }
            }
        }
        let Touched { missing, clipped, unseen } = touched;
        if missing + clipped + unseen > 0 {
            debug!("{rows} rows: {missing} missing values filled, {clipped} clipped, {unseen} unseen categories");
        }
        Ok(())
    }

    fn check_inputs(&self, batch: &BatchView<'_>) -> Result<(), Failure> {
        let inputs = &self.state.inputs;
        if batch.columns.len() != inputs.len() {
            return Err(Failure::internal(format!(
                "{} columns instead of the {} that were fitted",
                batch.columns.len(),
                inputs.len()
            )));
        }
        for (column, input) in batch.columns.iter().zip(inputs) {
            if InputType::from(column.data_type()) != input.data_type {
                let message =
                    format!("the column is {:?}, but was fitted as {:?}", column.data_type(), input.data_type);
                return Err(Failure::data(message).in_column(&input.name));
            }
        }
        Ok(())
    }

    fn categorical(
        &self,
        text: &Categorical,
        codes: &PreparedText,
        input: usize,
        batch: &BatchView<'_>,
        features: &mut [f64],
        touched: &mut Touched,
    ) -> Result<(), Failure> {
        // `State::check` has checked that the columns of all steps are inputs, and `check_inputs`
        // that inputs are columns.
        let (column, rows) = (&batch.columns[input], batch.len());
        let mut never_seen = 0;
        each_known_code(column, rows, &codes.categories, |row, code| {
            let code = match code {
                MISSING if codes.refuses_missing => {
                    return Err(Failure::data("a value is missing").in_column(&text.column).at_row(row as u64));
                }
                UNSEEN if text.unseen == Unseen::Error => {
                    let fault = Failure::data("the training rows had no such category").in_column(&text.column);
                    return Err(fault.at_row(row as u64).with_value(shown(column, row)));
                }
                MISSING => {
                    touched.missing += 1;
                    never_seen += u64::from(text.missing == MissingText::Unseen);
                    codes.of_missing
                }
                UNSEEN => {
                    touched.unseen += 1;
                    never_seen += 1;
                    codes.of_unseen
                }
                known => Some(known),
            };
            match (text.encoding, code) {
                (Encoding::Ordinal, code) => features[row] = code.map_or(-1.0, f64::from),
                (Encoding::OneHot, Some(code)) => features[code as usize * rows + row] = 1.0,
                (Encoding::OneHot, None) => {}
            }
            Ok(())
        })?;
        if never_seen > 0 {
            tracking::count(tracking::UNSEEN, input, never_seen);
        }
        Ok(())
    }
}

impl Prepared {
    /// Prepares a step whose first feature is `first`.
    fn new(step: &Step, state: &State, first: usize) -> Self {
        let input = |name: &str| state.input(name).unwrap_or_default();
        match step {
            Step::Numeric(numeric) => {
                let columns = numeric.source.columns();
                let place = |place: usize| columns.get(place).or(columns.first()).map_or(0, |name| input(name));
                Self { inputs: [place(0), place(1)], features: first..first + 1, text: None }
            }
            Step::Categorical(text) => {
                let width = if text.encoding == Encoding::Ordinal { 1 } else { text.codes() };
                Self {
                    inputs: [input(&text.column); 2],
                    features: first..first + width,
                    text: Some(PreparedText::new(text)),
                }
            }
        }
    }
}

impl PreparedText {
    fn new(text: &Categorical) -> Self {
        let categories: Categories = text.categories.iter().collect();
        let of_unseen = (text.unseen == Unseen::Bucket).then(|| text.codes() as u32 - 1);
        let of_missing = match &text.missing {
            MissingText::Fill(category) => categories.find(category.as_bytes()),
            MissingText::Category => Some(text.categories.len() as u32),
            MissingText::Unseen | MissingText::Error => of_unseen,
        };
        let refuses_missing =
            text.missing == MissingText::Error || (text.missing == MissingText::Unseen && text.unseen == Unseen::Error);
        Self { categories, of_unseen, of_missing, refuses_missing }
    }
}

fn write_numeric(
    numeric: &Numeric,
    inputs: [usize; 2],
    batch: &BatchView<'_>,
    values: &mut [f64],
    touched: &mut Touched,
) -> Result<(), Failure> {
    let blame = |failure: Failure| failure.in_column(&numeric.name);
    write_source(&numeric.source, &inputs.map(|input| batch.columns[input]), values)?;
    if let Some([low, high]) = numeric.clip {
        touched.clipped +=
            values.iter().map(|value| usize::from(*value < low) + usize::from(*value > high)).sum::<usize>();
        // Comparisons keep NaN.
        values.iter_mut().for_each(|value| *value = value.clamp(low, high));
    } else {
        refuse_infinite(0, values).map_err(blame)?;
    }
    let missing = values.iter().map(|value| usize::from(value.is_nan())).sum::<usize>();
    if missing > 0 {
        match numeric.missing {
            MissingNumber::Keep => {}
            MissingNumber::Fill(fill) => {
                touched.missing += missing;
                values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = fill);
            }
            MissingNumber::Error => {
                let row = values.iter().position(|value| value.is_nan()).unwrap_or_default();
                return Err(blame(Failure::data("a value is missing").at_row(row as u64)));
            }
        }
    }
    if (numeric.center, numeric.scale) != (0.0, 1.0) {
        let (center, scale) = (numeric.center, numeric.scale);
        values.iter_mut().for_each(|value| *value = (*value - center) / scale);
    }
    Ok(())
}
