//! The host's tables as the stages' native code reads them: the same batches, by a call instead of a crossing.

use stagewright_kit::{Batch, Categorical, Column, DataType, Failure, Field, Role, Strings, Values};
use stagewright_lifecycle::sandbox::View;
use stagewright_store::{RawColumn, RawValues, raw_columns, rows_within};

/// A table, or part of one.
pub struct NativeTable(pub View);

impl stagewright_kit::Table for NativeTable {
    fn fields(&self) -> Vec<Field> {
        fields(&self.0)
    }

    fn roles(&self) -> Vec<Role> {
        let role = |field: &stagewright_store::Field| match field.role {
            stagewright_store::Role::Feature => Role::Feature,
            stagewright_store::Role::Target => Role::Target,
            stagewright_store::Role::Weight => Role::Weight,
            stagewright_store::Role::Identifier => Role::Identifier,
            stagewright_store::Role::Time => Role::Time,
            stagewright_store::Role::Group => Role::Group,
        };
        self.0.schema.fields().iter().map(role).collect()
    }

    fn rows(&self) -> u64 {
        self.0.rows()
    }

    fn read(&self, start: u64, rows: u32, columns: Option<&[u32]>) -> Result<Batch, Failure> {
        let chosen: Vec<usize> = match columns {
            None => self.0.columns.clone(),
            Some(columns) => columns.iter().map(|&column| self.0.columns[column as usize]).collect(),
        };
        let failed = |error: &dyn std::fmt::Display| Failure::internal(error.to_string());
        let batch = self.0.table.read(start, rows as usize, Some(&chosen)).map_err(|error| failed(&error))?;
        let fit = rows_within(&batch, stagewright_store::MAX_BATCH_BYTES).map_err(|error| failed(&error))?;
        let columns = raw_columns(&batch.slice(0, fit)).map_err(|error| failed(&error))?;
        Ok(Batch::new(fit as u32, columns.into_iter().map(column).collect()))
    }
}

/// The columns' fields.
pub fn fields(view: &View) -> Vec<Field> {
    let field = |field: &stagewright_store::Field| Field {
        name: field.name.clone(),
        data_type: match field.data_type {
            stagewright_store::DataType::Boolean => DataType::Boolean,
            stagewright_store::DataType::Int64 => DataType::Int64,
            stagewright_store::DataType::Float64 => DataType::Float64,
            stagewright_store::DataType::Utf8 => DataType::Utf8,
            stagewright_store::DataType::Categorical => DataType::Categorical,
            stagewright_store::DataType::Timestamp => DataType::Timestamp,
        },
        nullable: field.nullable,
    };
    view.schema.fields().iter().map(field).collect()
}

fn column(column: RawColumn) -> Column {
    let values = match column.values {
        RawValues::Boolean(bits) => Values::Boolean(bits),
        RawValues::Int64(values) => Values::Int64(values),
        RawValues::Float64(values) => Values::Float64(values),
        RawValues::Utf8 { offsets, bytes } => Values::Utf8(Strings { offsets, bytes }),
        RawValues::Categorical { codes, offsets, bytes } => {
            Values::Categorical(Categorical { codes, categories: Strings { offsets, bytes } })
        }
        RawValues::Timestamp(values) => Values::Timestamp(values),
    };
    Column { values, validity: column.validity }
}
