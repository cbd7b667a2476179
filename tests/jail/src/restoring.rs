//! A child that keeps what it is told, everywhere that it can, and returns to a checkpoint after
//! each question.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use stagewright_jail::{Channel, Checkpoint, end};

use crate::SAID;
use crate::attempts::{Attempt, World};

/// Begins a task that is done in a child that restores its memory: an attempt's name, or nothing
/// for a child that answers questions.
pub const RESTORING: &str = "restoring;";

/// Bytes of a table that questions change here and there.
pub const TABLE: usize = 6 << 20;

static NUMBER: AtomicU64 = AtomicU64::new(0);
static TEXTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
thread_local! {
    static OF_THREAD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Everything that a question may change.
pub struct State {
    world: World,
    channel: Channel,
    attempt: Option<Attempt>,
    number: u64,
    texts: Vec<String>,
    map: HashMap<String, Box<[u8]>>,
    table: Vec<u8>,
    /// Reserved memory of 64 MiB, as of a linear memory, of which a part is accessible.
    reserved: *mut u8,
}

/// Bytes of the reservation, and of it that are accessible from the start.
const RESERVED: usize = 64 << 20;
const ACCESSIBLE: usize = 1 << 20;

/// Reserves memory. Must be called before the lock.
pub fn reserve() -> *mut u8 {
    // SAFETY: a fresh reservation at an address of the kernel's choice, and its own first part.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let place = libc::mmap(std::ptr::null_mut(), RESERVED, libc::PROT_NONE, flags, -1, 0);
        assert_ne!(place, libc::MAP_FAILED);
        assert_eq!(libc::mprotect(place, ACCESSIBLE, libc::PROT_READ | libc::PROT_WRITE), 0);
        place.cast()
    }
}

/// Answers questions, or makes an attempt, with memory that is restored after each.
pub fn serve(world: World, channel: Channel, checkpoint: Checkpoint, attempt: Option<Attempt>, reserved: *mut u8) -> ! {
    let state = State::new(world, channel, attempt, reserved);
    // SAFETY: this process has one thread besides the jail's, and all that changes is in the state.
    let Err(reason) = unsafe { checkpoint.repeat(Box::new(state), work) };
    eprintln!("{reason}");
    end(1)
}

/// Answers questions without restoring anything.
pub fn remember(world: World, channel: Channel, reserved: *mut u8) -> ! {
    let mut state = State::new(world, channel, None, reserved);
    loop {
        work(&mut state);
    }
}

fn work(state: &mut State) {
    if let Some(attempt) = &state.attempt {
        let said = attempt.make(&mut state.world, &mut state.channel);
        say(&mut state.channel, &said);
        end(0)
    }
    let mut question = Vec::new();
    state.channel.receive(&mut question).expect("an honest parent");
    let question = String::from_utf8_lossy(&question).into_owned();
    let found = state.look(!question.starts_with("quick"));
    state.keep(&question);
    if let Some(rest) = question.strip_prefix("panic") {
        panic!("as it was told{rest}");
    }
    if question.starts_with("loop") {
        loop {
            std::hint::spin_loop();
        }
    }
    say(&mut state.channel, &found);
}

fn say(channel: &mut Channel, text: &str) {
    channel.send(SAID, &[&text.as_bytes()[..text.len().min(4 << 10)]]).expect("an honest parent");
}

impl State {
    fn new(world: World, channel: Channel, attempt: Option<Attempt>, reserved: *mut u8) -> Self {
        let mut table = vec![0; TABLE];
        table.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at % 251) as u8);
        let texts = vec!["loaded".to_owned()];
        let map = HashMap::from([("loaded".to_owned(), Box::from([1_u8; 64].as_slice()))]);
        Self { world, channel, attempt, number: 1, texts, map, table, reserved }
    }

    /// Describes everything that questions before may have left; without what is `large`, if it is
    /// not wanted.
    fn look(&self, large: bool) -> String {
        let sum = |bytes: &[u8]| {
            let bytes = if large { bytes } else { &[] };
            bytes
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
        };
        // SAFETY: the accessible part of the reservation.
        let reserved = unsafe { std::slice::from_raw_parts(self.reserved, ACCESSIBLE) };
        let mut keys: Vec<_> = self.map.keys().map(String::as_str).collect();
        keys.sort_unstable();
        format!(
            "static {} {:?} thread {:?} state {} {:?} {keys:?} table {:x} memory {:x}, behind it {}, heap {:x}",
            NUMBER.load(Ordering::Relaxed),
            TEXTS.lock().expect("nobody panicked"),
            OF_THREAD.with_borrow(Vec::len),
            self.number,
            self.texts,
            sum(&self.table),
            sum(reserved),
            self.behind(),
            self.world.heap_end(),
        )
    }

    /// Says whether the memory behind the accessible part of the reservation is accessible.
    fn behind(&self) -> &'static str {
        let said = self.world.call(libc::SYS_write, [2, self.reserved as u64 + ACCESSIBLE as u64, 1, 0, 0, 0]);
        if said.contains("Bad address") { "nothing" } else { "memory" }
    }

    /// Keeps a question in every place that there is.
    fn keep(&mut self, question: &str) {
        NUMBER.fetch_add(1, Ordering::Relaxed);
        TEXTS.lock().expect("nobody panicked").push(question.to_owned());
        OF_THREAD.with_borrow_mut(|texts| texts.push(question.to_owned()));
        self.number += 1;
        self.texts.push(question.to_owned());
        for number in 0..200 {
            self.map.insert(format!("{question} {number}"), question.as_bytes().into());
        }
        let bytes = question.as_bytes();
        // Pages far apart, others in a row, and more heap than there was.
        let number = |name: &str| question.split_once(name).and_then(|(_, rest)| rest.trim().parse::<usize>().ok());
        for part in 0..bytes.len() * 4 {
            self.table[part * 7919 * 31 % TABLE] = bytes[part % bytes.len()];
        }
        if let Some(kilobytes) = number("row of") {
            self.table[..(kilobytes << 10).min(TABLE)].fill(bytes[0]);
        }
        if let Some(megabytes) = number("more of") {
            self.texts.push(question.repeat((megabytes << 20) / bytes.len()));
            // As a linear memory grows.
            // SAFETY: within the reservation, which nobody refers to.
            unsafe {
                let more = (megabytes << 20).min(RESERVED - ACCESSIBLE);
                let place = self.reserved.add(ACCESSIBLE);
                assert_eq!(libc::mprotect(place.cast(), more, libc::PROT_READ | libc::PROT_WRITE), 0);
                std::ptr::write_bytes(place, 7, more);
            }
        }
        // SAFETY: within the accessible part of the reservation.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.reserved.add(4096 * 3), bytes.len()) };
    }
}
