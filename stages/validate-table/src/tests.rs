//! Tests of the checks on small tables.

mod boundaries;
mod brute_force;

use stagewright_kit::{
    Batch, Check, Column, DataType, Failure, Field, Findings, MemoryTable, Role, Settings, Validation, parameters,
};

use crate::Checks;

fn table(columns: Vec<(&str, Column)>, rows: u32) -> MemoryTable {
    let fields = columns.iter().map(|(name, column)| (Field::nullable(*name, column.data_type()), Role::Feature));
    MemoryTable::new(
        fields.collect::<Vec<_>>(),
        vec![Batch::new(rows, columns.into_iter().map(|(_, column)| column).collect())],
    )
}

fn find(table: &MemoryTable, expected: &[Field], json: &str) -> Result<Findings, Failure> {
    Checks::validate(table, expected, &Settings { parameters: parameters::parse(json)?, seed: 0, as_of: 0 })
}

fn check<'a>(findings: &'a Findings, name: &str, column: Option<&str>) -> &'a Check {
    let found = findings.checks.iter().find(|check| check.name == name && check.column.as_deref() == column);
    found.unwrap_or_else(|| panic!("no check `{name}` of {column:?}"))
}

fn numbers(rows: u32) -> MemoryTable {
    table(vec![("x", Column::from((0..rows).map(f64::from).collect::<Vec<_>>()))], rows)
}

fn with_nulls(nulls: usize, rows: usize) -> MemoryTable {
    table(vec![("x", Column::from(vec![1.0; rows]).with_validity((0..rows).map(|row| row >= nulls)))], rows as u32)
}

#[test]
fn min_rows_is_inclusive_and_more_than_rows_strict() {
    for (json, rows, passed, expected) in [
        (r#"{"min_rows": 10}"#, 9, false, "at least 10"),
        (r#"{"min_rows": 10}"#, 10, true, "at least 10"),
        (r#"{"more_than_rows": 10}"#, 10, false, "more than 10"),
        (r#"{"more_than_rows": 10}"#, 11, true, "more than 10"),
        (r#"{"min_rows": 12, "more_than_rows": 10}"#, 11, false, "at least 12 and more than 10"),
        ("{}", 0, false, "at least 1"),
        ("{}", 1, true, "at least 1"),
        (r#"{"min_rows": 0}"#, 0, true, "at least 0"),
    ] {
        let findings = find(&numbers(rows), &[], json).unwrap();
        let check = check(&findings, "row_count", None);
        assert_eq!((check.passed, check.expected.as_str()), (passed, expected), "{json} of {rows}");
    }
}

#[test]
fn max_null_ratio_is_inclusive_and_null_ratio_below_strict() {
    for (json, nulls, passed) in [
        ("{}", 999, true),
        ("{}", 1000, true),
        ("{}", 1001, false),
        (r#"{"max_null_ratio": 0.1}"#, 1000, true),
        (r#"{"null_ratio_below": 0.1}"#, 999, true),
        (r#"{"null_ratio_below": 0.1}"#, 1000, false),
        (r#"{"null_ratio_below": 0.5}"#, 4999, true),
        (r#"{"max_null_ratio": 0.2, "null_ratio_below": 0.5}"#, 3000, false),
        (r#"{"max_null_ratio": 0}"#, 0, true),
        (r#"{"max_null_ratio": 0}"#, 1, false),
        (r#"{"max_null_ratio": 1}"#, 10_000, true),
    ] {
        let findings = find(&with_nulls(nulls, 10_000), &[], json).unwrap();
        let check = check(&findings, "null_ratio", Some("x"));
        assert_eq!(check.passed, passed, "{json}, {nulls} nulls");
        assert_eq!(findings.columns[0].nulls, nulls as u64);
    }
}

#[test]
fn limits_that_nothing_could_meet_or_break_are_refused() {
    for (json, parameter) in [
        (r#"{"max_null_ratio": 10}"#, "max_null_ratio"),
        (r#"{"null_ratio_below": 0}"#, "null_ratio_below"),
        (r#"{"columns": {"x": {"null_ratio_below": 0}}}"#, "columns.x.null_ratio_below"),
        (r#"{"columns": {"x": {"max_null_ratio": 1.5}}}"#, "columns.x.max_null_ratio"),
        (r#"{"ranges": {"x": {}}}"#, "ranges.x"),
        (r#"{"allowed": {"x": []}}"#, "allowed.x"),
    ] {
        match find(&numbers(1), &[], json) {
            Err(Failure::Parameter(fault)) => assert_eq!(fault.parameter, parameter),
            other => panic!("{json}: {other:?}"),
        }
    }
}

// invariant: A validation check never passes because the type of its column leaves it nothing to
// check.
#[test]
fn a_check_that_the_columns_type_leaves_nothing_to_look_at_fails() {
    let texts = Column::utf8([Some("-1.5"), Some("2")]);
    let flags = Column::boolean([true, false]);
    let moments = Column::timestamp(vec![0, 1]);
    let table = table(vec![("t", texts), ("b", flags), ("m", moments)], 2);
    for (json, name, column) in [
        (r#"{"ranges": {"t": {"min": 0}}}"#, "range", "t"),
        (r#"{"ranges": {"t": {"min": 0}}, "max_out_of_range_ratio": 1}"#, "range", "t"),
        (r#"{"ranges": {"b": {"min": 0}}}"#, "range", "b"),
        (r#"{"allowed": {"m": [0, 1]}}"#, "allowed_values", "m"),
    ] {
        let findings = find(&table, &[], json).unwrap();
        let check = check(&findings, name, Some(column));
        assert!(!check.passed, "{json}");
        assert!(check.observed.starts_with("not checkable: the column is of type"), "{}", check.observed);
    }
    let findings = find(&table, &[], r#"{"ranges": {"m": {"min": 1}}, "allowed": {"b": ["true"]}}"#).unwrap();
    assert_eq!(check(&findings, "range", Some("m")).failures, 1);
    assert_eq!(check(&findings, "allowed_values", Some("b")).failures, 1);
}

#[test]
fn a_column_has_a_null_ratio_of_its_own() {
    let findings = find(&with_nulls(50, 100), &[], r#"{"columns": {"x": {"max_null_ratio": 0.6}}}"#).unwrap();
    assert!(check(&findings, "null_ratio", Some("x")).passed);
}

#[test]
fn a_missing_column_is_named_and_breaks_the_schema() {
    let expected = [Field::required("x", DataType::Float64), Field::required("gone", DataType::Utf8)];
    let findings = find(&numbers(3), &expected, "{}").unwrap();
    assert!(!check(&findings, "presence", Some("gone")).passed);
    assert!(check(&findings, "presence", Some("x")).passed);
    assert!(!check(&findings, "schema_match", None).passed);
}

#[test]
fn an_extra_column_fails_unless_it_is_ignored() {
    let findings = find(&numbers(3), &[], "{}").unwrap();
    assert!(!check(&findings, "presence", Some("x")).passed);
    assert!(!check(&findings, "schema_match", None).passed);
    let findings = find(&numbers(3), &[], r#"{"extra_columns": "ignore"}"#).unwrap();
    assert!(check(&findings, "schema_match", None).passed);
}

#[test]
fn a_text_in_a_column_of_numbers_is_found_with_row_and_value() {
    let column = Column::utf8([Some("1.5"), None, Some("cheap"), Some("2")]);
    let findings =
        find(&table(vec![("price", column)], 4), &[Field::nullable("price", DataType::Float64)], "{}").unwrap();
    let check_of_type = check(&findings, "type", Some("price"));
    assert!(!check_of_type.passed);
    assert_eq!((check_of_type.failures, check_of_type.examples.len()), (1, 1));
    assert_eq!((check_of_type.examples[0].row, check_of_type.examples[0].value.as_deref()), (2, Some("cheap")));
    assert!(!check(&findings, "schema_match", None).passed);
}

#[test]
fn text_is_text_whether_categorical_or_not() {
    let column = Column::categorical(vec![0, 1, 0], ["a", "b"]);
    let findings = find(&table(vec![("c", column)], 3), &[Field::required("c", DataType::Utf8)], "{}").unwrap();
    assert!(findings.checks.iter().all(|check| check.passed), "{findings:?}");
}

#[test]
fn a_null_where_none_may_be_is_found_but_is_no_matter_of_the_schema() {
    let findings = find(&with_nulls(1, 100), &[Field::required("x", DataType::Float64)], "{}").unwrap();
    let nullability = check(&findings, "nullability", Some("x"));
    assert!(!nullability.passed);
    assert_eq!((nullability.failures, nullability.examples[0].row), (1, 0));
    assert!(check(&findings, "schema_match", None).passed);
}

#[test]
fn values_out_of_range_are_counted_and_up_to_20_shown() {
    let findings = find(&numbers(100), &[], r#"{"ranges": {"x": {"min": 0, "max": 69}}}"#).unwrap();
    let range = check(&findings, "range", Some("x"));
    assert_eq!((range.passed, range.failures, range.examples.len()), (false, 30, 20));
    assert_eq!((range.examples[0].row, range.examples[0].value.as_deref()), (70, Some("70")));
}

#[test]
fn a_share_of_values_may_lie_out_of_range() {
    for (share, passed) in [("0.3", true), ("0.29", false)] {
        let json = format!(r#"{{"ranges": {{"x": {{"max": 69}}}}, "max_out_of_range_ratio": {share}}}"#);
        let findings = find(&numbers(100), &[], &json).unwrap();
        assert_eq!(check(&findings, "range", Some("x")).passed, passed, "{share}");
    }
}

#[test]
fn nan_lies_outside_every_range_and_null_is_not_looked_at() {
    let column = Column::from(vec![f64::NAN, 1.0, 99.0]).with_validity([true, true, false]);
    let findings = find(&table(vec![("x", column)], 3), &[], r#"{"ranges": {"x": {"min": 0, "max": 2}}}"#).unwrap();
    let range = check(&findings, "range", Some("x"));
    assert_eq!((range.failures, range.examples[0].row), (1, 0));
}

#[test]
fn values_that_are_not_allowed_are_counted() {
    let texts = Column::utf8([Some("Yes"), Some("No"), Some("maybe"), Some("maybe"), None]);
    let flags = Column::from(vec![0_i64, 1, 2, 1, 0]);
    let json = r#"{"allowed": {"t": ["Yes", "No"], "n": [0, 1]}}"#;
    let findings = find(&table(vec![("t", texts), ("n", flags)], 5), &[], json).unwrap();
    assert_eq!(check(&findings, "allowed_values", Some("t")).failures, 2);
    assert_eq!(check(&findings, "allowed_values", Some("t")).examples[1].row, 3);
    assert_eq!(check(&findings, "allowed_values", Some("n")).failures, 1);
}

#[test]
fn duplicates_are_found_across_batches() {
    let field = (Field::required("id", DataType::Utf8), Role::Identifier);
    let batch = |names: [&str; 2]| Batch::new(2, vec![Column::utf8(names.map(Some))]);
    let table = MemoryTable::new([field], vec![batch(["a", "b"]), batch(["c", "a"])]);
    let findings = find(&table, &[], r#"{"unique": ["id"]}"#).unwrap();
    let unique = check(&findings, "unique", Some("id"));
    assert_eq!((unique.passed, unique.failures, unique.examples[0].row), (false, 1, 3));
}

#[test]
fn a_parameter_for_a_column_that_nobody_has_is_refused() {
    for json in
        [r#"{"ranges": {"y": {}}}"#, r#"{"unique": ["y"]}"#, r#"{"allowed": {"y": []}}"#, r#"{"columns": {"y": {}}}"#]
    {
        assert!(matches!(find(&numbers(1), &[], json), Err(Failure::Parameter(_))), "{json}");
    }
    assert!(matches!(find(&numbers(1), &[], r#"{"ranges": {"x": {"min": 2, "max": 1}}}"#), Err(Failure::Parameter(_))));
}

#[test]
fn a_column_is_summarised() {
    let numbers = Column::from(vec![3.0, 1.0, f64::NAN, 7.0, 1.0]).with_validity([true, true, true, false, true]);
    let texts = Column::utf8([Some("b"), Some("a"), None, Some("b"), Some("")]);
    let findings = find(&table(vec![("n", numbers), ("t", texts)], 5), &[], "{}").unwrap();
    let [numbers, texts] = &findings.columns[..] else { panic!("two columns") };
    assert_eq!((numbers.nulls, numbers.distinct, numbers.minimum, numbers.maximum), (1, Some(2), Some(1.0), Some(3.0)));
    assert!((numbers.mean.unwrap() - 5.0 / 3.0).abs() < 1e-12);
    assert_eq!((texts.nulls, texts.distinct, texts.minimum), (1, Some(3), None));
}

#[test]
fn distinct_values_are_counted_up_to_1000() {
    for (rows, distinct) in [(1000, Some(1000)), (1001, None)] {
        let texts = Column::utf8((0..rows).map(|row| Some(row.to_string())));
        let whole = Column::from((0..i64::from(rows)).collect::<Vec<_>>());
        let findings = find(&table(vec![("t", texts), ("n", whole)], rows), &[], "{}").unwrap();
        assert_eq!(findings.columns[0].distinct, distinct);
        assert_eq!(findings.columns[1].distinct, distinct);
    }
}

#[test]
fn made_up_customers_pass_with_11_or_so_nulls_in_total_charges_only() {
    let fields = ingest_synthetic::fields();
    let batch = ingest_synthetic::batch(42, 0..7043, 0.0);
    let table = MemoryTable::new(fields.iter().map(|field| (field.clone(), Role::Feature)), vec![batch]);
    let findings = find(&table, &fields, r#"{"min_rows": 7000, "unique": ["customerID"]}"#).unwrap();
    assert!(findings.checks.iter().all(|check| check.passed), "{:?}", findings.checks);
    for column in &findings.columns {
        assert_eq!(column.nulls > 0, column.column == "TotalCharges", "{}", column.column);
    }
}
