//! Leaks, planted into each operation.

use std::collections::BTreeMap;

use super::*;
use crate::frame::Facts;
use crate::leaks::check_result;

// invariant: No operation of `prepare-table` computes a column from the target, or from rows of
// later times, unless the column's name says so.
#[test]
fn what_looks_at_the_target_or_at_later_rows_says_so_in_its_name() {
    let named = |name: &str| {
        [
            format!(r#"[{{"derive": {{"columns": {{"{name}": {{"sum": ["churn", "amount"]}}}}}}}}]"#),
            format!(r#"[{{"derive": {{"columns": {{"{name}": {{"is_null": "churn"}}}}}}}}]"#),
            format!(
                r#"[{{"group": {{"by": ["user"], "columns": {{"{name}": {{"of": "churn", "aggregate": "mean"}}}}}}}}]"#
            ),
            format!(
                r#"[{{"window": {{"by": ["user"], "time": "at", "length": "9d", "until": "before",
            "columns": {{"{name}": {{"of": "churn", "aggregate": "mean"}}}}}}}}]"#
            ),
            format!(r#"[{{"lag": {{"by": ["user"], "time": "at", "columns": {{"{name}": "churn"}}}}}}]"#),
            format!(
                r#"[{{"rename": {{"columns": {{"churn": "{name}"}}}}}}, {{"derive": {{"columns": {{"x": {{"sum": ["{name}"]}}}}}}}}]"#
            ),
        ]
    };
    for steps in named("rate") {
        let (_, message) = refused(vec![("t", labelled())], &steps);
        assert!(message.contains("computed from the target"), "{steps}: {message}");
    }
    for steps in &named("target_rate")[..5] {
        assert!(prepare(vec![("t", labelled())], steps).is_ok(), "{steps}");
    }
    let own = r#"[{"window": {"by": ["user"], "time": "at", "length": "9d",
        "columns": {"target_rate": {"of": "churn", "aggregate": "mean"}}}}]"#;
    assert!(refused(vec![("t", labelled())], own).1.contains("until"));

    let all_time = |name: &str| {
        format!(
            r#"[
        {{"table": "t", "as": "totals", "group": {{"by": ["user"], "columns": {{"{name}": {{"of": "amount", "aggregate": "sum"}}}}}}}},
        {{"table": "t", "join": {{"with": "totals", "on": ["user"]}}}}]"#
        )
    };
    assert!(refused(vec![("t", labelled())], &all_time("total")).1.contains("over all times"));
    assert!(prepare(vec![("t", labelled())], &all_time("all_time_total")).is_ok());
    for steps in [
        // By another name, by a pattern, and by what is left behind of another column.
        r#"[{"derive": {"columns": {"target_x": {"log1p": "churn"}}}}, {"rename": {"columns": {"target_x": "x"}}}]"#,
        r#"[{"rename": {"columns": {"amount": "^churn$"}}}, {"derive": {"columns": {"x": {"log1p": "^churn$"}}}},
            {"derive": {"columns": {"y": {"difference": ["x", "churn"]}}}}]"#,
        r#"[{"select": {"columns": ["churn"]}}, {"rename": {"columns": {"churn": "user"}}},
            {"derive": {"columns": {"x": {"log1p": "user"}}}}]"#,
        // From the table itself.
        r#"[{"table": "t", "join": {"with": "t", "on": ["user", "at"], "columns": ["churn"], "prefix": "f_"}}]"#,
        // By keys, and by rows that the target chose.
        r#"[{"table": "t", "as": "g", "group": {"by": ["churn"], "columns": {"mean": {"of": "amount", "aggregate": "mean"}}}}]"#,
        r#"[{"lag": {"by": ["churn"], "time": "at", "columns": {"x": "amount"}}}]"#,
        r#"[{"table": "t", "as": "pos", "filter": {"where": [{"column": "churn", "equal": 1}]}},
            {"table": "t", "window": {"from": "pos", "by": ["user"], "time": "at", "length": "1s", "until": "before",
            "columns": {"n": {"aggregate": "count"}}}}]"#,
        r#"[{"table": "t", "as": "pos", "filter": {"where": [{"column": "churn", "equal": 1}]}},
            {"table": "t", "join": {"with": "pos", "on": ["user", "at"], "columns": ["amount"], "prefix": "p_"}}]"#,
    ] {
        let (_, message) = refused(vec![("t", labelled())], steps);
        assert!(message.contains("computed from the target"), "{steps}: {message}");
    }
    for steps in [
        r#"[{"table": "t", "as": "copy", "sort": {"by": ["at"]}}, {"table": "t", "window": {"from": "copy", "by": ["user"],
            "time": "at", "length": "1s", "columns": {"target_rate": {"of": "churn", "aggregate": "max"}}}}]"#,
        r#"[{"table": "t", "as_of": {"with": "t", "by": ["user"], "time": "at", "columns": ["churn"], "prefix": "target_"}}]"#,
    ] {
        assert!(refused(vec![("t", labelled())], steps).1.contains("until"), "{steps}");
    }
    let labels = table(&[full("user", DataType::Utf8, ["a", "b"]), full("churn", DataType::Int64, [0, 1])]);
    let labels_join = r#"[{"table": "orders", "join": {"with": "labels", "on": ["user"], "columns": ["churn"]}}]"#;
    assert!(prepare(vec![("labels", labels), ("orders", orders())], labels_join).is_ok(), "labels come once");
    let backwards = r#"[{"table": "t", "as": "totals", "group": {"by": ["user"], "columns": {"total": {"of": "amount", "aggregate": "sum"}}}},
        {"table": "totals", "join": {"with": "t", "on": ["user"], "how": "inner"}}]"#;
    assert!(refused(vec![("t", labelled())], backwards).1.contains("beside a time"));
    let renamed = all_time("all_time_total")
        .replace("]}}]", "]}}, {\"rename\": {\"columns\": {\"all_time_total\": \"total\"}}}]");
    assert!(refused(vec![("t", labelled())], &renamed).1.contains("over all times"), "{renamed}");
    // A table without times may have totals: its rows are no moments.
    let customers = table(&[full("user", DataType::Utf8, ["a", "b"])]);
    let joined = r#"[{"table": "t", "as": "totals", "group": {"by": ["user"], "columns": {"total": {"of": "amount", "aggregate": "sum"}}}},
        {"table": "customers", "join": {"with": "totals", "on": ["user"]}}]"#;
    assert!(prepare(vec![("customers", customers), ("t", labelled())], joined).is_ok());
}

/// Returns tables with times: the labelled one as `t` and as `u`, and orders.
fn timed() -> Vec<(&'static str, Box<dyn Table>)> {
    vec![("orders", orders()), ("t", labelled()), ("u", labelled())]
}

/// Returns steps that leave the latest rows of `u` in `l`, its totals in `totals`, and `t` with its
/// total.
fn before(steps: &str) -> String {
    format!(
        r#"[{{"table": "u", "as": "l", "latest": {{"by": ["user"], "time": "at"}}}},
        {{"table": "u", "as": "totals", "group": {{"by": ["user"], "columns": {{"all_time_total": {{"of": "amount", "aggregate": "sum"}},
            "all_time_end": {{"of": "at", "aggregate": "max"}}}}}}}},
        {{"table": "t", "join": {{"with": "totals", "on": ["user"]}}}},
        {steps}]"#
    )
}

// invariant: as `what_looks_at_the_target_or_at_later_rows_says_so_in_its_name`
#[test]
fn every_operation_refuses_what_it_learns_of_later_rows_unless_the_name_says_so() {
    let planted = [
        ("derive", r#"{"derive": {"columns": {"NAME": {"log1p": "all_time_total"}}}}"#),
        (
            "ratio",
            r#"{"derive": {"columns": {"NAME": {"ratio": {"numerator": "amount", "denominator": "all_time_total"}}}}}"#,
        ),
        ("time_parts", r#"{"time_parts": {"column": "all_time_end", "parts": ["day"], "prefix": "NAME"}}"#),
        ("lag", r#"{"lag": {"by": ["user"], "time": "at", "columns": {"NAME": "all_time_total"}}}"#),
        ("lag by key", r#"{"lag": {"by": ["all_time_end"], "time": "at", "columns": {"NAME": "amount"}}}"#),
        ("rename", r#"{"rename": {"columns": {"all_time_total": "NAME"}}}"#),
        ("join", r#"{"join": {"with": "u", "on": ["user"], "columns": ["amount"], "prefix": "NAME"}}"#),
        (
            "join of the latest",
            r#"{"join": {"with": "l", "on": ["user"], "timeless": true, "columns": ["amount"], "prefix": "NAME"}}"#,
        ),
        (
            "as_of of the latest",
            r#"{"as_of": {"with": "l", "by": ["user"], "time": "at", "columns": ["amount"], "prefix": "NAME"}}"#,
        ),
        (
            "window of the latest",
            r#"{"window": {"from": "l", "by": ["user"], "time": "at", "length": "9d", "columns": {"NAME": {"aggregate": "count"}}}}"#,
        ),
        (
            "window of a total",
            r#"{"window": {"by": ["user"], "time": "at", "length": "9d", "columns": {"NAME": {"of": "all_time_total", "aggregate": "max"}}}}"#,
        ),
        (
            "filter",
            r#"{"as": "large", "filter": {"where": [{"column": "all_time_total", "above": 3}]}},
            {"table": "u", "window": {"from": "large", "by": ["user"], "time": "at", "length": "9d", "columns": {"NAME": {"aggregate": "count"}}}}"#,
        ),
        (
            "rows that a join repeats",
            r#"{"as": "repeated", "join": {"with": "u", "on": ["user"], "columns": ["amount"], "prefix": "all_time_"}},
            {"table": "u", "window": {"from": "repeated", "by": ["user"], "time": "at", "length": "9d", "columns": {"NAME": {"aggregate": "count"}}}}"#,
        ),
        (
            "union",
            r#"{"table": "l", "as": "both", "union": {"with": ["u"]}},
            {"table": "u", "window": {"from": "both", "by": ["user"], "time": "at", "length": "9d", "columns": {"NAME": {"aggregate": "count"}}}}"#,
        ),
    ];
    for (what, step) in planted {
        let (parameter, message) = refused(timed(), &before(&step.replace("NAME", "x_")));
        assert!(message.contains("over all times"), "{what} at {parameter}: {message}");
        let said = prepare(timed(), &before(&step.replace("NAME", "all_time_x_")));
        assert!(said.is_ok(), "{what}: {:?}", said.err());
    }
    let timeless = r#"[{"table": "t", "join": {"with": "orders", "on": ["user"], "columns": [], "timeless": true}}]"#;
    assert!(prepare(timed(), timeless).is_ok());
    let at_its_time =
        r#"[{"table": "t", "join": {"with": "u", "on": ["user", "at"], "columns": ["amount"], "prefix": "same_"}}]"#;
    assert!(prepare(timed(), at_its_time).is_ok(), "a row of the same time is no later one");
}

// invariant: as `what_looks_at_the_target_or_at_later_rows_says_so_in_its_name`
#[test]
fn what_is_made_in_rows_that_the_target_chose_tells_the_target_in_other_rows() {
    let apart = r#"{"table": "t", "as": "pos", "filter": {"where": [{"column": "churn", "equal": 1}]}},
        {"table": "u", "as": "neg", "filter": {"where": [{"column": "churn", "equal": 0}]}},"#;
    let constant = |name: &str| {
        format!(
            r#"[{apart} {{"table": "pos", "derive": {{"columns": {{"{name}": {{"constant": 1}}}}}}}},
            {{"table": "neg", "derive": {{"columns": {{"{name}": {{"constant": 0}}}}}}}}, {{"union": {{"with": ["pos"]}}}}]"#
        )
    };
    let exchanged = format!(
        r#"[{apart} {{"table": "pos", "rename": {{"columns": {{"amount": "user", "user": "amount"}}}}}},
        {{"table": "neg", "union": {{"with": ["pos"]}}}}]"#
    );
    let text = || {
        table(&[
            full("user", DataType::Utf8, ["a", "b"]),
            full("amount", DataType::Utf8, ["c", "d"]),
            full("churn", DataType::Int64, [0, 1]),
        ])
    };
    for steps in [constant("x"), exchanged] {
        let (_, message) = refused(vec![("t", text()), ("u", text())], &steps);
        assert!(message.contains("computed from the target"), "{steps}: {message}");
    }
    let said = prepare(timed(), &constant("target_x"));
    assert!(said.is_ok(), "{:?}", said.err());
    // A key that is there twice repeats the rows that have it.
    let repeated = format!(
        r#"[{apart} {{"table": "pos", "union": {{"with": ["pos"]}}}},
        {{"table": "u", "join": {{"with": "pos", "on": ["user"], "columns": [], "timeless": true}}}},
        {{"window": {{"by": ["user"], "time": "at", "length": "9d", "columns": {{"n": {{"aggregate": "count"}}}}}}}}]"#
    );
    assert!(refused(timed(), &repeated).1.contains("computed from the target"));
    // Rows without a label may go, and a table that lost them is as before.
    let labelled_only = r#"[{"table": "t", "filter": {"where": [{"column": "churn", "null": false}]}},
        {"derive": {"columns": {"x": {"log1p": "amount"}}}}, {"union": {"with": ["t"]}}]"#;
    assert!(prepare(timed(), labelled_only).is_ok());
}

#[test]
fn a_target_of_another_name_is_named_by_a_parameter_and_times_of_it_tell_it() {
    let steps = |target: &str, steps: &str| format!(r#"{{{target}"steps": {steps}}}"#);
    let of_amount = r#"[{"derive": {"columns": {"x": {"log1p": "amount"}}}}]"#;
    assert!(prepare_with(vec![("t", orders())], &steps("", of_amount)).is_ok());
    let told = |found: Result<FinishedTable, Failure>| match found {
        Err(Failure::Parameter(fault)) => (fault.parameter, fault.message),
        other => panic!("{:?}", other.map(|table| shown(&table))),
    };
    let (_, message) = told(prepare_with(vec![("t", orders())], &steps(r#""target": "amount","#, of_amount)));
    assert!(message.contains("computed from the target"), "{message}");
    let (parameter, _) = told(prepare_with(vec![("t", orders())], &steps(r#""target": "amunt","#, of_amount)));
    assert_eq!(parameter, "target");
    // The time of the target decides on windows, joins and orders.
    for by_time in [
        r#"[{"table": "u", "window": {"by": ["user"], "time": "at", "length": "9d", "until": "before", "columns": {"n": {"aggregate": "count"}}}}]"#,
        r#"[{"table": "u", "as_of": {"with": "orders", "by": ["user"], "time": "at", "columns": ["amount"], "prefix": "p_"}}]"#,
        r#"[{"table": "u", "lag": {"by": ["user"], "time": "at", "columns": {"before": "amount"}}}]"#,
        r#"[{"table": "u", "group": {"by": ["user"], "time": "at", "columns": {"first": {"of": "amount", "aggregate": "first"}}}}]"#,
        r#"[{"table": "u", "time_parts": {"column": "at", "parts": ["day"]}}]"#,
        r#"[{"table": "u", "latest": {"by": ["user"], "time": "at"}},
            {"table": "orders", "rename": {"columns": {"at": "on"}}},
            {"as": "last", "join": {"with": "u", "on": ["user"], "columns": ["amount"], "prefix": "all_time_"}}]"#,
    ] {
        let (_, message) = told(prepare_with(timed(), &steps(r#""target": "at","#, by_time)));
        assert!(message.contains("computed from the target"), "{by_time}: {message}");
    }
}

#[test]
fn the_result_has_one_target_which_the_stage_knew() {
    let field = |name: &str| Field { name: name.to_owned(), data_type: DataType::Int64, nullable: false };
    let result = MemoryTable::new([(field("churn"), Role::Target), (field("x"), Role::Feature)], Vec::new());
    let check = |columns: &[(&str, bool)]| {
        let facts = |of_target: bool| Facts { of_target, ..Facts::default() };
        let facts: BTreeMap<String, Facts> =
            columns.iter().map(|(name, of_target)| ((*name).to_owned(), facts(*of_target))).collect();
        check_result(&result, &facts)
    };
    assert!(check(&[("churn", true), ("x", false)]).is_ok());
    let unknown = check(&[("churn", false), ("x", false)]);
    assert!(matches!(unknown, Err(Failure::Parameter(fault)) if fault.parameter == "target"));
    let twice = check(&[("churn", true), ("x", true)]);
    assert!(
        matches!(twice, Err(Failure::Parameter(fault)) if fault.message.contains("`x` is the target beside `churn`"))
    );
    let nobody = MemoryTable::new([(field("x"), Role::Feature)], Vec::new());
    assert!(check_result(&nobody, &BTreeMap::new()).is_ok(), "nothing is learnt from this table");
}

#[test]
fn joins_are_reported_with_unmatched_rows_and_repeated_keys() {
    let steps = r#"{"steps": [
        {"table": "orders", "as": "left", "join": {"with": "users", "on": ["user"]}},
        {"table": "orders", "as": "inner", "join": {"with": "users", "on": ["user"], "how": "inner"}},
        {"table": "orders", "as_of": {"with": "t", "by": ["user"], "time": "at", "columns": []}}]}"#;
    let inputs = [("orders", orders()), ("t", labelled()), ("users", users())];
    let inputs = Inputs::new(inputs.map(|(name, table)| (name.to_owned(), table)));
    let parameters: Parameters = stagewright_kit::parameters::parse(steps).unwrap();
    let Ok(prepared) = crate::steps::run(&inputs, &parameters) else { panic!("refused") };
    let shown: Vec<_> =
        prepared.joins.iter().map(|join| (join.at.as_str(), join.with.as_str(), &join.joined)).collect();
    let joined =
        |unmatched, repeated_keys, rows_after| crate::joins::Joined { rows: 5, unmatched, repeated_keys, rows_after };
    assert_eq!(
        shown,
        [
            ("steps[0].join", "users", &joined(1, 1, 7)),
            ("steps[1].join", "users", &joined(1, 1, 6)),
            ("steps[2].as_of", "t", &joined(1, 0, 5)),
        ]
    );
}
