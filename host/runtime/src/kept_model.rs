//! A loaded model whose two components can be called apart, for measurements.

use arrow_array::RecordBatch;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::ModelParts;

use crate::bindings::stagewright::stage::types::Batch;
use crate::predictor::Pipeline;
use crate::runtime::Runtime;

/// A model whose two instances were started and loaded, and are kept. Served models are opened
/// through [`ModelSessions`](stagewright_lifecycle::sandbox::ModelSessions).
pub struct KeptModel(Pipeline);

impl KeptModel {
    /// Starts and loads both instances.
    ///
    /// # Errors
    /// A component fails or breaks the contract.
    pub fn load(runtime: &Runtime, parts: &ModelParts) -> Result<Self, StageFault> {
        Ok(Self(Pipeline::new(runtime, parts, &parts.features)?))
    }

    /// Predicts the raw features of some batches. Returns the outputs that the task requires, row
    /// by row.
    ///
    /// # Errors
    /// A component fails or breaks the contract.
    pub fn predict(&mut self, rows: &[RecordBatch]) -> Result<Vec<f64>, StageFault> {
        let mut numbers = Vec::new();
        self.0.predict(rows, &mut numbers)?;
        Ok(numbers)
    }

    /// Transforms rows alone. Returns the checked features as the predictor takes them.
    ///
    /// # Errors
    /// The component fails or breaks the contract, or the features are more than a batch may hold.
    pub fn features(&mut self, rows: &[RecordBatch]) -> Result<Vec<u8>, StageFault> {
        self.0.features(rows).map(|features| features.bytes)
    }

    /// Predicts features of `rows` rows that [`KeptModel::features`] returned.
    ///
    /// # Errors
    /// The component fails or breaks the contract.
    pub fn predictions(&mut self, rows: u32, features: &[u8]) -> Result<Vec<f64>, StageFault> {
        self.0.predictions(Batch { rows, bytes: features.to_vec() })
    }
}
