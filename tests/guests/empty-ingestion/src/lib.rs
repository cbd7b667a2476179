//! A minimal ingestion that makes a table of eight rows. For `bench overhead`.

use stagewright_kit::{Batch, DataType, Failure, Field, FinishedTable, Ingestion, NoParameters, Settings, TableWriter};

/// The stage.
pub struct Empty;

impl Ingestion for Empty {
    type Parameters = NoParameters;

    fn ingest(_sources: &[String], _settings: &Settings<NoParameters>) -> Result<FinishedTable, Failure> {
        let fields = [Field::required("x", DataType::Float64), Field::required("y", DataType::Int64)];
        let mut table = TableWriter::new(&fields);
        let x = vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        let y = vec![0, 1, 0, 1, 0, 1, 0, 1];
        table.write(Batch::new(8, vec![x.into(), y.into()]))?;
        table.finish()
    }
}

stagewright_kit::ingestion!(Empty);
