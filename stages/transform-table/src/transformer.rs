//! Transforms raw rows into features. Row-wise: the features of a row depend on that row and on the
//! state only.

use stagewright_kit::{Batch, Column, DataType, Failure, Field, debug, tracking};

use crate::categories::Categories;
use crate::parameters::{Encoding, Unseen};
use crate::reading::{MISSING, UNSEEN, known_codes, refuse_infinite, shown, source_values};
use crate::state::{Categorical, InputType, MissingNumber, MissingText, Numeric, State, Step};

/// A state that is prepared for transforming.
#[derive(Debug)]
pub(crate) struct Transformer {
    state: State,
    names: Vec<String>,
    /// For each step: the categories of a column of text, or nothing for a number.
    categories: Vec<Categories>,
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
        let of_step = |step: &Step| match step {
            Step::Numeric(_) => Categories::default(),
            Step::Categorical(text) => text.categories.iter().collect(),
        };
        for step in &state.steps {
            if let Step::Categorical(text) = step {
                tracking::count(tracking::UNSEEN, state.input(&text.column).unwrap_or_default(), 0);
            }
        }
        Ok(Self { names: state.feature_names(), categories: state.steps.iter().map(of_step).collect(), state })
    }

    /// Returns the fields of the features: one float64 column each, not nullable. Missing values
    /// that are kept are NaN.
    pub(crate) fn fields(&self) -> Vec<Field> {
        self.names.iter().map(|name| Field::required(name, DataType::Float64)).collect()
    }

    /// # Errors
    /// `data`, with column and row, for values that the parameters declare an error; `internal` if
    /// the batch does not have the columns that `fit` saw.
    pub(crate) fn transform(&self, batch: &Batch) -> Result<Batch, Failure> {
        self.check_inputs(batch)?;
        let mut features = Vec::with_capacity(self.names.len());
        let mut touched = Touched::default();
        for (step, categories) in self.state.steps.iter().zip(&self.categories) {
            match step {
                Step::Numeric(numeric) => features.push(Column::from(self.numeric(numeric, batch, &mut touched)?)),
                Step::Categorical(text) => self.categorical(text, categories, batch, &mut features, &mut touched)?,
            }
        }
        let Touched { missing, clipped, unseen } = touched;
        if missing + clipped + unseen > 0 {
            debug!(
                "{} rows: {missing} missing values filled, {clipped} clipped, {unseen} unseen categories",
                batch.rows
            );
        }
        Ok(Batch::new(batch.rows, features))
    }

    fn check_inputs(&self, batch: &Batch) -> Result<(), Failure> {
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

    fn column<'a>(&self, batch: &'a Batch, name: &str) -> &'a Column {
        // `State::check` has checked that the columns of all steps are inputs, and `check_inputs`
        // that inputs are columns.
        &batch.columns[self.state.input(name).unwrap_or_default()]
    }

    fn numeric(&self, numeric: &Numeric, batch: &Batch, touched: &mut Touched) -> Result<Vec<f64>, Failure> {
        let blame = |failure: Failure| failure.in_column(&numeric.name);
        let mut values = source_values(&numeric.source, |name| self.column(batch, name), batch.len())?;
        if let Some([low, high]) = numeric.clip {
            touched.clipped += values.iter().filter(|value| **value < low || **value > high).count();
            // Comparisons keep NaN.
            values.iter_mut().for_each(|value| *value = value.clamp(low, high));
        } else {
            refuse_infinite(0, &values).map_err(blame)?;
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
        Ok(values)
    }

    fn categorical(
        &self,
        text: &Categorical,
        categories: &Categories,
        batch: &Batch,
        features: &mut Vec<Column>,
        touched: &mut Touched,
    ) -> Result<(), Failure> {
        let column = self.column(batch, &text.column);
        let codes = known_codes(column, batch.len(), categories)?;
        let of_unseen = if text.unseen == Unseen::Bucket { Some(text.codes() as u32 - 1) } else { None };
        let of_missing = match &text.missing {
            MissingText::Fill(category) => categories.find(category.as_bytes()),
            MissingText::Category => Some(text.categories.len() as u32),
            MissingText::Unseen | MissingText::Error => of_unseen,
        };
        let mut never_seen = 0;
        let mut final_codes = Vec::with_capacity(codes.len());
        for (row, code) in codes.into_iter().enumerate() {
            final_codes.push(match code {
                MISSING
                    if text.missing == MissingText::Error
                        || (text.missing == MissingText::Unseen && text.unseen == Unseen::Error) =>
                {
                    return Err(Failure::data("a value is missing").in_column(&text.column).at_row(row as u64));
                }
                UNSEEN if text.unseen == Unseen::Error => {
                    let fault = Failure::data("the training rows had no such category").in_column(&text.column);
                    return Err(fault.at_row(row as u64).with_value(shown(column, row)));
                }
                MISSING => {
                    touched.missing += 1;
                    never_seen += u64::from(text.missing == MissingText::Unseen);
                    of_missing
                }
                UNSEEN => {
                    touched.unseen += 1;
                    never_seen += 1;
                    of_unseen
                }
                known => Some(known),
            });
        }
        if never_seen > 0 {
            tracking::count(tracking::UNSEEN, self.state.input(&text.column).unwrap_or_default(), never_seen);
        }
        match text.encoding {
            Encoding::Ordinal => features.push(Column::from(
                final_codes.into_iter().map(|code| code.map_or(-1.0, f64::from)).collect::<Vec<_>>(),
            )),
            Encoding::OneHot => {
                let mut columns = vec![vec![0.0; final_codes.len()]; text.codes()];
                for (row, code) in final_codes.into_iter().enumerate() {
                    if let Some(code) = code {
                        columns[code as usize][row] = 1.0;
                    }
                }
                features.extend(columns.into_iter().map(Column::from));
            }
        }
        Ok(())
    }
}
