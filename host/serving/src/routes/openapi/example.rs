//! Rows that a model accepts.

use serde_json::{Map, Number, Value};
use stagewright_data::RequestFault;
use stagewright_store::{DataType, Field};

use crate::known_values::Known;
use crate::served_version::ServedVersion;

/// Values of each type, of which one is no null token in all likelihood.
const ROUNDS: usize = 4;

/// Returns a row that the version's decoder accepts: of values that the model knows, or else of
/// values of the features' types. The decoder has the last word, because any of them may be a null
/// token of the signature.
pub(super) fn row(version: &ServedVersion) -> Map<String, Value> {
    let fields = version.decoder.features().fields();
    let of = |field: &Field, round: usize| value(field, version.known_values.of(&field.name), round);
    let mut row: Map<String, Value> = fields.iter().map(|field| (field.name.clone(), of(field, 0))).collect();
    for round in 1..ROUNDS {
        let text = Value::Object(row.clone()).to_string();
        let Err(RequestFault::Rows { errors, .. }) = version.decoder.json(text.as_bytes()) else { break };
        for name in errors.into_iter().filter_map(|error| error.field) {
            if let Some(field) = fields.iter().find(|field| field.name == name) {
                row.insert(name, of(field, round));
            }
        }
    }
    row
}

/// Returns a value of a feature. Each round gives another one.
fn value(field: &Field, known: Option<&Known>, round: usize) -> Value {
    match known {
        Some(Known::Categories { values, .. }) if let Some(category) = values.get(round) => category.as_str().into(),
        Some(Known::Number(number)) if round == 0 => {
            typical(field.data_type, *number).unwrap_or_else(|| synthetic(field.data_type, round))
        }
        _ => synthetic(field.data_type, round),
    }
}

/// Returns a number as a value of a type, rounded to what a person would write.
fn typical(data_type: DataType, number: f64) -> Option<Value> {
    let short = || format!("{number:.4e}").parse().ok().and_then(Number::from_f64);
    match data_type {
        DataType::Boolean => Some((number >= 0.5).into()),
        // Beyond this, doubles are not exact.
        DataType::Int64 if number.abs() < 9e15 => Some((number.round() as i64).into()),
        DataType::Float64 => short().map(Value::Number),
        DataType::Utf8 | DataType::Categorical => short().map(|number| number.to_string().into()),
        DataType::Int64 | DataType::Timestamp => None,
    }
}

fn synthetic(data_type: DataType, round: usize) -> Value {
    match data_type {
        DataType::Boolean => round.is_multiple_of(2).into(),
        DataType::Int64 => [1, 2, 10, 7][round % ROUNDS].into(),
        DataType::Float64 => [1.5, 2.25, 10.75, 7.125][round % ROUNDS].into(),
        DataType::Utf8 | DataType::Categorical => ["text", "a", "word", "value"][round % ROUNDS].into(),
        DataType::Timestamp => format!("2026-01-0{}T12:00:00Z", round + 1).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_a_model_knows_are_shown_as_a_person_would_write_them() {
        let number =
            |data_type, number| value(&Field::new("f", data_type), Some(&Known::Number(number)), 0).to_string();
        assert_eq!(number(DataType::Int64, 32.42), "32");
        assert_eq!(number(DataType::Int64, 1e300), "1", "no such integer");
        assert_eq!(number(DataType::Float64, 64.798_123_4), "64.798");
        assert_eq!(number(DataType::Float64, 1_397.474_999), "1397.5");
        assert_eq!(number(DataType::Float64, f64::NAN), "1.5");
        assert_eq!(number(DataType::Utf8, 3.0), "\"3.0\"");
        assert_eq!(number(DataType::Boolean, 0.7), "true");
        assert_eq!(number(DataType::Timestamp, 1.7e9), "\"2026-01-01T12:00:00Z\"");
    }

    #[test]
    fn each_round_gives_another_value() {
        let known = Known::Categories { values: vec!["Female".into(), "Male".into()], is_closed: true };
        let field = Field::new("gender", DataType::Utf8);
        let of = |round| value(&field, Some(&known), round);
        assert_eq!([of(0), of(1), of(2)], ["Female", "Male", "word"]);
        for data_type in DataType::ALL {
            assert_ne!(synthetic(data_type, 0), synthetic(data_type, 1), "{data_type}");
        }
    }
}
