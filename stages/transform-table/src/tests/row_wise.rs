//! The features of a row depend on that row and on the state only. Fitting depends on the rows, not
//! on how they are chunked.

use proptest::prelude::*;

use super::*;

type Row = (Option<f64>, Option<i64>, Option<String>, Option<bool>);

fn row() -> impl Strategy<Value = Row> {
    let number = prop_oneof![4 => (-1e6..1e6_f64).boxed(), 1 => Just(f64::NAN).boxed(), 1 => Just(0.0).boxed()];
    let text = prop_oneof!["[abc]", "[a-z]{0,3}"];
    (
        proptest::option::weighted(0.8, number),
        proptest::option::weighted(0.8, -3..4_i64),
        proptest::option::weighted(0.8, text),
        proptest::option::weighted(0.8, any::<bool>()),
    )
}

fn rows_to_batch(rows: &[Row]) -> Batch {
    let valid = |is: fn(&Row) -> bool| rows.iter().map(is).collect::<Vec<_>>();
    let x = Column::from(rows.iter().map(|row| row.0.unwrap_or(5.0)).collect::<Vec<_>>())
        .with_validity(valid(|row| row.0.is_some()));
    let n = Column::from(rows.iter().map(|row| row.1.unwrap_or(7)).collect::<Vec<_>>())
        .with_validity(valid(|row| row.1.is_some()));
    let t = Column::utf8(rows.iter().map(|row| row.2.as_deref()));
    let b = Column::boolean(rows.iter().map(|row| row.3.unwrap_or(true))).with_validity(valid(|row| row.3.is_some()));
    Batch::new(rows.len() as u32, vec![x, n, t, b])
}

fn chunked(rows: &[Row], length: usize) -> MemoryTable {
    let fields = batch_fields();
    MemoryTable::new(fields, rows.chunks(length.max(1)).map(rows_to_batch).collect())
}

fn batch_fields() -> Vec<(Field, Role)> {
    use stagewright_kit::DataType::{Boolean, Float64, Int64, Utf8};
    [("x", Float64), ("n", Int64), ("t", Utf8), ("b", Boolean)]
        .map(|(name, kind)| (Field::nullable(name, kind), Role::Feature))
        .into()
}

const JSON: &str = r#"{"numeric": {"missing": {"constant": 1.5}, "outliers": {"clip": {"lower": 0.1, "upper": 0.9}}},
    "categorical": {"unseen": "bucket", "max_categories": 4}, "columns": {"n": {"missing": "keep", "outliers": "none"}},
    "ratios": [{"name": "r", "numerator": "x", "denominator": "n", "zero_division": "null"}],
    "interactions": [{"name": "i", "left": "x", "right": "b", "kind": "difference"}]}"#;

fn bits(features: &Features, rows: &[Row]) -> Vec<Vec<u64>> {
    let columns = features.transform(rows_to_batch(rows)).expect("transformed").columns;
    let column =
        |column: Column| column.as_f64().expect("float64").iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let columns: Vec<Vec<u64>> = columns.into_iter().map(column).collect();
    (0..rows.len()).map(|row| columns.iter().map(|column| column[row]).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // invariant: `transform` gives the same rows for every order and split of them, also on fresh
    // instances. Target and weight are never features.
    #[test]
    fn any_split_and_order_of_rows_on_fresh_instances_gives_the_same_rows(
        train in proptest::collection::vec(row(), 1..60),
        rows in proptest::collection::vec(row(), 1..40),
        length in 1..10_usize,
    ) {
        let state = fit(&chunked(&train, 1000), JSON).unwrap();
        let whole = bits(&load(&state), &rows);
        let split: Vec<Vec<u64>> = rows.chunks(length).flat_map(|chunk| bits(&load(&state), chunk)).collect();
        prop_assert_eq!(&split, &whole);
        let backwards: Vec<Row> = rows.iter().rev().cloned().collect();
        let mut turned = bits(&load(&state), &backwards);
        turned.reverse();
        prop_assert_eq!(&turned, &whole);
    }

    #[test]
    fn transforming_leaves_the_state_as_it_is(train in proptest::collection::vec(row(), 1..30), rows in proptest::collection::vec(row(), 1..30)) {
        let state = fit(&chunked(&train, 1000), JSON).unwrap();
        let features = load(&state);
        let first = bits(&features, &train);
        bits(&features, &rows);
        prop_assert_eq!(bits(&features, &train), first);
        prop_assert_eq!(fit(&chunked(&train, 1000), JSON).unwrap(), state);
    }

    #[test]
    fn features_are_finite_or_nan_where_missing_values_are_kept(train in proptest::collection::vec(row(), 1..30), rows in proptest::collection::vec(row(), 1..30)) {
        let features = load(&fit(&chunked(&train, 7), JSON).unwrap());
        for (field, column) in features.fields().iter().zip(features.transform(rows_to_batch(&rows)).unwrap().columns) {
            let values = column.as_f64().unwrap().to_vec();
            prop_assert!(values.iter().all(|value| value.is_finite() || (field.name == "n" && value.is_nan())), "{}", field.name);
        }
    }
}
