#![no_main]
//! Arbitrary bytes in the ring of a jailed child. The result is bounded messages, or a fault.

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use stagewright_jail::{PIECE, Rules, read_ring};

#[derive(Arbitrary, Debug)]
struct Written {
    pieces: Vec<Piece>,
    /// The writer's claimed position. An honest writer gives the end of its pieces.
    head: Option<u64>,
    rest: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
struct Piece {
    kind: u8,
    flags: u8,
    /// The length in the header, if it differs from the piece's.
    length: Option<u64>,
    bytes: Vec<u8>,
}

const LONGEST: u64 = 3 << 10;
const RULES: Rules = Rules { longest: |kind| (kind < 3).then(|| LONGEST << kind), messages: 8, bytes: 16 << 10 };

fuzz_target!(|written: Written| {
    let mut bytes = Vec::new();
    for piece in written.pieces {
        let length = piece.length.unwrap_or(piece.bytes.len() as u64);
        bytes.extend(u32::from(piece.kind).to_le_bytes());
        bytes.extend(u32::from(piece.flags).to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(piece.bytes);
        bytes.resize(bytes.len().next_multiple_of(64), 0);
    }
    let end = bytes.len() as u64;
    bytes.extend(written.rest);
    let Ok(messages) = read_ring(&bytes, written.head.unwrap_or(end), RULES) else { return };
    assert!(messages.len() <= 8);
    let all: usize = messages.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(all <= 16 << 10 && all <= PIECE);
    for (kind, bytes) in messages {
        assert!(bytes.len() as u64 <= LONGEST << kind);
    }
});
