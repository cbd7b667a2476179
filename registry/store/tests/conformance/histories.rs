//! Batches of metrics, and their histories: page by page, of several runs, sampled.

use stagewright_store::{MetricPoint, RunId, StoreError};

use crate::client_runs::begun;
use crate::world::{World, nobody, pairs};

fn loss(step: i64) -> MetricPoint {
    MetricPoint { name: "loss".into(), value: step as f64, step, at_ms: Some(step), ..MetricPoint::default() }
}

fn logged(world: &World, steps: impl Iterator<Item = i64>) -> RunId {
    let run = begun(world, "demo").run_id;
    world.registry.log_batch(&run, &steps.map(loss).collect::<Vec<_>>(), &[], &[]).unwrap();
    run
}

pub(crate) fn a_batch_of_any_size_is_logged_whole(world: &World) {
    for size in [1, 2, 20, 1000, 1626] {
        let run = begun(world, "demo").run_id;
        let point = |number: i64| MetricPoint { name: format!("m{number:04}"), ..loss(number) };
        let points: Vec<MetricPoint> = (0..size).map(point).collect();
        let texts: Vec<(String, String)> =
            (0..size).map(|number| (format!("{number:04}"), number.to_string())).collect();
        world.registry.log_batch(&run, &points, &texts, &texts).unwrap();
        let found = world.registry.run(run.as_str()).unwrap();
        let values: Vec<(String, i64)> = found.metrics.iter().map(|it| (it.name.clone(), it.value as i64)).collect();
        assert_eq!(values, (0..size).map(|number| (format!("m{number:04}"), number)).collect::<Vec<_>>());
        assert_eq!((&found.parameters, &found.tags), (&texts, &texts));
    }
}

pub(crate) fn parameters_of_a_batch_that_contradict_each_other_are_refused(world: &World) {
    let run = begun(world, "demo").run_id;
    let refused = |given: &[(&str, &str)]| world.registry.log_batch(&run, &[loss(1)], &pairs(given), &[]).unwrap_err();
    assert!(matches!(refused(&[("a", "1"), ("b", "1"), ("a", "2")]), StoreError::ParameterChanged { .. }));
    world.registry.log_batch(&run, &[], &pairs(&[("a", "1"), ("a", "1"), ("b", "2")]), &[]).unwrap();
    world.registry.log_batch(&run, &[], &pairs(&[("b", "2"), ("c", "3")]), &[]).unwrap();
    let again = refused(&[("c", "3"), ("d", "4"), ("b", "3")]);
    assert!(
        matches!(&again, StoreError::ParameterChanged { name, old, new, .. } if (&**name, &**old, &**new) == ("b", "2", "3"))
    );
    let found = world.registry.run(run.as_str()).unwrap();
    assert_eq!((found.parameters, found.metrics), (pairs(&[("a", "1"), ("b", "2"), ("c", "3")]), vec![]));
}

pub(crate) fn a_history_is_read_page_by_page(world: &World) {
    let run = logged(world, (0..25).rev());
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = world.registry.metric_history_page(&run, "loss", after, 10).unwrap();
        seen.extend(page.points.iter().map(|point| point.step));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((seen, pages), ((0..25).collect::<Vec<_>>(), 3));
    let all = world.registry.metric_history_page(&run, "loss", None, 25).unwrap();
    assert_eq!((all.points.len(), all.next), (25, None));
    assert_eq!(world.registry.metric_history(&run, "loss").unwrap(), all.points);
    // As they were recorded: the latest first, here.
    let numbered = world.registry.numbered_history(&run, "loss").unwrap();
    assert_eq!(numbered.iter().map(|(_, point)| point.step).collect::<Vec<_>>(), (0..25).rev().collect::<Vec<_>>());
    assert!(numbered.is_sorted_by(|one, other| one.0 < other.0), "{numbered:?}");
    // Pages follow each other within one time and step, too.
    let tied = [3.0, f64::NAN, -1.0, 0.5, f64::INFINITY, -2.0];
    let points = tied.map(|value| MetricPoint { name: "tied".into(), value, at_ms: Some(7), ..MetricPoint::default() });
    world.registry.log_batch(&run, &points, &[], &[]).unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    while seen.is_empty() || after.is_some() {
        let page = world.registry.metric_history_page(&run, "tied", after, 2).unwrap();
        seen.extend(page.points.iter().map(|point| point.value.to_string()));
        after = page.next;
    }
    assert_eq!(seen, ["-2", "-1", "NaN", "0.5", "3", "inf"]);
    // Also of a deleted run, which a client may look at.
    world.registry.delete_run(&run, true).unwrap();
    assert_eq!(world.registry.metric_history_page(&run, "loss", None, 25).unwrap(), all);
    let lost = world.registry.metric_history_page(&nobody(), "loss", None, 25);
    assert!(matches!(lost, Err(StoreError::NoRun { .. })));
}

pub(crate) fn histories_of_several_runs_are_read_at_once(world: &World) {
    let (first, second) = (logged(world, 0..5), logged(world, 10..13));
    let runs = [second.clone(), nobody(), first.clone()];
    let steps = |limit| -> Vec<(bool, i64)> {
        let found = world.registry.metric_history_bulk(&runs, "loss", limit).unwrap();
        found.iter().map(|it| (it.run_id == first, it.point.step)).collect()
    };
    let all = [(false, 10), (false, 11), (false, 12), (true, 0), (true, 1), (true, 2), (true, 3), (true, 4)];
    assert_eq!(steps(100), all);
    assert_eq!(steps(4), all[..4]);
    assert_eq!(world.registry.metric_history_bulk(&[], "loss", 9).unwrap(), []);
}

pub(crate) fn a_sample_of_histories_has_the_same_steps_in_every_run(world: &World) {
    let (first, second) = (logged(world, 0..100), logged(world, 20..30));
    let runs = [first.clone(), second.clone()];
    let steps = |bounds, most, of: &RunId| -> Vec<i64> {
        let found = world.registry.metric_history_interval(&runs, "loss", bounds, most).unwrap();
        found.iter().filter(|it| it.run_id == *of).map(|it| it.point.step).collect()
    };
    assert_eq!(steps(None, 100, &first), (0..100).collect::<Vec<_>>());
    // Every 25th step, the last one, and the ends of both runs.
    assert_eq!(steps(None, 4, &first), [0, 20, 25, 29, 50, 75, 99]);
    assert_eq!(steps(None, 4, &second), [20, 25, 29]);
    assert_eq!(steps(Some((22, 24)), 10, &first), [22, 23, 24]);
    assert_eq!(steps(Some((500, 600)), 10, &first), [] as [i64; 0]);
}
