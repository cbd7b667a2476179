//! The types of a PostgreSQL server, and their values as cells.
//!
//! Values come in the server's binary form, which is exact and does not depend on settings such as
//! `DateStyle`. `docs/types.md` has the rules as a table.

use serde::{Deserialize, Serialize};

use crate::cell::{Cell, OUTSIDE_CALENDAR, in_calendar};
use crate::error::DataFault;

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;
/// The days from 1970 to 2000, which the server counts from.
const DAYS_TO_2000: i64 = 10_957;
/// The decimal digits of one digit of a `numeric`.
const DIGITS: usize = 4;

const LENGTH: &str = "the value has another length than its type";

/// The type of a column whose values are cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HeldType {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    /// `text`, `varchar`, `name`, `json`, `citext`, and the label of an enumeration.
    Text,
    /// `char(n)`, whose padding is not part of the value.
    Bpchar,
    Jsonb,
    Uuid,
    Date,
    /// `timestamp`, which is in UTC, and `timestamptz`.
    Timestamp,
}

impl HeldType {
    /// Returns the type that the server calls by this name; `None` if its values are no cells.
    #[cfg(any(feature = "postgres", test))]
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "bool" => Self::Bool,
            "int2" => Self::Int2,
            "int4" => Self::Int4,
            "int8" => Self::Int8,
            "float4" => Self::Float4,
            "float8" => Self::Float8,
            "numeric" => Self::Numeric,
            "text" | "varchar" | "name" | "json" | "citext" | "unknown" => Self::Text,
            "bpchar" => Self::Bpchar,
            "jsonb" => Self::Jsonb,
            "uuid" => Self::Uuid,
            "date" => Self::Date,
            "timestamp" | "timestamptz" => Self::Timestamp,
            _ => return None,
        })
    }

    /// Returns a value as a cell. `text` is room for a text that is not among the bytes.
    ///
    /// # Errors
    /// The bytes are no value of the type, or one that no table holds.
    pub(crate) fn cell<'a>(self, bytes: &'a [u8], text: &'a mut String) -> Result<Cell<'a>, DataFault> {
        let malformed = || DataFault::new(LENGTH);
        Ok(match self {
            Self::Bool => match bytes {
                [0] => Cell::Boolean(false),
                [1] => Cell::Boolean(true),
                _ => return Err(malformed()),
            },
            Self::Int2 => Cell::Integer(i16::from_be_bytes(fixed(bytes)?).into()),
            Self::Int4 => Cell::Integer(i32::from_be_bytes(fixed(bytes)?).into()),
            Self::Int8 => Cell::Integer(i64::from_be_bytes(fixed(bytes)?)),
            Self::Float4 => Cell::Float(f32::from_be_bytes(fixed(bytes)?).into()),
            Self::Float8 => Cell::Float(f64::from_be_bytes(fixed(bytes)?)),
            Self::Numeric => return numeric(bytes, text),
            Self::Text => Cell::Text(utf8(bytes)?),
            Self::Bpchar => Cell::Text(utf8(bytes)?.trim_end_matches(' ')),
            Self::Jsonb => match bytes {
                // The version of the form.
                [1, json @ ..] => Cell::Text(utf8(json)?),
                _ => return Err(DataFault::new("the value is no jsonb of version 1")),
            },
            Self::Uuid => {
                let bytes: [u8; 16] = fixed(bytes)?;
                text.clear();
                for (at, byte) in bytes.iter().enumerate() {
                    if matches!(at, 4 | 6 | 8 | 10) {
                        text.push('-');
                    }
                    text.extend(
                        [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])),
                    );
                }
                Cell::Text(text)
            }
            Self::Date => match i32::from_be_bytes(fixed(bytes)?) {
                i32::MAX => return Err(infinite("infinity")),
                i32::MIN => return Err(infinite("-infinity")),
                days => Cell::Timestamp((i64::from(days) + DAYS_TO_2000) * MICROSECONDS_PER_DAY).in_calendar()?,
            },
            Self::Timestamp => match i64::from_be_bytes(fixed(bytes)?) {
                i64::MAX => return Err(infinite("infinity")),
                i64::MIN => return Err(infinite("-infinity")),
                since => Cell::Timestamp(since.saturating_add(DAYS_TO_2000 * MICROSECONDS_PER_DAY)).in_calendar()?,
            },
        })
    }
}

impl<'a> Cell<'a> {
    /// Refuses a time that has no text form.
    fn in_calendar(self) -> Result<Cell<'a>, DataFault> {
        match self {
            Cell::Timestamp(microseconds) if !in_calendar(microseconds) => {
                Err(DataFault::of_value(&format!("{microseconds} microseconds since 1970"), OUTSIDE_CALENDAR))
            }
            cell => Ok(cell),
        }
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], DataFault> {
    bytes.try_into().map_err(|_| DataFault::new(LENGTH))
}

fn utf8(bytes: &[u8]) -> Result<&str, DataFault> {
    let hint = "the text is not UTF-8\nhint: the database's encoding is SQL_ASCII; convert the column in a query, e.g. `convert_from(x::bytea, 'LATIN1')`";
    std::str::from_utf8(bytes).map_err(|_| DataFault::new(hint))
}

fn infinite(value: &str) -> DataFault {
    let message = "is no time\nhint: make it null in a query: `NULLIF(x, 'infinity')`";
    DataFault::of_value(value, message)
}

/// Returns a `numeric` with all digits of the column, as text; NaN and the infinities as floats.
///
/// The form is four numbers of 16 bits (how many digits, the weight of the first, the sign, how
/// many decimal digits follow the point) and the digits to base 10,000.
fn numeric<'a>(bytes: &[u8], text: &'a mut String) -> Result<Cell<'a>, DataFault> {
    let malformed = || DataFault::new("the value is no numeric");
    let (words, []) = bytes.as_chunks::<2>() else { return Err(malformed()) };
    let [digits, weight, sign, scale, base @ ..] = words else { return Err(malformed()) };
    let weight = i64::from(i16::from_be_bytes(*weight));
    let scale = usize::from(u16::from_be_bytes(*scale));
    text.clear();
    match u16::from_be_bytes(*sign) {
        0x0000 => {}
        0x4000 => text.push('-'),
        0xC000 => return Ok(Cell::Float(f64::NAN)),
        0xD000 => return Ok(Cell::Float(f64::INFINITY)),
        0xF000 => return Ok(Cell::Float(f64::NEG_INFINITY)),
        _ => return Err(malformed()),
    }
    if usize::from(u16::from_be_bytes(*digits)) != base.len() {
        return Err(malformed());
    }
    let digit = |place: i64| -> Result<u16, DataFault> {
        let at = usize::try_from(weight - place).ok();
        let digit = at.and_then(|at| base.get(at)).map_or(0, |digit| u16::from_be_bytes(*digit));
        if digit < 10_000 { Ok(digit) } else { Err(malformed()) }
    };
    if weight < 0 {
        text.push('0');
    }
    for place in (0..=weight).rev() {
        let digit = digit(place)?;
        if place == weight {
            text.push_str(&digit.to_string());
        } else {
            text.push_str(&format!("{digit:04}"));
        }
    }
    if scale > 0 {
        text.push('.');
        let end = text.len() + scale;
        for place in 1..=scale.div_ceil(DIGITS) {
            let place = i64::try_from(place).map_err(|_| malformed())?;
            text.push_str(&format!("{:04}", digit(-place)?));
        }
        text.truncate(end);
    }
    Ok(Cell::Text(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell_text(held: HeldType, bytes: &[u8]) -> Result<String, String> {
        let mut text = String::new();
        let cell = held.cell(bytes, &mut text).map_err(|fault| fault.to_string())?;
        Ok(cell.with_text(str::to_owned))
    }

    fn numeric_bytes(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Vec<u8> {
        let head = [digits.len() as u16, weight as u16, sign, scale];
        head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_numeric_keeps_all_of_its_digits() {
        for (weight, sign, scale, digits, text) in [
            (0, 0, 2, &[12, 3400][..], "12.34"),
            (0, 0x4000, 1, &[10, 5000], "-10.5"),
            (0, 0, 0, &[], "0"),
            (0, 0, 3, &[], "0.000"),
            (-1, 0, 4, &[5], "0.0005"),
            (-3, 0, 12, &[1], "0.000000000001"),
            (1, 0, 0, &[1], "10000"),
            (2, 0, 5, &[1, 0, 1, 1, 2000], "100000001.00012"),
            (0, 0, 1, &[3, 1230], "3.1"),
        ] {
            assert_eq!(cell_text(HeldType::Numeric, &numeric_bytes(weight, sign, scale, digits)).as_deref(), Ok(text));
        }
        for (sign, text) in [(0xC000, "NaN"), (0xD000, "inf"), (0xF000, "-inf")] {
            assert_eq!(cell_text(HeldType::Numeric, &numeric_bytes(0, sign, 0, &[])).as_deref(), Ok(text));
        }
        for bytes in [
            &[][..],
            &[0; 7],
            &numeric_bytes(0, 1, 0, &[]),
            &numeric_bytes(0, 0, 0, &[10_000]),
            &[0, 9, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(cell_text(HeldType::Numeric, bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn times_count_from_2000_and_infinities_are_faults() {
        assert_eq!(cell_text(HeldType::Date, &0_i32.to_be_bytes()).as_deref(), Ok("2000-01-01T00:00:00Z"));
        assert_eq!(cell_text(HeldType::Date, &(-1_i32).to_be_bytes()).as_deref(), Ok("1999-12-31T00:00:00Z"));
        assert_eq!(
            cell_text(HeldType::Timestamp, &1_500_000_i64.to_be_bytes()).as_deref(),
            Ok("2000-01-01T00:00:01.5Z")
        );
        for (held, bytes) in
            [(HeldType::Date, i32::MAX.to_be_bytes().to_vec()), (HeldType::Timestamp, i64::MIN.to_be_bytes().to_vec())]
        {
            let fault = cell_text(held, &bytes).unwrap_err();
            assert!(fault.contains("infinity") && fault.contains("NULLIF"), "{fault}");
        }
        for far in [i64::MAX - 1, i64::MIN + 1, 300_000_000_000_000_000] {
            let fault = cell_text(HeldType::Timestamp, &far.to_be_bytes()).unwrap_err();
            assert!(fault.contains("outside the years"), "{fault}");
        }
    }

    #[test]
    fn a_value_of_a_wrong_length_is_a_fault() {
        for held in [HeldType::Bool, HeldType::Int2, HeldType::Int4, HeldType::Int8, HeldType::Float4, HeldType::Uuid] {
            assert!(cell_text(held, &[7; 3]).is_err(), "{held:?}");
        }
        assert!(cell_text(HeldType::Text, b"\xff").unwrap_err().contains("not UTF-8"));
        assert_eq!(cell_text(HeldType::Bpchar, b"ab  ").as_deref(), Ok("ab"));
        assert_eq!(cell_text(HeldType::Jsonb, b"\x01{}").as_deref(), Ok("{}"));
        assert!(cell_text(HeldType::Jsonb, b"\x02{}").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_cell_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            for held in [HeldType::Numeric, HeldType::Timestamp, HeldType::Jsonb, HeldType::Date, HeldType::Uuid] {
                let _ = cell_text(held, &bytes);
            }
        }

        #[test]
        fn a_decimal_number_survives(unscaled in any::<i64>(), scale in 0_u16..30) {
            // Digits to base 10,000, as the server makes them of the text.
            let sign = if unscaled < 0 { 0x4000 } else { 0 };
            let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = usize::from(scale) + 1);
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
            let padded_whole = format!("{whole:0>width$}", width = whole.len().div_ceil(4) * 4);
            let padded = format!("{padded_whole}{fraction:0<width$}", width = fraction.len().div_ceil(4) * 4);
            let base: Vec<u16> = padded.as_bytes().chunks(4).map(|four| std::str::from_utf8(four).unwrap().parse().unwrap()).collect();
            let weight = i16::try_from(padded_whole.len() / 4).unwrap() - 1;
            let text = cell_text(HeldType::Numeric, &numeric_bytes(weight, sign, scale, &base)).unwrap();
            let minus = if unscaled < 0 { "-" } else { "" };
            let point = if scale > 0 { "." } else { "" };
            prop_assert_eq!(text, format!("{minus}{whole}{point}{fraction}"));
        }
    }
}
