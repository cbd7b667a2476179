//! MLflow's search grammar: accepted texts, and refused ones with their errors.

// invariant: as `registry/store/tests/conformance/search.rs`

mod properties;

use stagewright_store::search::{
    Clause, Comparison, Entity, Filter, MAX_BYTES, MAX_CLAUSES, MAX_KEYS, MAX_PATTERN_BYTES, MAX_VALUES, OrderBy,
    Relation,
};

use Entity::{Experiments, ModelVersions, RegisteredModels, Runs};

/// Returns the filter in its text form.
fn printed(entity: Entity, text: &str) -> String {
    match Filter::parse(entity, text) {
        Ok(filter) => filter.to_string(),
        Err(error) => panic!("{error}"),
    }
}

/// Returns the error of a refused filter.
fn refused(entity: Entity, text: &str) -> String {
    match Filter::parse(entity, text) {
        Ok(filter) => panic!("`{text}` is accepted as `{filter}`"),
        Err(error) => error.to_string(),
    }
}

fn clause(text: &str) -> Clause {
    Filter::parse(Runs, text).expect("a filter").clauses()[0].clone()
}

#[test]
fn every_group_of_keys_has_its_spellings() {
    for (text, same) in [
        ("metric.a >= 0.94", "metrics.a >= 0.94"),
        ("metrics.a>=100", "metrics.a >= 100.0"),
        ("`metric`.a = 1", "metrics.a = 1.0"),
        ("param.m != 'tf'", "params.m != 'tf'"),
        ("parameter.m='tf'", "params.m = 'tf'"),
        ("parameters.m = 'tf'", "params.m = 'tf'"),
        ("`params`.\"m\"!=\"tf\"", "params.m != 'tf'"),
        ("tag.version = 'commit-hash'", "tags.version = 'commit-hash'"),
        ("tags.mlflow.source.name LIKE '%.py'", "tags.mlflow.source.name LIKE '%.py'"),
        ("attribute.status = 'FAILED'", "status = 'FAILED'"),
        ("attributes.status = 'FAILED'", "status = 'FAILED'"),
        ("attr.status = 'FAILED'", "status = 'FAILED'"),
        ("run.status = 'FAILED'", "status = 'FAILED'"),
        ("status = 'FAILED'", "status = 'FAILED'"),
        ("`run name` = 'a' AND attributes.\"Run name\" = 'b'", "run_name = 'a' AND run_name = 'b'"),
        ("created > 5 AND attribute.Created < 7", "start_time > 5 AND start_time < 7"),
        ("dataset.name = 'x' AND datasets.digest = 'y'", "datasets.name = 'x' AND datasets.digest = 'y'"),
        ("dataset.context IN ('train')", "datasets.context IN ('train')"),
    ] {
        assert_eq!(printed(Runs, text), same);
    }
}

#[test]
fn names_with_other_characters_are_quoted() {
    for (text, same) in [
        ("metrics.\"legit name\" >= 0.243", "metrics.`legit name` >= 0.243"),
        ("metrics.'legit name' >= 0.243", "metrics.`legit name` >= 0.243"),
        ("metrics.`X//Y#$$@&Z` = 3", "metrics.`X//Y#$$@&Z` = 3.0"),
        ("metrics.\"accuracy.2.0\" > 5", "metrics.accuracy.2.0 > 5.0"),
        ("metrics.val/loss:0 > 5", "metrics.val/loss:0 > 5.0"),
        ("params.café = 'ω'", "params.café = 'ω'"),
        ("metrics.`日本 語` = 3", "metrics.`日本 語` = 3.0"),
        ("tags.`a``b` = 'c'", "tags.`a``b` = 'c'"),
        ("params.in = 'x' AND tags.and = 'y'", "params.in = 'x' AND tags.and = 'y'"),
    ] {
        assert_eq!(printed(Runs, text), same);
    }
}

#[test]
fn texts_have_either_quote_and_a_backslash_means_nothing() {
    for (text, value) in [
        ("params.m = 'LR'", "LR"),
        ("params.m = \"L'Hosp\"", "L'Hosp"),
        ("params.m = 'L''Hosp'", "L'Hosp"),
        ("params.m = '\"'", "\""),
        (r"params.m = 'C:\'", r"C:\"),
        ("params.m = ''", ""),
        ("params.m = 'a AND b = (c)'", "a AND b = (c)"),
        ("params.m = ' 🚀\n'", " 🚀\n"),
    ] {
        assert_eq!(clause(text).comparison, Comparison::Equal(value.to_owned()));
    }
}

#[test]
fn numbers_are_decimal_and_finite() {
    for (text, value) in
        [("-5", -5.0), (".5", 0.5), ("100.", 100.0), ("1E10", 1e10), ("-1.5e-3", -1.5e-3), ("1e+2", 100.0)]
    {
        let comparison = clause(&format!("metrics.m <= {text}")).comparison;
        assert_eq!(comparison, Comparison::Number(Relation::LessOrEqual, value));
    }
    for text in ["0x1F", "nan", "inf", "-infinity", "1e999", ".", "e5", "1_000", "--1"] {
        assert!(refused(Runs, &format!("metrics.m = {text}")).contains("a metric is compared with a number"), "{text}");
    }
    assert_eq!(clause("start_time > -3").comparison, Comparison::Integer(Relation::Greater, -3));
    for text in ["1.5", "1e3", "'1'", "9223372036854775808"] {
        assert!(refused(Runs, &format!("start_time = {text}")).contains("compared with a whole number"), "{text}");
    }
}

#[test]
fn words_of_the_grammar_are_in_any_case_and_need_no_spaces_between_quotes() {
    let text = "  tags.a like'x'and params.b Not  In_ = 'y'";
    assert!(refused(Runs, text).contains("an operator is expected after `params.b`, not `Not`"));
    assert_eq!(
        printed(
            Runs,
            "tags.a is Null aNd\nrun_id not in('a',\"b\" , 'c')AND tags.b iLike 'x' and params.c IS  NOT\tNULL"
        ),
        "tags.a IS NULL AND run_id NOT IN ('a', 'b', 'c') AND tags.b ILIKE 'x' AND params.c IS NOT NULL"
    );
    assert_eq!(printed(Runs, "run_id IN ('a',)"), "run_id IN ('a')");
    assert_eq!(printed(Runs, " \n"), "");
    assert_eq!(Filter::parse(Runs, ""), Ok(Filter::default()));
}

#[test]
fn each_kind_of_record_has_its_own_keys() {
    assert_eq!(
        printed(
            Experiments,
            "attribute.name LIKE 'a%' AND creation_time > 1 AND last_update_time < 2 AND tags.a = 'b'"
        ),
        "name LIKE 'a%' AND creation_time > 1 AND last_update_time < 2 AND tags.a = 'b'"
    );
    assert_eq!(printed(Experiments, "experiment_id IN ('1', '2')"), "experiment_id IN ('1', '2')");
    assert_eq!(printed(RegisteredModels, "name ILIKE '%x%' AND tag.k != 'v'"), "name ILIKE '%x%' AND tags.k != 'v'");
    assert_eq!(
        printed(ModelVersions, "name = 'm' AND version_number >= 3 AND run_id IN ('r') AND source_path = '/x'"),
        "name = 'm' AND version_number >= 3 AND run_id IN ('r') AND source_path = '/x'"
    );
    for (entity, text) in [
        (Experiments, "metrics.a > 1"),
        (Experiments, "params.a = 'x'"),
        (Experiments, "run.name = 'x'"),
        (RegisteredModels, "dataset.name = 'x'"),
        (ModelVersions, "datasets.name = 'x'"),
    ] {
        assert!(
            refused(entity, text).contains(&format!("is no group of keys of {entity}\nhint: {entity} have")),
            "{text}"
        );
    }
    for (entity, text) in [
        (Runs, "name = 'x'"),
        (Runs, "attribute.experiment_id = '1'"),
        (Runs, "attribute._status = 'x'"),
        (Runs, "lifecycle_stage = 'active'"),
        (Runs, "Status = 'FAILED'"),
        (Experiments, "status = 'x'"),
        (RegisteredModels, "version_number = 1"),
        (ModelVersions, "status = 'READY'"),
    ] {
        assert!(refused(entity, text).contains(&format!("is no attribute of {entity}\nhint: they have")), "{text}");
    }
}

#[test]
fn stagewrights_own_keys_can_be_searched() {
    assert_eq!(
        printed(Runs, "pipeline = 'churn' AND attributes.pipeline IS NOT NULL"),
        "pipeline = 'churn' AND pipeline IS NOT NULL"
    );
    let text =
        "current_stage = 'Production' AND aliases = 'champion' AND verdict IS NULL AND semantic_version LIKE '1.%'";
    assert_eq!(
        printed(ModelVersions, text),
        "stage = 'Production' AND alias = 'champion' AND verdict IS NULL AND semantic_version LIKE '1.%'"
    );
    assert_eq!(printed(ModelVersions, "metrics.auc > 0.8 AND params.c = '1'"), "metrics.auc > 0.8 AND params.c = '1'");
}

#[test]
fn each_kind_of_key_has_its_operators() {
    for (entity, text, message) in [
        (Runs, "metrics.a LIKE 'x'", "a metric is not compared by `LIKE`\nhint: a metric takes `=`,"),
        (Runs, "metrics.a IN ('x')", "a metric is not compared by `IN`"),
        (Runs, "metrics.a IS NULL", "a metric is not compared by `IS`"),
        (Runs, "metrics.a ~= 1", "an operator is expected after `metrics.a`, not `~=`"),
        (Runs, "metrics.a == 1", "an operator is expected after `metrics.a`, not `==`"),
        (Runs, "metrics.a <> 1", "an operator is expected after `metrics.a`, not `<>`"),
        (Runs, "params.a > 'x'", "a parameter is not compared by `>`"),
        (Runs, "tags.a <= 'x'", "a tag is not compared by `<=`"),
        (Runs, "tags.a IN ('x')", "a tag is not compared by `IN`"),
        (Runs, "tags.a RLIKE 'x'", "an operator is expected after `tags.a`, not `RLIKE`"),
        (Runs, "status > 'x'", "the attribute `status` is not compared by `>`"),
        (Runs, "status IS NULL", "the attribute `status` is not compared by `IS`"),
        (Runs, "status IS 'x'", "an operator is expected after `status`, not `IS`"),
        (Runs, "start_time LIKE '1%'", "the attribute `start_time` is not compared by `LIKE`"),
        (Runs, "datasets.name > 'x'", "a dataset's name is not compared by `>`"),
        (Runs, "datasets.profile = 'x'", "a dataset cannot be searched by `profile`"),
        (ModelVersions, "version_number IN ('1')", "the attribute `version_number` is not compared by `IN`"),
    ] {
        let error = refused(entity, text);
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn what_is_no_filter_is_refused_where_it_goes_wrong() {
    for (text, column, message) in [
        ("metric.acc >= 0.94; metrics.rmse < 1", 19, "`AND` is expected after a clause, not `;`"),
        ("metrics.A > 0.1 OR params.B = 'LR'", 17, "not `OR`\nhint: `AND` alone joins clauses"),
        ("metrics.A > 0.1 params.B = 'LR'", 17, "`AND` is expected after a clause, not `params.B`"),
        ("metrics.A > 0.1 AND (params.B = 'LR')", 21, "a key is expected here, not `(`"),
        ("metrics.a > 1 AND", 18, "a key is expected here, not the filter's end"),
        ("AND metrics.a > 1", 1, "a key is expected here, not `AND`"),
        ("1.0 > metrics.acc", 1, "a key is expected here, not `1.0`"),
        ("1=1", 1, "`1` is no attribute of runs"),
        ("= 'x'", 1, "a key is expected here, not `=`"),
        ("'x' = 'y'", 1, "`'x'` is no attribute of runs"),
        ("`metrics.A` > 1", 1, "is no attribute of runs"),
        ("m.acc >= 0.94", 1, "`m.` is no group of keys of runs"),
        ("mlflow.user = 'x'", 1, "`mlflow.` is no group of keys of runs"),
        ("metrics. > 1", 9, "a name is missing after the dot"),
        ("metrics.`` > 1", 9, "a name is missing after the dot"),
        ("`metrics.A > 0.1", 1, "the quote ``` is not closed"),
        ("param`.A > 0.1", 1, "`param` is no attribute of runs"),
        ("params.'acc = LR", 8, "the quote `'` is not closed"),
        ("params.acc = 'LR", 14, "the quote `'` is not closed"),
        ("params.acc = LR'", 14, "a parameter is compared with a text, not with `LR`"),
        ("params.acc = \"LR'", 14, "the quote `\"` is not closed"),
        (r"params.k = 'a\'b'", 16, "`AND` is expected after a clause, not `b`"),
        ("tags.acc = = 'LR'", 12, "a tag is compared with a text, not with `=`"),
        ("tags.acc = 5", 12, "a tag is compared with a text, not with `5`"),
        ("params.acc = `LR`", 14, "a parameter is compared with a text, not with ``LR``"),
        ("status = true", 10, "the attribute `status` is compared with a text, not with `true`"),
        ("metrics.auc > 'x'", 15, "a metric is compared with a number, not with `'x'`"),
        ("metrics.a != metrics.b", 14, "a metric is compared with a number, not with `metrics.b`"),
        ("metrics.é !=", 13, "a metric is compared with a number, not with the filter's end"),
        ("params.acc LR !=", 12, "an operator is expected after `params.acc`, not `LR`"),
        ("run_id IN ()", 12, "a list holds texts in quotes, not `)`"),
        ("run_id IN (,)", 12, "a list holds texts in quotes, not `,`"),
        ("run_id IN ('a' 'b')", 16, "`,` or `)` is expected in a list, not `'b'`"),
        ("run_id IN ('a', 5)", 17, "a list holds texts in quotes, not `5`"),
        ("run_id IN 'a'", 11, "a list is expected, not `'a'`"),
        ("run_id IN ('a'", 15, "`,` or `)` is expected in a list, not the filter's end"),
        ("tags.a = '\0'", 11, "a NUL character"),
    ] {
        let error = Filter::parse(Runs, text).expect_err(text);
        assert_eq!(error.column, column, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_message_shows_the_position_and_how_to_solve_the_problem() {
    assert_eq!(
        refused(Runs, "metrics.auc > 'x'"),
        "filter `metrics.auc > 'x'`, column 15: a metric is compared with a number, not with `'x'`\n\
         hint: write it without quotes, as in `0.8` or `1e-3`"
    );
    assert_eq!(
        refused(RegisteredModels, "nmae = 'churn'"),
        "filter `nmae = 'churn'`, column 1: `nmae` is no attribute of registered models\n\
         hint: they have `name`, `creation_time`, `last_update_time`; other keys begin with `tags.`"
    );
    let long = format!("tags.a = '{}'\n OR tags.b = '{}'", "x".repeat(100), "y".repeat(100));
    assert_eq!(
        refused(Runs, &long),
        format!(
            "filter `...{}'\u{fffd} OR tags.b = '{}...`, column 114: `AND` is expected after a clause, not `OR`\n\
             hint: `AND` alone joins clauses; for `OR`, search twice",
            "x".repeat(37),
            "y".repeat(27)
        )
    );
}

#[test]
fn a_filter_is_bounded_in_every_direction() {
    let clauses = |count| vec!["metrics.a > 1"; count].join(" AND ");
    assert!(Filter::parse(Runs, &clauses(MAX_CLAUSES)).is_ok());
    assert!(refused(Runs, &clauses(MAX_CLAUSES + 1)).contains("may have 40 clauses"));
    let values = |count| format!("run_id IN ({})", vec!["'a'"; count].join(","));
    assert!(Filter::parse(Runs, &values(MAX_VALUES)).is_ok());
    assert!(refused(Runs, &values(MAX_VALUES + 1)).contains("may have 500 texts"));
    let text = |operator, count| format!("tags.a {operator} '{}'", "x".repeat(count));
    assert!(Filter::parse(Runs, &text("LIKE", MAX_PATTERN_BYTES)).is_ok());
    assert!(refused(Runs, &text("ILIKE", MAX_PATTERN_BYTES + 1)).contains("that a pattern may have"));
    assert!(Filter::parse(Runs, &text("=", MAX_BYTES - 11)).is_ok());
    let error = refused(Runs, &text("=", MAX_BYTES - 10));
    assert!(
        error.contains("65537 bytes are more than the 65536 that a filter may have") && error.len() < 300,
        "{error}"
    );
}

#[test]
fn only_the_clause_that_leaves_prompts_out_is_flagged() {
    let name = "tag.`mlflow.prompt.is_prompt`";
    for (clause, flagged) in [
        (format!("{name} != 'true'"), true),
        (format!("{name} = 'false'"), true),
        (format!("{name} = 'true'"), false),
        (format!("{name} != 'false'"), false),
        (format!("{name} IS NULL"), false),
        ("tags.other != 'true'".to_owned(), false),
    ] {
        let filter = Filter::parse(RegisteredModels, &format!("name = 'm' AND {clause}")).expect("a filter");
        assert_eq!(
            filter.clauses().iter().map(Clause::is_prompt_exclusion).collect::<Vec<_>>(),
            [false, flagged],
            "{clause}"
        );
    }
}

#[test]
fn orders_have_keys_and_directions() {
    for (entity, texts, same) in [
        (Runs, &[][..], ""),
        (Runs, &["metrics.foo"], "metrics.foo"),
        (Runs, &["metrics.foo desc"], "metrics.foo DESC"),
        (Runs, &["metric.`Mean Square Error` DESC"], "metrics.`Mean Square Error` DESC"),
        (Runs, &["params.p aSc", "`tags`.\"a b\"", " created  DESC "], "params.p, tags.`a b`, start_time DESC"),
        (Runs, &["metrics.a DESC, attributes.run_id", "status"], "metrics.a DESC, run_id, status"),
        (Experiments, &["experiment_id", "last_update_time DESC"], "experiment_id, last_update_time DESC"),
        (RegisteredModels, &["timestamp DESC"], "last_update_time DESC"),
        (RegisteredModels, &["creation_timestamp ASC", "`name` DESC"], "creation_time, name DESC"),
        (ModelVersions, &["version_number DESC", "metrics.auc"], "version_number DESC, metrics.auc"),
    ] {
        assert_eq!(OrderBy::parse(entity, texts).map(|order| order.to_string()).as_deref(), Ok(same));
    }
    for (text, message) in [
        ("", "a key is expected here, not the order's end"),
        ("acc", "`acc` is no attribute of runs"),
        ("metrics.a,", "a key is expected here, not the order's end"),
        ("metrics.A != 1", "`ASC`, `DESC` or `,` is expected after a key, not `!=`"),
        ("run_id decs", "`ASC`, `DESC` or `,` is expected after a key, not `decs`"),
        ("run_id ASC DESC", "`ASC`, `DESC` or `,` is expected after a key, not `DESC`"),
        ("dataset.name", "runs cannot be ordered by `datasets.name`"),
        ("metrics.a, metric.`a` DESC", "the key is in the order before"),
        ("`metrics.A", "the quote ``` is not closed"),
    ] {
        let error = OrderBy::parse(Runs, &[text]).expect_err(text).to_string();
        assert!(error.starts_with("order `") && error.contains(message) && error.contains("\nhint: "), "{error}");
    }
    assert!(OrderBy::parse(ModelVersions, &["alias"]).is_err());
    let keys: Vec<_> = (0..=MAX_KEYS).map(|key| format!("metrics.{key}")).collect();
    assert!(OrderBy::parse(Runs, &keys[1..]).is_ok());
    assert!(OrderBy::parse(Runs, &keys).is_err());
}

#[test]
fn a_total_order_ends_with_what_tells_records_apart() {
    let total = |entity, texts: &[&str]| OrderBy::parse(entity, texts).expect("an order").total(entity).to_string();
    assert_eq!(total(Runs, &[]), "start_time DESC, run_id");
    assert_eq!(total(Runs, &["metrics.a", "start_time"]), "metrics.a, start_time, run_id");
    assert_eq!(total(Experiments, &[]), "creation_time DESC, experiment_id");
    assert_eq!(total(RegisteredModels, &["name DESC"]), "name DESC");
    assert_eq!(total(ModelVersions, &["version"]), "version_number, name");
}
