//! Errors of `stagewright-data` as faults of ingestion.

use stagewright_data::DataError;
use stagewright_manifest::World;

use super::{LimitKind, StageFault};

impl StageFault {
    /// Returns an error of the data as a fault of ingestion.
    pub(crate) fn of_data(error: &DataError) -> Self {
        let stage = World::Ingestion.into();
        match error {
            // The stage that reads knows whether this was its deadline or a cancellation.
            DataError::Interrupted => return Self::Cancelled { stage },
            DataError::Memory { allowed, .. } => {
                let (kind, allowed) = (LimitKind::Memory, *allowed);
                return Self::Limit { stage, kind, used: allowed.saturating_add(1), allowed };
            }
            DataError::Host(message) => return Self::host(message),
            _ => {}
        }
        match error.as_fault() {
            Some(fault) => {
                let message = match (&fault.part, fault.line) {
                    (Some(part), Some(line)) => format!("`{part}`, line {line}: {}", fault.message),
                    (Some(part), None) => format!("`{part}`: {}", fault.message),
                    (None, Some(line)) => format!("line {line}: {}", fault.message),
                    (None, None) => fault.message.clone(),
                };
                StageFault::Data {
                    stage,
                    message,
                    column: fault.column.clone(),
                    row: fault.row,
                    value: fault.value.clone(),
                }
            }
            None => StageFault::Data { stage, message: error.to_string(), column: None, row: None, value: None },
        }
    }
}
