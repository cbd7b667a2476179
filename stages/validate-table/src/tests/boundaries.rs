//! The boundary of each check: which tables pass and fail there, and which cells are named.

use stagewright_kit::{
    Assessing, Assessment, Batch, Check, Column, DataType, Failure, Field, Inputs, MemoryTable, Role, Settings, Table,
    Values, parameters,
};

use crate::Checks;

/// 2026-01-01T00:00:00Z in microseconds.
const AS_OF: i64 = 1_767_225_600_000_000;
const HOUR: i64 = 3_600_000_000;

pub(super) fn table(columns: Vec<(&str, Column)>) -> MemoryTable {
    with_roles(columns.into_iter().map(|(name, column)| (name, column, Role::Feature)).collect())
}

fn with_roles(columns: Vec<(&str, Column, Role)>) -> MemoryTable {
    let rows = columns.first().map_or(0, |(_, column, _)| match &column.values {
        Values::Boolean(bits) => bits.len() * 8,
        Values::Int64(values) | Values::Timestamp(values) => values.len(),
        Values::Float64(values) => values.len(),
        Values::Utf8(strings) => strings.offsets.len() - 1,
        Values::Categorical(values) => values.codes.len(),
    });
    let fields = columns.iter().map(|(name, column, role)| (Field::nullable(*name, column.data_type()), *role));
    let fields: Vec<_> = fields.collect();
    MemoryTable::new(fields, vec![Batch::new(rows as u32, columns.into_iter().map(|(_, column, _)| column).collect())])
}

pub(super) fn assess(table: &MemoryTable, others: Vec<(&str, MemoryTable)>, json: &str) -> Result<Assessment, Failure> {
    let own = |(name, table): (&str, MemoryTable)| -> (String, Box<dyn Table>) { (name.to_owned(), Box::new(table)) };
    let settings = Settings { parameters: parameters::parse(json)?, seed: 0, as_of: AS_OF };
    Checks::assess(table, &Inputs::new(others.into_iter().map(own)), &table.fields(), &settings)
}

/// Returns the only check of a name, and whether it warns.
pub(super) fn one(found: &Assessment, name: &str) -> (Check, bool) {
    let places: Vec<usize> =
        (0..).zip(&found.findings.checks).filter(|(_, it)| it.name == name).map(|(at, _)| at).collect();
    let [place] = places[..] else { panic!("{} checks `{name}` in {:?}", places.len(), found.findings.checks) };
    (found.findings.checks[place].clone(), found.warnings.contains(&(place as u32)))
}

#[track_caller]
fn passes(table: &MemoryTable, json: &str, name: &str) -> bool {
    let found = assess(table, Vec::new(), json).unwrap_or_else(|failure| panic!("{json}: {failure:?}"));
    one(&found, name).0.passed
}

#[track_caller]
fn refused(table: &MemoryTable, json: &str) -> String {
    match assess(table, Vec::new(), json) {
        Err(Failure::Parameter(fault)) => fault.parameter,
        other => panic!("{json}: {other:?}"),
    }
}

fn ids(values: &[i64]) -> MemoryTable {
    table(vec![("id", Column::from(values.to_vec()))])
}

#[test]
fn a_change_of_rows_of_exactly_the_limit_passes() {
    for (rows, expected, most, passed) in [
        (80, 100, "0.2", true),
        (79, 100, "0.2", false),
        (120, 100, "0.2", true),
        (121, 100, "0.2", false),
        (100, 100, "0", true),
        (101, 100, "0", false),
        (30, 10, "2", true),
    ] {
        let json = format!(r#"{{"expected_rows": {expected}, "max_row_change": {most}}}"#);
        assert_eq!(passes(&ids(&vec![1; rows]), &json, "row_change"), passed, "{rows} of {expected}");
    }
    assert_eq!(refused(&ids(&[1]), r#"{"max_row_change": 0.1}"#), "max_row_change");
    assert_eq!(refused(&ids(&[1]), r#"{"warn": {"max_row_change": 0.1}}"#), "warn.max_row_change");
    assert_eq!(refused(&ids(&[1]), r#"{"expected_rows": 0}"#), "expected_rows");
}

#[test]
fn combinations_are_unique_where_one_value_differs_and_rows_with_a_null_are_left_out() {
    let b = Column::utf8([Some("x"), Some("y"), Some("x"), None, None]);
    let both = table(vec![("a", Column::from(vec![1_i64, 1, 2, 3, 3])), ("b", b)]);
    assert!(passes(&both, r#"{"unique": [["a", "b"]], "max_null_ratio": 1}"#, "unique"));
    assert!(!passes(&both, r#"{"unique": ["a"], "max_null_ratio": 1}"#, "unique"));
    let twice = table(vec![("a", Column::from(vec![1_i64, 7, 1])), ("b", Column::utf8(["x", "x", "x"].map(Some)))]);
    let (check, _) = one(&assess(&twice, Vec::new(), r#"{"unique": [["a", "b"]]}"#).unwrap(), "unique");
    assert_eq!((check.passed, check.failures, check.examples[0].row), (false, 1, 2));
    assert_eq!(check.examples[0].value.as_deref(), Some("a = 1, b = x"));
    assert_eq!(check.expected, "no combination of `a`, `b` twice");
    assert_eq!(refused(&twice, r#"{"unique": [["a", "a"]]}"#), "unique[0]");
    assert_eq!(refused(&twice, r#"{"unique": [[]]}"#), "unique[0]");
}

#[test]
fn values_that_another_table_lacks_are_found_with_their_rows() {
    let orders = || table(vec![("customer", Column::from(vec![1_i64, 2, 9, 2, 9]))]);
    let customers = || table(vec![("id", Column::from(vec![1.0, 2.0, 3.0]))]);
    let json = |ratio: &str| {
        format!(
            r#"{{"references": [{{"columns": "customer", "table": "customers", "key": "id", "max_missing_ratio": {ratio}}}]}}"#
        )
    };
    let found = assess(&orders(), vec![("customers", customers())], &json("0")).unwrap();
    let (check, _) = one(&found, "reference");
    assert_eq!((check.passed, check.failures, check.column.as_deref()), (false, 2, Some("customer")));
    assert_eq!((check.examples[0].row, check.examples[0].value.as_deref()), (2, Some("9")));
    for (ratio, passed) in [("0.4", true), ("0.39", false)] {
        let found = assess(&orders(), vec![("customers", customers())], &json(ratio)).unwrap();
        assert_eq!(one(&found, "reference").0.passed, passed, "{ratio}");
    }
    let Err(Failure::Parameter(fault)) = assess(&orders(), Vec::new(), &json("0")) else { panic!("no such table") };
    assert_eq!(fault.parameter, "references[0].table");
    let others = vec![("customers", table(vec![("name", Column::utf8([Some("1")]))]))];
    let Err(Failure::Parameter(fault)) = assess(&orders(), others, &json("0")) else { panic!("no such column") };
    assert_eq!(fault.parameter, "references[0].key");
    let others = vec![("customers", table(vec![("id", Column::utf8([Some("1")]))]))];
    let (check, _) = one(&assess(&orders(), others, &json("1")).unwrap(), "reference");
    assert!(!check.passed && check.observed.contains("not checkable"), "{}", check.observed);
}

#[test]
fn a_null_refers_to_nothing_and_a_combination_is_looked_up_as_one() {
    let own = table(vec![
        ("a", Column::from(vec![1_i64, 1, 5]).with_validity([true, true, false])),
        ("b", Column::categorical(vec![0, 1, 1], ["x", "y"])),
    ]);
    let other = table(vec![("a", Column::from(vec![1_i64, 2])), ("b", Column::utf8([Some("x"), Some("y")]))]);
    let json = r#"{"references": [{"columns": ["a", "b"], "table": "t"}], "max_null_ratio": 1}"#;
    let (check, _) = one(&assess(&own, vec![("t", other)], json).unwrap(), "reference");
    assert_eq!((check.failures, check.examples[0].value.as_deref()), (1, Some("a = 1, b = y")));
    assert_eq!(check.observed, "1 row, 50.00 % without one");
}

#[test]
fn a_latest_time_of_exactly_the_greatest_age_is_fresh() {
    for (latest, json, passed) in [
        (AS_OF - 36 * HOUR, r#"{"max_age": "36 h"}"#, true),
        (AS_OF - 36 * HOUR - 1, r#"{"max_age": "36 h"}"#, false),
        (AS_OF, r#"{"max_age": "0 s"}"#, true),
        (AS_OF + 1, r#"{"max_age": "36 h"}"#, false),
        (AS_OF + HOUR, r#"{"max_age": "36 h", "max_ahead": "1 h"}"#, true),
        (AS_OF + HOUR + 1, r#"{"max_age": "36 h", "max_ahead": "1 h"}"#, false),
    ] {
        let table = table(vec![("at", Column::timestamp(vec![latest, 0, latest - 5]))]);
        assert_eq!(
            passes(&table, &format!(r#"{{"freshness": {{"at": {json}}}}}"#), "freshness"),
            passed,
            "{json} {latest}"
        );
    }
    let empty = table(vec![("at", Column::timestamp(vec![AS_OF]).with_validity([false]))]);
    assert!(!passes(&empty, r#"{"max_null_ratio": 1, "freshness": {"at": {"max_age": "1 h"}}}"#, "freshness"));
    assert!(!passes(&ids(&[1]), r#"{"freshness": {"id": {"max_age": "1 h"}}}"#, "freshness"));
    assert_eq!(refused(&ids(&[1]), r#"{"freshness": {"id": {"max_age": "1 week"}}}"#), "freshness.id.max_age");
}

#[test]
fn a_pattern_matches_the_whole_text() {
    let texts =
        || table(vec![("code", Column::utf8([Some("A-12"), Some("B-1"), Some("xA-12"), Some("A-12\n"), None]))]);
    let found =
        assess(&texts(), Vec::new(), r#"{"max_null_ratio": 1, "patterns": {"code": "[A-Z]-[0-9]{1,2}"}}"#).unwrap();
    let (check, _) = one(&found, "pattern");
    assert_eq!((check.passed, check.failures), (false, 2));
    assert_eq!((check.examples[0].row, check.examples[0].value.as_deref()), (2, Some("xA-12")));
    for (ratio, passed) in [("0.5", true), ("0.49", false)] {
        let json = format!(
            r#"{{"max_null_ratio": 1, "patterns": {{"code": "[A-Z]-[0-9]+"}}, "columns": {{"code": {{"max_out_of_range_ratio": {ratio}}}}}}}"#
        );
        assert_eq!(passes(&texts(), &json, "pattern"), passed, "{ratio}");
    }
    assert!(!passes(&ids(&[1]), r#"{"patterns": {"id": ".*"}}"#, "pattern"));
    for pattern in ["(", "a)(b", "(?=x)", r"(a)\\1", "(a{1000}){1000}", &"a".repeat(1001)] {
        assert_eq!(
            refused(&texts(), &format!(r#"{{"patterns": {{"code": "{pattern}"}}}}"#)),
            "patterns.code",
            "{pattern}"
        );
    }
}

#[test]
fn a_text_on_which_others_backtrack_costs_time_that_is_linear() {
    let long = "a".repeat(200_000);
    let table = table(vec![("t", Column::utf8([Some(long.as_str())]))]);
    assert!(!passes(&table, r#"{"patterns": {"t": "(a+)+b"}}"#, "pattern"));
}

#[test]
fn rules_are_broken_by_rows_on_the_wrong_side_and_not_by_nulls() {
    let table = || {
        table(vec![
            ("start", Column::from(vec![1_i64, 5, 3, 9]).with_validity([true, true, true, false])),
            ("end", Column::from(vec![1.0, 4.5, f64::NAN, 0.0])),
        ])
    };
    let found = assess(&table(), Vec::new(), r#"{"max_null_ratio": 1, "rules": ["end >= start"]}"#).unwrap();
    let (check, _) = one(&found, "rule");
    assert_eq!((check.failures, check.column.as_deref(), check.expected.as_str()), (2, Some("end"), "end >= start"));
    assert_eq!((check.examples[0].row, check.examples[0].value.as_deref()), (1, Some("end = 4.5, start = 5")));
    assert_eq!(check.examples[1].row, 2, "NaN fits no rule");
    for (rule, ratio, passed) in [
        ("end >= start", "0.5", true),
        ("end >= start", "0.49", false),
        ("end > start", "0.5", false),
        ("start <= 5", "0", true),
        ("start < 5", "0", false),
        ("end != 0", "0", false),
    ] {
        let json = format!(r#"{{"max_null_ratio": 1, "rules": ["{rule}"], "max_broken_ratio": {ratio}}}"#);
        assert_eq!(passes(&table(), &json, "rule"), passed, "{rule} {ratio}");
    }
    assert_eq!(refused(&table(), r#"{"rules": ["end >= begin"]}"#), "rules[0]");
    assert_eq!(refused(&table(), r#"{"warn": {"rules": ["start <= 5", "end"]}}"#), "warn.rules[1]");
    assert!(!passes(&table(), r#"{"max_null_ratio": 1, "rules": ["end = 'x'"], "max_broken_ratio": 1}"#, "rule"));
}

#[test]
fn large_integers_are_compared_exactly() {
    let large = (1_i64 << 53) + 1;
    let table = table(vec![("a", Column::from(vec![large])), ("b", Column::from(vec![large - 1]))]);
    assert!(passes(&table, r#"{"rules": ["a > b"]}"#, "rule"));
    assert!(passes(&table, r#"{"rules": ["a > 9007199254740992"]}"#, "rule"));
}

#[test]
fn an_index_of_exactly_the_limit_passes() {
    // Shares of 0.25 and 0.75 against halves.
    let table = || table(vec![("x", Column::from(vec![0.0, 1.0, 2.0, 3.0]))]);
    let index = -0.25 * 0.5_f64.ln() + 0.25 * 1.5_f64.ln();
    for (most, passed) in [(index + 1e-9, true), (index - 1e-9, false)] {
        let json = format!(r#"{{"profiles": {{"x": {{"edges": [1.0], "shares": [0.5, 0.5]}}}}, "max_psi": {most}}}"#);
        assert_eq!(passes(&table(), &json, "psi"), passed, "{most}");
    }
    // A value at an edge belongs to the bin above.
    assert!(passes(
        &table(),
        r#"{"profiles": {"x": {"edges": [1.0, 3.0], "shares": [0.25, 0.5, 0.25]}}, "max_psi": 0}"#,
        "psi"
    ));
    // The default is an error at 0.25.
    assert!(passes(&table(), r#"{"profiles": {"x": {"edges": [1.0], "shares": [0.45, 0.55]}}}"#, "psi"));
    assert!(!passes(&table(), r#"{"profiles": {"x": {"edges": [1.0], "shares": [0.8, 0.2]}}}"#, "psi"));
}

#[test]
fn values_that_a_profile_does_not_have_are_counted() {
    let table = || table(vec![("c", Column::categorical(vec![0, 0, 1, 2], ["a", "b", "new"]))]);
    let json =
        |limits: &str| format!(r#"{{"profiles": {{"c": {{"values": ["a", "b"], "shares": [0.5, 0.3]}}}}, {limits}}}"#);
    let found = assess(&table(), Vec::new(), &json(r#""max_unseen_ratio": 0"#)).unwrap();
    let (check, _) = one(&found, "unseen");
    assert_eq!((check.passed, check.failures, check.examples[0].row), (false, 1, 3));
    assert_eq!(check.examples[0].value.as_deref(), Some("new"));
    assert!(one(&found, "psi").0.passed, "what the profile does not name had 20 %");
    for (most, passed) in [("0.25", true), ("0.249", false)] {
        assert_eq!(passes(&table(), &json(&format!(r#""max_unseen_ratio": {most}"#)), "unseen"), passed, "{most}");
    }
}

#[test]
fn a_profile_that_is_none_is_refused() {
    for (profile, key) in [
        (r#"{}"#, "edges"),
        (r#"{"edges": [1], "values": ["a"], "shares": [0.5, 0.5]}"#, "edges"),
        (r#"{"edges": [2, 1], "shares": [0.2, 0.4, 0.4]}"#, "edges"),
        (r#"{"edges": [1, 1], "shares": [0.2, 0.4, 0.4]}"#, "edges"),
        (r#"{"edges": [1], "shares": [1]}"#, "shares"),
        (r#"{"edges": [1], "shares": [0.5, 0.4]}"#, "shares"),
        (r#"{"edges": [1], "shares": [1.5, -0.5]}"#, "shares"),
        (r#"{"values": ["a", "a"], "shares": [0.5, 0.5]}"#, "values"),
    ] {
        assert_eq!(
            refused(&ids(&[1]), &format!(r#"{{"profiles": {{"id": {profile}}}}}"#)),
            format!("profiles.id.{key}")
        );
    }
    let by_type = r#"{"profiles": {"id": {"values": ["1"], "shares": [1]}}}"#;
    assert!(!passes(&ids(&[1]), by_type, "psi"), "a profile of texts says nothing about numbers");
}

#[test]
fn classes_of_exactly_the_least_and_the_greatest_share_are_balanced() {
    let target = |column: Column| with_roles(vec![("y", column, Role::Target)]);
    let yes = |count: usize| target(Column::utf8((0..10).map(|row| Some(if row < count { "Yes" } else { "No" }))));
    for (count, json, passed) in [
        (2, r#"{"min_share": 0.2}"#, true),
        (1, r#"{"min_share": 0.2}"#, false),
        (2, r#"{"max_share": 0.8}"#, true),
        (1, r#"{"max_share": 0.8}"#, false),
        (0, r#"{"min_share": 0.0}"#, false),
        (5, r#"{"min_share": 0.5, "max_share": 0.5}"#, true),
    ] {
        let json = format!(r#"{{"target_balance": {json}}}"#);
        assert_eq!(passes(&yes(count), &json, "target_balance"), passed, "{count}: {json}");
    }
    let found = assess(&yes(1), Vec::new(), r#"{"target_balance": {"min_share": 0.2}}"#).unwrap();
    assert_eq!(one(&found, "target_balance").0.observed, "`No` 90.00 %, `Yes` 10.00 %");
    assert!(passes(
        &target(Column::from(vec![0_i64, 1, 1])),
        r#"{"target_balance": {"min_share": 0.3}}"#,
        "target_balance"
    ));
    assert!(!passes(
        &target(Column::from(vec![0.0, 1.0])),
        r#"{"target_balance": {"min_share": 0.3}}"#,
        "target_balance"
    ));
    assert!(!passes(&ids(&[1, 2]), r#"{"target_balance": {"min_share": 0.3}}"#, "target_balance"), "no target");
    let many = target(Column::from((0..1001).collect::<Vec<i64>>()));
    assert!(!passes(&many, r#"{"target_balance": {"min_share": 0}}"#, "target_balance"));
    assert_eq!(refused(&yes(1), r#"{"target_balance": {}}"#), "target_balance");
}

// invariant: A check under `warn` does not end a run, and the same check outside of it does.
#[test]
fn what_is_required_under_warn_only_warns() {
    let table = table(vec![
        ("x", Column::from(vec![1.0, 2.0, 3.0]).with_validity([true, true, false])),
        ("t", Column::utf8([Some("a"), Some("a"), Some("b")])),
    ]);
    let strict = r#""min_rows": 4, "max_null_ratio": 0.2, "ranges": {"x": {"max": 1}}, "allowed": {"t": ["a"]},
        "unique": ["t"], "rules": ["x > 1"], "patterns": {"t": "b"}"#;
    let warnings = format!(r#"{{"max_null_ratio": 0.5, "warn": {{{strict}}}}}"#);
    let names = ["row_count", "unique", "rule", "null_ratio", "range", "allowed_values", "pattern"];
    for (json, warns) in [(warnings, true), (format!("{{{strict}}}"), false)] {
        let found = assess(&table, Vec::new(), &json).unwrap();
        let failed = (0..).zip(&found.findings.checks).filter(|(_, check)| !check.passed);
        let failed: Vec<(&str, bool)> =
            failed.map(|(place, check)| (check.name.as_str(), found.warnings.contains(&place))).collect();
        assert_eq!(failed, names.map(|name| (name, warns)), "{json}");
    }
}

#[test]
fn nothing_warns_where_nothing_is_asked() {
    let found = assess(&ids(&[1, 1]), Vec::new(), "{}").unwrap();
    assert!(found.warnings.is_empty());
    let names: Vec<&str> = found.findings.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["presence", "type", "nullability", "schema_match", "row_count", "null_ratio"]);
}

#[test]
fn a_required_column_type_is_kept_from_nothing_by_the_checks() {
    // A column that the signature has and the table lacks is told by `presence` alone.
    let table = ids(&[1]);
    let settings = Settings {
        parameters: parameters::parse(r#"{"unique": ["gone"], "rules": ["gone > 1"]}"#).unwrap(),
        seed: 0,
        as_of: 0,
    };
    let expected = [Field::required("id", DataType::Int64), Field::required("gone", DataType::Int64)];
    let found = Checks::assess(&table, &Inputs::new([]), &expected, &settings).unwrap();
    let failed: Vec<&str> =
        found.findings.checks.iter().filter(|it| !it.passed).map(|check| check.name.as_str()).collect();
    assert_eq!(failed, ["presence", "schema_match"]);
}
