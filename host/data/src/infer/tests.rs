//! Proposals for small texts, column by column.

use super::*;
use std::fmt::Write as _;

fn infer_text(text: &str, options: &InferenceOptions) -> Result<Inference, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    std::fs::write(&path, text).unwrap();
    let uri = format!("csv:{}", path.display()).parse().unwrap();
    infer(&Source::new(uri), options, &Interrupt::never())
}

fn table() -> String {
    let mut text = "customerID,zip,senior,partner,tenure,charges,since,active,note,empty\n".to_owned();
    for row in 0..40 {
        let partner = if row % 3 == 0 { "Yes" } else { "No" };
        let charges = if row == 7 { " ".to_owned() } else { format!("{row}.5") };
        writeln!(text, "C-{row},0{row},{},{partner},{row},{charges},2024-01-06,TRUE,note {},", row % 2, row % 39)
            .unwrap();
    }
    text
}

#[test]
fn types_and_roles_are_proposed_from_all_values() {
    let options = InferenceOptions { target: Some("partner".to_owned()), ..InferenceOptions::default() };
    let inference = infer_text(&table(), &options).unwrap();
    let found: Vec<(&str, DataType, Role, bool)> = inference
        .columns
        .iter()
        .map(|column| (&*column.field.name, column.field.data_type, column.field.role, column.field.nullable))
        .collect();
    assert_eq!(
        found,
        [
            ("customerID", DataType::Utf8, Role::Identifier, false),
            ("zip", DataType::Utf8, Role::Identifier, false),
            ("senior", DataType::Int64, Role::Feature, false),
            ("partner", DataType::Categorical, Role::Target, false),
            ("tenure", DataType::Int64, Role::Feature, false),
            ("charges", DataType::Float64, Role::Feature, true),
            ("since", DataType::Timestamp, Role::Time, false),
            ("active", DataType::Boolean, Role::Feature, false),
            ("note", DataType::Categorical, Role::Feature, false),
            ("empty", DataType::Utf8, Role::Feature, true),
        ]
    );
    assert_eq!((inference.rows, inference.is_sample), (40, false));
    assert_eq!(inference.columns[5].nulls, 1);
    assert_eq!(inference.columns[3].examples, ["Yes", "No"]);
}

#[test]
fn a_sample_says_that_it_is_one() {
    let options = InferenceOptions { sample_rows: Some(5), ..InferenceOptions::default() };
    let inference = infer_text(&table(), &options).unwrap();
    assert_eq!((inference.rows, inference.is_sample), (5, true));
    assert!(!inference.signature.fields.field("charges").unwrap().nullable, "row 7 was not seen");
}

#[test]
fn a_target_that_is_not_there_is_an_error_that_lists_what_is() {
    let options = InferenceOptions { target: Some("churn".to_owned()), ..InferenceOptions::default() };
    let error = infer_text("a,b\n1,2\n", &options).unwrap_err();
    assert_eq!(error.to_string(), "there is no column `churn` to be the target\nhint: name one of `a`, `b`");
}

#[test]
fn nothing_is_inferred_from_no_rows() {
    let error = infer_text("a,b\n", &InferenceOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "there are no rows to infer types from");
}

fn propose_text(text: &str, target: &str) -> Inference {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    std::fs::write(&path, text).unwrap();
    let uri = format!("csv:{}", path.display()).parse().unwrap();
    let options = InferenceOptions { target: Some(target.to_owned()), ..InferenceOptions::default() };
    propose(&Source::new(uri), &options, &Interrupt::never()).unwrap()
}

fn column<'a>(inference: &'a Inference, name: &str) -> &'a ColumnReport {
    inference.columns.iter().find(|column| column.field.name == name).unwrap()
}

/// Infers a table with a column `x` beside a target.
fn beside_target(cells: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let rows = cells.into_iter().enumerate().map(|(row, cell)| format!("{},{}\n", cell.as_ref(), row % 2));
    std::iter::once("x,y\n".to_owned()).chain(rows).collect()
}

#[test]
fn markers_of_missing_numbers_become_null_tokens() {
    let mut text = "a,b,c,y\n".to_owned();
    for row in 0..40 {
        let (a, b) =
            (if row % 4 == 0 { "NA".to_owned() } else { row.to_string() }, if row == 3 { " ?" } else { "2024-01-06" });
        writeln!(text, "{a},{b},{},{}", ["NA", "FR", "DE"][row % 3], row % 2).unwrap();
    }
    let inference = propose_text(&text, "y");
    assert_eq!(inference.signature.null_values, ["", " ", " ?", "NA"]);
    let types: Vec<(DataType, u64)> = inference.columns.iter().map(|it| (it.field.data_type, it.nulls)).collect();
    let expected = [(DataType::Int64, 10), (DataType::Timestamp, 1), (DataType::Categorical, 14), (DataType::Int64, 0)];
    assert_eq!(types, expected, "a token holds for all columns");
    assert_eq!(column(&inference, "a").doubts, ["`NA` (10 rows) is taken for a missing value"]);
    assert_eq!(column(&inference, "c").doubts, ["`NA` (14 rows) is taken for a missing value"]);
    assert!(column(&inference, "c").field.nullable);
}

#[test]
fn without_proposed_tokens_every_text_is_a_value() {
    let text = beside_target((0..30).map(|row| if row == 3 { "NA".to_owned() } else { row.to_string() }));
    let options = InferenceOptions { target: Some("y".to_owned()), ..InferenceOptions::default() };
    let inference = infer_text(&text, &options).unwrap();
    assert_eq!(inference.signature.null_values, ["", " "]);
    assert_eq!(column(&inference, "x").field.data_type, DataType::Utf8);
    let not_a_number = beside_target((0..30).map(|row| if row == 3 { "nan".to_owned() } else { row.to_string() }));
    let inference = infer_text(&not_a_number, &options).unwrap();
    assert_eq!(column(&inference, "x").field.data_type, DataType::Float64, "NaN is a float64");
}

#[test]
fn a_token_that_is_a_class_of_the_target_is_not_proposed() {
    let rows = (0..40).map(|row| {
        format!("{},{}\n", if row % 13 == 0 { "none".to_owned() } else { row.to_string() }, ["none", "some"][row % 2])
    });
    let text: String = std::iter::once("x,y\n".to_owned()).chain(rows).collect();
    let inference = propose_text(&text, "y");
    assert_eq!(inference.signature.null_values, ["", " "]);
    let target = inference.target.as_ref().unwrap();
    assert_eq!((&*target.classes, target.missing), (&[("none".to_owned(), 20), ("some".to_owned(), 20)][..], 0));
    let doubts = &column(&inference, "x").doubts;
    assert!(
        doubts.iter().any(|it| it.starts_with("all values but 4 are numbers") && it.contains("`none`")),
        "{doubts:?}"
    );
}

#[test]
fn an_unusual_text_among_numbers_is_reported_and_no_null_token() {
    let inference =
        propose_text(&beside_target((0..40).map(|row| if row == 7 { "tbc".to_owned() } else { row.to_string() })), "y");
    assert_eq!(column(&inference, "x").field.data_type, DataType::Utf8);
    let doubts = &column(&inference, "x").doubts;
    assert!(
        doubts.iter().any(|it| it.starts_with("all values but 1 are numbers") && it.contains("`tbc`")),
        "{doubts:?}"
    );
}

#[test]
fn columns_that_no_table_can_have_are_left_out() {
    let long = "n".repeat(257);
    let mut text = format!(",a,a,\"b\tc\",{long},x,y\n");
    (0..30).for_each(|row| writeln!(text, "{row},1,2,3,4,{row},{}", row % 2).unwrap());
    let inference = propose_text(&text, "y");
    let left_out: Vec<(usize, &str)> = inference.left_out.iter().map(|it| (it.place, &*it.reason)).collect();
    let expected = [
        (0, "it has no name"),
        (1, "2 columns have this name"),
        (2, "2 columns have this name"),
        (3, "its name has a control character"),
        (4, "its name has 257 bytes, and 256 are the most"),
    ];
    assert_eq!(left_out, expected);
    assert_eq!(inference.columns.len(), 2);
    let options = InferenceOptions { target: Some("a".to_owned()), ..InferenceOptions::default() };
    let error = infer_text(&text, &options).unwrap_err().to_string();
    assert_eq!(error, "the column `a` cannot be the target: 2 columns have this name\nhint: rename it in the data");
    let error = infer_text(",\n1,2\n", &InferenceOptions::default()).unwrap_err().to_string();
    assert!(error.starts_with("no column can be read"), "{error}");
}

#[test]
fn one_date_is_the_time_and_the_first_that_is_never_missing() {
    let mut text = "a,b,c,y\n".to_owned();
    (0..30).for_each(|row| {
        let a = if row == 0 { "" } else { "2024-01-06" };
        writeln!(text, "{a},2024-01-07 10:00,2024-01-08T00:00:00Z,{}", row % 2).unwrap();
    });
    let inference = propose_text(&text, "y");
    let roles: Vec<Role> = inference.columns.iter().map(|it| it.field.role).collect();
    assert_eq!(roles, [Role::Feature, Role::Time, Role::Feature, Role::Target]);
    assert!(inference.columns.iter().all(|it| it.field.data_type != DataType::Utf8));
    assert_eq!(column(&inference, "c").doubts, ["only one column has the role `time`, and `b` got it"]);
}

#[test]
fn classes_are_distinguished_by_value_and_not_by_spelling() {
    let classes = |cells: &[&str]| {
        let rows = cells.iter().cycle().take(40).enumerate().map(|(row, cell)| format!("{row}.5,{cell}\n"));
        let text: String = std::iter::once("x,y\n".to_owned()).chain(rows).collect();
        let inference = propose_text(&text, "y");
        let target = inference.target.clone().unwrap();
        let names: Vec<String> = target.classes.into_iter().map(|(name, _)| name).collect();
        (column(&inference, "y").field.data_type, names.join("|"), target.missing_as)
    };
    let of = |data_type, names: &str| (data_type, names.to_owned(), Vec::new());
    assert_eq!(classes(&["1", "0.0", "1.0", "0"]), of(DataType::Int64, "0|1"));
    assert_eq!(classes(&["1.5", "-0", "0", "1.50"]), of(DataType::Float64, "0|1.5"));
    assert_eq!(classes(&["True", "false", "TRUE"]), of(DataType::Boolean, "false|true"));
    assert_eq!(classes(&["yes", "No", "Yes", "no"]), of(DataType::Boolean, "false|true"));
    assert_eq!(classes(&["Yes", "No"]), of(DataType::Categorical, "No|Yes"));
    assert_eq!(classes(&["2024-01-06", "2024-01-07"]), of(DataType::Categorical, "2024-01-06|2024-01-07"));
    assert_eq!(classes(&["inf", "1"]), of(DataType::Categorical, "1|inf"));
    assert_eq!(classes(&["9223372036854775808", "9223372036854775809"]).1, "9223372036854775808|9223372036854775809");
    assert_eq!(classes(&["9223372036854775807", "9223372036854775806"]).1, "9223372036854775806|9223372036854775807");
    assert_eq!(classes(&["1", "0", "NA"]), (DataType::Int64, "0|1".to_owned(), vec!["NA".to_owned()]));
    assert_eq!(classes(&["a", "none"]), of(DataType::Categorical, "a|none"));
    assert_eq!(classes(&["a\\b", "c`d"]).1, "a\\b|c`d");
}

#[test]
fn integers_beyond_64_bits_are_codes_unless_they_repeat() {
    let unique = propose_text(&beside_target((0..40).map(|row| format!("99999999999999999{row:03}"))), "y");
    let field = &column(&unique, "x").field;
    assert_eq!((field.data_type, field.role), (DataType::Utf8, Role::Identifier));
    let repeated = propose_text(&beside_target((0..40).map(|row| format!("99999999999999999{:03}", row % 20))), "y");
    assert_eq!(column(&repeated, "x").field.data_type, DataType::Float64);
    assert!(column(&repeated, "x").doubts[0].contains("rounded"));
}

#[test]
fn doubts_are_reported() {
    let doubts = |cells: Vec<String>| column(&propose_text(&beside_target(cells), "y"), "x").doubts.join("; ");
    let rows = || 0..40;
    assert!(
        doubts(rows().map(|row| format!("{:02}/{:02}/2024", 1 + row % 12, 1 + row)).collect()).contains("2024-01-31")
    );
    assert!(doubts(rows().map(|_| "7".to_owned()).collect()).contains("same value"));
    assert!(doubts(rows().map(|row| row.to_string()).collect()).contains("counts the rows"));
    assert_eq!(doubts(rows().map(|row| (row * 7 % 40).to_string()).collect()), "");
    assert_eq!(
        doubts(rows().map(|row| if row % 2 == 0 { "7" } else { "" }.to_owned()).collect()),
        "",
        "a gap may say something"
    );
    let index = propose_text(&beside_target(rows().map(|row| row.to_string())).replace("x,y", "Unnamed: 0,y"), "y");
    assert_eq!(column(&index, "Unnamed: 0").field.role, Role::Identifier);
}
