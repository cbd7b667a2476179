//! A process that lies as a model's process: both components of a model, loaded, which answer batch
//! after batch.

use std::time::{Duration, Instant};

use stagewright_jail::end;

use super::{LOAD_TRANSFORMER, Liar, REPLY, RETURNED, TRANSFORMER_FIELDS};

// Messages of a parent.
const CALL: u32 = 1;
const PREDICT_ROWS: u32 = 4;
const CHECKPOINT: u32 = 5;
const PREDICT_AHEAD: u32 = 6;

// Messages of a model's process.
const ROWS_OUTCOME: u32 = 4;
const ASK_ALONE: u32 = 5;

/// Kinds of messages of the training's instance are above this number.
const TRAINING: u32 = 16;

// Exports by their numbers.
const LOAD_PREDICTOR: u8 = 13;
const PREDICTOR_OUTPUTS: u8 = 14;

/// The number of rows of a batch that is said to be too large.
const TOO_MANY: u8 = 64;

/// The check of features that have 9 MiB.
const TOO_LARGE: [u8; 5] = [1, 0x80, 0x80, 0xc0, 0x04];

fn burn(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

impl Liar {
    /// Answers as both components of a model, and does the deed at its place.
    pub(super) fn serve(&mut self, deed: &str) -> ! {
        loop {
            let (kind, call) = self.receive_any();
            match kind {
                CHECKPOINT => {}
                CALL => self.load_transformer(&call),
                kind if kind == CALL + TRAINING => self.load_predictor(deed, &call),
                PREDICT_ROWS | PREDICT_AHEAD => self.predict(deed, call.first().copied().unwrap_or_default()),
                _ => end(7),
            }
        }
    }

    fn load_transformer(&mut self, call: &[u8]) {
        match call.first() {
            Some(&LOAD_TRANSFORMER) => self.returned(&[0]),
            // A field `t` of float64.
            Some(&TRANSFORMER_FIELDS) => self.returned(&[6, 1, 1, b't', 2, 0]),
            _ => end(7),
        }
    }

    fn load_predictor(&mut self, deed: &str, call: &[u8]) {
        let kind = RETURNED + TRAINING;
        match (call.first(), deed) {
            (Some(&LOAD_PREDICTOR), "ends-while-loading") => end(0),
            (Some(&LOAD_PREDICTOR), "is-silent-while-loading") => loop {
                std::thread::park();
            },
            (Some(&LOAD_PREDICTOR), "spins-while-loading") => loop {
                std::hint::spin_loop();
            },
            (Some(&LOAD_PREDICTOR), "answers-for-another") => self.returned(&[0]),
            (Some(&LOAD_PREDICTOR), _) => self.say(kind, &[], &[&REPLY[..], &[0]].concat()),
            (Some(&PREDICTOR_OUTPUTS), _) => {
                if deed == "is-slow-to-load" {
                    burn(Duration::from_millis(400));
                }
                // A value.
                self.say(kind, &[], &[&REPLY[..], &[9, 1, 1]].concat());
            }
            _ => end(7),
        }
    }

    /// Answers a batch of fewer than 128 rows. An honest answer is the number of rows of the batch.
    fn predict(&mut self, deed: &str, rows: u8) {
        let transformed = [&REPLY[..], &[7, rows, 0]].concat();
        match deed {
            "asks-alone" => self.say(ASK_ALONE, &[], &[]),
            "answers-as-training" => self.outcome(ROWS_OUTCOME + TRAINING, rows),
            "transforms-to-nothing" => self.said(&[&REPLY[..], &[0, 0, 0, 0, 0]].concat()),
            "predicts-nothing" => self.said(&[&transformed[..], &[0, 0, 0, 0]].concat()),
            "predicts-what-is-too-large" => {
                self.said(&[&transformed[..], &TOO_LARGE, &[1], &transformed, &[0, 0]].concat());
            }
            "has-all-memory" => {
                let all = [[0xff; 9].as_slice(), &[1]].concat();
                self.said(&[&transformed[..], &[0, 1], &transformed, &all, &[0]].concat());
            }
            "was-told-to-stop" => self.said(&[0, 0, 0, 1, 4, 0, 0, 0, 0]),
            "traps" => self.said(&[&transformed[..], &[0, 1], &[0, 0, 0, 1, 3, 1, b'x'], &[0, 0]].concat()),
            "ends" => end(0),
            "works-long" => {
                burn(Duration::from_millis(20));
                if rows > 1 { self.too_large(&transformed) } else { self.outcome(ROWS_OUTCOME, rows) }
            }
            _ if rows == TOO_MANY => self.too_large(&transformed),
            _ => self.outcome(ROWS_OUTCOME, rows),
        }
    }

    fn said(&mut self, outcome: &[u8]) {
        self.say(ROWS_OUTCOME, &[], outcome);
    }

    fn too_large(&mut self, transformed: &[u8]) {
        self.said(&[transformed, &TOO_LARGE, &[0, 0, 0]].concat());
    }

    fn outcome(&mut self, kind: u32, rows: u8) {
        let numbers = f64::from(rows).to_le_bytes().repeat(rows.into());
        let made = [&REPLY[..], &[7, rows, 0]].concat();
        self.say(kind, &numbers, &[&made[..], &[0, 1], &made, &[0, 0]].concat());
    }
}
