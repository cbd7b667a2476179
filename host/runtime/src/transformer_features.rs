//! The features of a transformer, and the check of its results against them.
//!
//! Features that are passed on to a predictor do not become Arrow arrays, unless they have nulls or
//! text: the checked bytes of a matrix are what the predictor takes.

use stagewright_store::{BatchFault, BatchProblem, Schema, packed};

use crate::bindings::stagewright::stage::types::Batch;

/// The columns that a transformer declares.
pub(crate) struct TransformerFeatures {
    schema: Schema,
    is_matrix: bool,
}

/// A result of a transformer that is no features of its rows.
pub(crate) enum FeaturesFault {
    /// It has more bytes than a batch may have.
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The largest column.
        largest: Option<String>,
    },
    /// It does not fit the columns or the rows, for this reason.
    Wrong(String),
}

impl From<BatchFault> for FeaturesFault {
    fn from(fault: BatchFault) -> Self {
        match fault.problem {
            BatchProblem::TooLarge { bytes, largest } => Self::TooLarge { bytes, largest },
            _ => Self::Wrong(fault.to_string()),
        }
    }
}

impl TransformerFeatures {
    pub(crate) fn new(schema: Schema) -> Self {
        Self { is_matrix: packed::is_matrix(&schema), schema }
    }

    /// Returns the columns.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Checks features of `rows` rows, and returns them as the host would write them for a
    /// predictor.
    ///
    /// # Errors
    /// The result is no features of these rows.
    pub(crate) fn checked(&self, rows: u32, mut features: Batch) -> Result<Batch, FeaturesFault> {
        if self.is_matrix {
            packed::check_matrix(features.rows as usize, &mut features.bytes, &self.schema)?;
        } else {
            let batch = packed::parse(features.rows as usize, features.bytes, &self.schema)?;
            features.bytes = packed::write(&batch, &self.schema)?;
        }
        if features.rows != rows {
            return Err(FeaturesFault::Wrong(format!("{} rows came back for {rows}", features.rows)));
        }
        Ok(features)
    }
}

#[cfg(test)]
mod tests {
    use stagewright_store::{DataType, Field, MAX_BATCH_BYTES};

    use super::*;

    fn features(nullable: bool) -> TransformerFeatures {
        let field = Field::new("f", DataType::Float64).with_nullable(nullable);
        TransformerFeatures::new(Schema::new(vec![field]).expect("a name"))
    }

    #[test]
    fn features_are_passed_on_in_the_form_of_the_host() {
        let strange = f64::from_bits(0xfff8_0000_0000_beef).to_le_bytes();
        let canonical = f64::from_bits(0x7ff8_0000_0000_0000).to_le_bytes();
        let matrix = features(false).checked(1, Batch { rows: 1, bytes: strange.to_vec() });
        assert_eq!(matrix.ok().map(|batch| batch.bytes), Some(canonical.to_vec()));
        // The bitmap says that the row is null, whatever is in its place.
        let bytes = [[0; 8], strange].concat();
        let table = features(true).checked(1, Batch { rows: 1, bytes });
        assert_eq!(table.ok().map(|batch| batch.bytes), Some(vec![0; 16]));
    }

    #[test]
    fn other_rows_and_sizes_are_no_features() {
        let checked = |rows, batch| features(false).checked(rows, batch).err();
        let one = || Batch { rows: 1, bytes: vec![0; 8] };
        assert!(
            matches!(checked(2, one()), Some(FeaturesFault::Wrong(message)) if message.contains("1 rows came back"))
        );
        assert!(matches!(checked(2, Batch { rows: 2, ..one() }), Some(FeaturesFault::Wrong(_))));
        let rows = MAX_BATCH_BYTES / 8 + 1;
        let large = Batch { rows: rows as u32, bytes: vec![0; rows * 8] };
        let fault = checked(rows as u32, large);
        assert!(matches!(fault, Some(FeaturesFault::TooLarge { bytes, .. }) if bytes == rows * 8));
    }
}
