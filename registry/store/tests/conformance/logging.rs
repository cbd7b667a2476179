//! Metrics keep their histories and their last value; parameters are logged once; tags are set and
//! removed.

use stagewright_store::{Dataset, DatasetInput, MetricPoint, ModelOutput, RunId, RunStatus, StoreError, TrackingError};

use crate::client_runs;
use crate::world::{World, new_run, nobody, pairs};

fn point(value: f64, step: i64, at_ms: i64) -> MetricPoint {
    MetricPoint { name: "loss".into(), value, step, at_ms: Some(at_ms), ..MetricPoint::default() }
}

fn begun(world: &World) -> RunId {
    world.registry.begin_run(&new_run("churn")).unwrap()
}

/// Returns value, step and time, with the value as bits, so that NaN equals NaN.
fn last(world: &World, run: &RunId) -> (u64, i64, i64) {
    let metric = &world.registry.run(run.as_str()).unwrap().metrics[0];
    (metric.value.to_bits(), metric.step, metric.at_ms)
}

pub(crate) fn every_value_of_a_metric_is_kept_in_the_order_of_time_step_and_value(world: &World) {
    let run = begun(world);
    let values = [0.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0, f64::MIN_POSITIVE, 0.1 + 0.2];
    for (step, value) in (0..).zip(values) {
        world.registry.log_metric(&run, &point(value, step % 3, 7)).unwrap();
    }
    let history = world.registry.metric_history(&run, "loss").unwrap();
    // All bits except the sign of zero.
    let bits = |value: f64| if value.is_nan() { None } else { Some((value + 0.0).to_bits()) };
    let seen: Vec<_> = history.iter().map(|it| (it.name.as_str(), bits(it.value), it.step, it.at_ms)).collect();
    let mut logged: Vec<_> = (0..).zip(values).map(|(step, value)| ("loss", bits(value), step % 3, 7)).collect();
    // To MLflow, NaN is 0.
    let place = |bits: Option<u64>| bits.map_or(0.0, f64::from_bits);
    logged.sort_by(|one, two| one.2.cmp(&two.2).then(place(one.1).total_cmp(&place(two.1))));
    assert_eq!(seen, logged);
    world.registry.log_metric(&run, &point(0.25, -5, 6)).unwrap();
    assert_eq!(world.registry.metric_history(&run, "loss").unwrap()[0].step, -5, "an earlier time comes first");
    assert_eq!(world.registry.metric_history(&run, "other").unwrap(), []);
    assert!(matches!(world.registry.metric_history(&nobody(), "loss"), Err(StoreError::NoRun { .. })));
}

pub(crate) fn the_last_value_is_that_of_the_greatest_step_then_time_then_value(world: &World) {
    let points = [
        (point(5.0, 1, 100), point(5.0, 1, 100)),
        // An earlier step changes nothing, however late it is logged.
        (point(9.0, 0, 900), point(5.0, 1, 100)),
        // The same step later.
        (point(4.0, 1, 101), point(4.0, 1, 101)),
        (point(9.0, 1, 100), point(4.0, 1, 101)),
        // The same step at the same time: the greater value.
        (point(3.0, 1, 101), point(4.0, 1, 101)),
        (point(4.5, 1, 101), point(4.5, 1, 101)),
        (point(f64::NAN, 1, 101), point(4.5, 1, 101)),
        (point(f64::INFINITY, 1, 101), point(f64::INFINITY, 1, 101)),
        // A NaN of a greater step is the last value, until there is another value of that step and
        // time.
        (point(f64::NAN, 2, 50), point(f64::NAN, 2, 50)),
        (point(f64::NEG_INFINITY, 2, 50), point(f64::NEG_INFINITY, 2, 50)),
        (point(-1.0, 2, 50), point(-1.0, 2, 50)),
        (point(1.0, -7, 999), point(-1.0, 2, 50)),
    ];
    let run = begun(world);
    for (logged, expected) in points {
        world.registry.log_metric(&run, &logged).unwrap();
        let MetricPoint { value, step, at_ms, .. } = expected;
        assert_eq!(last(world, &run), (value.to_bits(), step, at_ms.unwrap()), "after {logged:?}");
    }
}

pub(crate) fn a_metric_without_a_time_is_logged_now(world: &World) {
    let run = begun(world);
    world.registry.log_metric(&run, &MetricPoint { at_ms: None, ..point(1.0, 0, 0) }).unwrap();
    let (logged, begun) = (last(world, &run).2, world.registry.run(run.as_str()).unwrap().started_ms);
    assert!((begun..begun + 600_000).contains(&logged), "{begun} {logged}");
}

pub(crate) fn a_parameter_is_logged_once(world: &World) {
    let (registry, run) = (&world.registry, begun(world));
    registry.log_batch(&run, &[], &pairs(&[("depth", "3")]), &[]).unwrap();
    registry.log_batch(&run, &[], &pairs(&[("depth", "3")]), &[]).unwrap();
    let changed = registry.log_batch(&run, &[], &pairs(&[("depth", "4")]), &[]).unwrap_err();
    let text = format!(
        "parameter `depth` of run `{run}` is `3` and cannot become `4`\n\
         hint: a parameter is logged once; begin another run, or log a tag"
    );
    assert_eq!(changed.to_string(), text);
    let parameters = registry.run(run.as_str()).unwrap().parameters;
    assert_eq!(parameters, pairs(&[("depth", "3"), ("training.learning_rate", "0.1")]));
}

pub(crate) fn a_batch_is_logged_whole_or_not_at_all(world: &World) {
    let (registry, run) = (&world.registry, begun(world));
    let log = |depth: &str| {
        registry.log_batch(&run, &[point(1.0, 0, 1)], &pairs(&[("depth", depth)]), &pairs(&[("depth", depth)]))
    };
    log("3").unwrap();
    log("4").unwrap_err();
    assert_eq!(registry.metric_history(&run, "loss").unwrap().len(), 1);
    assert_eq!(registry.run(run.as_str()).unwrap().tags, pairs(&[("depth", "3"), ("team", "growth")]));
}

/// Returns value, step and time of the values of a metric, sorted.
fn history(world: &World, run: &RunId, name: &str) -> Vec<(String, i64, i64)> {
    let history = world.registry.metric_history(run, name).unwrap();
    sorted(history.iter().map(|it| (it.value.to_string(), it.step, it.at_ms)).collect())
}

fn sorted(mut points: Vec<(String, i64, i64)>) -> Vec<(String, i64, i64)> {
    points.sort();
    points
}

// invariant: A request of a client that is repeated records each of its values once.
pub(crate) fn a_value_that_a_client_logs_again_counts_once(world: &World) {
    let (registry, run) = (&world.registry, client_runs::begun(world, "demo").run_id);
    let auc = MetricPoint { name: "auc".into(), ..point(0.5, 1, 10) };
    let first = [point(1.0, 1, 10), point(1.0, 1, 10), auc.clone(), point(2.0, 1, 10), point(f64::NAN, 1, 10)];
    for _ in 0..3 {
        registry.log_client_batch(&run, &first, &[], &[]).unwrap();
    }
    let mut expected = vec![("1".to_owned(), 1, 10), ("2".to_owned(), 1, 10), ("NaN".to_owned(), 1, 10)];
    assert_eq!(history(world, &run, "loss"), sorted(expected.clone()));
    assert_eq!(history(world, &run, "auc"), [("0.5".to_owned(), 1, 10)]);
    // One value a request, in every order: later, earlier, of another time, equal to the last one.
    for (value, step, at_ms, text) in [
        (f64::NAN, 9, 90, "NaN"),
        (3.0, 0, 5, "3"),
        (3.0, 0, 6, "3"),
        (0.0, 9, 90, "0"),
        (f64::NEG_INFINITY, 9, 90, "-inf"),
        (f64::INFINITY, 12, 1, "inf"),
    ] {
        registry.log_metric(&run, &point(value, step, at_ms)).unwrap();
        registry.log_metric(&run, &point(value, step, at_ms)).unwrap();
        expected.push((text.to_owned(), step, at_ms));
        assert_eq!(history(world, &run, "loss"), sorted(expected.clone()));
    }
    // Zero has one sign. What a request has beside known values is recorded.
    registry.log_batch(&run, &[point(-0.0, 9, 90), auc, point(4.0, 2, 7), point(5.0, 20, 1)], &[], &[]).unwrap();
    expected.extend([("4".to_owned(), 2, 7), ("5".to_owned(), 20, 1)]);
    assert_eq!(history(world, &run, "loss"), sorted(expected.clone()));
    assert_eq!(history(world, &run, "auc").len(), 1);
    let found = registry.run(run.as_str()).unwrap().metrics;
    assert_eq!(found.iter().map(|it| (it.value, it.step)).collect::<Vec<_>>(), [(0.5, 1), (5.0, 20)]);
    // Another run has its own values, and a pipeline's has whatever its process logs.
    let other = client_runs::begun(world, "demo").run_id;
    registry.log_batch(&other, &first, &[], &[]).unwrap();
    assert_eq!(history(world, &other, "loss").len(), 3);
    let ours = begun(world);
    for _ in 0..2 {
        registry.log_metric(&ours, &point(1.0, 1, 10)).unwrap();
    }
    assert_eq!(history(world, &ours, "loss").len(), 2);
}

// invariant: as `a_value_that_a_client_logs_again_counts_once`
pub(crate) fn a_request_that_is_repeated_before_its_answer_counts_once(world: &World) {
    let run = client_runs::begun(world, "demo").run_id;
    let request = |round: i64| -> Vec<MetricPoint> {
        let name = |number: i64| if number % 3 == 0 { "loss".to_owned() } else { format!("m{number}") };
        (0..30).map(|number| MetricPoint { name: name(number), ..point(number as f64, round, number) }).collect()
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..15 {
                    world.registry.log_client_batch(&run, &request(round), &[], &[]).unwrap();
                }
            });
        }
    });
    assert_eq!((history(world, &run, "loss").len(), history(world, &run, "m1").len()), (150, 15));
}

pub(crate) fn a_client_logs_only_tags_to_a_run_of_a_pipeline(world: &World) {
    let (registry, run) = (&world.registry, begun(world));
    let (metrics, texts) = ([point(1.0, 0, 1)], pairs(&[("depth", "3")]));
    let dataset = Dataset { name: "rows".into(), digest: "d".into(), ..Dataset::default() };
    let refused = [
        registry.log_client_batch(&run, &metrics, &[], &[]),
        registry.log_client_batch(&run, &[], &texts, &texts),
        registry.log_inputs(&run, &[DatasetInput { dataset, tags: vec![] }], &[]),
        registry.log_outputs(&run, &[ModelOutput::default()]),
    ];
    for refused in refused {
        let Err(StoreError::Tracking(TrackingError::RunOfPipeline { pipeline, .. })) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(pipeline, "churn");
    }
    registry.log_client_batch(&run, &[], &[], &texts).unwrap();
    let found = registry.run(run.as_str()).unwrap();
    assert_eq!((found.metrics, found.tags), (vec![], pairs(&[("depth", "3"), ("team", "growth")])));
    assert_eq!(found.parameters, pairs(&[("training.learning_rate", "0.1")]));
    registry.log_batch(&run, &metrics, &texts, &[]).unwrap();
}

pub(crate) fn what_is_logged_has_names_within_limits(world: &World) {
    let (registry, run) = (&world.registry, begun(world));
    for name in ["", "a\0b", &"x".repeat(251)] {
        let metric = MetricPoint { name: name.into(), ..point(1.0, 0, 1) };
        assert!(matches!(registry.log_metric(&run, &metric), Err(StoreError::BadKey { .. })), "{name}");
        for (parameters, tags) in [(pairs(&[(name, "")]), vec![]), (vec![], pairs(&[(name, "")]))] {
            assert!(matches!(registry.log_batch(&run, &[], &parameters, &tags), Err(StoreError::BadKey { .. })));
        }
    }
    for value in ["\0", &"x".repeat(100_001)] {
        let refused = registry.log_batch(&run, &[], &[], &pairs(&[("note", value)]));
        assert!(matches!(refused, Err(StoreError::BadKeyValue { .. })));
    }
    let odd = pairs(&[(&"ä".repeat(125), &"ß".repeat(50_000)), ("'; DROP TABLE runs; --", "?1 $1 \\")]);
    registry.log_batch(&run, &[], &odd, &odd).unwrap();
    let found = registry.run(run.as_str()).unwrap();
    assert!(odd.iter().all(|pair| found.parameters.contains(pair) && found.tags.contains(pair)));
}

pub(crate) fn tags_are_replaced_and_removed(world: &World) {
    let (registry, run) = (&world.registry, begun(world));
    registry.log_batch(&run, &[], &[], &pairs(&[("team", "risk"), ("note", "1"), ("note", "2")])).unwrap();
    assert_eq!(registry.run(run.as_str()).unwrap().tags, pairs(&[("note", "2"), ("team", "risk")]));
    registry.delete_run_tag(&run, "note").unwrap();
    assert!(matches!(registry.delete_run_tag(&run, "note"), Err(StoreError::NoTag { .. })));
    assert_eq!(registry.run(run.as_str()).unwrap().tags, pairs(&[("team", "risk")]));
}

pub(crate) fn an_ended_run_is_still_logged_to_and_a_deleted_one_is_not(world: &World) {
    let (registry, run) = (&world.registry, begun(world));
    registry.finish_run(&run, RunStatus::Finished, None).unwrap();
    registry.log_metric(&run, &point(1.0, 0, 1)).unwrap();
    registry.delete_run(&run, true).unwrap();
    assert!(matches!(registry.log_metric(&run, &point(2.0, 1, 2)), Err(StoreError::NoRun { .. })));
    registry.delete_run(&run, false).unwrap();
    assert_eq!(registry.metric_history(&run, "loss").unwrap().len(), 1);
}

pub(crate) fn loggers_in_opposite_orders_do_not_block_each_other(world: &World) {
    let run = begun(world);
    let names: Vec<String> = (0..20).map(|number| format!("name {number}")).collect();
    let log = |reversed: bool| {
        for step in 0..25 {
            let mut metrics: Vec<_> =
                names.iter().map(|name| MetricPoint { name: name.clone(), ..point(1.0, step, 1) }).collect();
            let mut tags: Vec<_> = names.iter().map(|name| (name.clone(), step.to_string())).collect();
            let mut parameters: Vec<_> = tags.iter().map(|(name, _)| (format!("{name} {step}"), "1".into())).collect();
            if reversed {
                metrics.reverse();
                tags.reverse();
                parameters.reverse();
            }
            // In separate batches: within one batch, the loggers of the first row would have all
            // rows.
            world.registry.log_batch(&run, &metrics, &[], &[]).unwrap();
            world.registry.log_batch(&run, &[], &parameters, &[]).unwrap();
            world.registry.log_batch(&run, &[], &[], &tags).unwrap();
        }
    };
    std::thread::scope(|scope| {
        [false, true, false, true]
            .map(|reversed| {
                scope.spawn({
                    let log = &log;
                    move || log(reversed)
                })
            })
            .map(drop)
    });
    assert_eq!(world.registry.metric_history(&run, "name 0").unwrap().len(), 100);
    assert_eq!(world.registry.run(run.as_str()).unwrap().parameters.len(), 501);
}
