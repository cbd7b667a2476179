//! Gathers rows of the kept table in any order.

use std::collections::BTreeMap;

use stagewright_kit::{Categorical, Column, DataType, Failure, Strings, Values, bitmap};

/// The position of a row in the kept table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) batch: u32,
    pub(crate) row: u32,
}

/// Returns the values of a column at these positions, and null for `None`. `kept` is the column in
/// batches.
pub(crate) fn gather(kept: &[&Column], data_type: DataType, places: &[Option<Place>]) -> Result<Column, Failure> {
    let at = |place: &Option<Place>| {
        let Place { batch, row } = (*place)?;
        let column = kept[batch as usize];
        Some((column, row as usize)).filter(|(column, row)| !column.is_null(*row))
    };
    let rows: Vec<Option<(&Column, usize)>> = places.iter().map(at).collect();
    let values = match data_type {
        DataType::Boolean => Values::Boolean(bitmap::pack(rows.iter().map(|row| row.is_some_and(bit)))),
        DataType::Int64 => Values::Int64(integers(&rows)),
        DataType::Timestamp => Values::Timestamp(integers(&rows)),
        DataType::Float64 => {
            let number = |(column, row): (&Column, usize)| column.as_f64().map_or(0.0, |numbers| numbers[row]);
            Values::Float64(rows.iter().map(|row| row.map_or(0.0, number)).collect())
        }
        DataType::Utf8 => Values::Utf8(Strings::collect(texts(&rows)?)),
        DataType::Categorical => Values::Categorical(categories(&texts(&rows)?)),
    };
    Ok(Column { values, validity: Some(bitmap::pack(rows.iter().map(Option::is_some))) })
}

fn bit((column, row): (&Column, usize)) -> bool {
    matches!(&column.values, Values::Boolean(bits) if bitmap::get(bits, row))
}

fn integers(rows: &[Option<(&Column, usize)>]) -> Vec<i64> {
    let number = |(column, row): (&Column, usize)| column.as_i64().map_or(0, |numbers| numbers[row]);
    rows.iter().map(|row| row.map_or(0, number)).collect()
}

fn texts<'a>(rows: &[Option<(&'a Column, usize)>]) -> Result<Vec<&'a str>, Failure> {
    let text = |row: &Option<(&'a Column, usize)>| {
        let Some((column, row)) = *row else { return Ok("") };
        Ok(column.as_text()?.and_then(|text| text.get(row)).unwrap_or_default())
    };
    rows.iter().map(text).collect()
}

/// Returns categories in the order of the rows. The categories of the batches are renumbered.
fn categories(texts: &[&str]) -> Categorical {
    let mut numbers: BTreeMap<&str, i32> = BTreeMap::new();
    let mut known: Vec<&str> = Vec::new();
    let mut codes = Vec::with_capacity(texts.len());
    for &text in texts {
        let code = *numbers.entry(text).or_insert_with(|| {
            known.push(text);
            known.len() as i32 - 1
        });
        codes.push(code);
    }
    Categorical { codes, categories: Strings::collect(known) }
}
