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
    std::fs::hard_link(env!("CARGO_BIN_EXE_lying-stage"), &path).expect("a link");
    path
}

/// Tells a lie.
///
/// # Errors
/// What came of it, if it is not what was expected.
fn lie(workshop: &Workshop, folder: &Path, deed: &str, expect: &Expect) -> Result<(), String> {
    let transforms = ["two-returns", "lying-batch", "empty-batch"].contains(&deed);
    let world = if transforms { World::Transformation } else { World::Validation };
    // Of the time that a busy machine leaves, a flood may take a while to use its own.
    let wall = if ["silence", "asks-and-does-not-listen"].contains(&deed) { "2 s" } else { "60 s" };
    let limits = [("wall", wall), ("cpu", "300 ms")];
    let set = limits.map(|(key, limit)| format!("{}.limits.{key}={limit}", world.as_str()));
    let attempt = Attempt { set: set.to_vec(), ..Attempt::of(world..=world) };
    let ended = workshop.attempt_in(&program(folder, deed), &attempt);
    let Err(RunError::Stage(fault)) = &ended.result else {
        return Err(format!("`{deed}` is no fault of a stage: {}", ended.error()));
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
        return Err(format!("`{deed}`: {told:?}"));
    }
    if !ended.visible.is_empty() || !ended.left_over.is_empty() {
        return Err(format!("`{deed}` left {:?} and {:?}", ended.visible, ended.left_over));
    }
    workshop.next_run_is_well(world..=world);
    Ok(())
}

/// Imports that are asked about something that the stage holds, by their numbers.
const WITH_HANDLES: [u8; 22] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24];

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
    let names: Vec<String> = WITH_HANDLES.iter().map(|import| format!("names-nothing-{import}")).collect();
    lies.extend(names.iter().map(|name| (name.as_str(), Contract("it names something that it does not hold"))));
    let believed = lies.iter().filter_map(|(deed, expect)| lie(&workshop, folder.path(), deed, expect).err());
    let believed: Vec<String> = believed.collect();
    assert!(believed.is_empty(), "{}", believed.join("\n"));
}
