//! Honest messages arrive as they were sent; everything else is a named fault, and never more than
//! that.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::layout::{HEADER, MORE, padded};
use super::*;

const SIZE: usize = SMALLEST_RING;

fn pair(rules: Rules) -> (Writer, Reader, Memory) {
    let file = create(SIZE).expect("a ring");
    let map = || Memory::map(&file).expect("room for it");
    (Writer::new(map()), Reader::new(map(), rules), map())
}

const RULES: Rules =
    Rules { longest: |kind| (kind < 10).then_some(3 * PIECE as u64), messages: 1000, bytes: 100 * PIECE as u64 };

/// Lets both sides work in turn, until the message is through.
fn pass(writer: &mut Writer, reader: &mut Reader, kind: u32, parts: &[&[u8]]) -> (u32, Vec<u8>) {
    let mut pieces = Writer::pieces(kind, parts);
    let mut bytes = b"of before".to_vec();
    loop {
        if !pieces.ended() {
            writer.write(&mut pieces).expect("an honest reader");
        }
        if let Some(kind) = reader.read(&mut bytes).expect("an honest writer") {
            return (kind, bytes);
        }
    }
}

/// Puts a header into the ring, as a writer could that keeps no rules, and says how far it wrote.
fn forge(memory: &Memory, kind: u32, flags: u32, length: u64, head: u64) {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&kind.to_le_bytes());
    header[4..8].copy_from_slice(&flags.to_le_bytes());
    header[8..].copy_from_slice(&length.to_le_bytes());
    memory.write(0, &header);
    memory.head().store(head, Ordering::SeqCst);
}

#[test]
fn a_message_is_put_together_from_its_parts_and_pieces() {
    let (mut writer, mut reader, _) = pair(RULES);
    assert_eq!(pass(&mut writer, &mut reader, 7, &[]), (7, Vec::new()));
    assert_eq!(pass(&mut writer, &mut reader, 1, &[b"ab", b"", b"c"]), (1, b"abc".to_vec()));
    let long: Vec<u8> = (0..2 * PIECE + 17).map(|at| (at % 251) as u8).collect();
    let (first, second) = long.split_at(PIECE - 3);
    // Often enough to go around the ring more than once.
    for _ in 0..5 {
        assert_eq!(pass(&mut writer, &mut reader, 2, &[first, second]), (2, long.clone()));
    }
    let full = vec![9; PIECE];
    assert_eq!(pass(&mut writer, &mut reader, 3, &[&full]), (3, full.clone()));
}

#[test]
fn a_writer_waits_while_there_is_no_room() {
    let (mut writer, mut reader, _) = pair(RULES);
    let full = vec![1; PIECE];
    let parts = [full.as_slice()];
    let mut pieces = Writer::pieces(1, &parts);
    assert!(writer.write(&mut pieces).expect("honest"));
    let mut second = Writer::pieces(1, &parts);
    assert!(!writer.write(&mut second).expect("honest"), "two pieces and their headers do not fit");
    assert_eq!(reader.read(&mut Vec::new()).expect("honest"), Some(1));
    assert!(writer.write(&mut second).expect("honest"));
}

// invariant: as `whatever_lies_in_a_ring_is_a_bounded_message_or_a_fault`
#[test]
fn what_breaks_the_rules_is_named() {
    let size = SIZE as u64;
    let more = |kind, flags, length, head| {
        let (_, mut reader, memory) = pair(RULES);
        forge(&memory, kind, flags, length, head);
        reader.read(&mut Vec::new()).expect_err("a fault")
    };
    assert_eq!(more(1, 0, 0, u64::MAX - 5), Fault::Head { head: u64::MAX - 5, tail: 0 });
    assert_eq!(more(1, 0, 0, size + 64), Fault::Head { head: size + 64, tail: 0 });
    assert_eq!(more(1, 0, 0, 65), Fault::Head { head: 65, tail: 0 });
    assert_eq!(more(1, 0, u64::MAX - 64, 64), Fault::Piece { length: u64::MAX - 64 });
    assert_eq!(more(1, 0, PIECE as u64 + 1, size), Fault::Piece { length: PIECE as u64 + 1 });
    assert_eq!(more(1, 0, PIECE as u64, 64), Fault::Cut { needed: padded(PIECE), there: 64 });
    assert_eq!(more(1, 0, 64, 64), Fault::Cut { needed: 128, there: 64 });
    assert_eq!(more(1, 6, 0, 64), Fault::Flags(6));
    assert_eq!(more(10, 0, 0, 64), Fault::Kind(10));
    assert_eq!(more(1, MORE, 5, 64), Fault::Unfilled { length: 5 });
    let (writer, _, memory) = pair(RULES);
    let mut writer = writer;
    memory.tail().store(64, Ordering::SeqCst);
    let full = vec![1; PIECE];
    let parts = [full.as_slice(), &full];
    let mut pieces = Writer::pieces(1, &parts);
    assert!(writer.write(&mut pieces).expect("room"));
    memory.tail().store(size, Ordering::SeqCst);
    assert_eq!(writer.write(&mut pieces).expect_err("a reader ahead"), Fault::Tail { head: padded(PIECE), tail: size });
}

// invariant: as `whatever_lies_in_a_ring_is_a_bounded_message_or_a_fault`
#[test]
fn a_message_and_all_of_them_have_bounds() {
    let rules = Rules { longest: |_| Some(PIECE as u64 + 1), messages: 3, bytes: 2 * PIECE as u64 };
    let (mut writer, mut reader, _) = pair(rules);
    let long = vec![0; PIECE + 2];
    let parts = [long.as_slice()];
    let mut pieces = Writer::pieces(4, &parts);
    let mut bytes = Vec::new();
    assert!(writer.write(&mut pieces).expect("room"));
    assert_eq!(reader.read(&mut bytes), Ok(None));
    assert!(writer.write(&mut pieces).expect("room"));
    let (length, longest) = (PIECE as u64 + 2, PIECE as u64 + 1);
    assert_eq!(reader.read(&mut bytes), Err(Fault::Message { kind: 4, length, longest }));
    // A message that is too long is not copied.
    assert_eq!(bytes.len(), PIECE);

    let (mut writer, mut reader, _) = pair(rules);
    for _ in 0..3 {
        assert_eq!(pass(&mut writer, &mut reader, 1, &[b"x"]).0, 1);
    }
    assert!(writer.write(&mut Writer::pieces(1, &[b"x"])).expect("room"));
    let flood = Fault::Flood { of: "messages", used: 4, allowed: 3 };
    assert_eq!(reader.read(&mut Vec::new()), Err(flood));

    let (mut writer, mut reader, _) = pair(rules);
    let full = vec![0; PIECE];
    for _ in 0..2 {
        assert_eq!(pass(&mut writer, &mut reader, 1, &[&full]).0, 1);
    }
    assert!(writer.write(&mut Writer::pieces(1, &[b"x"])).expect("room"));
    let (used, allowed) = (2 * PIECE as u64 + 1, 2 * PIECE as u64);
    assert_eq!(reader.read(&mut Vec::new()), Err(Fault::Flood { of: "bytes", used, allowed }));
}

#[test]
fn a_message_that_goes_on_as_another_is_a_fault() {
    let (mut writer, mut reader, memory) = pair(RULES);
    let long = vec![0; PIECE + 1];
    let parts = [long.as_slice()];
    assert!(writer.write(&mut Writer::pieces(1, &parts)).expect("room"));
    assert_eq!(reader.read(&mut Vec::new()), Ok(None));
    assert!(writer.write(&mut Writer::pieces(2, &[b"x"])).expect("room"));
    assert_eq!(reader.read(&mut Vec::new()), Err(Fault::OtherKind { begun: 1, got: 2 }));
    drop(memory);
}

#[test]
fn only_a_file_that_was_made_for_it_is_mapped() {
    assert!(create(SIZE + 1).is_err() && create(1 << 31).is_err() && create(64).is_err());
    let plain = tempfile_like(b"no ring");
    assert!(Memory::map(&plain).is_err());
    let ring = create(SIZE).expect("a ring");
    assert!(rustix::fs::ftruncate(&ring, 0).is_err(), "it cannot be cut under its reader");
}

fn tempfile_like(bytes: &[u8]) -> std::os::fd::OwnedFd {
    let file = rustix::fs::memfd_create("plain", rustix::fs::MemfdFlags::ALLOW_SEALING).expect("memory");
    rustix::io::write(&file, bytes).expect("room");
    file
}

/// The states in which a writer that ignores the rules may leave the ring.
#[derive(Debug, Clone)]
enum Step {
    Bytes(u64, Vec<u8>),
    Head(u64),
    Honest(u32, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let head = prop_oneof![any::<u64>(), (0..=2 * SIZE as u64 / 64).prop_map(|lines| 64 * lines)];
    let byte = prop_oneof![3 => Just(0_u8), 2 => any::<u8>(), 1 => Just(1_u8)];
    let step = prop_oneof![
        (0..SIZE as u64, prop::collection::vec(byte, 1..80)).prop_map(|(at, bytes)| Step::Bytes(at / 64 * 64, bytes)),
        head.prop_map(Step::Head),
        (0..12_u32, 0..2 * PIECE).prop_map(|(kind, length)| Step::Honest(kind, length)),
    ];
    prop::collection::vec(step, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // invariant: The content of a jailed child's ring is a bounded message or a named fault.
    #[test]
    fn whatever_lies_in_a_ring_is_a_bounded_message_or_a_fault(steps in steps()) {
        let (mut writer, mut reader, memory) = pair(RULES);
        let mut bytes = Vec::new();
        let payload = vec![5; 2 * PIECE];
        for step in steps {
            match step {
                Step::Bytes(at, bytes) => memory.write(at, &bytes),
                Step::Head(head) => memory.head().store(head, Ordering::SeqCst),
                Step::Honest(kind, length) => {
                    let parts = [&payload[..length]];
                    let _ = writer.write(&mut Writer::pieces(kind, &parts));
                }
            }
            // As often as a parent would read; each read ends.
            for _ in 0..4 {
                match reader.read(&mut bytes) {
                    Ok(Some(kind)) => prop_assert!((RULES.longest)(kind).is_some_and(|longest| bytes.len() as u64 <= longest)),
                    Ok(None) => {}
                    Err(fault) => {
                        prop_assert!(!fault.to_string().is_empty());
                        return Ok(());
                    }
                }
            }
        }
    }

    #[test]
    fn whatever_is_sent_arrives(
        messages in prop::collection::vec((0..10_u32, prop::collection::vec(0..300_000_usize, 0..4)), 1..8)
    ) {
        let (mut writer, mut reader, _) = pair(RULES);
        for (kind, lengths) in messages {
            let parts: Vec<Vec<u8>> = lengths.iter().map(|length| vec![(*length % 251) as u8; *length]).collect();
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let (got, bytes) = pass(&mut writer, &mut reader, kind, &slices);
            prop_assert_eq!(got, kind);
            prop_assert_eq!(bytes, parts.concat());
        }
    }
}
