//! The target column as a task needs it: classes as 0, 1, 2, ..., values as finite doubles.
//!
//! The host encodes the target, so that no stage decides which class is the positive one. Classes
//! are compared by their text; those of numeric and boolean targets by value, so that `1`, `1.0`
//! and `true` mean what they say.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array};
use serde::{Deserialize, Serialize};
use stagewright_store::DataType;

use crate::cell::{Cell, parse_boolean, parse_float64, parse_int64};
use crate::error::{DataError, DataFault, listed, shown};
use crate::values::Values;

/// With more distinct values than this, the target is probably not categorical.
const MAX_CLASSES: usize = 1000;

/// The kind of task, as the manifest declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum TaskKind {
    /// Two classes, of which `positive` is class 1.
    Binary {
        /// The positive class as the data names it.
        positive: String,
    },
    /// Two classes or more.
    MultiClass,
    /// A number.
    Regression,
}

/// A task with its classes, as `task` in `wit/types.wit`. It is stored with a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Task {
    /// The target is int64: 0 or 1, never null.
    Binary {
        /// The name of class 0 in the data.
        negative: String,
        /// The name of class 1 in the data.
        positive: String,
    },
    /// The target is int64: an index into `classes`, never null.
    MultiClass {
        /// The classes, sorted by the bytes of their text.
        classes: Vec<String>,
    },
    /// The target is float64: finite, never null.
    Regression,
}

impl TaskKind {
    /// Returns the name of the kind in manifests and messages.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Binary { .. } => "binary",
            Self::MultiClass => "multi-class",
            Self::Regression => "regression",
        }
    }

    /// Reads the whole target column, given as arrays in order, and finds its classes.
    ///
    /// # Errors
    /// [`DataError::Fault`] for a null (with its row), for a single class, and for another number
    /// of classes than two in a binary task; [`DataError::Plan`] if the positive class is not among
    /// the classes.
    pub fn with_classes<E: From<DataError>>(
        &self,
        column: &str,
        arrays: impl IntoIterator<Item = Result<ArrayRef, E>>,
    ) -> Result<Task, E> {
        let positive = match self {
            Self::Regression => return Ok(Task::Regression),
            Self::Binary { positive } => Some(positive),
            Self::MultiClass => None,
        };
        let mut classes = BTreeSet::new();
        let mut data_type = None;
        let mut first_row = 0;
        for array in arrays {
            let array = array?;
            data_type = DataType::from_arrow(array.data_type());
            collect_classes(&array, column, first_row, &mut classes)?;
            first_row += array.len() as u64;
        }
        let classes: Vec<String> = classes.into_iter().collect();
        Ok(match positive {
            Some(positive) => binary(column, &classes, &class_named(positive, data_type))?,
            None => multi_class(column, classes)?,
        })
    }
}

fn collect_classes(
    array: &ArrayRef,
    column: &str,
    first_row: u64,
    classes: &mut BTreeSet<String>,
) -> Result<(), DataError> {
    let values = Values::of(array)?;
    for offset in 0..array.len() {
        let row = first_row + offset as u64;
        with_class(values.cell(offset), column, row, |class| {
            if !classes.contains(class) {
                classes.insert(class.to_owned());
            }
        })?;
        if classes.len() > MAX_CLASSES {
            let fault = DataFault::new(format!(
                "the target has more than {MAX_CLASSES} classes\nhint: is the task `regression`?"
            ));
            return Err(fault.in_column(column).into());
        }
    }
    Ok(())
}

fn binary(column: &str, classes: &[String], positive: &str) -> Result<Task, DataError> {
    match classes {
        [first, second] => {
            let negative = if first == positive { second } else { first };
            if first != positive && second != positive {
                let message = format!(
                    "the target `{}` has no class `{}`; it has {}",
                    shown(column),
                    shown(positive),
                    listed(classes)
                );
                return Err(DataError::plan(message, "name one of them as the positive class"));
            }
            Ok(Task::Binary { negative: negative.clone(), positive: positive.to_owned() })
        }
        [] => Err(DataFault::new("the target has no rows, and so no classes").in_column(column).into()),
        [only] => Err(one_class(column, only)),
        many => {
            let message = format!("a binary target has two classes, and this one has {}: {}", many.len(), listed(many));
            Err(DataFault::new(message).in_column(column).into())
        }
    }
}

fn multi_class(column: &str, classes: Vec<String>) -> Result<Task, DataError> {
    match &classes[..] {
        [] => Err(DataFault::new("the target has no rows, and so no classes").in_column(column).into()),
        [only] => Err(one_class(column, only)),
        _ => Ok(Task::MultiClass { classes }),
    }
}

fn one_class(column: &str, class: &str) -> DataError {
    let message = format!("every row of the target is `{}`: from one class only, nothing can be learnt", shown(class));
    DataFault::new(message).in_column(column).into()
}

/// Returns the name of a class in a column of this type, given a label that a person wrote.
fn class_named(label: &str, data_type: Option<DataType>) -> String {
    match data_type {
        // Exact, where a double would not be.
        Some(DataType::Int64) => parse_int64(label).map_or_else(|_| label.to_owned(), |number| number.to_string()),
        Some(DataType::Float64) => parse_float64(label).map_or_else(|_| label.to_owned(), number_class),
        Some(DataType::Boolean) => parse_boolean(label).map_or_else(|_| label.to_owned(), |value| value.to_string()),
        _ => label.to_owned(),
    }
}

/// Returns `1` for 1.0: a class is the same whether a source stores it as an integer or a real.
pub(crate) fn number_class(number: f64) -> String {
    // Display writes integral doubles without a fraction; adding 0 turns -0 into 0.
    (number + 0.0).to_string()
}

/// Calls `take` with the class of a cell.
fn with_class<T>(cell: Cell<'_>, column: &str, row: u64, take: impl FnOnce(&str) -> T) -> Result<T, DataError> {
    match cell {
        Cell::Null => Err(DataFault::new("the target is missing").in_column(column).in_row(row).into()),
        Cell::Float(number) if !number.is_finite() => {
            Err(DataFault::of_value(&number.to_string(), "is no class").in_column(column).in_row(row).into())
        }
        Cell::Float(number) => Ok(take(&number_class(number))),
        cell => Ok(cell.with_text(take)),
    }
}

impl Task {
    /// Encodes rows of the target: int64 for classes, float64 for a regression. `first_row` is the
    /// number of the first row, for errors.
    ///
    /// # Errors
    /// [`DataError::Fault`] with its row for a null, an unknown class, or a value that is not
    /// finite; [`DataError::Plan`] if the target of a regression is not numeric.
    pub fn encode(&self, column: &str, array: &ArrayRef, first_row: u64) -> Result<ArrayRef, DataError> {
        let classes: Vec<&str> = match self {
            Self::Binary { negative, positive } => vec![negative, positive],
            Self::MultiClass { classes } => classes.iter().map(String::as_str).collect(),
            Self::Regression => return Ok(Arc::new(finite_values(column, array, first_row)?)),
        };
        let codes = class_codes(&classes, column, array, first_row)?;
        Ok(Arc::new(Int64Array::from(codes)))
    }
}

fn class_codes(classes: &[&str], column: &str, array: &ArrayRef, first_row: u64) -> Result<Vec<i64>, DataError> {
    let by_name: std::collections::HashMap<&str, i64> = classes.iter().copied().zip(0..).collect();
    let values = Values::of(array)?;
    let code = |offset: usize| {
        let row = first_row + offset as u64;
        let unknown = |class: &str| {
            let complaint = format!("is not a class of this task; the classes are {}", listed(classes));
            DataError::from(DataFault::of_value(class, &complaint).in_column(column).in_row(row))
        };
        with_class(values.cell(offset), column, row, |class| by_name.get(class).copied().ok_or_else(|| unknown(class)))?
    };
    (0..array.len()).map(code).collect()
}

fn finite_values(column: &str, array: &ArrayRef, first_row: u64) -> Result<Float64Array, DataError> {
    if !matches!(DataType::from_arrow(array.data_type()), Some(DataType::Int64 | DataType::Float64)) {
        let message = format!("the target `{}` of a regression is not numeric", shown(column));
        return Err(DataError::plan(message, "type it float64 or int64, or name another task"));
    }
    let values = Values::of(array)?;
    let value = |offset: usize| {
        let row = first_row + offset as u64;
        match values.cell(offset) {
            Cell::Null => Err(DataFault::new("the target is missing").in_column(column).in_row(row).into()),
            cell => match cell.to_float64() {
                Ok(number) if number.is_finite() => Ok(number),
                _ => Err(cell.with_text(|text| {
                    DataFault::of_value(text, "is not a finite number").in_column(column).in_row(row).into()
                })),
            },
        }
    };
    (0..array.len()).map(value).collect::<Result<Vec<f64>, DataError>>().map(Float64Array::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type};
    use arrow_array::{BooleanArray, StringArray};

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn classes_of(kind: &TaskKind, array: ArrayRef) -> Result<Task, DataError> {
        kind.with_classes("churn", [Ok(array)])
    }

    fn binary_of(positive: &str) -> TaskKind {
        TaskKind::Binary { positive: positive.to_owned() }
    }

    #[test]
    fn the_positive_class_is_1() {
        let array = texts(&[Some("No"), Some("Yes"), Some("No")]);
        for (positive, expected) in [("Yes", [0, 1, 0]), ("No", [1, 0, 1])] {
            let task = classes_of(&binary_of(positive), array.clone()).unwrap();
            let encoded = task.encode("churn", &array, 0).unwrap();
            assert_eq!(encoded.as_primitive::<Int64Type>().values()[..], expected);
        }
    }

    #[test]
    fn a_number_or_a_boolean_is_the_class_that_its_label_stands_for() {
        let reals: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 1.0]));
        let integers: ArrayRef = Arc::new(Int64Array::from(vec![0, 1]));
        let booleans: ArrayRef = Arc::new(BooleanArray::from(vec![false, true]));
        for array in [reals, integers, booleans] {
            for positive in ["1", " 1"] {
                let task = classes_of(&binary_of(positive), array.clone()).unwrap();
                let encoded = task.encode("churn", &array, 0).unwrap();
                assert_eq!(encoded.as_primitive::<Int64Type>().values()[..], [0, 1], "{positive} in {array:?}");
            }
        }
    }

    #[test]
    fn a_class_beyond_the_whole_numbers_of_a_double_is_found() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX - 1]));
        let task = classes_of(&binary_of("9223372036854775807"), array.clone()).unwrap();
        assert_eq!(task.encode("churn", &array, 0).unwrap().as_primitive::<Int64Type>().values()[..], [1, 0]);
    }

    #[test]
    fn a_binary_target_has_two_classes_and_the_error_names_what_was_found() {
        for (values, message) in [
            (
                vec![Some("No"), Some("No")],
                "column `churn`: every row of the target is `No`: from one class only, nothing can be learnt",
            ),
            (vec![Some("No"), None], "column `churn`, data row 2: the target is missing"),
            (
                vec![Some("No"), Some("Yes"), Some("Maybe")],
                "column `churn`: a binary target has two classes, and this one has 3: `Maybe`, `No`, `Yes`",
            ),
            (
                vec![Some("no"), Some("yes")],
                "the target `churn` has no class `Yes`; it has `no`, `yes`\nhint: name one of them as the positive class",
            ),
            (vec![], "column `churn`: the target has no rows, and so no classes"),
        ] {
            assert_eq!(classes_of(&binary_of("Yes"), texts(&values)).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn classes_are_numbered_in_the_order_of_their_names() {
        let array = texts(&[Some("red"), Some("blue"), Some("green")]);
        let task = classes_of(&TaskKind::MultiClass, array.clone()).unwrap();
        assert_eq!(task, Task::MultiClass { classes: ["blue", "green", "red"].map(String::from).to_vec() });
        assert_eq!(task.encode("colour", &array, 0).unwrap().as_primitive::<Int64Type>().values()[..], [2, 0, 1]);
    }

    #[test]
    fn a_class_that_the_task_does_not_have_is_a_fault_with_its_row() {
        let task = Task::Binary { negative: "No".to_owned(), positive: "Yes".to_owned() };
        let error = task.encode("churn", &texts(&[Some("Yes"), Some("?")]), 100).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column `churn`, data row 102: `?` is not a class of this task; the classes are `No`, `Yes`"
        );
    }

    #[test]
    fn a_regression_takes_finite_numbers_alone() {
        let integers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let encoded = Task::Regression.encode("price", &integers, 0).unwrap();
        assert_eq!(encoded.as_primitive::<Float64Type>().values()[..], [1.0, 2.0]);
        let infinite: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::INFINITY]));
        let error = Task::Regression.encode("price", &infinite, 0).unwrap_err();
        assert_eq!(error.to_string(), "column `price`, data row 2: `inf` is not a finite number");
        assert!(Task::Regression.encode("price", &texts(&[Some("1")]), 0).is_err());
    }
}
