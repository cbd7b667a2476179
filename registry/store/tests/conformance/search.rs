//! Searches have the same results in every database: missing values, NaN, patterns, case, orders,
//! pages.

// invariant: A search means the same in both databases.

use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{MetricPoint, NewRun, Page, ViewType};

use crate::world::World;

const ALL: Page = Page { limit: 100, offset: 0 };

/// Creates the runs `a` to `e`; `a` has only its name.
fn five_runs(world: &World) {
    for (name, auc, depth, team) in [
        ("a", None, None, None),
        ("b", Some(0.7), Some("3"), Some("Churn")),
        ("c", Some(0.9), Some("10"), Some("churn")),
        ("d", Some(f64::NAN), Some("3"), Some("100%_sure")),
        ("e", Some(f64::INFINITY), None, Some("100 percent")),
    ] {
        let pairs = |name: &str, value: Option<&str>| value.map(|value| (name.to_owned(), value.to_owned()));
        let run = NewRun {
            name: name.into(),
            experiment: if name == "e" { "other" } else { "churn" }.into(),
            parameters: pairs("depth", depth).into_iter().collect(),
            tags: pairs("team", team).into_iter().collect(),
            ..NewRun::default()
        };
        let id = world.registry.begin_run(&run).unwrap();
        if let Some(value) = auc {
            let point = MetricPoint { name: "roc_auc".into(), value, at_ms: Some(1), ..MetricPoint::default() };
            world.registry.log_metric(&id, &point).unwrap();
        }
    }
}

fn found(world: &World, filter: &str, order: &str, page: Page) -> String {
    let filter = Filter::parse(Entity::Runs, filter).unwrap();
    let texts: Vec<&str> = if order.is_empty() { vec![] } else { vec![order] };
    let order = OrderBy::parse(Entity::Runs, &texts).unwrap();
    let runs = world.registry.search_runs(None, &filter, &order, ViewType::Active, page).unwrap();
    runs.into_iter().map(|run| run.name).collect::<Vec<_>>().join("")
}

pub(crate) fn runs_are_found_by_metrics_parameters_tags_and_attributes(world: &World) {
    five_runs(world);
    for (filter, names) in [
        ("metrics.roc_auc > 0.7", "ce"),
        ("metrics.roc_auc >= 0.7 AND metrics.roc_auc < 1", "bc"),
        ("metrics.roc_auc != 0.7", "ce"),
        ("params.depth = '3'", "bd"),
        ("params.depth != '3'", "c"),
        ("params.depth IS NULL", "ae"),
        ("params.depth IS NOT NULL AND metrics.roc_auc > 0", "bc"),
        ("tags.team LIKE 'churn'", "c"),
        ("tags.team ILIKE 'CHURN'", "bc"),
        ("tags.team LIKE '100%'", "de"),
        ("tags.team LIKE '100%sure'", "d"),
        ("tags.team LIKE '100__sure'", "d"),
        ("tags.team LIKE '*' OR_NOT", ""),
        ("run_name IN ('a', 'e')", "ae"),
        ("run_name NOT IN ('a', 'e')", "bcd"),
        ("status = 'RUNNING'", "abcde"),
        ("status = 'running'", "abcde"),
        ("start_time > 0", "abcde"),
        ("end_time > 0", ""),
        ("", "abcde"),
    ] {
        if filter.ends_with("OR_NOT") {
            assert!(Filter::parse(Entity::Runs, filter).is_err());
            continue;
        }
        assert_eq!(found(world, filter, "run_name", ALL), names, "{filter}");
    }
}

pub(crate) fn a_metric_is_found_by_its_own_name_alone(world: &World) {
    five_runs(world);
    for (name, metrics) in [("f", &[("auc", 0.8)][..]), ("g", &[("auc", 0.1), ("roc_auc", 0.95)][..])] {
        let run = NewRun { name: name.into(), experiment: "churn".into(), ..NewRun::default() };
        let id = world.registry.begin_run(&run).unwrap();
        for (metric, value) in metrics {
            let point = MetricPoint { name: (*metric).into(), value: *value, at_ms: Some(1), ..MetricPoint::default() };
            world.registry.log_metric(&id, &point).unwrap();
        }
    }
    assert_eq!(found(world, "metrics.roc_auc > 0", "metrics.roc_auc DESC", ALL), "egcb");
    assert_eq!(found(world, "metrics.auc > 0", "metrics.auc DESC", ALL), "fg");
    assert_eq!(found(world, "metrics.auc > 0 AND metrics.roc_auc > 0", "", ALL), "g");
    assert_eq!(found(world, "", "metrics.auc", ALL).get(..2), Some("gf"));
    for other in ["auc_roc", "AUC", "`auc 2`"] {
        assert_eq!(found(world, &format!("metrics.{other} > 0"), "run_name", ALL), "", "{other}");
    }
}

pub(crate) fn what_is_missing_comes_last_in_every_order_and_nan_before_it(world: &World) {
    five_runs(world);
    for (order, names) in [
        ("metrics.roc_auc ASC", "bceda"),
        ("metrics.roc_auc DESC", "ecbda"),
        ("params.depth ASC", "c"),
        ("tags.team ASC", "edbca"),
        ("tags.team DESC", "cbdea"),
        ("run_name DESC", "edcba"),
    ] {
        assert!(found(world, "", order, ALL).starts_with(names), "{order}: {}", found(world, "", order, ALL));
    }
}

pub(crate) fn pages_follow_each_other_without_gaps(world: &World) {
    five_runs(world);
    let page = |offset| found(world, "", "metrics.roc_auc DESC", Page { limit: 2, offset });
    assert_eq!([page(0), page(2), page(4), page(6)].concat(), "ecbda");
    assert_eq!(found(world, "", "", ALL).len(), 5);
}

pub(crate) fn only_runs_of_these_experiments_are_found_and_deleted_ones_apart(world: &World) {
    five_runs(world);
    let search = |experiments: Option<&[String]>, view| {
        let order = OrderBy::parse(Entity::Runs, &["run_name"]).unwrap();
        let runs = world.registry.search_runs(experiments, &Filter::default(), &order, view, ALL).unwrap();
        runs.into_iter().map(|run| run.name).collect::<Vec<_>>().join("")
    };
    assert_eq!(search(Some(&["other".to_owned()]), ViewType::Active), "e");
    assert_eq!(search(Some(&["nothing".to_owned()]), ViewType::Active), "");
    let runs = world.registry.list_runs(10).unwrap();
    let id = &runs.iter().find(|run| run.name == "c").unwrap().run_id;
    world.registry.finish_run(id, stagewright_store::RunStatus::Finished, None).unwrap();
    world.registry.delete_run(id, true).unwrap();
    assert_eq!(
        [search(None, ViewType::Active), search(None, ViewType::Deleted), search(None, ViewType::All)],
        ["abde", "c", "abcde"]
    );
    world.registry.delete_experiment("other", true).unwrap();
    assert_eq!(search(None, ViewType::Active), "abd");
    // Its runs are found only as deleted ones.
    let other = ["other".to_owned()];
    let views = [ViewType::Active, ViewType::Deleted, ViewType::All];
    assert_eq!(views.map(|view| search(Some(&other), view)), ["", "e", "e"]);
}

pub(crate) fn versions_are_found_by_stage_alias_verdict_and_tag(world: &World) {
    world.approved("churn");
    world.approved("churn");
    world.approved("other");
    world.promote("churn", 1);
    world.promote("churn", 2);
    world.registry.force_alias("churn", "shadow", Some(1)).unwrap();
    world.registry.tag_version("other", 1, "mlflow.prompt.is_prompt", Some("true")).unwrap();
    let found = |filter: &str| {
        let filter = Filter::parse(Entity::ModelVersions, filter).unwrap();
        let order = OrderBy::parse(Entity::ModelVersions, &["name", "version_number"]).unwrap();
        let versions = world.registry.search_versions(&filter, &order, ALL).unwrap();
        versions.into_iter().map(|it| format!("{}/{}", it.model, it.version)).collect::<Vec<_>>().join(" ")
    };
    for (filter, versions) in [
        ("name = 'churn'", "churn/1 churn/2"),
        ("name LIKE 'o%'", "other/1"),
        ("stage = 'Production'", "churn/2"),
        ("stage = 'archived'", "churn/1"),
        ("alias = 'champion'", "churn/2"),
        ("alias = 'shadow'", "churn/1"),
        ("alias != 'champion'", "churn/1 other/1"),
        ("alias IS NULL", "other/1"),
        ("verdict = 'approved' AND version_number > 1", "churn/2"),
        ("tags.`mlflow.prompt.is_prompt` != 'true'", "churn/1 churn/2"),
        // A missing value satisfies only IS NULL.
        ("run_id != 'x'", ""),
        ("", "churn/1 churn/2 other/1"),
    ] {
        assert_eq!(found(filter), versions, "{filter}");
    }
}

pub(crate) fn models_and_experiments_are_found_by_name_and_tag(world: &World) {
    world.approved("churn");
    world.approved("other");
    world.registry.tag_model("churn", "team", Some("retention")).unwrap();
    let models = |filter: &str| {
        let filter = Filter::parse(Entity::RegisteredModels, filter).unwrap();
        let models = world.registry.search_models(&filter, &OrderBy::default(), ALL).unwrap();
        models.into_iter().map(|model| model.name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(models("tags.team = 'retention'"), "churn");
    assert_eq!(models("name ILIKE 'O%'"), "other");
    assert_eq!(models(""), "churn other");
    for name in ["one", "two"] {
        world.registry.create_experiment(name, &[("kind".into(), name.to_uppercase())]).unwrap();
    }
    let experiments = |filter: &str| {
        let filter = Filter::parse(Entity::Experiments, filter).unwrap();
        let order = OrderBy::parse(Entity::Experiments, &["name"]).unwrap();
        let found = world.registry.search_experiments(&filter, &order, ViewType::Active, ALL).unwrap();
        found.into_iter().map(|experiment| experiment.name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(experiments("tags.kind = 'TWO'"), "two");
    assert_eq!(experiments(""), "one two");
}
