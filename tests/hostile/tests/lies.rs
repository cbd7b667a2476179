//! A stage's process that lies, as somebody could who got out of the sandbox in it: whatever it
//! sends or does not send is a fault of its component, nothing of it is visible, and the next run
//! is well.

use std::path::{Path, PathBuf};

use stagewright_hostile::{Attempt, Place, Workshop};
use stagewright_lifecycle::RunError;
use stagewright_lifecycle::fault::StageFault;
use stagewright_manifest::World;

/// The fault that a lie must be.
enum Expect {
    /// A trap of the component whose message has these words.
    Trap(&'static str),
    /// A fault against the contract whose message has these words.
    Contract(&'static str),
    /// One of the limits of these keys.
    Limit(&'static [&'static str]),
}

/// The program under a deed's name.
fn program(folder: &Path, deed: &str) -> PathBuf {
    let path = folder.join(deed);
    // A lie may be told in two worlds.
    if !path.exists() {
        std::fs::hard_link(env!("CARGO_BIN_EXE_lying-stage"), &path).expect("a link");
    }
    path
}

/// Tells a lie.
///
/// # Errors
/// The result, if it is another than was expected.
fn lie(workshop: &Workshop, folder: &Path, world: World, deed: &str, expect: &Expect) -> Result<(), String> {
    // Of the time that a busy machine leaves, a flood may take a while to use its own.
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

/// A process that has answered and does not go costs its stage nothing: nobody waits until it wants
/// to end.
#[test]
fn a_process_that_stays_is_ended_when_its_work_is_done() {
    let workshop = Workshop::open(Place::Processes);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder beside the program");
    let set = vec!["validation.limits.wall=20 s".to_owned()];
    let attempt = Attempt { set, ..Attempt::of(World::Validation..=World::Validation) };
    let ended = workshop.attempt_in(&program(folder.path(), "stays"), &attempt);
    assert!(ended.result.is_ok(), "{}", ended.error());
}

/// Imports that are asked about something that the stage holds, by their numbers: of tables.
const OF_TABLES: [u8; 9] = [0, 1, 2, 3, 4, 5, 7, 8, 9];

/// Of blobs, which a validation has none of.
const OF_BLOBS: [u8; 6] = [10, 11, 12, 14, 15, 16];

/// Of sources and models, which neither a validation nor a transformation has.
const OF_OTHERS: [u8; 7] = [18, 19, 20, 21, 22, 23, 24];

/// Deeds of a process that answers batches.
const TRANSFORMS: [&str; 3] = ["two-returns", "lying-batch", "empty-batch"];

#[test]
fn whatever_a_stages_process_sends_is_a_fault_of_its_component_and_nothing_else() {
    use Expect::{Contract, Limit, Trap};
    let workshop = Workshop::open(Place::Processes);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder beside the program");
    let forged = || Trap("what no stage's process sends");
    let mut lies = vec![
        // A message ends with the memory that its instance has.
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
    lies.extend(OF_TABLES.iter().map(|import| (World::Validation, deed(import), unheld())));
    lies.extend(OF_BLOBS.iter().map(|import| (World::Transformation, deed(import), unheld())));
    lies.extend(OF_BLOBS.iter().map(|import| (World::Validation, deed(import), unasked())));
    lies.extend(OF_OTHERS.iter().map(|import| (World::Transformation, deed(import), unasked())));
    let told =
        |(world, deed, expect): &(World, String, Expect)| lie(&workshop, folder.path(), *world, deed, expect).err();
    let believed: Vec<String> = lies.iter().filter_map(told).collect();
    assert!(believed.is_empty(), "{}", believed.join("\n"));
}
