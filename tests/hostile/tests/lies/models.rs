//! A model's process that lies, or whose components work long.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stagewright_hostile::{Place, Workshop};
use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::sandbox::{CallLimits, Isolation, ModelSession, ModelSessions as _};
use stagewright_manifest::World;

use super::model::{GENEROUS, Nobody, parts, rows};
use super::program;

/// Opens a session whose process does a deed. Its training may use less time to load than others.
fn open(
    (workshop, folder): (&Workshop, &Path),
    deed: &str,
    limits: CallLimits,
    isolation: Isolation,
) -> Result<Box<dyn ModelSession>, StageFault> {
    let (runtime, components) = workshop.with_program(&program(folder, &format!("model-{deed}")));
    let components = [World::Transformation, World::Training].map(|world| components[&world].clone());
    let mut model = parts(workshop, components, Arc::new(Nobody));
    let training = Arc::get_mut(&mut model.training).expect("nobody else has it");
    (training.limits.cpu, training.limits.wall) = (Duration::from_millis(500), Duration::from_secs(3));
    runtime.open(&model, limits, isolation)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder beside the program")
}

// invariant: as `whatever_a_stages_process_sends_is_a_fault_of_its_component_and_nothing_else`
/// Fresh instances undo a component's fault. They do not undo a process that lies, which is ended.
#[test]
fn a_models_process_that_lies_is_ended_and_one_whose_component_fails_is_not() {
    let (workshop, folder) = (Workshop::open(Place::Processes), folder());
    let forged = "what no stage's process sends";
    for (deed, words, is_honest) in [
        ("asks-alone", forged, false),
        ("answers-as-training", forged, false),
        ("transforms-to-nothing", forged, false),
        ("predicts-nothing", forged, false),
        ("predicts-what-is-too-large", forged, false),
        ("has-all-memory", "limit", false),
        ("was-told-to-stop", "its process says that it was told to stop", false),
        ("traps", "crashed in `predictor.predict`: x", true),
    ] {
        let session = open((&workshop, folder.path()), deed, GENEROUS, Isolation::Fresh);
        let mut session = session.unwrap_or_else(|fault| panic!("`{deed}`: {fault}"));
        let fault = session.predict(&[rows(0.5, 3)]).expect_err(deed).to_string();
        assert!(fault.contains(words), "`{deed}`: {fault}");
        assert_eq!(session.is_alive(), is_honest, "`{deed}`: {fault}");
    }
}

/// A process that ends or is ended is the fault of the component that was called, and of both
/// where nobody knows which of them had it.
#[test]
fn the_end_of_a_models_process_is_the_fault_of_the_component_that_was_called() {
    let (workshop, folder) = (Workshop::open(Place::Processes), folder());
    let open = |deed| open((&workshop, folder.path()), deed, GENEROUS, Isolation::Pooled);
    let loading = |deed| open(deed).err().unwrap_or_else(|| panic!("`{deed}` loads"));
    for deed in ["ends-while-loading", "answers-for-another"] {
        let fault = loading(deed);
        let StageFault::Trap { stage, component, export, .. } = &fault else { panic!("{fault}") };
        let blamed = [stage.as_str(), component, export];
        assert_eq!(blamed, ["training", "misbehave-training", "predictor.load"], "`{deed}`: {fault}");
    }
    for (deed, limit, allowed) in [
        ("spins-while-loading", LimitKind::Cpu, Duration::from_millis(500)),
        ("is-silent-while-loading", LimitKind::Wall, Duration::from_secs(3)),
    ] {
        let fault = loading(deed);
        let StageFault::Limit { stage, kind, allowed: told, .. } = &fault else { panic!("`{deed}`: {fault}") };
        let expected = ("training", &limit, allowed.as_nanos());
        assert_eq!((stage.as_str(), kind, u128::from(*told)), expected, "`{deed}`");
    }
    let mut session = open("ends").unwrap_or_else(|fault| panic!("{fault}"));
    let fault = session.predict(&[rows(0.5, 3)]).expect_err("it ends");
    let StageFault::Trap { stage, component, .. } = &fault else { panic!("{fault}") };
    assert_eq!([stage.as_str(), component], ["model", "misbehave-transformation or misbehave-training"]);
}

/// The process says that a batch is too large until it has one row, and works for each batch. No
/// batch passes the limit, and all batches of one request do.
#[test]
fn a_request_has_its_limits_for_all_of_its_batches() {
    let (workshop, folder) = (Workshop::open(Place::Processes), folder());
    let limits = CallLimits { cpu: Duration::from_millis(200), ..GENEROUS };
    for isolation in [Isolation::Pooled, Isolation::Fresh] {
        let session = open((&workshop, folder.path()), "works-long", limits, isolation);
        let mut session = session.unwrap_or_else(|fault| panic!("{fault}"));
        for _ in 0..30 {
            session.predict(&[rows(0.5, 1)]).unwrap_or_else(|fault| panic!("a request of its own: {fault}"));
        }
        let fault = session.predict(&[rows(0.5, 60)]).expect_err("a request of 119 batches");
        let StageFault::Limit { stage, kind: LimitKind::Cpu, .. } = &fault else { panic!("{fault}") };
        assert_eq!(stage.as_str(), "model");
    }
}

/// The limits of a request may be lower than what loading used.
#[test]
fn what_a_model_used_while_it_was_loaded_counts_against_no_request() {
    let (workshop, folder) = (Workshop::open(Place::Processes), folder());
    let limits = CallLimits { cpu: Duration::from_millis(30), ..GENEROUS };
    let session = open((&workshop, folder.path()), "is-slow-to-load", limits, Isolation::Pooled);
    let mut session = session.unwrap_or_else(|fault| panic!("{fault}"));
    // The thread that watches the process has looked at it many times then.
    std::thread::sleep(Duration::from_millis(300));
    assert!(session.is_alive());
    assert_eq!(session.predict(&[rows(0.5, 2)]).expect("an answer"), [2.0; 2]);
}

// invariant: as `what_a_model_keeps_of_a_request_is_in_no_later_answer_of_fresh_instances`
/// An honest answer of this process is the number of rows of its batch. A batch of 64 rows is too
/// large.
#[test]
fn the_batches_of_a_request_do_not_tell_how_large_those_of_earlier_requests_were() {
    let (workshop, folder) = (Workshop::open(Place::Processes), folder());
    let open = |isolation| {
        let session = open((&workshop, folder.path()), "counts", GENEROUS, isolation);
        session.unwrap_or_else(|fault| panic!("{fault}"))
    };
    let halves = [32.0; 64];
    let mut fresh = open(Isolation::Fresh);
    let mut ask = |count| fresh.predict(&[rows(0.5, count)]).expect("an answer");
    assert_eq!([ask(100), ask(64), ask(100)].concat(), [&[100.0; 100][..], &halves, &[100.0; 100]].concat());
    // Sent together.
    let answers = fresh.predict(&[100, 64, 100].map(|count| rows(0.5, count))).expect("answers");
    assert_eq!(answers, [&[100.0; 100][..], &halves, &[100.0; 100]].concat());
    // Pooled instances remember, until larger batches have succeeded.
    let mut pooled = open(Isolation::Pooled);
    let mut ask = |count| pooled.predict(&[rows(0.5, count)]).expect("an answer");
    assert_eq!([ask(64), ask(100)].concat(), [&halves[..], &halves, &[36.0; 36]].concat());
    assert_eq!([ask(60), ask(100)].concat(), [&[60.0; 60][..], &[100.0; 100]].concat());
}
