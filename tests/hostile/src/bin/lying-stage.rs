//! A stage's process that lies to its parent. It speaks the protocol (host/runtime/src/process) and
//! does what its file name says. It runs no component.
//!
//! Code that escaped from the sandbox within a stage's process can do what this does, and no more.

use stagewright_jail::{Channel, end, start};

#[path = "lying-stage/model.rs"]
mod model;

/// The version of the host that starts this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

// Messages of a decoding child.
const OPENED: u32 = 1;
const ROWS: u32 = 2;
const END: u32 = 3;
const SIGNATURE: u32 = 4;
const FAILED: u32 = 5;
const KEPT: u32 = 6;
const MORE: u32 = 7;

// Kinds of kept values.
const NULLS: u8 = 0;
const TEXTS: u8 = 5;
const JSON: u8 = 6;

/// Text in JSON that moves the cursor, reorders what follows, and imitates lines of the host.
const NASTY: &str = r"\u001b[2J\u202e\nwarning: all is well\nhint: run it\nhint: as root";

/// A proposal whose report is about another column than its signature.
const FORGED: &str = r#"{"signature":{"fields":[{"name":"t","data_type":"utf8","nullable":false,"role":"feature"}],
    "null-values":[""," "]},"columns":[],"left_out":[],"target":null,"rows":1,"is_sample":false}"#;

fn nasty_failure(kind: &str) -> String {
    format!(r#"{{"{kind}":{{"message":"{NASTY}","hint":"{NASTY}"}}}}"#)
}

fn nasty_fault() -> String {
    let long = "x".repeat(200_000);
    format!(
        r#"{{"Fault":{{"message":"{NASTY}{long}","column":"{long}","row":18446744073709551615,"line":1,"value":"{NASTY}"}}}}"#
    )
}

/// Returns a row of an imported split of a table without identifiers, in the contract's layout.
fn cells(partition: Option<&str>, number: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for cell in [partition, number] {
        let text = cell.unwrap_or_default();
        bytes.extend([u8::from(cell.is_some()), 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0, 0, 0, 0, text.len() as u8, 0, 0, 0]);
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

// Messages of a child.
const ASK: u32 = 1;
const TELL: u32 = 2;
const RETURNED: u32 = 3;

/// A handle that the stage was never given, in the messages' format.
const NOTHING: [u8; 2] = [0x8f, 0x4e];

// Imports by their numbers.
const TABLE_ROWS: u8 = 2;
const BEGIN_BLOB: u8 = 13;
const FINISH_BLOB: u8 = 15;
const LOG: u8 = 25;
const PROGRESS: u8 = 26;

// Exports by their numbers.
const FIT: u8 = 4;
const LOAD_TRANSFORMER: u8 = 6;
const TRANSFORMER_FIELDS: u8 = 7;
const TRANSFORM: u8 = 8;

/// The start of a call's result: nothing was written or dropped, it is not at the start, and a
/// reply follows.
const REPLY: [u8; 5] = [0; 5];

fn main() {
    // Read before descriptors are closed and the lock refuses to look.
    let own = std::env::current_exe().unwrap_or_default();
    let deed = own.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // SAFETY: nothing in this process has opened a descriptor or started a thread yet.
    let started = unsafe { start(VERSION) };
    let locked = started.map_err(|reason| reason.to_string()).and_then(|it| it.lock().map_err(|it| it.to_string()));
    let mut liar = match locked {
        Ok(locked) => Liar { channel: locked.channel, has_fitted: false, loads: 0 },
        Err(reason) => {
            eprintln!("{reason}");
            end(9)
        }
    };
    if let Some(deed) = deed.strip_prefix("decodes-") {
        liar.decode(deed);
        liar.receive();
        end(8)
    }
    if let Some(deed) = deed.strip_prefix("model-") {
        liar.serve(deed);
    }
    loop {
        let call = liar.receive();
        liar.answer(&deed, &call);
    }
}

struct Liar {
    channel: Channel,
    /// Whether `fit` was called in this process.
    has_fitted: bool,
    /// How often a transformer was loaded in this process.
    loads: u32,
}

impl Liar {
    fn send(&mut self, kind: u32, parts: &[&[u8]]) {
        if self.channel.send(kind, parts).is_err() {
            end(8);
        }
    }

    /// Sends a message of this kind from an instance without memory.
    fn say(&mut self, kind: u32, heavy: &[u8], light: &[u8]) {
        let length = (light.len() as u32).to_le_bytes();
        self.send(kind, &[heavy, light, &length, &[0; 8]]);
    }

    fn returned(&mut self, reply: &[u8]) {
        self.say(RETURNED, &[], &[&REPLY, reply].concat());
    }

    /// Receives the next message without the bytes of a batch.
    fn receive(&mut self) -> Vec<u8> {
        self.receive_any().1
    }

    /// As [`Liar::receive`], with the kind of the message.
    fn receive_any(&mut self) -> (u32, Vec<u8>) {
        let mut bytes = Vec::new();
        let Ok(kind) = self.channel.receive(&mut bytes) else { end(8) };
        let Some((rest, length)) = bytes.split_last_chunk::<4>() else { return (kind, Vec::new()) };
        let light = (u32::from_le_bytes(*length) as usize).min(rest.len());
        (kind, rest[rest.len() - light..].to_vec())
    }

    fn ask(&mut self, light: &[u8]) -> Vec<u8> {
        self.say(ASK, &[], light);
        self.receive()
    }

    /// Does the deed instead of a call.
    fn answer(&mut self, deed: &str, call: &[u8]) {
        if let Some(import) = deed.strip_prefix("names-nothing-") {
            return self.name_nothing(import.parse().unwrap_or_else(|_| end(7)));
        }
        if let Some(crash) = deed.strip_prefix("crash-") {
            return self.claim_crash(crash);
        }
        let garbage: Vec<u8> = (0..999_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        match deed {
            "garbage-asked" => self.send(ASK, &[&garbage]),
            "garbage-told" => self.send(TELL, &[&garbage]),
            "garbage-returned" => self.send(RETURNED, &[&garbage]),
            "garbage-asked-in-form" => self.say(ASK, &[], &garbage),
            "garbage-returned-in-form" => self.say(RETURNED, &[], &garbage),
            "empty" => self.send(RETURNED, &[]),
            "without-length" => self.send(RETURNED, &[&[0; 8]]),
            "cut" => self.send(RETURNED, &[&[0; 3], &1000_u32.to_le_bytes(), &[0; 8]]),
            "long-head" => self.send(RETURNED, &[&[0; 3], &(u32::MAX).to_le_bytes(), &[0; 8]]),
            "more-behind" => self.returned(&[0, 0]),
            "bytes-of-no-value" => self.say(RETURNED, &[1; 99], &[&REPLY[..], &[0]].concat()),
            "too-long" => self.send(RETURNED, &[&vec![0; 20 << 20]]),
            "kind-0" => self.send(0, &[&[0; 16]]),
            "kind-77" => self.send(77, &[&[0; 16]]),
            "told-as-asked" => self.say(TELL, &[], &[TABLE_ROWS, 1]),
            "asked-as-told" => self.say(ASK, &[], &[LOG, 0, 0]),
            "another-reply" => self.returned(&[0]),
            "a-table-of-nobody" => self.returned(&[&[2], &NOTHING[..]].concat()),
            "a-blob-of-nobody" => self.returned(&[&[4], &NOTHING[..]].concat()),
            "stays" => {
                // Findings of no check and no column. After that it receives nothing.
                self.returned(&[3, 0, 0]);
                loop {
                    std::thread::park();
                }
            }
            "two-returns" => (0..2).for_each(|_| self.returned(&[0])),
            "all-memory" => {
                self.send(RETURNED, &[&REPLY, &[0], &6_u32.to_le_bytes(), &u64::MAX.to_le_bytes()]);
            }
            "exit" => end(0),
            "exit-while-asking" => {
                self.say(ASK, &[], &[TABLE_ROWS, 1]);
                end(0)
            }
            "abort" => std::process::abort(),
            "silence" => loop {
                std::thread::park();
            },
            "spin" => loop {
                std::hint::spin_loop();
            },
            "flood-of-lines" => loop {
                self.say(TELL, &[], &[LOG, 0, 1, b'x']);
            },
            "flood-of-progress" => loop {
                self.say(TELL, &[], &[PROGRESS, 0, 0]);
            },
            "asks-and-does-not-listen" => loop {
                self.say(ASK, &[], &[TABLE_ROWS, 1]);
            },
            "lying-batch" => self.transform(call, &[7; 3]),
            "empty-batch" => self.transform(call, &[]),
            _ => end(7),
        }
    }

    /// Does the deed instead of decoding a file with one text column `t`.
    fn decode(&mut self, deed: &str) {
        let is_first = deed.starts_with("failed-first") || deed.starts_with("split");
        if !["unopened", "opened-with-bytes", "forged-signature"].contains(&deed) && !is_first {
            self.send(OPENED, &[]);
        }
        // The offsets of one text of one byte, and the byte.
        let row = [0, 0, 0, 0, 1, 0, 0, 0, b'x', 0, 0, 0, 0, 0, 0, 0];
        let one = 1_u32.to_le_bytes();
        match deed {
            "unopened" => self.send(ROWS, &[&row, &one]),
            "opened-with-bytes" => self.send(OPENED, &[&[0]]),
            "opened-twice" => self.send(OPENED, &[]),
            "no-rows" => self.send(ROWS, &[&[], &[0; 4]]),
            "without-a-number" => self.send(ROWS, &[&[0; 3]]),
            "too-many-rows" => self.send(ROWS, &[&row, &u32::MAX.to_le_bytes()]),
            "cut-rows" => self.send(ROWS, &[&row[..7], &one]),
            "more-behind" => self.send(ROWS, &[&row, &[0; 8], &one]),
            "long-rows" => self.send(ROWS, &[&vec![0; 9 << 20], &one]),
            "signature" => self.send(SIGNATURE, &[b"{}"]),
            "forged-signature" => self.send(SIGNATURE, &[FORGED.as_bytes()]),
            "kind-0" => self.send(0, &[]),
            "kind-77" => self.send(77, &[&[0; 16]]),
            "failed-with-garbage" => self.send(FAILED, &[&[0xff; 99]]),
            "failed-with-nasty-text" => self.send(FAILED, &[nasty_failure("Unreadable").as_bytes()]),
            "failed-first-with-a-plan" => self.send(FAILED, &[nasty_failure("Plan").as_bytes()]),
            "failed-first-with-a-query" => self.send(FAILED, &[nasty_failure("Query").as_bytes()]),
            "failed-first-with-a-fault" => self.send(FAILED, &[nasty_fault().as_bytes()]),
            "failed-at-length" => self.send(FAILED, &[&vec![b' '; 2 << 20]]),
            "split-opened" => self.send(OPENED, &[]),
            "split-of-numbers" => self.send(ROWS, &[&row, &one]),
            "split-without-end" => loop {
                self.send(ROWS, &[&cells(Some("train"), Some("0")), &one]);
            },
            "split-of-nobody" => self.send(ROWS, &[&cells(None, Some("0")), &one]),
            "split-of-nothing" => self.send(ROWS, &[&cells(Some("train"), None), &one]),
            "split-of-two-files" => {
                self.send(ROWS, &[&cells(Some("train"), Some("0")), &one]);
                self.send(ROWS, &[&cells(Some("test"), None), &one]);
            }
            "split-ended" => self.send(END, &[]),
            deed if deed.starts_with("kept") => self.keep(deed, &row),
            "asks-for-text" => self.send(MORE, &[]),
            "asks-for-ever" => loop {
                self.send(MORE, &[]);
                self.receive();
            },
            "ended-twice" => (0..2).for_each(|_| self.send(END, &[])),
            "exit" => end(0),
            "abort" => std::process::abort(),
            "silence" => loop {
                std::thread::park();
            },
            "spin" => loop {
                std::hint::spin_loop();
            },
            "memory" => {
                let mut all: Vec<Vec<u8>> = Vec::new();
                loop {
                    all.push(vec![1; 1 << 20]);
                }
            }
            _ => end(7),
        }
    }

    /// Sends a row, and something else than its kept value beside it.
    fn keep(&mut self, deed: &str, row: &[u8]) {
        let (one, two) = (1_u32.to_le_bytes(), 2_u32.to_le_bytes());
        // The validity, and for a text its offsets and its bytes.
        let kept = [&[1, 0, 0, 0, 0, 0, 0, 0], row].concat();
        if deed != "kept-first" {
            self.send(ROWS, &[&kept, &one]);
        }
        match deed {
            "kept-missing" => self.send(END, &[]),
            "kept-without-kinds" => self.send(KEPT, &[&one]),
            "kept-of-no-kind" => self.send(KEPT, &[&kept, &[99], &one]),
            "kept-of-another-kind" => {
                self.send(KEPT, &[&[1, 0, 0, 0, 0, 0, 0, 0], &[1, 0, 0, 0, 0, 0, 0, 0], &[NULLS], &one])
            }
            "kept-of-two-rows" => self.send(KEPT, &[&[0; 16], &[NULLS], &two]),
            "kept-no-json" => self.send(KEPT, &[&kept, &[JSON], &one]),
            _ => self.send(KEPT, &[&kept, &[TEXTS], &one]),
        }
    }

    /// Calls an import with a handle that the stage was never given.
    fn name_nothing(&mut self, import: u8) {
        // The further numbers and lists of that import, all of them 0.
        let zeros = match import {
            3 | 14 | 19 => 1,
            4 | 7 | 11 | 22 => 2,
            _ => 0,
        };
        let told = matches!(import, 5 | 9 | 12 | 16 | 20 | 24);
        let light = [&[import], &NOTHING[..], &[0, 0][..zeros]].concat();
        self.say(if told { TELL } else { ASK }, &[], &light);
    }

    fn claim_crash(&mut self, crash: &str) {
        let claim: &[u8] = match crash {
            "memory" => &[0, 0],
            "handles" => &[1, 0, 0],
            "stack-of-none" => &[1, 2, 1, 0],
            "types" => &[2, 1, b'x'],
            "trap" => &[3, 8, b'<', b'b', b'>', 0x1b, b'[', b'2', b'J', b'!'],
            "interrupted" => &[4],
            "no-room" => &[5],
            _ => end(7),
        };
        self.say(RETURNED, &[], &[&[0, 0, 0, 1], claim].concat());
    }

    fn trap(&mut self, words: &str) {
        self.say(RETURNED, &[], &[&[0, 0, 0, 1, 3, words.len() as u8], words.as_bytes()].concat());
    }

    /// Answers as a transformation with one feature, whose rows are these bytes.
    fn transform(&mut self, call: &[u8], rows: &[u8]) {
        match call.first() {
            Some(&FIT) => {
                // The first byte of an answer that a guest may see fail says that it did not fail.
                self.has_fitted = true;
                let writer = self.ask(&[BEGIN_BLOB]);
                let blob = self.ask(&[&[FINISH_BLOB], &writer[..]].concat());
                self.returned(&[&[4], blob.get(1..).unwrap_or_default()].concat());
            }
            Some(&LOAD_TRANSFORMER) if self.has_fitted => self.trap("it has seen the target"),
            Some(&LOAD_TRANSFORMER) if self.loads > 0 => self.trap("it was used again"),
            Some(&LOAD_TRANSFORMER) => {
                self.loads += 1;
                self.returned(&[0]);
            }
            // A field `t` of float64.
            Some(&TRANSFORMER_FIELDS) => self.returned(&[6, 1, 1, b't', 2, 0]),
            // Five rows.
            Some(&TRANSFORM) => self.say(RETURNED, rows, &[&REPLY[..], &[7, 5, 0]].concat()),
            _ => end(7),
        }
    }
}
