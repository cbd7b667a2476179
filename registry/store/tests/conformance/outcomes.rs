//! Outcomes: each request's first counts, tallies are exact, and there are never too many.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use stagewright_store::{
    MAX_OUTCOMES, MAX_OUTCOMES_AT_ONCE, NewOutcome, OutcomePosting, OutcomeTally, Page, RecordedOutcome, StoreError,
};

use crate::world::World;

use OutcomePosting::{Duplicate, Recorded, UnknownVersion};

const ALL: Page = Page { limit: usize::MAX, offset: 0 };

fn labelled(request: &str, label: &str) -> NewOutcome {
    NewOutcome {
        request_id: request.into(),
        version: 1,
        arm: None,
        label: Some(label.into()),
        value: None,
        at_ms: 1_000,
    }
}

fn post(world: &World, outcomes: &[NewOutcome]) -> Vec<OutcomePosting> {
    world.registry.post_outcomes("churn", outcomes, MAX_OUTCOMES).unwrap()
}

/// Returns the recorded labels by request.
fn labels(world: &World) -> Vec<(String, Option<String>)> {
    let all = world.registry.outcomes("churn", 0, ALL).unwrap();
    all.into_iter().map(|it| (it.request_id, it.label)).collect()
}

// invariant: Of each request, the first outcome counts, however often it is posted.
pub(crate) fn of_each_request_the_first_outcome_counts(world: &World) {
    for _ in 0..2 {
        world.unjudged("churn");
    }
    let posted = [labelled("b", "yes"), labelled("a", "no"), labelled("b", "no"), labelled("c", "yes")];
    assert_eq!(post(world, &posted), [Recorded, Recorded, Duplicate, Recorded]);
    let yes = |text: &str| Some(text.to_owned());
    let expected = [("a".to_owned(), yes("no")), ("b".to_owned(), yes("yes")), ("c".to_owned(), yes("yes"))];
    assert_eq!(labels(world), expected);
    // Again, after an answer that was lost, with one that is new.
    let again = [labelled("c", "no"), labelled("d", "no"), labelled("a", "no")];
    assert_eq!(post(world, &again), [Duplicate, Recorded, Duplicate]);
    assert_eq!(labels(world)[..3], expected);
    let other = NewOutcome { version: 3, ..labelled("e", "yes") };
    assert_eq!(post(world, &[other, labelled("f", "yes")]), [UnknownVersion, Recorded]);
    assert_eq!(world.registry.outcome_count("churn").unwrap(), 5);
    assert_eq!(post(world, &[]), []);
    // Another model's requests are others.
    world.unjudged("other");
    assert_eq!(world.registry.post_outcomes("other", &[labelled("a", "x")], 9).unwrap(), [Recorded]);
    assert_eq!(world.registry.outcome_count("churn").unwrap(), 5);
    let valued = NewOutcome {
        version: 2,
        arm: Some("canary".into()),
        label: None,
        value: Some(-2.5),
        at_ms: 7,
        ..labelled("early", "")
    };
    post(world, &[valued]);
    let first = &world.registry.outcomes("churn", 0, Page { limit: 1, offset: 0 }).unwrap()[0];
    assert!(first.posted_ms > 1_000);
    let expected = RecordedOutcome {
        request_id: "early".into(),
        version: 2,
        arm: Some("canary".into()),
        label: None,
        value: Some(-2.5),
        at_ms: 7,
        posted_ms: first.posted_ms,
    };
    assert_eq!(first, &expected);
    let later: Vec<String> = world
        .registry
        .outcomes("churn", 8, Page { limit: 2, offset: 1 })
        .unwrap()
        .into_iter()
        .map(|it| it.request_id)
        .collect();
    assert_eq!(later, ["b", "c"]);
}

pub(crate) fn a_posting_of_any_size_is_recorded_whole(world: &World) {
    world.unjudged("churn");
    let mut count = 0;
    // Sizes around those of one statement.
    for size in [1, 2, 15, 16, 17, 127, 128, 129, 300, 3_000] {
        let posted: Vec<NewOutcome> = (0..size).map(|place| labelled(&format!("{size}-{place}"), "yes")).collect();
        assert_eq!(post(world, &posted), vec![Recorded; size], "{size}");
        count += size as u64;
        assert_eq!(world.registry.outcome_count("churn").unwrap(), count);
        let half: Vec<NewOutcome> =
            posted.iter().step_by(2).cloned().chain([labelled(&format!("{size}-new"), "")]).collect();
        let mut expected = vec![Duplicate; half.len() - 1];
        expected.push(Recorded);
        assert_eq!(post(world, &half), expected, "{size}");
        count += 1;
    }
    assert_eq!(world.rows("SELECT count(*) FROM outcomes"), [count.to_string()]);
}

pub(crate) fn outcomes_are_tallied_by_arm_and_version_since_a_time(world: &World) {
    for _ in 0..2 {
        world.unjudged("churn");
    }
    assert_eq!(world.registry.outcome_tallies("churn", 0, "yes").unwrap(), []);
    let outcome = |request: usize, arm: Option<&str>, version, label: Option<&str>, value, at_ms| NewOutcome {
        request_id: format!("r{request}"),
        version,
        arm: arm.map(str::to_owned),
        label: label.map(str::to_owned),
        value,
        at_ms,
    };
    let (control, treatment) = (Some("control"), Some("treatment"));
    post(
        world,
        &[
            outcome(1, control, 1, Some("yes"), None, 100),
            outcome(2, control, 1, Some("no"), None, 100),
            outcome(3, control, 1, Some("no"), Some(3.0), 100),
            // Its label decides, whatever its value is.
            outcome(4, treatment, 2, Some("no"), Some(5.0), 100),
            outcome(5, treatment, 2, None, Some(0.5), 100),
            outcome(6, treatment, 2, None, Some(-4.0), 100),
            outcome(7, treatment, 2, None, Some(0.0), 100),
            outcome(8, None, 2, Some("yes"), None, 100),
            outcome(9, control, 2, Some("yes"), None, 100),
            // Before the time.
            outcome(10, control, 1, Some("yes"), Some(9.0), 99),
        ],
    );
    let tally = |arm: Option<&str>, version, counts: [u64; 3], sum, sum_of_squares| {
        let [count, positives, valued] = counts;
        OutcomeTally { arm: arm.map(str::to_owned), version, count, positives, valued, sum, sum_of_squares }
    };
    assert_eq!(
        world.registry.outcome_tallies("churn", 100, "yes").unwrap(),
        [
            tally(None, 2, [1, 1, 0], 0.0, 0.0),
            tally(control, 1, [3, 1, 1], 3.0, 9.0),
            tally(control, 2, [1, 1, 0], 0.0, 0.0),
            tally(treatment, 2, [4, 1, 4], 1.5, 41.25),
        ]
    );
    let with_the_first = world.registry.outcome_tallies("churn", 0, "yes").unwrap();
    assert_eq!(with_the_first[1], tally(control, 1, [4, 2, 2], 12.0, 90.0));
    assert_eq!(world.registry.outcome_tallies("churn", 100, "no").unwrap()[1], tally(control, 1, [3, 2, 1], 3.0, 9.0));
    assert!(matches!(world.registry.outcome_tallies("nobody", 0, "yes"), Err(StoreError::NoModel { .. })));
    // The extremes that are accepted can be squared and added.
    let extremes = [1e100, -1e100, 1e-100, -0.0];
    let extreme = |place: usize| outcome(20 + place, Some("x"), 1, None, Some(extremes[place]), 100);
    post(world, &(0..4).map(extreme).collect::<Vec<_>>());
    let tallies = world.registry.outcome_tallies("churn", 100, "yes").unwrap();
    let last = tallies.iter().find(|it| it.arm.as_deref() == Some("x")).unwrap();
    assert_eq!((last.count, last.positives), (4, 2));
    assert!((last.sum_of_squares / 2e200 - 1.0).abs() < 1e-12, "{last:?}");
}

// invariant: A model keeps a bounded number of outcomes; those that were posted first are removed.
pub(crate) fn the_oldest_outcomes_are_removed(world: &World) {
    world.unjudged("churn");
    let at = |place: i64| NewOutcome { at_ms: place, ..labelled(&format!("r{place:02}"), "yes") };
    let times =
        || -> Vec<i64> { world.registry.outcomes("churn", 0, ALL).unwrap().into_iter().map(|it| it.at_ms).collect() };
    let registry = &world.registry;
    registry.post_outcomes("churn", &(0..8).map(at).collect::<Vec<_>>(), 10).unwrap();
    assert_eq!(times(), (0..8).collect::<Vec<_>>());
    registry.post_outcomes("churn", &(8..12).map(at).collect::<Vec<_>>(), 10).unwrap();
    assert_eq!(times(), (2..12).collect::<Vec<_>>());
    assert_eq!(registry.outcome_count("churn").unwrap(), 10);
    assert_eq!(registry.remove_outcomes("churn", 5).unwrap(), 3);
    assert_eq!(registry.remove_outcomes("churn", 5).unwrap(), 0);
    assert_eq!((times(), registry.outcome_count("churn").unwrap()), ((5..12).collect(), 7));
    // A smaller bound counts from the next posting on.
    registry.post_outcomes("churn", &[at(20)], 2).unwrap();
    assert_eq!(times(), [11, 20]);
    assert_eq!(registry.remove_outcomes("churn", i64::MAX).unwrap(), 2);
    assert_eq!(registry.outcome_count("churn").unwrap(), 0);
    assert!(matches!(registry.remove_outcomes("nobody", 0), Err(StoreError::NoModel { .. })));
    assert!(matches!(registry.outcome_count("nobody"), Err(StoreError::NoModel { .. })));
}

// invariant: as `the_oldest_outcomes_are_removed`
pub(crate) fn outcomes_that_were_posted_first_are_removed_whenever_they_happened(world: &World) {
    world.unjudged("churn");
    let post = |requests: &[&str], at_ms: i64| {
        let outcomes: Vec<NewOutcome> =
            requests.iter().map(|request| NewOutcome { at_ms, ..labelled(request, "yes") }).collect();
        world.registry.post_outcomes("churn", &outcomes, 3).unwrap()
    };
    let left = || {
        let mut requests: Vec<String> = labels(world).into_iter().map(|(request, _)| request).collect();
        requests.sort();
        requests
    };
    // Labels of long ago, which arrive last.
    for (request, at_ms) in [("a", 9_000), ("b", 8_000), ("c", 7), ("d", 6), ("e", 5)] {
        assert_eq!(post(&[request], at_ms), [Recorded]);
    }
    assert_eq!(left(), ["c", "d", "e"]);
    // The clock of another server that posted is days ahead.
    world.sql("UPDATE outcomes SET posted_ms = posted_ms + 1000000000").unwrap();
    post(&["f"], 4);
    post(&["g"], 3);
    assert_eq!(left(), ["e", "f", "g"]);
    // No posting loses a part of itself.
    assert_eq!(post(&["h", "i", "j", "k"], 2), [Recorded; 4]);
    assert_eq!(left(), ["h", "i", "j", "k"]);
    assert_eq!(world.registry.outcome_count("churn").unwrap(), 4);
    post(&["l"], 1);
    assert_eq!((left().len(), left().last().map(String::as_str)), (3, Some("l")));
}

pub(crate) fn what_is_no_outcome_is_refused_with_all_of_its_posting(world: &World) {
    world.unjudged("churn");
    let good = labelled("good", "yes");
    let tomorrow = now_ms() + 2 * 24 * 60 * 60 * 1000;
    let valued = |value| NewOutcome { value: Some(value), ..good.clone() };
    for (wrong, problem) in [
        (labelled("", "yes"), "`` is not the identifier of a request"),
        (labelled("a b", "yes"), "`a b` is not the identifier"),
        (labelled(&"x".repeat(129), "yes"), "is not the identifier"),
        (labelled("a", &"x".repeat(257)), "its label is longer than 256 bytes"),
        (labelled("a", "x\0"), "its label is longer"),
        (NewOutcome { label: None, ..good.clone() }, "it has neither a label nor a value"),
        (NewOutcome { arm: Some("a b".into()), ..good.clone() }, "`a b` is not a valid arm name"),
        (NewOutcome { at_ms: tomorrow, ..good.clone() }, "is not the time of an outcome"),
        (NewOutcome { at_ms: -1, ..good.clone() }, "-1 is not the time of an outcome"),
        (valued(f64::NAN), "its value is neither 0 nor from"),
        (valued(f64::INFINITY), "its value is neither 0 nor from"),
        (valued(-1e101), "its value is neither 0 nor from"),
        (valued(1e-101), "its value is neither 0 nor from"),
    ] {
        let refused = world.registry.post_outcomes("churn", &[good.clone(), wrong], MAX_OUTCOMES).unwrap_err();
        assert!(
            matches!(&refused, StoreError::BadOutcome { index: 1, problem: told } if told.contains(problem)),
            "{refused}"
        );
    }
    let many: Vec<NewOutcome> = (0..=MAX_OUTCOMES_AT_ONCE).map(|place| labelled(&place.to_string(), "yes")).collect();
    let refused = world.registry.post_outcomes("churn", &many, MAX_OUTCOMES).unwrap_err();
    assert!(refused.to_string().contains("a posting has 10000 at most"), "{refused}");
    assert_eq!(world.registry.outcome_count("churn").unwrap(), 0);
    let nobody = world.registry.post_outcomes("nobody", &[good], MAX_OUTCOMES);
    assert!(matches!(nobody, Err(StoreError::NoModel { .. })));
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis() as i64
}

// invariant: as `of_each_request_the_first_outcome_counts`
pub(crate) fn if_many_post_the_same_outcomes_each_is_recorded_once(world: &World) {
    const POSTERS: usize = 8;
    const REQUESTS: usize = 200;
    world.unjudged("churn");
    let recorded: Vec<Vec<String>> = thread::scope(|scope| {
        let poster = |number: usize| {
            let registry = world.reopened();
            let mut outcomes: Vec<NewOutcome> =
                (0..REQUESTS).map(|request| labelled(&format!("r{request}"), &number.to_string())).collect();
            // Each in an order of its own, and in several postings.
            outcomes.rotate_left(number * 23);
            if number.is_multiple_of(2) {
                outcomes.reverse();
            }
            let mut own = Vec::new();
            for piece in outcomes.chunks(37) {
                let results = registry.post_outcomes("churn", piece, MAX_OUTCOMES).unwrap();
                let new = piece.iter().zip(results).filter(|(_, result)| *result == Recorded);
                own.extend(new.map(|(outcome, _)| outcome.request_id.clone()));
            }
            own
        };
        let posters: Vec<_> = (0..POSTERS).map(|number| scope.spawn(move || poster(number))).collect();
        // One removes meanwhile, nothing of theirs: neither waits for the other forever.
        for _ in 0..20 {
            world.registry.remove_outcomes("churn", 1_000).unwrap();
        }
        posters.into_iter().map(|poster| poster.join().unwrap()).collect()
    });
    let mut winners: HashMap<&str, usize> = HashMap::new();
    for (number, own) in recorded.iter().enumerate() {
        for request in own {
            assert_eq!(winners.insert(request, number), None, "{request} was recorded twice");
        }
    }
    assert_eq!(winners.len(), REQUESTS);
    for (request, label) in labels(world) {
        assert_eq!(label, Some(winners[request.as_str()].to_string()));
    }
    assert_eq!(world.registry.outcome_count("churn").unwrap(), REQUESTS as u64);
}

pub(crate) fn a_model_that_is_deleted_while_outcomes_are_posted_leaves_none(world: &World) {
    const POSTERS: usize = 4;
    for round in 0..10 {
        world.unjudged("churn");
        let (begun, wait) = sync_channel(POSTERS);
        let is_over = AtomicBool::new(false);
        let is_over = &is_over;
        thread::scope(|scope| {
            for number in 0..POSTERS {
                let (registry, begun) = (world.reopened(), begun.clone());
                scope.spawn(move || {
                    for posting in 0.. {
                        let outcomes: Vec<NewOutcome> =
                            (0..20).map(|place| labelled(&format!("{number}-{posting}-{place}"), "yes")).collect();
                        // Before the posting, which may be done before the model is deleted.
                        let was_over = is_over.load(Ordering::Relaxed);
                        match registry.post_outcomes("churn", &outcomes, MAX_OUTCOMES) {
                            // Each has to have posted before the model is deleted.
                            Ok(_) if posting == 0 => begun.send(()).unwrap(),
                            Ok(_) if was_over => {
                                panic!("round {round}: the model is still there")
                            }
                            Ok(_) => {}
                            Err(StoreError::NoModel { .. }) => return,
                            Err(error) => panic!("round {round}: {error}"),
                        }
                    }
                });
            }
            (0..POSTERS).for_each(|_| wait.recv().unwrap());
            let deleted = world.registry.delete_model("churn", "");
            is_over.store(true, Ordering::Relaxed);
            deleted.unwrap();
        });
        assert_eq!(world.rows("SELECT count(*) FROM outcomes"), ["0"]);
        assert_eq!(world.rows("SELECT count(*) FROM outcome_counts"), ["0"]);
    }
}

pub(crate) fn outcomes_stay_with_their_model_and_go_with_it(world: &World) {
    for _ in 0..2 {
        world.unjudged("churn");
    }
    post(world, &[labelled("a", "yes"), NewOutcome { version: 2, ..labelled("b", "no") }]);
    world.registry.rename_model("churn", "leavers").unwrap();
    assert_eq!(world.registry.outcome_count("leavers").unwrap(), 2);
    // Outcomes of a deleted version stay.
    world.registry.delete_version("leavers", 2, "").unwrap();
    assert_eq!(world.registry.outcome_tallies("leavers", 0, "yes").unwrap().len(), 2);
    world.registry.delete_model("leavers", "").unwrap();
    assert_eq!(world.rows("SELECT count(*) FROM outcomes"), ["0"]);
    assert_eq!(world.rows("SELECT count(*) FROM outcome_counts"), ["0"]);
}
