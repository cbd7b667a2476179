//! A model that may be larger than the memory of its stage. It is written and read back in pieces,
//! and each byte is checked. For tests of blobs against limits.

use std::io::{Read as _, Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_kit::{Batch, BlobReader, BlobWriter, Failure, Field, Settings, Table, Task, Training};

/// The bytes that are made and compared at a time.
const PIECE: usize = 64 << 10;

/// The stage's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The size of the model in bytes.
    pub bytes: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { bytes: 64 << 20 }
    }
}

/// The stage. Its model is a sequence of bytes.
pub struct LargeModel;

/// Returns the bytes of a model in pieces. No two pieces are equal, so that a lost, doubled or
/// moved piece is noticed.
fn pieces(bytes: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut state = bytes | 1;
    let mut left = bytes;
    std::iter::from_fn(move || {
        let length = left.min(PIECE as u64);
        left -= length;
        // Marsaglia's xorshift64. Only the difference of the pieces matters.
        let piece = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        (length > 0).then(|| piece.flatten().take(length as usize).collect())
    })
}

impl Training for LargeModel {
    type Parameters = Parameters;

    fn train(
        _train: &dyn Table,
        _validation: Option<&dyn Table>,
        _task: &Task,
        settings: &Settings<Parameters>,
        model: &mut BlobWriter,
    ) -> Result<(), Failure> {
        pieces(settings.parameters.bytes).try_for_each(|piece| Ok(model.write_all(&piece)?))
    }

    fn load(model: &mut BlobReader<'_>, _inputs: &[Field]) -> Result<Self, Failure> {
        let mut read = vec![0; PIECE];
        for (number, piece) in pieces(model.size()).enumerate() {
            let read = &mut read[..piece.len()];
            model.read_exact(read)?;
            if *read != piece {
                return Err(Failure::internal(format!("piece {number} is not what was written")));
            }
        }
        match model.read(&mut read)? {
            0 => Ok(Self),
            _ => Err(Failure::internal("the model is longer than it says")),
        }
    }

    fn predict(&self, rows: Batch) -> Result<Vec<f64>, Failure> {
        Ok(vec![0.5; rows.len()])
    }
}

stagewright_kit::training!(LargeModel);
