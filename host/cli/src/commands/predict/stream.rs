//! The rows on their way from the input to the model, and what goes past it.

use std::sync::mpsc::{Receiver, Sender, channel};

use arrow_array::RecordBatch;
use stagewright_data::{DataError, KeptColumn, PredictionRows, RowsPiece};
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::RowStream;

use super::patience::Patience;

/// The part of a piece that the model does not see.
pub(super) struct Beside {
    /// The kept columns.
    pub(super) kept: Vec<KeptColumn>,
    /// The features that the output needs.
    pub(super) features: RecordBatch,
    /// The number of rows.
    pub(super) rows: usize,
}

/// The rows of the input, for a model. An error of the input ends them, and is kept: the rows
/// before it are predicted.
pub(super) struct PieceStream {
    rows: Box<dyn PredictionRows>,
    patience: Patience,
    /// The indices of the features that the output needs.
    features: Vec<usize>,
    /// As many are on their way as pieces are.
    besides: Sender<Beside>,
    error: Option<DataError>,
}

impl PieceStream {
    /// Returns the stream, and what goes past the model, in order.
    pub(super) fn new(
        rows: Box<dyn PredictionRows>,
        patience: &Patience,
        features: Vec<usize>,
    ) -> (Self, Receiver<Beside>) {
        let (sender, receiver) = channel();
        (Self { rows, patience: patience.clone(), features, besides: sender, error: None }, receiver)
    }

    /// Returns the error that ended the rows, if one did.
    pub(super) fn error(self) -> Option<DataError> {
        self.error
    }
}

impl RowStream for PieceStream {
    fn next(&mut self) -> Result<Option<RecordBatch>, StageFault> {
        if self.error.is_some() {
            return Ok(None);
        }
        let piece = self.patience.wait(|| self.rows.next());
        let RowsPiece { batch, kept } = match piece {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.error = Some(error);
                return Ok(None);
            }
        };
        let features = batch.project(&self.features).map_err(StageFault::host)?;
        let beside = Beside { kept, features, rows: batch.num_rows() };
        self.besides.send(beside).map_err(|_| StageFault::host("nobody takes the kept columns"))?;
        Ok(Some(batch))
    }

    fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
        let patience = self.patience.clone();
        Box::new(move || patience.stop())
    }
}
