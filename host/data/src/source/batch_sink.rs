//! Receives batches as they are read.

use arrow_array::RecordBatch;

use crate::error::DataError;
use crate::kept::RowsPiece;

/// Receives what is decoded.
pub trait BatchSink {
    /// Called once the source is open and has the columns.
    ///
    /// # Errors
    /// The receiver is gone.
    fn opened(&mut self) -> Result<(), DataError>;

    /// Receives the next rows, at least one.
    ///
    /// # Errors
    /// The receiver is gone, or rows cannot be passed on.
    fn batch(&mut self, batch: RecordBatch) -> Result<(), DataError> {
        Err(DataError::Host(format!("nobody asked for {} rows", batch.num_rows())))
    }

    /// Receives the next rows to predict.
    ///
    /// # Errors
    /// As [`BatchSink::batch`].
    fn piece(&mut self, piece: RowsPiece) -> Result<(), DataError> {
        Err(DataError::Host(format!("nobody asked for {} rows to predict", piece.batch.num_rows())))
    }
}

impl<T: BatchSink + ?Sized> BatchSink for &mut T {
    fn opened(&mut self) -> Result<(), DataError> {
        (**self).opened()
    }

    fn batch(&mut self, batch: RecordBatch) -> Result<(), DataError> {
        (**self).batch(batch)
    }

    fn piece(&mut self, piece: RowsPiece) -> Result<(), DataError> {
        (**self).piece(piece)
    }
}
