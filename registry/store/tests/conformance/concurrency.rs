//! Many threads and several processes at once: nothing is lost, no number is used twice, no one
//! waits forever.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Barrier;
use std::thread;

use stagewright_store::{DeploymentError, MetricPoint, PromotionRequest, RunId, RunStatus, StoreError};

use crate::deployments::{canary, started, step};
use crate::world::{World, everything, new_run, said, unnumbered, version};

/// Threads of each of the two processes.
const THREADS: usize = 32;

// invariant: Version numbers are consecutive. A candidate of the same parts does not become a
// second version.
pub(crate) fn sixty_four_writers_in_two_processes_get_consecutive_versions(world: &World) {
    if World::part().is_some() {
        // Each has a registry of its own, as a process has.
        let writer = || world.reopened().create_version(&world.artifacts, "churn", &version(), &unnumbered).unwrap();
        return thread::scope(|scope| {
            let writers: Vec<_> = (0..THREADS).map(|_| scope.spawn(writer)).collect();
            for writer in writers {
                println!("\nversion {}", writer.join().unwrap());
            }
        });
    }
    let children = [(); 2].map(|()| world.spawn("write"));
    let mut versions = BTreeSet::new();
    for child in children {
        versions.extend(said(child).lines().filter_map(|line| line.strip_prefix("version ")?.parse::<u32>().ok()));
    }
    assert_eq!(versions, (1..=64).collect());
    assert_eq!(world.registry.versions("churn").unwrap().len(), 64);
    assert_eq!(world.registry.verify_audit().unwrap().entries, 65);
}

/// Values that each of the loggers logs.
const POINTS: i64 = 10;

pub(crate) fn sixty_four_loggers_in_two_processes_lose_no_metric(world: &World) {
    if let Some(part) = World::part() {
        let (process, run) = part.split_once(' ').unwrap();
        let (process, run): (usize, RunId) = (process.parse().unwrap(), run.parse().unwrap());
        return thread::scope(|scope| {
            for thread in 0..THREADS {
                let run = &run;
                scope.spawn(move || log_some(world, run, process * THREADS + thread));
            }
        });
    }
    let run = world.registry.begin_run(&new_run("churn")).unwrap();
    for child in [0, 1].map(|process| world.spawn(&format!("{process} {run}"))) {
        said(child);
    }
    let shared = world.registry.metric_history(&run, "shared").unwrap();
    let mut seen: Vec<_> = shared.iter().map(|point| (point.step, point.value as usize)).collect();
    seen.sort_unstable();
    let logged: Vec<_> = (0..POINTS).flat_map(|step| (0..2 * THREADS).map(move |logger| (step, logger))).collect();
    assert_eq!(seen, logged);
    let found = world.registry.run(run.as_str()).unwrap();
    let last = found.metrics.iter().find(|metric| metric.name == "shared").unwrap();
    assert_eq!((last.step, last.value as usize), (POINTS - 1, 2 * THREADS - 1));
    assert_eq!((found.metrics.len(), found.tags.len()), (1 + 2 * THREADS, 1 + 2 * THREADS));
}

fn log_some(world: &World, run: &RunId, logger: usize) {
    for step in 0..POINTS {
        let point =
            |name: String| MetricPoint { name, value: logger as f64, step, at_ms: Some(1), ..MetricPoint::default() };
        let metrics = [point("shared".into()), point(format!("own {logger}"))];
        let tags = [(format!("logger {logger}"), step.to_string())];
        world.registry.log_batch(run, &metrics, &[], &tags).unwrap();
    }
}

/// Versions, threads and promotions of each thread: a thousand promotions in two processes.
const VERSIONS: u32 = 20;
const PROMOTERS: u32 = 20;
const PROMOTIONS: u32 = 25;

// invariant: A model has one champion or none. Only promotion of an approved version, against the
// expected champion, changes it.
pub(crate) fn of_a_thousand_concurrent_promotions_one_champion_is_left(world: &World) {
    if World::part().is_some() {
        return thread::scope(|scope| {
            for promoter in 0..PROMOTERS {
                scope.spawn(move || promote_some(world, promoter));
            }
        });
    }
    for _ in 0..VERSIONS {
        world.approved("churn");
    }
    let said = [(); 2].map(|()| world.spawn("promote")).map(said).concat();
    let completed: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("completed ")).collect();
    assert!(completed.len() >= PROMOTIONS as usize, "{}", completed.len());

    let champion = world.champion("churn").expect("somebody is champion");
    let entries = world.registry.audit_of("churn", None).unwrap();
    let mut stages: BTreeMap<u32, &str> = (1..=VERSIONS).map(|version| (version, "none")).collect();
    let (mut crowned, mut intended) = (0, HashMap::new());
    for entry in &entries {
        match (entry.action.as_str(), entry.version) {
            ("version.transitioned", Some(version)) => {
                let (old, new) = (entry.old_state.as_deref().unwrap(), entry.new_state.as_deref().unwrap());
                assert_eq!(stages.insert(version, new), Some(old), "entry {}", entry.seq);
                crowned += usize::from(new == "production");
                assert!(stages.values().filter(|stage| **stage == "production").count() <= 1, "entry {}", entry.seq);
            }
            ("promotion.intended", version) => {
                intended.insert(entry.new_state.clone().unwrap(), version);
            }
            _ => {}
        }
    }
    assert_eq!(stages[&champion], "production");
    assert_eq!(world.stages_of("churn"), stages.into_values().collect::<Vec<_>>());
    let promotions: Vec<_> = completed.iter().map(|id| world.registry.promotion(id).unwrap()).collect();
    assert!(promotions.iter().all(|promotion| intended.get(&promotion.id) == Some(&Some(promotion.version))));
    // Promoting the champion itself changes nothing.
    let changes = promotions.iter().filter(|promotion| promotion.expected != Some(promotion.version)).count();
    assert_eq!(crowned, changes);
    assert_eq!(world.registry.unfinished_promotions().unwrap(), []);
    world.registry.verify_audit().unwrap();
}

/// Promotes one version after another. Returns the promotions that were completed.
fn promote_some(world: &World, promoter: u32) {
    let registry = &world.registry;
    let request = PromotionRequest { destination: "file:///production".into(), ..PromotionRequest::default() };
    for number in 0..PROMOTIONS {
        let version = 1 + (promoter * 7 + number * 3) % VERSIONS;
        world.approve("churn", version);
        let promotion = match registry.begin_promotion("churn", version, &request) {
            // Another promotion was completed since it was judged.
            Err(StoreError::StaleVerdict { .. }) => continue,
            begun => begun.unwrap(),
        };
        match registry.complete_promotion(&promotion.id) {
            Ok(_) => println!("\ncompleted {}", promotion.id),
            // Another promotion was completed, or it was judged against a champion that has been
            // replaced.
            Err(StoreError::AliasMoved { .. } | StoreError::StaleVerdict { .. }) => continue,
            Err(error) => panic!("{error}"),
        }
        match registry.finish_promotion(&promotion.id) {
            // A later one was finished, and this one with it.
            Ok(()) | Err(StoreError::PromotionEnded { state: "finished", .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// How often two candidates race.
const RACES: u32 = 20;

// invariant: as `a_version_is_promoted_only_against_the_champion_that_it_was_judged_against`
pub(crate) fn of_two_candidates_judged_against_one_champion_one_succeeds_it_and_the_other_is_judged_again(
    world: &World,
) {
    let mut champion = world.approved("churn");
    world.promote("churn", champion);
    for race in 0..RACES {
        let candidates = [world.unjudged("churn"), world.unjudged("churn")];
        let (judged, begun) = (Barrier::new(2), Barrier::new(2));
        let run = |candidate| {
            // Each has a registry of its own, as a run has.
            let registry = world.reopened();
            world.approve("churn", candidate);
            judged.wait();
            let promotion = registry.begin_promotion("churn", candidate, &PromotionRequest::default());
            if race % 2 == 0 {
                // Both intend their promotions before either is completed.
                begun.wait();
            }
            registry.complete_promotion(&promotion?.id)
        };
        let results = thread::scope(|scope| {
            let run = &run;
            let runs = candidates.map(|candidate| scope.spawn(move || run(candidate)));
            runs.map(|run| run.join().unwrap())
        });
        let won: Vec<u32> = results.iter().flatten().map(|promotion| promotion.version).collect();
        assert_eq!(won.len(), 1, "{results:?}");
        assert_eq!(world.champion("churn"), Some(won[0]));
        let loser = if won[0] == candidates[0] { candidates[1] } else { candidates[0] };
        for error in results.into_iter().filter_map(Result::err) {
            let told = match &error {
                StoreError::AliasMoved { expected, actual, .. } => (*expected, *actual),
                StoreError::StaleVerdict { judged_against, champion, .. } => (judged_against.champion(), *champion),
                _ => panic!("{error}"),
            };
            assert_eq!(told, (Some(champion), Some(won[0])), "{error}");
        }
        // It stays refused until it is judged again; then it is promoted.
        let promote = || world.registry.promote("churn", loser, &PromotionRequest::default());
        let stale = promote().unwrap_err();
        assert!(matches!(stale, StoreError::StaleVerdict { .. }), "{stale}");
        world.approve("churn", loser);
        promote().unwrap();
        champion = loser;
    }
    assert_eq!(world.registry.verdicts("churn", champion).unwrap().len(), 2);
    world.registry.verify_audit().unwrap();
}

pub(crate) fn an_experiment_that_many_runs_make_at_once_is_one(world: &World) {
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| world.registry.begin_run(&new_run("churn")).unwrap());
        }
    });
    assert_eq!(world.registry.experiments().unwrap().len(), 1);
    assert_eq!(world.registry.list_runs(100).unwrap().len(), 16);
}

// invariant: as `an_alias_moves_only_from_where_it_is_believed_to_be`
pub(crate) fn an_alias_that_many_set_at_once_is_set_by_one(world: &World) {
    for _ in 0..8 {
        world.unjudged("churn");
    }
    let set = &|version| world.registry.set_alias("churn", "candidate", None, Some(version)).is_ok();
    let winners: Vec<u32> = thread::scope(|scope| {
        let threads: Vec<_> = (1..=8).map(|version| (version, scope.spawn(move || set(version)))).collect();
        threads.into_iter().filter_map(|(version, thread)| thread.join().unwrap().then_some(version)).collect()
    });
    assert_eq!(winners.len(), 1);
    assert_eq!(world.registry.alias("churn", "candidate").unwrap(), Some(winners[0]));
}

/// Steps that two processes make of one deployment.
const STEPS: u32 = 40;

// invariant: as `a_deployment_goes_from_step_to_step_and_ends`
pub(crate) fn of_two_processes_that_advance_a_deployment_one_does(world: &World) {
    if World::part().is_some() {
        loop {
            let seen = world.registry.active_deployment("churn").unwrap().expect("it is active");
            if seen.step == STEPS {
                return;
            }
            match world.registry.advance_deployment("churn", seen.at(), &step(seen.step + 1, 0.5)) {
                Ok(advanced) => println!("\nadvanced {}", advanced.step),
                Err(StoreError::Deployment(DeploymentError::Changed { .. })) => println!("\nlost"),
                Err(error) => panic!("{error}"),
            }
        }
    }
    let begun = started(world);
    let children = [(); 2].map(|()| world.spawn("advance"));
    let said = children.map(said).concat();
    let mut steps: Vec<u32> = said.lines().filter_map(|line| line.strip_prefix("advanced ")?.parse().ok()).collect();
    steps.sort_unstable();
    assert_eq!(steps, (1..=STEPS).collect::<Vec<_>>(), "each step is made by one");
    let ended = world.registry.active_deployment("churn").unwrap().unwrap();
    assert_eq!((ended.step, ended.revision), (STEPS, begun.revision + u64::from(STEPS)));
    let entries = world.registry.audit_of("churn", None).unwrap();
    assert_eq!(entries.iter().filter(|it| it.action == "deployment.advanced").count(), STEPS as usize);
    // Of many that start one at once, one does.
    world.registry.abort_deployment("churn", None, "").unwrap();
    let started: usize = thread::scope(|scope| {
        let start = || world.reopened().start_deployment("churn", &canary()).is_ok();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
    });
    assert_eq!(started, 1);
}

// invariant: as `opening_removes_what_dead_processes_left_and_nothing_of_live_ones`
pub(crate) fn runs_of_dead_processes_are_killed_and_those_of_live_ones_are_not(world: &World) {
    if World::part().is_some() {
        world.registry.begin_run(&new_run("dead")).unwrap();
        std::process::abort();
    }
    let alive = world.registry.begin_run(&new_run("alive")).unwrap();
    let output = world.spawn("die").wait_with_output().unwrap();
    assert!(!output.status.success(), "{}", everything(&output));
    let dead = world.registry.last_run("dead").unwrap().unwrap();
    let killed = crate::world::eventually(|| {
        let status = world.reopened().run(dead.run_id.as_str()).unwrap().status;
        (status != RunStatus::Running).then_some(status)
    });
    assert_eq!(killed, RunStatus::Killed);
    assert!(world.registry.run(dead.run_id.as_str()).unwrap().ended_ms.is_some());
    assert_eq!(world.registry.run(alive.as_str()).unwrap().status, RunStatus::Running);
    world.registry.finish_run(&alive, RunStatus::Finished, None).unwrap();
}
