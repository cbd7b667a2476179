//! Attempts that take more than one system call.

use std::sync::atomic::Ordering::SeqCst;

use stagewright_jail::{Channel, PIECE, end};

use super::World;
use crate::{BULK, ECHO, SAID};

const PRIVATE: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;

/// The writer's flag of a piece that is not the message's last.
const MORE: u32 = 1;

/// The bytes of a full piece in the ring.
const FULL: u64 = PIECE as u64 + 64;

/// Wakes the parent and waits to be killed.
fn await_the_end(world: &World) -> String {
    world.write(world.wake(), &1_u64.to_ne_bytes());
    sleep(world)
}

fn sleep(world: &World) -> String {
    loop {
        world.call(libc::SYS_futex, [world.page(), libc::FUTEX_WAIT as u64, 0, 0, 0, 0]);
    }
}

pub(super) fn reserve_much(world: &mut World, _: &mut Channel) -> String {
    world.call(libc::SYS_mmap, [0, 1 << 40, 1, PRIVATE | libc::MAP_NORESERVE as u64, u64::MAX, 0])
}

pub(super) fn write_code(world: &mut World, _: &mut Channel) -> String {
    // The page cannot become executable again. It is not the page of the running code.
    world.call(libc::SYS_mprotect, [world.page(), 4096, 3, 0, 0, 0])
}

pub(super) fn map_for_ever(world: &mut World, _: &mut Channel) -> String {
    for _ in 0..1 << 20 {
        let said = world.call(libc::SYS_mmap, [0, 1 << 20, 3, PRIVATE, u64::MAX, 0]);
        if said.starts_with("error") {
            return said;
        }
    }
    "as much as it wanted".into()
}

pub(super) fn allocate_for_ever(_: &mut World, _: &mut Channel) -> String {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for _ in 0..1 << 20 {
        all.push(std::hint::black_box(vec![1; 1 << 20]));
    }
    format!("as much as it wanted: {}", all.len())
}

pub(super) fn write_past_the_ring(world: &mut World, _: &mut Channel) -> String {
    // The memory behind it belongs to the process, up to an address without any.
    for page in 0..1 << 20 {
        let at = world.up.end() + page * 4096;
        // SAFETY: none: this is what an attacker does.
        unsafe { (at as *mut u8).write_volatile(1) };
    }
    "all of it was there".into()
}

fn block(world: &World) -> String {
    let all = [u64::MAX];
    world.call(libc::SYS_rt_sigprocmask, [0, all.as_ptr() as u64, 0, 8, 0, 0])
}

pub(super) fn block_signals(world: &mut World, _: &mut Channel) -> String {
    block(world)
}

pub(super) fn refused_while_blocked(world: &mut World, _: &mut Channel) -> String {
    block(world);
    world.call(libc::SYS_getuid, [0; 6])
}

pub(super) fn loop_while_blocked(world: &mut World, channel: &mut Channel) -> String {
    block(world);
    loop_for_ever(world, channel)
}

pub(super) fn handle_refusals(_: &mut World, _: &mut Channel) -> String {
    // SAFETY: asks for another handler, which must be refused.
    unsafe { libc::signal(libc::SIGSYS, libc::SIG_IGN) };
    "it handles them".into()
}

pub(super) fn write_to_nowhere(_: &mut World, _: &mut Channel) -> String {
    // SAFETY: none: this is what an attacker does.
    unsafe { std::hint::black_box(8 as *mut u8).write_volatile(1) };
    "something is there".into()
}

pub(super) fn jump_to_nowhere(_: &mut World, _: &mut Channel) -> String {
    // SAFETY: none: this is what an attacker does.
    unsafe { std::mem::transmute::<usize, extern "C" fn()>(std::hint::black_box(8))() };
    "something is there".into()
}

pub(super) fn run_data(world: &mut World, _: &mut Channel) -> String {
    // SAFETY: none: this is what an attacker does.
    unsafe { std::mem::transmute::<usize, extern "C" fn()>(world.page() as usize)() };
    "it ran".into()
}

pub(super) fn recurse(_: &mut World, _: &mut Channel) -> String {
    fn deeper(depth: u64) -> u64 {
        let room = std::hint::black_box([depth; 512]);
        if room[17] == u64::MAX { depth } else { deeper(depth + 1) + room[18] }
    }
    format!("there is enough for {}", deeper(0))
}

pub(super) fn abort(_: &mut World, _: &mut Channel) -> String {
    std::process::abort()
}

pub(super) fn panic(_: &mut World, _: &mut Channel) -> String {
    panic!("this is why")
}

pub(super) fn no_instruction(_: &mut World, _: &mut Channel) -> String {
    // SAFETY: none: this is what an attacker does.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("ud2");
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("udf #0");
    }
    "it is one".into()
}

pub(super) fn exit_silently(_: &mut World, _: &mut Channel) -> String {
    end(0)
}

pub(super) fn exit_as_if_reported(_: &mut World, _: &mut Channel) -> String {
    end(120)
}

pub(super) fn exit_within_a_message(world: &mut World, _: &mut Channel) -> String {
    world.up.header(0, ECHO, MORE, PIECE as u64);
    world.up.head().store(FULL, SeqCst);
    end(0)
}

pub(super) fn loop_for_ever(_: &mut World, _: &mut Channel) -> String {
    loop {
        std::hint::spin_loop();
    }
}

pub(super) fn sleep_for_ever(world: &mut World, _: &mut Channel) -> String {
    sleep(world)
}

pub(super) fn wait_for_ever(_: &mut World, channel: &mut Channel) -> String {
    let mut bytes = Vec::new();
    format!("{:?}", channel.receive(&mut bytes))
}

pub(super) fn call_for_ever(world: &mut World, _: &mut Channel) -> String {
    loop {
        world.call(libc::SYS_getpid, [0; 6]);
    }
}

pub(super) fn forge_head(world: &mut World, _: &mut Channel) -> String {
    world.up.head().store(u64::MAX - 5, SeqCst);
    await_the_end(world)
}

pub(super) fn forge_head_back(world: &mut World, channel: &mut Channel) -> String {
    let _ = channel.send(ECHO, &[b"honest"]);
    // The answer shows that the parent has read it.
    let _ = channel.receive(&mut Vec::new());
    world.up.head().store(0, SeqCst);
    await_the_end(world)
}

fn forge(world: &World, kind: u32, flags: u32, length: u64) -> String {
    world.up.header(0, kind, flags, length);
    world.up.head().store(64, SeqCst);
    await_the_end(world)
}

pub(super) fn forge_huge(world: &mut World, _: &mut Channel) -> String {
    forge(world, ECHO, 0, u64::MAX - 64)
}

pub(super) fn forge_cut(world: &mut World, _: &mut Channel) -> String {
    forge(world, ECHO, 0, PIECE as u64)
}

pub(super) fn forge_kind(world: &mut World, _: &mut Channel) -> String {
    forge(world, 77, 0, 16)
}

pub(super) fn forge_flags(world: &mut World, _: &mut Channel) -> String {
    forge(world, ECHO, !MORE, 16)
}

/// Writes full pieces as fast as they are read, none of them the last.
pub(super) fn pieces_without_end(world: &mut World, _: &mut Channel) -> String {
    let mut head = 0;
    loop {
        while head + FULL - world.up.tail().load(SeqCst) > 2 << 20 {
            world.write(world.wake(), &1_u64.to_ne_bytes());
            std::hint::spin_loop();
        }
        // A header does not cross the end of this single mapping, because positions are multiples
        // of 64.
        world.up.header((head % (4 << 20)) as usize, ECHO, MORE, PIECE as u64);
        head += FULL;
        world.up.head().store(head, SeqCst);
    }
}

pub(super) fn empty_pieces(world: &mut World, _: &mut Channel) -> String {
    forge(world, ECHO, MORE, 0)
}

pub(super) fn mixed_messages(world: &mut World, _: &mut Channel) -> String {
    world.up.header(0, ECHO, MORE, PIECE as u64);
    world.up.header(FULL as usize, SAID, 0, 0);
    world.up.head().store(FULL + 64, SeqCst);
    await_the_end(world)
}

pub(super) fn long_message(_: &mut World, channel: &mut Channel) -> String {
    let _ = channel.send(SAID, &[&[b'!'; 5 << 10]]);
    "sent".into()
}

pub(super) fn flood_messages(_: &mut World, channel: &mut Channel) -> String {
    loop {
        let _ = channel.send(BULK, &[]);
    }
}

pub(super) fn flood_bytes(_: &mut World, channel: &mut Channel) -> String {
    let much = vec![0; 1 << 20];
    loop {
        let _ = channel.send(BULK, &[&much]);
    }
}

pub(super) fn forge_tail(world: &mut World, _: &mut Channel) -> String {
    // The parent answers this message, and then finds a reader that has read more than was ever
    // written.
    world.down.tail().store(1 << 40, SeqCst);
    world.up.header(0, ECHO, 0, PIECE as u64);
    for at in 1..5 {
        world.up.header((at * FULL) as usize % (4 << 20), ECHO, 0, PIECE as u64);
        world.up.head().store(at * FULL, SeqCst);
        world.write(world.wake(), &1_u64.to_ne_bytes());
        while world.up.tail().load(SeqCst) < at * FULL {
            std::hint::spin_loop();
        }
    }
    await_the_end(world)
}

pub(super) fn change_while_read(world: &mut World, channel: &mut Channel) -> String {
    let much = vec![1; PIECE];
    for round in 0..20 {
        let _ = channel.send(ECHO, &[&much]);
        // Everything except the headers at the start of each piece. The message changes, and its
        // receiver must cope.
        for at in 0..64 {
            world.up.put((round * FULL as usize + 4096 * at + 64) % (4 << 20), &[2; 64]);
        }
        let mut bytes = Vec::new();
        let _ = channel.receive(&mut bytes);
        assert_eq!(bytes.len(), PIECE, "a copy as long as was sent comes back");
    }
    "its own bytes changed".into()
}

pub(super) fn write_parents_page(world: &mut World, channel: &mut Channel) -> String {
    let _ = channel.send(ECHO, &[b"honest"]);
    let _ = channel.receive(&mut Vec::new());
    // The parent's position is in its private memory, so it continues where it was. This side has
    // lost its position and writes by hand.
    world.up.spoil_readers_page();
    world.up.header(64, SAID, 0, 6);
    world.up.put(64 + 16, b"spoilt");
    world.up.head().store(128, SeqCst);
    world.write(world.wake(), &1_u64.to_ne_bytes());
    end(0)
}

fn report(world: &World, words: [u64; 3]) {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    world.write(world.report(), &bytes);
}

pub(super) fn report_garbage(world: &mut World, _: &mut Channel) -> String {
    report(world, [u64::MAX; 3]);
    sleep(world)
}

pub(super) fn report_half(world: &mut World, _: &mut Channel) -> String {
    world.write(world.report(), &[1; 11]);
    sleep(world)
}

pub(super) fn flood_reports(world: &mut World, _: &mut Channel) -> String {
    loop {
        report(world, [4, 59, 0]);
    }
}

pub(super) fn report_locked(world: &mut World, _: &mut Channel) -> String {
    report(world, [1, 7, 0]);
    sleep(world)
}

pub(super) fn report_cpu(world: &mut World, _: &mut Channel) -> String {
    report(world, [3, 1_000_000_000, 1]);
    end(120)
}

pub(super) fn flood_words(world: &mut World, _: &mut Channel) -> String {
    loop {
        world.write(2, &[b'!'; 4096]);
    }
}

pub(super) fn escape_words(world: &mut World, _: &mut Channel) -> String {
    world.write(2, "\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}error: all is well\n".as_bytes());
    end(7)
}

pub(super) fn flood_waking(world: &mut World, _: &mut Channel) -> String {
    for _ in 0..10_000 {
        world.write(world.wake(), &(u64::MAX - 1).to_ne_bytes());
    }
    "its parent looked in vain".into()
}

pub(super) fn use_the_library(_: &mut World, _: &mut Channel) -> String {
    format!("{:?}", std::fs::read("/etc/passwd").map(|bytes| bytes.len()))
}

#[cfg(target_arch = "x86_64")]
pub(super) fn int_80(_: &mut World, _: &mut Channel) -> String {
    let result: i64;
    // SAFETY: asks for the process's own number, by the entry of 32-bit programs.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => result, lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _)
    };
    format!("it gave {result}")
}
