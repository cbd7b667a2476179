//! The one pass finds what naive loops over all rows find, however the rows are cut into batches.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use stagewright_kit::{Assessing, Batch, Column, Field, Inputs, MemoryTable, Role, Settings, Table, parameters};

use super::boundaries::one;
use crate::Checks;

type Row = (Option<i64>, Option<f64>, Option<String>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let number = prop_oneof![4 => (-3_i64..4).prop_map(Some), 1 => Just(None)];
    let float = prop_oneof![4 => (-3_i32..4).prop_map(|it| Some(f64::from(it) / 2.0)), 1 => Just(None), 1 => Just(Some(f64::NAN))];
    let text = prop_oneof![4 => "[ab]{0,2}".prop_map(Some), 1 => Just(None)];
    prop::collection::vec((number, float, text), 1..60)
}

/// Makes a table whose batches have `cut` rows.
fn table(rows: &[Row], cut: usize, is_categorical: bool) -> MemoryTable {
    let batches = rows.chunks(cut).map(|rows| {
        let numbers = Column::from(rows.iter().map(|row| row.0.unwrap_or(77)).collect::<Vec<_>>());
        let floats = Column::from(rows.iter().map(|row| row.1.unwrap_or(77.0)).collect::<Vec<_>>());
        let texts = if is_categorical {
            let categories: BTreeSet<&str> = rows.iter().filter_map(|row| row.2.as_deref()).chain([""]).collect();
            let categories: Vec<&str> = categories.into_iter().collect();
            let code = |row: &Row| categories.iter().position(|it| Some(*it) == row.2.as_deref()).unwrap_or(0) as i32;
            Column::categorical(rows.iter().map(code).collect(), categories.clone())
                .with_validity(rows.iter().map(|row| row.2.is_some()))
        } else {
            Column::utf8(rows.iter().map(|row| row.2.as_deref()))
        };
        let columns = vec![
            numbers.with_validity(rows.iter().map(|row| row.0.is_some())),
            floats.with_validity(rows.iter().map(|row| row.1.is_some())),
            texts,
        ];
        Batch::new(rows.len() as u32, columns)
    });
    let batches: Vec<Batch> = batches.collect();
    let names = ["n", "f", "t"];
    let fields = names.iter().zip(&batches[0].columns).map(|(name, it)| Field::nullable(*name, it.data_type()));
    MemoryTable::new(fields.map(|field| (field, Role::Feature)).collect::<Vec<_>>(), batches.clone())
}

/// Returns the rows that break the only check of a name.
fn broken(table: &MemoryTable, others: Vec<(String, Box<dyn Table>)>, json: &str, name: &str) -> (u64, Vec<u64>) {
    let settings = Settings { parameters: parameters::parse(json).unwrap(), seed: 0, as_of: 0 };
    let found = Checks::assess(table, &Inputs::new(others), &table.fields(), &settings).unwrap();
    let (check, _) = one(&found, name);
    (check.failures, check.examples.iter().map(|cell| cell.row).collect())
}

fn naive(rows: &[Row], breaks: impl FnMut((usize, &Row)) -> bool) -> (u64, Vec<u64>) {
    let mut breaks = breaks;
    let found: Vec<u64> = rows.iter().enumerate().filter(|it| breaks(*it)).map(|(row, _)| row as u64).collect();
    (found.len() as u64, found.into_iter().take(20).collect())
}

proptest! {
    #[test]
    fn each_check_finds_the_rows_that_a_loop_finds(
        rows in rows(),
        cut in 1_usize..70,
        is_categorical: bool,
        keys in prop::collection::vec(-3_i64..4, 0..5),
    ) {
        let table = table(&rows, cut, is_categorical);
        let broken = |json: &str, name: &str| broken(&table, Vec::new(), json, name);

        let found = broken(r#"{"ranges": {"f": {"min": -1, "max": 0.5}}}"#, "range");
        prop_assert_eq!(found, naive(&rows, |(_, row)| row.1.is_some_and(|it| !(-1.0..=0.5).contains(&it))));

        let found = broken(r#"{"allowed": {"t": ["", "a", "bb"]}}"#, "allowed_values");
        let is_allowed = |it: &String| ["", "a", "bb"].contains(&it.as_str());
        prop_assert_eq!(found, naive(&rows, |(_, row)| row.2.as_ref().is_some_and(|it| !is_allowed(it))));

        let found = broken(r#"{"allowed": {"n": [0, 2, -3]}}"#, "allowed_values");
        prop_assert_eq!(found, naive(&rows, |(_, row)| row.0.is_some_and(|it| ![0, 2, -3].contains(&it))));

        let found = broken(r#"{"patterns": {"t": "a?b*"}}"#, "pattern");
        let fits = |it: &String| it.strip_prefix('a').unwrap_or(it).chars().all(|letter| letter == 'b');
        prop_assert_eq!(found, naive(&rows, |(_, row)| row.2.as_ref().is_some_and(|it| !fits(it))));

        for (symbol, accepts) in [
            ("<=", (|a, b| a <= b) as fn(f64, f64) -> bool),
            ("<", |a, b| a < b),
            ("=", |a, b| a == b),
            ("!=", |a, b| a != b && !b.is_nan()),
            (">", |a, b| a > b),
            (">=", |a, b| a >= b),
        ] {
            let found = broken(&format!(r#"{{"rules": ["n {symbol} f"]}}"#), "rule");
            let breaks = |row: &Row| row.0.zip(row.1).is_some_and(|(a, b)| !accepts(a as f64, b));
            prop_assert_eq!(found, naive(&rows, |(_, row)| breaks(row)), "{}", symbol);
        }

        let mut seen = BTreeSet::new();
        let found = broken(r#"{"unique": ["n"]}"#, "unique");
        prop_assert_eq!(found, naive(&rows, |(_, row)| row.0.is_some_and(|it| !seen.insert(it))));

        let mut seen = BTreeSet::new();
        let found = broken(r#"{"unique": [["n", "t"]]}"#, "unique");
        let pair = |row: &Row| Some((row.0?, row.2.clone()?));
        prop_assert_eq!(found, naive(&rows, |(_, row)| pair(row).is_some_and(|it| !seen.insert(it))));

        let field = (Field::required("k", stagewright_kit::DataType::Int64), Role::Feature);
        let batches = vec![Batch::new(keys.len() as u32, vec![Column::from(keys.clone())])];
        let other: Vec<(String, Box<dyn Table>)> = vec![("o".to_owned(), Box::new(MemoryTable::new([field], batches)))];
        let json = r#"{"references": [{"columns": "f", "table": "o", "key": "k"}]}"#;
        let is_known = |it: f64| keys.iter().any(|key| *key as f64 == it);
        let found = super::brute_force::broken(&table, other, json, "reference");
        prop_assert_eq!(found, naive(&rows, |(_, row)| row.1.is_some_and(|it| !is_known(it))));
    }

    #[test]
    fn indices_and_summaries_are_those_of_a_loop(rows in rows(), cut in 1_usize..70, is_categorical: bool) {
        let table = table(&rows, cut, is_categorical);
        let json = r#"{"profiles": {
            "f": {"edges": [-1, 0.5], "shares": [0.3, 0.3, 0.4]},
            "t": {"values": ["a", ""], "shares": [0.5, 0.25]}
        }}"#;
        let settings = Settings { parameters: parameters::parse(json).unwrap(), seed: 0, as_of: 0 };
        let found = Checks::assess(&table, &Inputs::new([]), &table.fields(), &settings).unwrap();

        let floats: Vec<f64> = rows.iter().filter_map(|row| row.1).filter(|it| !it.is_nan()).collect();
        let bin = |value: f64| if value < -1.0 { 0 } else if value < 0.5 { 1 } else { 2 };
        let texts: Vec<&str> = rows.iter().filter_map(|row| row.2.as_deref()).collect();
        let place = |text: &str| match text { "a" => 0, "" => 1, _ => 2 };
        for (column, places, shares) in [
            ("f", floats.iter().map(|it| bin(*it)).collect::<Vec<usize>>(), [0.3, 0.3, 0.4]),
            ("t", texts.iter().map(|it| place(it)).collect(), [0.5, 0.25, 0.25]),
        ] {
            let mut counts = BTreeMap::new();
            places.iter().for_each(|place| *counts.entry(*place).or_insert(0) += 1);
            let part = |place: usize| {
                let actual = f64::from(counts.get(&place).copied().unwrap_or(0)) / places.len() as f64;
                let (actual, wanted) = (actual.max(1e-4), shares[place]);
                (actual - wanted) * (actual / wanted).ln()
            };
            let index: f64 = (0..3).map(part).sum();
            let checks = &found.findings.checks;
            let check = checks.iter().find(|it| it.name == "psi" && it.column.as_deref() == Some(column)).unwrap();
            if places.is_empty() {
                prop_assert!(!check.passed);
            } else {
                prop_assert_eq!(check.passed, index <= 0.25, "{} {}", index, &check.observed);
                let shown = format!("an index of {index:.4}");
                prop_assert!(check.observed.starts_with(&shown), "{} {}", index, &check.observed);
            }
        }

        let [numbers, doubles, words] = &found.findings.columns[..] else { panic!("three columns") };
        let distinct = |it: BTreeSet<String>| Some(it.len() as u64);
        prop_assert_eq!(numbers.distinct, distinct(rows.iter().filter_map(|row| Some(row.0?.to_string())).collect()));
        prop_assert_eq!(doubles.distinct, distinct(floats.iter().map(|it| (it + 0.0).to_string()).collect()));
        prop_assert_eq!(words.distinct, distinct(texts.iter().map(|it| (*it).to_owned()).collect()));
        prop_assert_eq!(numbers.nulls, rows.iter().filter(|row| row.0.is_none()).count() as u64);
        prop_assert_eq!(doubles.minimum, floats.iter().copied().reduce(f64::min));
        prop_assert_eq!(doubles.maximum, floats.iter().copied().reduce(f64::max));
    }
}
