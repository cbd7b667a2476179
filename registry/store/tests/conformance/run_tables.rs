//! Reads of pages: tables of runs and experiments, names, curves, and steps that run.

use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{
    LogLine, MetricPoint, NamedValue, NewClientRun, Page, Run, RunColumns, RunStatus, RunTable, RunningStep,
    StageRecord, ViewType,
};

use crate::stages::stage;
use crate::world::{World, new_run};

const ALL: Page = Page { limit: 100, offset: 0 };

fn begun(world: &World, experiment: i64, metrics: &[(&str, f64)], parameters: &[(&str, &str)]) -> Run {
    let new = NewClientRun { experiment_id: experiment, ..NewClientRun::default() };
    let run = world.registry.begin_client_run(&new).unwrap();
    let point = |(name, value): &(&str, f64)| MetricPoint {
        name: (*name).into(),
        value: *value,
        at_ms: Some(1),
        ..MetricPoint::default()
    };
    let points: Vec<MetricPoint> = metrics.iter().map(point).collect();
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    world.registry.log_client_batch(&run.run_id, &points, &parameters, &[]).unwrap();
    run
}

fn table(world: &World, experiments: Option<&[i64]>, order: &str, columns: Option<RunColumns>) -> RunTable {
    let order = OrderBy::parse(Entity::Runs, &[order]).unwrap();
    world.registry.run_table(experiments, &Filter::default(), &order, ViewType::Active, ALL, columns).unwrap()
}

pub(crate) fn a_table_has_the_chosen_values_and_no_others(world: &World) {
    let experiment = world.registry.create_experiment("demo", &[]).unwrap();
    let long = "é".repeat(400);
    begun(world, experiment, &[("auc", 0.5), ("nan", f64::NAN), ("other", 1.0)], &[("depth", &long)]);
    begun(world, experiment, &[("auc", 0.75)], &[]);
    let columns = RunColumns {
        metrics: vec!["nan".into(), "auc".into()],
        parameters: vec!["depth".into()],
        tags: vec!["t".into()],
    };
    let found = table(world, Some(&[experiment]), "metrics.auc DESC", Some(columns.clone()));
    assert_eq!(found.columns, columns);
    let [high, low] = found.rows.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (&high.metrics[..], &high.parameters[..], &high.tags[..]),
        (&[None, Some(0.75)][..], &[None][..], &[None][..])
    );
    assert!(low.metrics[0].is_some_and(f64::is_nan) && low.metrics[1] == Some(0.5));
    assert_eq!(low.parameters[0].as_ref().map(|text| text.chars().count()), Some(300));
    // Without a choice, what most runs have comes first.
    let usual = table(world, None, "start_time", None).columns;
    assert_eq!(
        (usual.metrics, usual.parameters),
        (vec!["auc".into(), "nan".into(), "other".into()], vec!["depth".into()])
    );
    assert_eq!(table(world, Some(&[]), "start_time", None).rows, []);
}

pub(crate) fn names_are_found_by_a_part_of_them(world: &World) {
    let (one, other) = (
        world.registry.create_experiment("one", &[]).unwrap(),
        world.registry.create_experiment("other", &[]).unwrap(),
    );
    begun(world, one, &[("Loss/train", 1.0), ("auc", 1.0)], &[("seed", "1")]);
    begun(world, one, &[("auc", 1.0)], &[]);
    begun(world, other, &[("loss/val", 1.0)], &[]);
    let names = |experiments: Option<&[i64]>, text: &str, limit| {
        world.registry.names_of_runs(NamedValue::Metric, experiments, text, limit).unwrap()
    };
    assert_eq!(names(None, "LOSS", 9), ["Loss/train", "loss/val"]);
    assert_eq!(names(None, "", 2), ["Loss/train", "auc"]);
    assert_eq!(names(Some(&[other]), "", 9), ["loss/val"]);
    assert_eq!(names(Some(&[]), "", 9), [] as [&str; 0]);
    assert_eq!(world.registry.names_of_runs(NamedValue::Parameter, None, "ee", 9).unwrap(), ["seed"]);
    assert_eq!(world.registry.names_of_runs(NamedValue::Tag, None, "nothing", 9).unwrap(), [] as [&str; 0]);
}

pub(crate) fn a_curve_is_short_and_keeps_its_extremes(world: &World) {
    let run = begun(world, world.registry.create_experiment("demo", &[]).unwrap(), &[], &[]).run_id;
    let point = |step: i64| MetricPoint {
        name: "loss".into(),
        value: if step == 700 { 99.0 } else { step as f64 },
        step,
        at_ms: Some(step * 10),
        ..MetricPoint::default()
    };
    world.registry.log_batch(&run, &(0..1000).rev().map(point).collect::<Vec<_>>(), &[], &[]).unwrap();
    let curve = |steps, most| world.registry.metric_curve(&run, "loss", steps, most).unwrap();
    let short = curve(None, 50);
    assert_eq!((short.points.len(), short.values), (50, 1000));
    assert!(short.points.is_sorted_by_key(|point| point.step));
    assert_eq!(short.points.iter().map(|point| point.greatest).fold(0.0, f64::max), 999.0);
    let around = short.points.iter().find(|point| point.least == 99.0).unwrap();
    assert_eq!((around.step, around.at_ms, around.greatest), (700, 7000, 719.0));
    let whole = curve(Some((695, 705)), 50);
    assert_eq!((whole.points.len(), whole.points[5].mean), (11, 99.0));
    assert_eq!(world.registry.metric_curve(&run, "none", None, 50).unwrap().points, []);
    // Values of one step are divided by time.
    let at_once: Vec<MetricPoint> = (0..100)
        .map(|at| MetricPoint { name: "flat".into(), value: 1.0, at_ms: Some(at), ..MetricPoint::default() })
        .collect();
    world.registry.log_batch(&run, &at_once, &[], &[]).unwrap();
    assert_eq!(world.registry.metric_curve(&run, "flat", None, 10).unwrap().points.len(), 10);
    world.registry.delete_run(&run, true).unwrap();
    assert_eq!(curve(None, 50), short);
}

pub(crate) fn a_curve_of_steps_far_apart_is_short(world: &World) {
    let run = begun(world, world.registry.create_experiment("demo", &[]).unwrap(), &[], &[]).run_id;
    // On both sides of 0, where division rounds the other way, and at both ends.
    let near_zero = (-50..50).map(|step| step * 3);
    let low = (0..100).map(|step| i64::MIN + step * 7);
    let high = (0..100).map(|step| i64::MAX - step * 7);
    let steps: Vec<i64> = low.chain(near_zero).chain(high).collect();
    let point = |step: &i64| MetricPoint { name: "loss".into(), value: 1.0, step: *step, ..MetricPoint::default() };
    world.registry.log_batch(&run, &steps.iter().map(point).collect::<Vec<_>>(), &[], &[]).unwrap();
    let bounds = [
        None,
        Some((i64::MIN, 0)),
        Some((0, i64::MAX)),
        Some((i64::MIN, i64::MIN + 700)),
        Some((i64::MAX - 700, i64::MAX)),
        Some((-150, 150)),
    ];
    for bounds in bounds {
        for most in [2, 3, 7, 10, 50] {
            let curve = world.registry.metric_curve(&run, "loss", bounds, most).unwrap();
            let points = curve.points.len();
            assert!((2..=most).contains(&points), "{bounds:?}, {most}: {points}");
            assert!(curve.points.is_sorted_by_key(|point| point.step));
        }
    }
}

pub(crate) fn experiments_are_listed_with_their_runs(world: &World) {
    let demo = world.registry.create_experiment("demo", &[]).unwrap();
    let other = world.registry.create_experiment("other", &[]).unwrap();
    begun(world, demo, &[], &[]);
    let deleted = begun(world, demo, &[], &[]);
    world.registry.delete_run(&deleted.run_id, true).unwrap();
    let listed = |among: Option<&[i64]>, filter: &str| {
        let filter = Filter::parse(Entity::Experiments, filter).unwrap();
        let order = OrderBy::parse(Entity::Experiments, &["name DESC"]).unwrap();
        let found = world.registry.experiment_table(among, &filter, &order, ViewType::Active, ALL).unwrap();
        found.into_iter().map(|it| (it.id, it.runs, it.last_run_ms.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(listed(Some(&[demo, other]), ""), [(other, 0, false), (demo, 1, true)]);
    assert_eq!(listed(None, "name ILIKE '%EM%'"), [(demo, 1, true)]);
    assert_eq!(listed(Some(&[]), ""), []);
    world.registry.delete_experiment("other", true).unwrap();
    let names = world.registry.experiment_names(Some(&[demo, other]), 9).unwrap();
    assert_eq!(names, [(demo, "demo".to_owned())]);
    assert!(world.registry.experiment_numbers().unwrap().contains(&other));
}

pub(crate) fn what_running_steps_say_is_noted_until_they_are_recorded(world: &World) {
    let run = world.registry.begin_run(&new_run("churn")).unwrap();
    let step =
        |name: &str, done| RunningStep { name: name.into(), component: "c".into(), began_ms: 1, done, total: 10 };
    let line = |step: &str, message: &str| (step.to_owned(), LogLine { level: "info".into(), message: message.into() });
    let note = |steps: &[RunningStep], lines: &[(String, LogLine)]| {
        world.registry.note_running_steps(&run, steps, lines).unwrap();
    };
    note(&[step("fit", 1), step("train", 0)], &[line("fit", "one"), line("train", "two")]);
    note(&[step("fit", 4)], &[line("fit", &"é".repeat(4 << 10))]);
    assert_eq!(world.registry.running_steps(&run).unwrap(), [step("fit", 4), step("train", 0)]);
    let lines = world.registry.running_lines(&run, 0, 2).unwrap();
    assert_eq!(lines.iter().map(|it| it.line.message.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    let rest = world.registry.running_lines(&run, lines[1].place, 9).unwrap();
    assert_eq!((rest.len(), rest[0].line.message.len()), (1, 4 << 10));
    // The record of a step takes the place of what is noted, and of what comes too late.
    let record = StageRecord { name: "fit".into(), ..stage() };
    world.registry.record_stage(&run, &record, &[]).unwrap();
    note(&[step("fit", 9), step("train", 2)], &[line("fit", "late")]);
    assert_eq!(world.registry.running_steps(&run).unwrap(), [step("train", 2)]);
    assert_eq!(world.registry.running_lines(&run, 0, 9).unwrap().len(), 1);
    assert_eq!(world.registry.run_status(&run).unwrap(), RunStatus::Running);
    world.registry.finish_run(&run, RunStatus::Finished, None).unwrap();
    note(&[step("train", 3)], &[line("train", "late")]);
    assert_eq!(world.registry.running_steps(&run).unwrap(), []);
    assert_eq!(world.rows("SELECT run FROM running_lines"), [] as [&str; 0]);
    assert_eq!(world.registry.run_status(&run).unwrap(), RunStatus::Finished);
}
