//! The host's tables as native code of stages reads them: the same batches, without a crossing.

use std::collections::HashMap;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array as _, ArrayRef, DictionaryArray, StringArray};
use arrow_buffer::BooleanBuffer;
use stagewright_kit::{Batch, Categorical, Column, DataType, Failure, Field, Role, Strings, Values};
use stagewright_lifecycle::sandbox::View;
use stagewright_store::{MAX_BATCH_BYTES, Schema, packed};

/// A table or part of a table.
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
        let fields: Vec<_> = chosen.iter().map(|&column| self.0.table.schema().fields()[column].clone()).collect();
        let schema = Schema::new(fields).map_err(|error| failed(&error))?;
        let fit = packed::rows_within(&batch, &schema, MAX_BATCH_BYTES).map_err(|error| failed(&error))?;
        let batch = batch.slice(0, fit);
        let columns = batch.columns().iter().zip(schema.fields());
        Ok(Batch::new(fit as u32, columns.map(|(array, field)| column(array, field.data_type)).collect()))
    }
}

/// Returns the fields of a view's columns.
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

fn column(array: &ArrayRef, data_type: stagewright_store::DataType) -> Column {
    let values = match data_type {
        stagewright_store::DataType::Boolean => Values::Boolean(bits(array.as_boolean().values())),
        stagewright_store::DataType::Int64 => Values::Int64(array.as_primitive::<Int64Type>().values().to_vec()),
        stagewright_store::DataType::Float64 => Values::Float64(array.as_primitive::<Float64Type>().values().to_vec()),
        stagewright_store::DataType::Utf8 => Values::Utf8(strings(array.as_string())),
        stagewright_store::DataType::Categorical => Values::Categorical(categorical(array.as_dictionary())),
        stagewright_store::DataType::Timestamp => {
            Values::Timestamp(array.as_primitive::<TimestampMicrosecondType>().values().to_vec())
        }
    };
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    Column { values, validity: nulls.map(|nulls| bits(nulls.inner())) }
}

/// Packs a bitmap from bit 0 on; unused trailing bits are 0.
fn bits(buffer: &BooleanBuffer) -> Vec<u8> {
    let mut bits = buffer.sliced().as_slice()[..buffer.len().div_ceil(8)].to_vec();
    if let Some(last) = bits.last_mut().filter(|_| !buffer.len().is_multiple_of(8)) {
        *last &= (1 << (buffer.len() % 8)) - 1;
    }
    bits
}

fn strings(array: &StringArray) -> Strings {
    let offsets = array.offsets();
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let bytes = array.value_data()[first as usize..last as usize].to_vec();
    Strings { offsets: offsets.iter().map(|offset| offset - first).collect(), bytes }
}

/// Returns the codes with at most as many categories as rows. A table may have more categories than
/// fit into a batch.
fn categorical(array: &DictionaryArray<Int32Type>) -> Categorical {
    let categories: &StringArray = array.values().as_string();
    let codes = array.keys().values().to_vec();
    if categories.len() <= codes.len() {
        return Categorical { codes, categories: strings(categories) };
    }
    let (mut numbers, mut used) = (HashMap::new(), Vec::new());
    let number = |code: Option<i32>| {
        code.map_or(0, |code| {
            *numbers.entry(code).or_insert_with(|| {
                used.push(categories.value(code as usize));
                used.len() as i32 - 1
            })
        })
    };
    let codes = array.keys().iter().map(number).collect();
    Categorical { codes, categories: Strings::collect(used) }
}
