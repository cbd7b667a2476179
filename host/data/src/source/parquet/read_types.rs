//! The Arrow types that columns are read as, so that every value is the one in the file.
//!
//! By default, Arrow's reader turns INT96 into nanoseconds, which wrap around after 2262; it
//! narrows decimals to the width that the writer's memory had; and it drops the months of
//! intervals.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::schema::types::SchemaDescriptor;

use crate::error::{DataError, DataFault};
use crate::source::arrow_cells::viewed;

/// A column that is read.
pub(super) struct Wanted {
    /// Its index in the file.
    pub(super) place: usize,
    /// Its index among the INT96 columns that are read, if it is one.
    pub(super) int96: Option<usize>,
    pub(super) is_uuid: bool,
}

/// A column that cannot be read without changing its values.
pub(super) struct Unfit {
    place: usize,
    message: &'static str,
}

impl Unfit {
    pub(super) fn named(&self, names: &[String]) -> DataError {
        DataFault::new(self.message).in_column(&names[self.place]).into()
    }
}

/// Returns the columns with these indices, in the file's order.
pub(super) fn columns(metadata: &ArrowReaderMetadata, places: &[usize]) -> Result<Vec<Wanted>, Unfit> {
    let schema = metadata.parquet_schema();
    let mut int96 = 0;
    let mut wanted = Vec::with_capacity(places.len());
    for &place in places {
        let data_type = metadata.schema().field(place).data_type();
        let is_int96 = leaves(schema, place).any(|leaf| leaf.physical_type() == PhysicalType::INT96);
        if holds_interval(data_type) {
            let message = "the values are intervals, which are not read without losing their months\nhint: have them written as numbers";
            return Err(Unfit { place, message });
        }
        if is_int96 && data_type.is_nested() && !matches!(data_type, DataType::Dictionary(..)) {
            let message = "lists and structs of INT96 times are not read\nhint: have them written as TIMESTAMP, e.g. `pyarrow.parquet.write_table(table, FILE)`";
            return Err(Unfit { place, message });
        }
        let is_uuid = !data_type.is_nested()
            && leaves(schema, place).any(|leaf| matches!(leaf.logical_type_ref(), Some(LogicalType::Uuid)));
        wanted.push(Wanted { place, int96: is_int96.then_some(int96), is_uuid });
        int96 += usize::from(is_int96);
    }
    Ok(wanted)
}

fn leaves(schema: &SchemaDescriptor, place: usize) -> impl Iterator<Item = &parquet::schema::types::ColumnDescriptor> {
    let columns = schema.columns().iter().enumerate();
    columns.filter(move |(leaf, _)| schema.get_column_root_idx(*leaf) == place).map(|(_, column)| column.as_ref())
}

fn holds_interval(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(_) => true,
        DataType::Dictionary(_, values) => holds_interval(values),
        _ => inner(data_type).iter().any(|field| holds_interval(field.data_type())),
    }
}

/// Returns the fields of a nested type.
fn inner(data_type: &DataType) -> Vec<&Field> {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(AsRef::as_ref).collect(),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => vec![field.as_ref()],
        _ => Vec::new(),
    }
}

/// Returns the types that the columns are read as; `in_seconds` for the second reading of INT96.
pub(super) fn schema(metadata: &ArrowReaderMetadata, columns: &[Wanted], in_seconds: bool) -> SchemaRef {
    let unit = if in_seconds { TimeUnit::Second } else { TimeUnit::Microsecond };
    let is_int96 = |place| columns.iter().any(|column| column.place == place && column.int96.is_some());
    let fields = metadata.schema().fields().iter().enumerate().map(|(place, field)| {
        let data_type = match field.data_type() {
            _ if is_int96(place) => DataType::Timestamp(unit, None),
            data_type => read_as(data_type),
        };
        field.as_ref().clone().with_data_type(data_type)
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), metadata.schema().metadata().clone()))
}

/// Returns the type that a column is read as. Text is read as views: a page may repeat a long text
/// a billion times, and a view only points to it.
fn read_as(data_type: &DataType) -> DataType {
    let values = match data_type {
        DataType::Dictionary(_, values) => values,
        _ => data_type,
    };
    match viewed(values) {
        viewed @ (DataType::Utf8View | DataType::BinaryView) => viewed,
        _ => widened(data_type),
    }
}

/// Returns the type with 128-bit decimals. The narrower types of a writer are hints, and the digits
/// in the file may exceed them.
fn widened(data_type: &DataType) -> DataType {
    let field = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(widened(field.data_type())));
    match data_type {
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::List(inner) => DataType::List(field(inner)),
        DataType::LargeList(inner) => DataType::LargeList(field(inner)),
        DataType::FixedSizeList(inner, length) => DataType::FixedSizeList(field(inner), *length),
        DataType::Map(inner, sorted) => DataType::Map(field(inner), *sorted),
        _ => data_type.clone(),
    }
}
