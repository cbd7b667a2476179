//! Rows that a version predicts before the first request sees it, and by which it is checked.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray, types::Int32Type,
};
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_lifecycle::sandbox::ModelSession;
use stagewright_store::{ArtifactStore, DataType, Field, Schema};

/// The number of rows that warm a session.
const ROWS: usize = 64;

/// Rows that warm a session.
pub(crate) struct WarmRows {
    rows: RecordBatch,
    /// Whether they are made up. A model may refuse values that its training never saw.
    are_made_up: bool,
}

impl WarmRows {
    /// Returns rows for a version; `None` if none can be made.
    pub(crate) fn of(contents: &RegisteredModel, artifacts: &ArtifactStore) -> Option<Self> {
        let features = contents.features();
        if let Some(rows) = test_rows(contents, artifacts, &features, ROWS) {
            return Some(Self { rows, are_made_up: false });
        }
        Some(Self { rows: synthetic_rows(&features)?, are_made_up: true })
    }

    /// Predicts the rows with a session that was just opened. Returns a session that can answer,
    /// for which `open` is called again if the session refused made-up values and ended.
    ///
    /// # Errors
    /// The model does not predict rows of its own evaluation, or fails for another reason than the
    /// values.
    pub(crate) fn warm(
        &self,
        mut session: Box<dyn ModelSession>,
        open: impl FnOnce() -> Result<Box<dyn ModelSession>, StageFault>,
    ) -> Result<Box<dyn ModelSession>, StageFault> {
        match session.predict(std::slice::from_ref(&self.rows)) {
            Err(StageFault::Data { .. }) if self.are_made_up => {
                if session.is_alive() {
                    Ok(session)
                } else {
                    open()
                }
            }
            result => result.map(|_| session),
        }
    }
}

/// Returns rows for a version: the first of its own evaluation, at most `most` of them, or made-up
/// ones if the store does not have them.
pub fn sample_rows(contents: &RegisteredModel, artifacts: &ArtifactStore, most: usize) -> Option<RecordBatch> {
    let features = contents.features();
    test_rows(contents, artifacts, &features, most).or_else(|| synthetic_rows(&features))
}

fn test_rows(
    contents: &RegisteredModel,
    artifacts: &ArtifactStore,
    features: &Schema,
    most: usize,
) -> Option<RecordBatch> {
    if !artifacts.contains(stagewright_store::ArtifactKind::Table, &contents.test_digest) {
        return None;
    }
    let table = artifacts.open_table(&contents.test_digest).ok()?;
    let place = |field: &Field| table.schema().index_of(&field.name);
    let columns: Vec<usize> = features.fields().iter().map(place).collect::<Option<_>>()?;
    let rows = most.min(usize::try_from(table.rows()).unwrap_or(most));
    let read = table.read(0, rows, Some(&columns)).ok()?;
    // The table may have columns of other types under these names.
    RecordBatch::try_new(features.to_arrow(), read.columns().to_vec()).ok().filter(|rows| rows.num_rows() > 0)
}

/// Makes rows with an ordinary value in every column.
fn synthetic_rows(features: &Schema) -> Option<RecordBatch> {
    let column = |field: &Field| -> ArrayRef {
        match field.data_type {
            DataType::Boolean => Arc::new(BooleanArray::from(vec![true; ROWS])),
            DataType::Int64 => Arc::new(Int64Array::from(vec![1; ROWS])),
            DataType::Float64 => Arc::new(Float64Array::from(vec![1.0; ROWS])),
            DataType::Utf8 => Arc::new(StringArray::from(vec!["a"; ROWS])),
            DataType::Categorical => Arc::new(vec!["a"; ROWS].into_iter().collect::<DictionaryArray<Int32Type>>()),
            DataType::Timestamp => Arc::new(TimestampMicrosecondArray::from(vec![0; ROWS]).with_timezone("UTC")),
        }
    };
    let schema = features.to_arrow();
    let columns: Vec<ArrayRef> = features
        .fields()
        .iter()
        .zip(schema.fields())
        .map(|(field, arrow)| {
            let made = column(field);
            if made.data_type() == arrow.data_type() { Ok(made) } else { arrow_cast::cast(&made, arrow.data_type()) }
        })
        .collect::<Result<_, _>>()
        .ok()?;
    RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new().with_row_count(Some(ROWS))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_an_ordinary_value() {
        let all = [
            DataType::Boolean,
            DataType::Int64,
            DataType::Float64,
            DataType::Utf8,
            DataType::Categorical,
            DataType::Timestamp,
        ];
        let fields = all.iter().enumerate().map(|(place, kind)| Field::new(format!("f{place}"), *kind)).collect();
        let schema = Schema::new(fields).expect("distinct names");
        let rows = synthetic_rows(&schema).expect("values of every type");
        assert_eq!((rows.num_rows(), rows.num_columns()), (ROWS, all.len()));
        assert_eq!(
            synthetic_rows(&Schema::new(Vec::new()).expect("no columns")).map(|rows| rows.num_rows()),
            Some(ROWS)
        );
    }

    /// A session that refuses its first rows, and is alive afterwards or not.
    struct Refusing(bool, Option<StageFault>);

    impl ModelSession for Refusing {
        fn predict(&mut self, _: &[RecordBatch]) -> Result<Vec<f64>, StageFault> {
            self.1.take().map_or(Ok(Vec::new()), Err)
        }

        fn is_alive(&self) -> bool {
            self.0
        }
    }

    #[test]
    fn a_model_may_refuse_values_that_are_made_up_and_nothing_else() {
        let schema = Schema::new(vec![Field::new("x", DataType::Utf8)]).expect("one name");
        let warm = |are_made_up, is_alive, fault: &dyn Fn() -> StageFault| {
            let rows = WarmRows { rows: synthetic_rows(&schema).expect("rows"), are_made_up };
            let mut reopened = false;
            let session = rows.warm(Box::new(Refusing(is_alive, Some(fault()))), || {
                reopened = true;
                Ok(Box::new(Refusing(true, None)))
            });
            (session.is_ok(), reopened)
        };
        let unseen = || StageFault::Data {
            stage: stagewright_manifest::World::Transformation.into(),
            message: "the training rows had no such category".into(),
            column: None,
            row: None,
            value: None,
        };
        let broken = || StageFault::host("it is broken");
        assert_eq!([warm(true, true, &unseen), warm(true, false, &unseen)], [(true, false), (true, true)]);
        assert_eq!([warm(false, true, &unseen), warm(true, true, &broken)], [(false, false), (false, false)]);
    }
}
