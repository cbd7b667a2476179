//! Steps over tables in memory, against what a person would compute by hand or by brute force.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stagewright_kit::{
    Column, DataType, Failure, Field, FinishedTable, Inputs, MemoryTable, Preparation, Role, Settings, Table,
};

use crate::{Parameters, PrepareTable};

mod leaks;

/// A column with its values as text; `None` is null.
type Cells = (&'static str, DataType, Vec<Option<String>>);

const DAY: i64 = 86_400_000_000;

fn cells<T: ToString>(name: &'static str, data_type: DataType, values: impl IntoIterator<Item = Option<T>>) -> Cells {
    (name, data_type, values.into_iter().map(|value| value.map(|value| value.to_string())).collect())
}

fn full<T: ToString>(name: &'static str, data_type: DataType, values: impl IntoIterator<Item = T>) -> Cells {
    cells(name, data_type, values.into_iter().map(Some))
}

fn column(data_type: DataType, cells: &[Option<String>]) -> Column {
    let parse = |cell: &Option<String>| cell.as_ref().map_or(0, |cell| cell.parse::<i64>().unwrap());
    let made = match data_type {
        DataType::Boolean => Column::boolean(cells.iter().map(|cell| cell.as_deref() == Some("true"))),
        DataType::Int64 => Column::from(cells.iter().map(parse).collect::<Vec<i64>>()),
        DataType::Timestamp => Column::timestamp(cells.iter().map(parse).collect()),
        DataType::Float64 => {
            let number = |cell: &Option<String>| cell.as_ref().map_or(0.0, |cell| cell.parse::<f64>().unwrap());
            Column::from(cells.iter().map(number).collect::<Vec<f64>>())
        }
        DataType::Utf8 => return Column::utf8(cells.iter().map(Option::as_ref)),
        DataType::Categorical => {
            let mut categories: Vec<String> = cells.iter().map(|cell| cell.clone().unwrap_or_default()).collect();
            categories.sort();
            categories.dedup();
            let code = |cell: &Option<String>| {
                categories.iter().position(|category| *category == cell.clone().unwrap_or_default()).unwrap() as i32
            };
            Column::categorical(cells.iter().map(code).collect(), &categories)
        }
    };
    made.with_validity(cells.iter().map(Option::is_some))
}

/// Returns a table in batches of three rows. The column `churn` is the target.
fn table(columns: &[Cells]) -> Box<dyn Table> {
    let rows = columns[0].2.len();
    let fields = columns.iter().map(|(name, data_type, cells)| {
        let nullable = cells.iter().any(Option::is_none);
        let field = Field { name: (*name).to_owned(), data_type: *data_type, nullable };
        (field, if *name == "churn" { Role::Target } else { Role::Feature })
    });
    let columns: Vec<Column> = columns.iter().map(|(_, data_type, cells)| column(*data_type, cells)).collect();
    let batch = |first: usize| {
        let range = first..rows.min(first + 3);
        stagewright_kit::Batch::new(
            range.len() as u32,
            columns.iter().map(|column| column.slice(range.clone())).collect(),
        )
    };
    Box::new(MemoryTable::new(fields, (0..rows).step_by(3).map(batch).collect()))
}

fn prepare(inputs: Vec<(&str, Box<dyn Table>)>, steps: &str) -> Result<FinishedTable, Failure> {
    prepare_with(inputs, &format!("{{\"steps\": {steps}}}"))
}

fn prepare_with(inputs: Vec<(&str, Box<dyn Table>)>, parameters: &str) -> Result<FinishedTable, Failure> {
    let inputs = Inputs::new(inputs.into_iter().map(|(name, table)| (name.to_owned(), table)));
    let parameters: Parameters = stagewright_kit::parameters::parse(parameters)?;
    PrepareTable::prepare(&inputs, &Settings { parameters, seed: 0, as_of: 0 })
}

/// Returns the rows as text, `-` for null, with the names of the columns first.
fn shown(table: &FinishedTable) -> Vec<String> {
    let names: Vec<String> = table.fields().into_iter().map(|field| field.name).collect();
    let mut shown = vec![names.join(" ")];
    for batch in (table as &dyn Table).batches(None) {
        let (_, batch) = batch.unwrap();
        shown.extend((0..batch.len()).map(|row| {
            let cells = batch.columns.iter().map(|column| column.display(row).unwrap_or("-".to_owned()));
            cells.collect::<Vec<_>>().join(" ")
        }));
    }
    shown
}

fn rows(inputs: Vec<(&str, Box<dyn Table>)>, steps: &str) -> Vec<String> {
    shown(&prepare(inputs, steps).unwrap_or_else(|failure| panic!("{failure:?}")))
}

/// Returns the parameter that is wrong, and why.
fn refused(inputs: Vec<(&str, Box<dyn Table>)>, steps: &str) -> (String, String) {
    match prepare(inputs, steps) {
        Err(Failure::Parameter(fault)) => (fault.parameter, fault.message),
        other => panic!("{:?}", other.map(|table| shown(&table))),
    }
}

fn orders() -> Box<dyn Table> {
    table(&[
        full("user", DataType::Utf8, ["b", "a", "a", "c", "b"]),
        full("at", DataType::Timestamp, [3 * DAY, DAY, 2 * DAY, DAY, 5 * DAY]),
        cells("amount", DataType::Float64, [Some(10.0), Some(1.0), None, Some(4.0), Some(20.0)]),
    ])
}

fn users() -> Box<dyn Table> {
    table(&[
        full("user", DataType::Utf8, ["a", "b", "b"]),
        full("plan", DataType::Categorical, ["basic", "pro", "free"]),
    ])
}

#[test]
fn a_left_join_keeps_rows_in_their_order_and_repeats_those_whose_key_is_there_twice() {
    let joined = rows(
        vec![("orders", orders()), ("users", users())],
        r#"[{"table": "orders", "join": {"with": "users", "on": ["user"]}}]"#,
    );
    let expected = [
        "user at amount plan",
        "b 259200000000 10 free",
        "b 259200000000 10 pro",
        "a 86400000000 1 basic",
        "a 172800000000 - basic",
        "c 86400000000 4 -",
        "b 432000000000 20 free",
        "b 432000000000 20 pro",
    ];
    assert_eq!(joined, expected);
    let inner = rows(
        vec![("orders", orders()), ("users", users())],
        r#"[{"table": "orders", "join": {"with": "users", "on": ["user"], "how": "inner", "prefix": "user_"}},
            {"select": {"columns": ["user", "user_plan"]}}]"#,
    );
    assert_eq!(inner, ["user user_plan", "b free", "b pro", "a basic", "a basic", "b free", "b pro"]);
}

#[test]
fn a_join_may_refuse_keys_that_are_there_twice_and_names_one() {
    let failure = prepare(
        vec![("orders", orders()), ("users", users())],
        r#"[{"table": "orders", "join": {"with": "users", "on": ["user"], "duplicates": "refuse"}}]"#,
    );
    let Err(Failure::Data(fault)) = failure else { panic!("joined") };
    assert_eq!((fault.value.as_deref(), fault.column.as_deref()), (Some("b"), Some("user")));
    assert!(fault.message.contains("1 keys more than once"), "{}", fault.message);
}

#[test]
fn a_null_key_joins_nothing() {
    let left = || table(&[cells("id", DataType::Int64, [Some(1), None])]);
    let right = table(&[cells("id", DataType::Int64, [None, Some(1)]), full("x", DataType::Int64, [7, 8])]);
    let joined = rows(vec![("l", left()), ("r", right)], r#"[{"table": "l", "join": {"with": "r", "on": ["id"]}}]"#);
    assert_eq!(joined, ["id x", "1 8", "- -"]);
}

#[test]
fn as_of_takes_the_latest_earlier_row() {
    let prices = || {
        table(&[
            full("user", DataType::Utf8, ["a", "a", "b", "c"]),
            full("since", DataType::Timestamp, [0, 2 * DAY, 4 * DAY, DAY]),
            full("price", DataType::Int64, [1, 2, 3, 4]),
        ])
    };
    let as_of = |more: &str| {
        rows(
            vec![("orders", orders()), ("prices", prices())],
            &format!(
                r#"[{{"table": "orders", "as_of": {{"with": "prices", "by": ["user"], "time": "at", "with_time": "since"{more}}}}},
            {{"select": {{"columns": ["user", "price"]}}}}]"#
            ),
        )
    };
    assert_eq!(as_of(""), ["user price", "b -", "a 1", "a 2", "c 4", "b 3"]);
    assert_eq!(as_of(r#", "until": "before""#), ["user price", "b -", "a 1", "a 1", "c -", "b 3"]);
    assert_eq!(as_of(r#", "tolerance": "12h""#), ["user price", "b -", "a -", "a 2", "c 4", "b -"]);
}

#[test]
fn conditions_hold_together_and_never_for_a_null() {
    let kept = |conditions: &str| {
        rows(
            vec![("orders", orders())],
            &format!(r#"[{{"filter": {{"where": {conditions}}}}}, {{"select": {{"columns": ["user", "amount"]}}}}]"#),
        )
    };
    assert_eq!(
        kept(r#"[{"column": "amount", "at_least": 4}, {"column": "user", "not_equal": "c"}]"#),
        ["user amount", "b 10", "b 20"]
    );
    assert_eq!(kept(r#"[{"column": "amount", "none_of": [10, 20]}]"#), ["user amount", "a 1", "c 4"]);
    assert_eq!(kept(r#"[{"column": "amount", "null": true}]"#), ["user amount", "a -"]);
    assert_eq!(
        kept(r#"[{"column": "user", "matches": "^[ab]$"}, {"column": "at", "below": "1970-01-03"}]"#),
        ["user amount", "a 1"]
    );
    assert_eq!(kept(r#"[{"column": "at", "at_least": "1970-01-06T01:00:00+01:00"}]"#), ["user amount", "b 20"]);
    assert_eq!(kept(r#"[{"column": "user", "one_of": []}]"#), ["user amount"]);
}

#[test]
fn a_condition_that_does_not_fit_is_named() {
    let wrong = |condition: &str| {
        refused(vec![("orders", orders())], &format!(r#"[{{"filter": {{"where": [{condition}]}}}}]"#))
    };
    assert_eq!(wrong(r#"{"column": "amount", "at_least": "x"}"#).0, "steps[0].filter.where[0].at_least");
    assert_eq!(wrong(r#"{"column": "user", "above": "x"}"#).0, "steps[0].filter.where[0].above");
    assert_eq!(wrong(r#"{"column": "at", "above": "yesterday"}"#).0, "steps[0].filter.where[0].above");
    assert_eq!(wrong(r#"{"column": "user", "matches": "("}"#).0, "steps[0].filter.where[0].matches");
    assert_eq!(wrong(r#"{"column": "user"}"#).0, "steps[0].filter.where[0]");
    assert!(wrong(r#"{"column": "usr", "null": true}"#).1.contains("the columns are `user`, `at`, `amount`"));
}

#[test]
fn formulas_are_computed_row_by_row() {
    let numbers = table(&[
        cells("a", DataType::Float64, [Some(6.0), Some(0.0), None, Some(1.0)]),
        full("b", DataType::Int64, [4, 0, 2, 0]),
        full("text", DataType::Utf8, [" Ab-12 ", "x", "cd-7", ""]),
    ]);
    let made = rows(
        vec![("t", numbers)],
        r#"[{"derive": {"columns": {
        "sum": {"sum": ["a", "b"]}, "less": {"difference": ["b", "a"]}, "ratio": {"ratio": {"numerator": "a", "denominator": "b"}},
        "none": {"ratio": {"numerator": "a", "denominator": "b", "zero_division": "null"}},
        "low": {"lower": "text"}, "digits": {"extract": {"column": "text", "pattern": "-(\\d+)"}},
        "dash": {"matches": {"column": "text", "pattern": "-"}}, "missing": {"is_null": "a"},
        "either": {"constant": 1.5}, "log": {"log1p": "b"}}}}, {"drop": {"columns": ["text", "log"]}}]"#,
    );
    assert_eq!(
        made,
        [
            "a b dash digits either less low missing none ratio sum",
            "6 4 true 12 1.5 -2 ab-12 false 1.5 1.5 10",
            "0 0 false - 1.5 0 x false 0 0 0",
            "- 2 true 7 1.5 - cd-7 true - - -",
            "1 0 false - 1.5 -1  false - 0 1",
        ]
    );
}

#[test]
fn a_group_has_a_row_for_each_key_in_the_order_of_keys() {
    let made = rows(
        vec![("orders", orders())],
        r#"[{"group": {"by": ["user"], "time": "at", "columns": {
        "orders": {"aggregate": "count"}, "known": {"of": "amount", "aggregate": "count"},
        "total": {"of": "amount", "aggregate": "sum"}, "mean": {"of": "amount", "aggregate": "mean"},
        "last": {"of": "amount", "aggregate": "last"}, "first": {"of": "at", "aggregate": "first"}}}}]"#,
    );
    assert_eq!(
        made,
        [
            "user first known last mean orders total",
            "a 86400000000 1 1 1 2 1",
            "b 259200000000 2 20 15 2 30",
            "c 86400000000 1 4 4 1 4"
        ]
    );
}

#[test]
fn parts_of_a_time_are_those_of_its_zone() {
    // 2024-01-06T23:10:00Z, a Saturday.
    let times = || table(&[cells("at", DataType::Timestamp, [Some(1_704_582_600_000_000i64), None])]);
    let parts = |zone: &str| {
        rows(
            vec![("t", times())],
            &format!(
                r#"[{{"time_parts": {{"column": "at", "parts": ["hour", "day_of_week", "is_weekend", "month"]{zone}}}}},
            {{"drop": {{"columns": ["at"]}}}}]"#
            ),
        )
    };
    assert_eq!(parts(""), ["hour day_of_week is_weekend month", "23 5 true 1", "- - - -"]);
    assert_eq!(parts(r#", "time_zone": "Europe/Berlin""#)[1], "0 6 true 1");
    assert_eq!(parts(r#", "time_zone": "Asia/Kolkata""#)[1], "4 6 true 1");
    let wrong =
        refused(vec![("t", times())], r#"[{"time_parts": {"column": "at", "parts": ["hour"], "time_zone": "Mars"}}]"#);
    assert_eq!(wrong.0, "steps[0].time_parts.time_zone");
}

#[test]
fn lag_and_latest_go_by_time_and_not_by_the_order_of_rows() {
    let lagged = rows(
        vec![("orders", orders())],
        r#"[{"lag": {"by": ["user"], "time": "at", "columns": {"before": "amount"}}}, {"drop": {"columns": ["at"]}}]"#,
    );
    assert_eq!(lagged, ["user amount before", "b 10 -", "a 1 -", "a - 1", "c 4 -", "b 20 10"]);
    let latest = rows(
        vec![("orders", orders())],
        r#"[{"latest": {"by": ["user"], "time": "at"}}, {"select": {"columns": ["user", "amount"]}}]"#,
    );
    assert_eq!(latest, ["user amount", "a -", "c 4", "b 20"]);
    let same = table(&[full("user", DataType::Utf8, ["a", "a"]), full("at", DataType::Timestamp, [1, 1])]);
    let failure = prepare(vec![("t", same)], r#"[{"latest": {"by": ["user"], "time": "at"}}]"#);
    assert!(matches!(failure, Err(Failure::Data(_))));
}

#[test]
fn tables_have_names_and_a_step_works_on_the_one_before() {
    let made = rows(
        vec![("orders", orders()), ("users", users())],
        r#"[
        {"table": "users", "rename": {"columns": {"plan": "tier"}}},
        {"table": "orders", "as": "big", "filter": {"where": [{"column": "amount", "at_least": 4}]}},
        {"join": {"with": "users", "on": ["user"], "how": "inner"}},
        {"sort": {"by": ["amount", "tier"], "descending": true}},
        {"select": {"columns": ["amount", "tier"]}}]"#,
    );
    assert_eq!(made, ["amount tier", "20 pro", "20 free", "10 pro", "10 free"]);
    let all = rows(vec![("users", users())], r#"[{"union": {"with": ["users"]}}, {"sort": {"by": ["plan"]}}]"#);
    assert_eq!(all.len(), 7);
    assert_eq!(
        refused(vec![("orders", orders()), ("users", users())], r#"[{"sort": {"by": ["user"]}}]"#).0,
        "steps[0].table"
    );
    assert!(
        refused(vec![("users", users())], r#"[{"table": "x", "sort": {"by": ["user"]}}]"#)
            .1
            .contains("the tables are `users`")
    );
    assert_eq!(refused(vec![("users", users())], r#"[{"table": "users"}]"#).0, "steps[0]");
    let two = r#"[{"sort": {"by": ["user"]}, "drop": {"columns": ["user"]}}]"#;
    assert_eq!(refused(vec![("users", users())], two).0, "steps[0]");
}

fn labelled() -> Box<dyn Table> {
    table(&[
        full("user", DataType::Utf8, ["a", "a", "b"]),
        full("at", DataType::Timestamp, [0, DAY, 2 * DAY]),
        full("churn", DataType::Int64, [0, 1, 1]),
        full("amount", DataType::Float64, [1.0, 2.0, 3.0]),
    ])
}

#[test]
fn nullability_does_not_depend_on_the_rows() {
    let fields = |steps: &str| {
        let made = prepare(vec![("orders", orders()), ("users", users())], steps).unwrap();
        made.fields().into_iter().map(|field| (field.name, field.data_type, field.nullable)).collect::<Vec<_>>()
    };
    let joined = fields(
        r#"[{"table": "orders", "filter": {"where": [{"column": "user", "equal": "a"}, {"column": "amount", "null": false}]}},
        {"join": {"with": "users", "on": ["user"]}}]"#,
    );
    assert_eq!(joined[2], ("amount".to_owned(), DataType::Float64, false));
    assert_eq!(joined[3], ("plan".to_owned(), DataType::Categorical, true), "others may have no row");
}

#[test]
fn windows_of_many_keys_are_each_their_own() {
    let users = || full("user", DataType::Utf8, (0..500).map(|user| format!("c{user}")));
    let values = || full("value", DataType::Int64, 0..500);
    let table = table(&[users(), full("at", DataType::Timestamp, (0..500).map(|user| user % 7 * DAY)), values()]);
    let made = rows(
        vec![("t", table)],
        r#"[{"window": {"by": ["user"], "time": "at", "length": "2d", "columns": {"sum": {"of": "value", "aggregate": "sum"}}}},
            {"select": {"columns": ["value", "sum"]}}]"#,
    );
    let expected = (0..500).map(|value| format!("{value} {value}"));
    assert_eq!(made[1..], expected.collect::<Vec<_>>());
}

#[test]
fn what_has_left_a_window_does_not_show_in_it() {
    let large = table(&[
        full("user", DataType::Utf8, ["a", "a"]),
        full("at", DataType::Timestamp, [0, DAY]),
        full("value", DataType::Float64, [1e16, 1.0]),
    ]);
    let own = table(&[full("user", DataType::Utf8, ["a", "a"]), full("at", DataType::Timestamp, [2 * DAY, 3 * DAY])]);
    let steps = r#"[{"table": "own", "window": {"from": "large", "by": ["user"], "time": "at", "length": "2d",
        "columns": {"sum": {"of": "value", "aggregate": "sum"}}}}, {"select": {"columns": ["sum"]}}]"#;
    assert_eq!(rows(vec![("large", large), ("own", own)], steps), ["sum", "1", "0"]);
}

#[test]
fn extremes_are_refused_or_have_a_meaning_and_end_no_component() {
    let times = || table(&[full("at", DataType::Timestamp, [i64::MAX, 0]), full("n", DataType::Int64, [i64::MAX, 1])]);
    let parts = prepare(vec![("t", times())], r#"[{"time_parts": {"column": "at", "parts": ["hour"]}}]"#);
    assert!(matches!(parts, Err(Failure::Data(fault)) if fault.message.contains("years 1 to 9999")));
    let sum = r#"[{"group": {"by": ["at"], "columns": {"sum": {"of": "n", "aggregate": "sum"}}}}]"#;
    assert!(matches!(prepare(vec![("t", times())], sum), Err(Failure::Data(fault)) if fault.message.contains("range")));
    // No row is left on either side of a window, a join and a group.
    let nobody = r#"{"filter": {"where": [{"column": "user", "equal": "nobody"}]}}"#;
    for then in [
        r#"{"window": {"by": ["user"], "time": "at", "length": "1d", "columns": {"n": {"aggregate": "count"}}}}"#,
        r#"{"join": {"with": "users", "on": ["user"]}}"#,
        r#"{"group": {"by": ["user"], "columns": {"n": {"aggregate": "count"}}}}"#,
    ] {
        let steps = format!(
            r#"[{{"table": "users", "sort": {{"by": ["user"]}}}}, {{"table": "orders", {}, {then}]"#,
            &nobody[1..]
        );
        assert_eq!(rows(vec![("orders", orders()), ("users", users())], &steps).len(), 1, "{then}");
    }
    // A null key stores some value, which is no key.
    let left = table(&[full("user", DataType::Int64, [0]), full("at", DataType::Timestamp, [DAY])]);
    let right = table(&[
        cells("user", DataType::Int64, [None::<i64>]),
        full("at", DataType::Timestamp, [0]),
        full("x", DataType::Int64, [7]),
    ]);
    let joined = rows(
        vec![("l", left), ("r", right)],
        r#"[{"table": "l", "as_of": {"with": "r", "by": ["user"], "time": "at"}}]"#,
    );
    assert_eq!(joined, ["user at x", "0 86400000000 -"]);
    let many: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    let numbers = table(&[full("n", DataType::Int64, [3, 10_000])]);
    let steps = format!(r#"[{{"filter": {{"where": [{{"column": "n", "one_of": [{}]}}]}}}}]"#, many.join(","));
    assert_eq!(rows(vec![("t", numbers)], &steps), ["n", "3"]);
    let floats = table(&[full("x", DataType::Float64, ["NaN", "2"])]);
    assert_eq!(rows(vec![("t", floats)], r#"[{"filter": {"where": [{"column": "x", "above": 1}]}}]"#), ["x", "2"]);
}

/// An event: its user, its day, and its value.
type Event = (u8, u8, Option<i16>);

fn events(events: &[Event]) -> Box<dyn Table> {
    table(&[
        full("user", DataType::Int64, events.iter().map(|event| event.0)),
        full("at", DataType::Timestamp, events.iter().map(|event| i64::from(event.1) * DAY)),
        cells("value", DataType::Float64, events.iter().map(|event| event.2.map(|value| f64::from(value) / 8.0))),
    ])
}

/// Returns what each aggregate over a window is, by looking at every event for every row.
fn brute_force(rows: &[Event], events: &[Event], days: u8, before: bool) -> Vec<String> {
    let mut shown = vec!["user at value count last max mean min sum".to_owned()];
    let text = |value: Option<f64>| value.map_or("-".to_owned(), |value| value.to_string());
    for row in rows {
        let is_in = |event: &&Event| {
            let (time, now) = (i32::from(event.1), i32::from(row.1));
            let first = now - i32::from(days);
            event.0 == row.0 && if before { first <= time && time < now } else { first < time && time <= now }
        };
        let mut inside: Vec<(u8, f64)> =
            events.iter().filter(is_in).filter_map(|event| Some((event.1, f64::from(event.2?) / 8.0))).collect();
        inside.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let values: Vec<f64> = inside.iter().map(|(_, value)| *value).collect();
        let sum = values.iter().fold(0.0, |sum, value| sum + value);
        let mean = (!values.is_empty()).then(|| sum / values.len() as f64);
        let cells = [
            row.0.to_string(),
            (i64::from(row.1) * DAY).to_string(),
            text(row.2.map(|value| f64::from(value) / 8.0)),
            values.len().to_string(),
            text(values.last().copied()),
            text(values.iter().copied().reduce(f64::max)),
            text(mean),
            text(values.iter().copied().reduce(f64::min)),
            text(Some(sum)),
        ];
        shown.push(cells.join(" "));
    }
    shown
}

fn window(more: &str, days: u8, before: bool) -> String {
    let until = if before { "before" } else { "now" };
    let columns: BTreeMap<&str, _> = ["count", "last", "max", "mean", "min", "sum"]
        .into_iter()
        .map(|name| (name, format!(r#"{{"of": "value", "aggregate": "{name}"}}"#)))
        .collect();
    let columns: Vec<String> =
        columns.into_iter().map(|(name, aggregate)| format!(r#""{name}": {aggregate}"#)).collect();
    format!(
        r#"[{{"table": "rows", "window": {{{more}"by": ["user"], "time": "at", "length": "{days}d", "until": "{until}",
        "columns": {{{}}}}}}}]"#,
        columns.join(", ")
    )
}

fn some_events(most: usize) -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec(
        (prop_oneof![0..3u8, any::<u8>()], 0..12u8, proptest::option::weighted(0.9, -40..40i16)),
        1..most,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    // invariant: A window of `prepare-table` has the rows of its span and never one of a later
    // time.
    #[test]
    fn windows_are_those_of_brute_force(rows in some_events(12), others in some_events(40), days in 1..6u8, before: bool) {
        let own = self::rows(vec![("rows", events(&others))], &window("", days, before));
        prop_assert_eq!(own, brute_force(&others, &others, days, before));
        let of_others = window(r#""from": "others", "#, days, before);
        let made = self::rows(vec![("others", events(&others)), ("rows", events(&rows))], &of_others);
        prop_assert_eq!(made, brute_force(&rows, &others, days, before));
    }

    // invariant: as above, for the order of the input rows.
    #[test]
    fn the_order_of_the_other_table_makes_no_difference(rows in some_events(12), others in some_events(40), seed: u64) {
        let mut shuffled = others.clone();
        shuffled.sort_by_key(|event| {
            let mixed = (u64::from(event.0) << 32 | u64::from(event.1) << 16 | event.2.unwrap_or(99) as u16 as u64) ^ seed;
            mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        for steps in [
            window(r#""from": "others", "#, 3, false),
            r#"[{"table": "rows", "join": {"with": "others", "on": ["user", "at"], "prefix": "o_"}}]"#.to_owned(),
            r#"[{"table": "rows", "as_of": {"with": "others", "by": ["user"], "time": "at", "prefix": "o_"}}]"#.to_owned(),
            r#"[{"table": "others", "group": {"by": ["user"], "columns": {"sum": {"of": "value", "aggregate": "sum"},
                "std": {"of": "value", "aggregate": "std"}}}}]"#.to_owned(),
        ] {
            let with = |others: &[Event]| self::rows(vec![("others", events(others)), ("rows", events(&rows))], &steps);
            prop_assert_eq!(with(&others), with(&shuffled), "{}", steps);
        }
    }
}
