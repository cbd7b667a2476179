//! A stage's process that lies, as code that escaped from the sandbox could. Whatever it sends or
//! does not send is a fault of its component, nothing of it becomes visible, and the next run
//! succeeds.

#[path = "lies/models.rs"]
mod lying_models;
mod model;

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Float64Array, RecordBatch};
use model::Nobody;
use stagewright_hostile::{Attempt, Place, Workshop};
use stagewright_lifecycle::RunError;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::{Cancel, Meter, ModelRunner as _, Shelf, StageContext};
use stagewright_manifest::World;
use stagewright_store::{DataType, Field, Schema};

/// The fault that a lie must cause.
enum Expect {
    /// A trap of the component whose message contains these words.
    Trap(&'static str),
    /// A violation of the contract whose message contains these words.
    Contract(&'static str),
    /// One of the limits of these keys.
    Limit(&'static [&'static str]),
}

/// Returns the program under a deed's name.
fn program(folder: &Path, deed: &str) -> PathBuf {
    let path = folder.join(deed);
    // Two worlds may tell the same lie.
    if !path.exists() {
        std::fs::hard_link(env!("CARGO_BIN_EXE_lying-stage"), &path).expect("a link");
    }
    path
}

/// Tells a lie.
///
/// # Errors
///
/// The result differs from the expected one.
fn lie(workshop: &Workshop, folder: &Path, world: World, deed: &str, expect: &Expect) -> Result<(), String> {
    // On a busy machine, a flood may take a while to use up its own time.
    let wall = if ["silence", "asks-and-does-not-listen"].contains(&deed) { "2 s" } else { "60 s" };
    let limits = [("wall", wall), ("cpu", "300 ms")];
    let set = limits.map(|(key, limit)| format!("{}.limits.{key}={limit}", world.as_str()));
    let attempt = Attempt { set: set.to_vec(), ..Attempt::of(world..=world) };
    let ended = workshop.attempt_in(&program(folder, deed), &attempt);
    let Err(RunError::Stage(fault)) = &ended.result else {
        return Err(format!("`{deed}` in {world} is no fault of a stage: {}", ended.error()));
    };
    let told = fault.to_string();
    let fits = match (expect, fault) {
        (Expect::Trap(words), StageFault::Trap { message, component, .. }) => {
            component.starts_with("misbehave-") && message.contains(words)
        }
        (Expect::Contract(words), StageFault::Contract { message, .. }) => message.contains(words),
        (Expect::Limit(keys), StageFault::Limit { kind, used, allowed, .. }) => {
            used > allowed && keys.contains(&kind.key())
        }
        _ => false,
    };
    if !fits || told.chars().any(|letter| letter != '\n' && letter.is_control()) {
        return Err(format!("`{deed}` in {world}: {told:?}"));
    }
    if !ended.visible.is_empty() || !ended.left_over.is_empty() {
        return Err(format!("`{deed}` left {:?} and {:?}", ended.visible, ended.left_over));
    }
    workshop.next_run_is_well(world..=world);
    Ok(())
}

/// A process that has answered and does not exit costs its stage nothing, because the host does not
/// wait for it.
#[test]
fn a_process_that_stays_is_ended_when_its_work_is_done() {
    let workshop = Workshop::open(Place::Processes);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder beside the program");
    let set = vec!["validation.limits.wall=20 s".to_owned()];
    let attempt = Attempt { set, ..Attempt::of(World::Validation..=World::Validation) };
    let ended = workshop.attempt_in(&program(folder.path(), "stays"), &attempt);
    assert!(ended.result.is_ok(), "{}", ended.error());
}

/// Imports on handles of the stage, by number: of tables.
const OF_TABLES: [u8; 9] = [0, 1, 2, 3, 4, 5, 7, 8, 9];

/// Of blobs, which a validation does not have.
const OF_BLOBS: [u8; 6] = [10, 11, 12, 14, 15, 16];

/// Of sources and models, which neither a validation nor a transformation has.
const OF_OTHERS: [u8; 7] = [18, 19, 20, 21, 22, 23, 24];

/// Deeds of a process that answers batches.
const TRANSFORMS: [&str; 3] = ["two-returns", "lying-batch", "empty-batch"];

// invariant: Every message or silence of a stage's process becomes a fault of its component or
// limit.
#[test]
fn whatever_a_stages_process_sends_is_a_fault_of_its_component_and_nothing_else() {
    use Expect::{Contract, Limit, Trap};
    let workshop = Workshop::open(Place::Processes);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder beside the program");
    let forged = || Trap("what no stage's process sends");
    let mut lies = vec![
        // A message ends with the memory of its instance.
        ("garbage-asked", Limit(&["memory"])),
        ("garbage-told", Limit(&["memory"])),
        ("garbage-returned", Limit(&["memory"])),
        ("garbage-asked-in-form", forged()),
        ("garbage-returned-in-form", forged()),
        ("empty", Trap("a message without an end")),
        ("without-length", Trap("a message without an end")),
        ("cut", Trap("a message that is cut")),
        ("long-head", Trap("a message with a long head")),
        ("more-behind", Trap("more behind its value")),
        ("bytes-of-no-value", Trap("bytes that no value has")),
        ("too-long", Trap("its process ended")),
        ("kind-0", Trap("its process ended")),
        ("kind-77", Trap("its process ended")),
        ("told-as-asked", Trap("a question of the wrong kind")),
        ("asked-as-told", Trap("a question of the wrong kind")),
        ("another-reply", Contract("another export's value")),
        ("a-blob-of-nobody", Contract("another export's value")),
        ("two-returns", Contract("another export's value")),
        ("lying-batch", Contract("batch ends 3 bytes into a piece of 40")),
        ("empty-batch", Contract("batch ends 0 bytes into a piece of 40")),
        ("all-memory", Limit(&["memory"])),
        ("crash-memory", Limit(&["memory"])),
        ("crash-handles", Limit(&["handles"])),
        ("crash-stack-of-none", Limit(&["bytes of stack"])),
        ("crash-types", Contract("x")),
        ("crash-trap", Trap("<b>")),
        ("crash-interrupted", Trap("its process says that it was told to stop")),
        ("crash-no-room", Trap("its process says that")),
        ("exit", Trap("its process ended")),
        ("exit-while-asking", Trap("its process ended")),
        ("abort", Trap("its process ended")),
        ("silence", Limit(&["wall"])),
        ("spin", Limit(&["cpu"])),
        ("flood-of-lines", Limit(&["cpu"])),
        ("flood-of-progress", Limit(&["cpu"])),
        ("asks-and-does-not-listen", Limit(&["wall", "cpu"])),
    ];
    let lies = lies.drain(..).map(|(deed, expect)| {
        let world = if TRANSFORMS.contains(&deed) { World::Transformation } else { World::Validation };
        (world, deed.to_owned(), expect)
    });
    let mut lies: Vec<_> = lies.collect();
    let deed = |import: &u8| format!("names-nothing-{import}");
    let unheld = || Contract("it names something that it does not hold");
    let unasked = || Trap("a question that nobody of its world asks");
    let prepared = [
        ("another-reply", Contract("another export's value")),
        ("a-blob-of-nobody", Contract("another export's value")),
        ("a-table-of-nobody", unheld()),
    ];
    lies.extend(prepared.map(|(deed, expect)| (World::Preparation, deed.to_owned(), expect)));
    lies.extend(OF_TABLES.iter().map(|import| (World::Preparation, deed(import), unheld())));
    lies.extend(OF_BLOBS.iter().chain(&OF_OTHERS).map(|import| (World::Preparation, deed(import), unasked())));
    lies.extend(OF_TABLES.iter().map(|import| (World::Validation, deed(import), unheld())));
    lies.extend(OF_BLOBS.iter().map(|import| (World::Transformation, deed(import), unheld())));
    lies.extend(OF_BLOBS.iter().map(|import| (World::Validation, deed(import), unasked())));
    lies.extend(OF_OTHERS.iter().map(|import| (World::Transformation, deed(import), unasked())));
    let told =
        |(world, deed, expect): &(World, String, Expect)| lie(&workshop, folder.path(), *world, deed, expect).err();
    let believed: Vec<String> = lies.iter().filter_map(told).collect();
    assert!(believed.is_empty(), "{}", believed.join("\n"));
}

// invariant: as `a_process_that_has_seen_the_target_is_not_asked_to_transform`
/// A process whose answer was a fault is not used again, although its stage's context lives on, as
/// that of a model does that answers several requests.
#[test]
fn a_process_that_was_at_fault_is_not_used_again() {
    let workshop = Workshop::open(Place::Processes);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder beside the program");
    let (runtime, components) = workshop.with_program(&program(folder.path(), "lying-batch"));
    let context = Arc::new(StageContext {
        world: World::Transformation,
        component: components[&World::Transformation].clone(),
        parameters: "{}".into(),
        seed: 7,
        roles: HashMap::new(),
        as_of: 0,
        limits: World::Transformation.default_limits(),
        staging: None,
        meter: Arc::new(Meter::while_called()),
        tracker: Arc::new(Nobody),
        workers: 1,
        cancel: Cancel::default(),
        shelf: Shelf::default(),
    });
    let state = workshop.home().artifacts.stage().create_blob().and_then(|writer| writer.finish()).expect("a blob");
    let schema = Schema::new(vec![Field::new("x", DataType::Float64).with_nullable(false)]).expect("a schema");
    let numbers = Arc::new(Float64Array::from(vec![0.5; 5]));
    let batch = RecordBatch::try_new(schema.to_arrow(), vec![numbers]).expect("a batch");
    for time in 1..=3 {
        let fault = runtime
            .transform_again(&context, &state, &schema, std::slice::from_ref(&batch))
            .expect_err("a lying batch");
        assert!(fault.to_string().contains("batch ends 3 bytes"), "time {time}: {fault}");
    }
    let walls = Meter::walls([&*context.meter]);
    context.shelf.clear();
    assert_eq!(Meter::walls([&*context.meter]), ["wasm", "seccomp", "landlock", "rlimits"], "before: {walls:?}");
}

// invariant: A process serves one purpose: none that has seen the target transforms rows, and none
// that failed is used again.
/// `fit` sees the target, and `transform` must not. Even code that escaped from the sandbox cannot
/// carry it from one to the other.
#[test]
fn a_process_that_has_seen_the_target_is_not_asked_to_transform() {
    let workshop = Workshop::open(Place::Processes);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder beside the program");
    let attempt = Attempt::of(World::Transformation..=World::Transformation);
    // The process reports whether both were called in it.
    let ended = workshop.attempt_in(&program(folder.path(), "lying-batch"), &attempt);
    assert!(ended.error().contains("batch ends 3 bytes"), "{}", ended.error());
}

/// Returns how many processes some stages use.
fn processes(workshop: &Workshop, attempt: &Attempt) -> usize {
    let folder = tempfile::tempdir().expect("a folder");
    let (list, script) = (folder.path().join("list"), folder.path().join("script"));
    let text = format!("#!/bin/sh\necho one >> '{}'\nexec '{}'\n", list.display(), Workshop::program().display());
    std::fs::write(&script, text).expect("a script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).expect("its mode");
    let ended = workshop.attempt_in(&script, attempt);
    assert!(ended.result.is_ok(), "{}", ended.error());
    std::fs::read_to_string(&list).expect("a list").lines().count()
}

// invariant: as `a_process_that_has_seen_the_target_is_not_asked_to_transform`
#[test]
fn what_is_asked_again_in_a_stage_is_asked_in_the_process_of_before() {
    let workshop = Workshop::open(Place::Processes);
    let stage = |world: World| processes(&workshop, &Attempt::of(world..=world));
    // `fit` and `rebalance`; the transformer of training and validation rows; one for the repeated
    // sample.
    assert_eq!(stage(World::Transformation), 4);
    // `train`; the predictor that reports importance.
    assert_eq!(stage(World::Training), 2);
    let training = Attempt { component: Some(workshop.sharded()), ..Attempt::of(World::Training..=World::Training) };
    // The plan, all shards and the merge, with at most two workers; the predictor.
    let sharded = processes(&workshop, &training);
    assert!((2..=3).contains(&sharded), "{sharded}");
    // The evaluator; the model's two processes, which it asks as well; two for the repeated sample.
    assert_eq!(stage(World::Evaluation), 5);
}
