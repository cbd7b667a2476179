//! Types and numbers of JSON, as JSON Schema defines them: 1 and 1.0 are equal, and both are
//! integers.

use serde_json::{Number, Value as Json};

/// Returns a finite number.
pub(super) fn number(value: &Json) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

/// Returns a count. One above `u64::MAX` is lowered to it.
pub(super) fn count(value: &Json) -> Option<u64> {
    let whole = |number: &f64| *number >= 0.0 && number.fract() == 0.0;
    // A cast from a float saturates.
    value.as_u64().or_else(|| number(value).filter(whole).map(|number| number as u64))
}

pub(super) fn is_of_type(types: &Json, value: &Json) -> bool {
    let is = |name: &str| match value {
        Json::Null => name == "null",
        Json::Bool(_) => name == "boolean",
        Json::String(_) => name == "string",
        Json::Array(_) => name == "array",
        Json::Object(_) => name == "object",
        Json::Number(it) => {
            name == "number"
                || name == "integer" && (!it.is_f64() || number(value).is_some_and(|number| number.fract() == 0.0))
        }
    };
    match types {
        Json::String(name) => is(name),
        Json::Array(names) => names.iter().filter_map(Json::as_str).any(is),
        _ => true,
    }
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

pub(super) fn compare(one: &Number, two: &Number) -> Option<std::cmp::Ordering> {
    match (whole(one), whole(two)) {
        (Some(one), Some(two)) => Some(one.cmp(&two)),
        _ => one.as_f64()?.partial_cmp(&two.as_f64()?),
    }
}

pub(super) fn is_multiple(value: &Number, of: &Number) -> bool {
    match (whole(value), whole(of)) {
        (Some(value), Some(of)) => of != 0 && value % of == 0,
        _ => {
            let Some((value, of)) = value.as_f64().zip(of.as_f64()) else { return false };
            let times = value / of;
            // 0.3 counts as a multiple of 0.1, although no float division gives 3.
            times.is_finite() && (times - times.round()).abs() <= 1e-9 * times.abs().max(1.0)
        }
    }
}
