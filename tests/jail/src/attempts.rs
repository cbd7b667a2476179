//! All attempts, and the expected result of each.

use stagewright_jail::{Channel, Limit, PIECE};

use crate::calls;

mod natively;
mod world;

pub use world::World;

/// The outcome that an attempt must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The call of this number is refused and ends the child.
    Refused(u32),
    /// A call is refused, and the kernel does not say which.
    RefusedUnnamed,
    /// It gets an error and continues.
    Fails,
    /// It is permitted, and gains nothing.
    Harmless,
    /// This signal ends it.
    Signal(i32),
    /// It ends by itself with this code.
    Exits(i32),
    /// It breaks the rules, and the parent's error contains these words.
    Forged(&'static str),
    /// It damages itself and ends somehow.
    Ends,
    /// It exceeds this limit.
    Limit(Limit),
}

/// An attempt.
#[derive(Debug)]
pub struct Attempt {
    /// Its name.
    pub name: &'static str,
    /// The expected result behind all walls.
    pub expected: Expected,
    /// Whether it also fails without the filter.
    pub fails_anyway: bool,
    how: How,
}

/// Code that tries something and returns a description of the result.
type Native = fn(&mut World, &mut Channel) -> String;

#[derive(Debug)]
enum How {
    Call(calls::Call),
    Natively(Native),
}

impl Attempt {
    /// Makes the attempt after the lock, and returns a description of the result if it returns.
    pub fn make(&self, world: &mut World, channel: &mut Channel) -> String {
        match &self.how {
            How::Call(call) => world.call(call.number, (call.arguments)(world)),
            How::Natively(attempt) => attempt(world, channel),
        }
    }
}

/// Returns all attempts.
pub fn all() -> Vec<Attempt> {
    let calls = calls::all().into_iter().map(|call| Attempt {
        name: call.name,
        expected: Expected::Refused(call.number as u32),
        fails_anyway: call.fails_anyway,
        how: How::Call(call),
    });
    calls.chain(natively()).collect()
}

fn natively() -> impl Iterator<Item = Attempt> {
    use Expected::{Exits, Fails, Forged, Harmless, RefusedUnnamed, Signal};
    use natively as n;
    let sigaction = Expected::Refused(libc::SYS_rt_sigaction as u32);
    let open = Expected::Refused(libc::SYS_openat as u32);
    let all: Vec<(&str, Expected, Native)> = vec![
        // Memory
        ("more address space than there is", Fails, n::reserve_much),
        ("its own code made writable", Harmless, n::write_code),
        ("memory that is never enough, asked of the system", Fails, n::map_for_ever),
        ("memory that is never enough, asked of the allocator", Expected::Limit(Limit::Memory), n::allocate_for_ever),
        ("writing past the ring", Expected::Ends, n::write_past_the_ring),
        // Signals
        ("every signal blocked", Harmless, n::block_signals),
        ("every signal blocked, then a refused call", RefusedUnnamed, n::refused_while_blocked),
        ("every signal blocked, then a loop", Expected::Limit(Limit::Cpu), n::loop_while_blocked),
        ("refused calls handled by itself", sigaction, n::handle_refusals),
        // Crashes
        ("a write to nowhere", Signal(libc::SIGSEGV), n::write_to_nowhere),
        ("a jump to nowhere", Signal(libc::SIGSEGV), n::jump_to_nowhere),
        ("data run as code", Signal(libc::SIGSEGV), n::run_data),
        ("no stack left", Signal(libc::SIGABRT), n::recurse),
        ("an abort", Signal(libc::SIGABRT), n::abort),
        ("a panic", Exits(101), n::panic),
        ("an instruction that is none", Signal(libc::SIGILL), n::no_instruction),
        // Ends
        ("an end without a word", Exits(0), n::exit_silently),
        ("an end with a code of the jail's own", Exits(120), n::exit_as_if_reported),
        ("an end in the middle of a message", Exits(0), n::exit_within_a_message),
        // Time
        ("a loop without end", Expected::Limit(Limit::Cpu), n::loop_for_ever),
        ("sleep without end", Expected::Limit(Limit::Wall), n::sleep_for_ever),
        ("waiting for a message that never comes", Expected::Limit(Limit::Wall), n::wait_for_ever),
        ("a loop of calls that are allowed", Expected::Limit(Limit::Cpu), n::call_for_ever),
        // The ring
        ("a place of the writer that cannot be", Forged("its writer is at `18446744073709551610`"), n::forge_head),
        ("a place of the writer that goes back", Forged("its writer is at `0`"), n::forge_head_back),
        ("a piece of nearly all memory", Forged("a piece of `18446744073709551551` bytes"), n::forge_huge),
        ("a piece that is cut", Forged("of which `64` are there"), n::forge_cut),
        ("a kind that does not exist", Forged("unknown kind `77`"), n::forge_kind),
        ("flags that do not exist", Forged("flags `0xfffffffe`"), n::forge_flags),
        ("pieces without end", Forged("a message of kind `2` with"), n::pieces_without_end),
        ("empty pieces without end", Forged("in the middle of a message"), n::empty_pieces),
        ("a message in the middle of another", Forged("goes on as one of kind"), n::mixed_messages),
        ("a message longer than its kind's", Forged("a message of kind `1` with"), n::long_message),
        ("a flood of messages", Forged("a flood: `10001` messages"), n::flood_messages),
        ("a flood of bytes", Forged("bytes, of which"), n::flood_bytes),
        ("a place of the reader that cannot be", Forged("its reader is at"), n::forge_tail),
        ("bytes that change while they are read", Harmless, n::change_while_read),
        ("its parent's page of the ring written over", Harmless, n::write_parents_page),
        // Reports and words
        ("reports that are none", Forged("there is no such report"), n::report_garbage),
        ("half a report", Forged("it is cut"), n::report_half),
        ("a flood of reports", Forged("reports"), n::flood_reports),
        ("a lock that is told twice", Forged("in the middle of its work"), n::report_locked),
        ("CPU time that was not used", Forged("its CPU time is not spent"), n::report_cpu),
        ("a flood of words", Forged("bytes on standard error"), n::flood_words),
        ("words that move a terminal's cursor", Exits(7), n::escape_words),
        ("a flood of waking", Harmless, n::flood_waking),
        ("the standard library", open, n::use_the_library),
        #[cfg(target_arch = "x86_64")]
        ("int 0x80: the entry of 32-bit programs", RefusedUnnamed, n::int_80),
    ];
    all.into_iter().map(|(name, expected, attempt)| Attempt {
        name,
        expected,
        fails_anyway: false,
        how: How::Natively(attempt),
    })
}

/// The bytes that the tests' parent accepts from one child.
pub const BYTES: u64 = 64 * PIECE as u64;

/// The messages that the tests' parent accepts from one child.
pub const MESSAGES: u64 = 10_000;
