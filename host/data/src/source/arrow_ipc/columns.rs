//! The columns of a record batch: where their buffers are, and arrays of them.
//!
//! Only columns that are read become arrays, and Arrow validates these in full. Arrow's own reader
//! would build every column, whatever it holds.

use std::collections::HashMap;
use std::ops::Range;

use arrow_array::{Array, ArrayRef, make_array, new_null_array};
use arrow_buffer::Buffer;
use arrow_data::ArrayData;
use arrow_ipc::{MetadataVersion, RecordBatch};
use arrow_schema::{DataType, UnionMode};

use super::codec::{Codec, MAX_UNPACKED};
use crate::error::shown;
use crate::source::arrow_cells::viewed;

/// The bytes of a view.
const VIEW_BYTES: usize = 16;

/// Returns whether columns of a type are read: those of single values.
pub(crate) fn is_read(data_type: &DataType) -> bool {
    use DataType as T;
    match data_type {
        // A dictionary would repeat values that have no views.
        T::Dictionary(_, values) => {
            !matches!(**values, T::Dictionary(..) | T::FixedSizeBinary(_) | T::Null) && is_read(values)
        }
        T::FixedSizeBinary(bytes) => *bytes > 0,
        T::Interval(_) | T::Duration(_) | T::RunEndEncoded(..) => false,
        other => !other.is_nested(),
    }
}

/// A record batch whose columns are located.
pub(crate) struct Columns<'a> {
    batch: RecordBatch<'a>,
    body: &'a Buffer,
    rows: usize,
    /// The node of each column, and its buffers.
    places: Vec<(usize, Range<usize>)>,
    /// The buffers that were compressed, by their number.
    unpacked: HashMap<usize, Buffer>,
}

impl<'a> Columns<'a> {
    /// Locates the columns of these types.
    pub(crate) fn locate<'t>(
        batch: RecordBatch<'a>,
        body: &'a Buffer,
        version: MetadataVersion,
        types: impl Iterator<Item = &'t DataType>,
    ) -> Result<Self, String> {
        if batch.compression().is_some() {
            return Err("its buffers are compressed: write it without compression".to_owned());
        }
        Self::located(batch, body, version, types)
    }

    /// As [`Columns::locate`], and decompresses the buffers of columns for which `is_read` holds.
    pub(crate) fn unpack<'t>(
        batch: RecordBatch<'a>,
        body: &'a Buffer,
        version: MetadataVersion,
        types: impl Iterator<Item = &'t DataType>,
        is_read: impl Fn(usize) -> bool,
    ) -> Result<Self, String> {
        let mut columns = Self::located(batch, body, version, types)?;
        let Some(compression) = batch.compression() else { return Ok(columns) };
        let codec = Codec::of(compression)?;
        let mut room = MAX_UNPACKED;
        let wanted = columns.places.iter().enumerate().filter(|(column, _)| is_read(*column));
        let indices: Vec<usize> = wanted.flat_map(|(_, (_, buffers))| buffers.clone()).collect();
        for index in indices {
            let buffer = codec.unpack(&columns.buffer(index)?, &mut room)?;
            columns.unpacked.insert(index, buffer);
        }
        Ok(columns)
    }

    fn located<'t>(
        batch: RecordBatch<'a>,
        body: &'a Buffer,
        version: MetadataVersion,
        types: impl Iterator<Item = &'t DataType>,
    ) -> Result<Self, String> {
        let rows = rows(&batch)?;
        let counts: Vec<i64> = batch.variadicBufferCounts().into_iter().flatten().collect();
        let nodes = batch.nodes().map_or(0, |nodes| nodes.len());
        let buffers = batch.buffers().map_or(0, |buffers| buffers.len());
        let mut cursor = Cursor { node: 0, buffer: 0, views: counts.into_iter(), version };
        let mut places = Vec::new();
        for data_type in types {
            let (node, first) = (cursor.node, cursor.buffer);
            cursor.pass(data_type)?;
            if cursor.node > nodes || cursor.buffer > buffers {
                return Err("a record batch has fewer columns than the schema".to_owned());
            }
            places.push((node, first..cursor.buffer));
        }
        if (cursor.node, cursor.buffer) != (nodes, buffers) {
            return Err("a record batch has more columns than the schema".to_owned());
        }
        Ok(Self { batch, body, rows, places, unpacked: HashMap::new() })
    }

    /// Returns the bytes of text that building a column passes over: Arrow validates a text once
    /// for each view of it, and the buffers of several columns may be the same bytes. The text
    /// under a null does not count, and is not passed over.
    pub(crate) fn seen_bytes(&self, column: usize, data_type: &DataType) -> Result<usize, String> {
        let (node, buffers) = &self.places[column];
        let buffer = |place: usize| self.buffer(buffers.start + place);
        let last_offset = |bytes: usize| -> Result<usize, String> {
            let offsets = buffer(1)?;
            let last = self.rows.checked_mul(bytes).and_then(|start| offsets.get(start..)?.get(..bytes));
            let last = last.map_or(0, |last| last.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)));
            Ok(last.min(buffer(2)?.len()))
        };
        Ok(match data_type {
            DataType::Utf8 | DataType::Binary => last_offset(4)?,
            DataType::LargeUtf8 | DataType::LargeBinary => last_offset(8)?,
            DataType::FixedSizeBinary(bytes) => self.rows.saturating_mul(usize::try_from(*bytes).unwrap_or_default()),
            DataType::Utf8View | DataType::BinaryView => {
                let (views, validity) = (buffer(1)?, self.validity(*node, buffers.start)?);
                let (views, _) = views.as_slice().as_chunks::<VIEW_BYTES>();
                let is_valid = |row: usize| validity.as_ref().is_none_or(|bits| is_set(bits, row));
                let views = views.iter().take(self.rows).enumerate().filter(|(row, _)| is_valid(*row));
                let length = |(_, view): (usize, &[u8; VIEW_BYTES])| {
                    u32::from_le_bytes([view[0], view[1], view[2], view[3]]) as usize
                };
                views.map(length).fold(0, usize::saturating_add)
            }
            _ => 0,
        })
    }

    /// Returns the bits of the values of a node that are not null; `None` if none is null.
    fn validity(&self, node: usize, first: usize) -> Result<Option<Buffer>, String> {
        let nodes = self.batch.nodes().ok_or("a record batch has no columns")?;
        Ok(Some(self.buffer(first)?).filter(|_| nodes.get(node).null_count() > 0))
    }

    /// Returns the array of a column. `dictionary` has its values, as
    /// [`arrow_cells::dictionary_values`](crate::source::arrow_cells::dictionary_values) returns
    /// them, if it has some.
    pub(crate) fn array(
        &self,
        column: usize,
        data_type: &DataType,
        dictionary: Option<&ArrayRef>,
    ) -> Result<ArrayRef, String> {
        let (number, buffers) = self.places[column].clone();
        let node = self.batch.nodes().ok_or("a record batch has no columns")?.get(number);
        if usize::try_from(node.length()) != Ok(self.rows) {
            return Err(format!("a column has {} values for {} rows", node.length(), self.rows));
        }
        if *data_type == DataType::Null {
            return Ok(new_null_array(data_type, self.rows));
        }
        let validity = self.validity(number, buffers.start)?;
        let mut buffers = buffers.skip(1).map(|index| self.buffer(index)).collect::<Result<Vec<_>, _>>()?;
        match (data_type, &validity) {
            (DataType::Utf8View | DataType::BinaryView, Some(bits)) => buffers[0] = without_nulls(&buffers[0], bits),
            (DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary, _) => {
                // Arrow validates the whole buffer.
                let used = self.seen_bytes(column, data_type)?;
                buffers[1] = buffers[1].slice_with_length(0, used);
            }
            _ => {}
        }
        let own_type = match (data_type, dictionary) {
            (DataType::Dictionary(keys, values), Some(found)) if found.data_type() == &viewed(values) => {
                DataType::Dictionary(keys.clone(), Box::new(viewed(values)))
            }
            (DataType::Dictionary(..), Some(_)) => {
                return Err("a dictionary has another type than its column".to_owned());
            }
            (DataType::Dictionary(..), None) => return Err("a column has no dictionary".to_owned()),
            _ => data_type.clone(),
        };
        let mut array =
            ArrayData::builder(own_type).len(self.rows).null_bit_buffer(validity).buffers(buffers).align_buffers(true);
        if let Some(dictionary) = dictionary {
            array = array.add_child_data(dictionary.to_data());
        }
        Ok(make_array(array.build().map_err(|error| shown(&error.to_string()))?))
    }

    fn buffer(&self, index: usize) -> Result<Buffer, String> {
        if let Some(unpacked) = self.unpacked.get(&index) {
            return Ok(unpacked.clone());
        }
        let buffer = self.batch.buffers().ok_or("a record batch has no buffers")?.get(index);
        let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let is_inside =
            |(start, length): &(usize, usize)| start.checked_add(*length).is_some_and(|end| end <= self.body.len());
        let (start, length) = range.filter(is_inside).ok_or("a buffer lies outside its message")?;
        Ok(self.body.slice_with_length(start, length))
    }
}

fn is_set(bits: &Buffer, row: usize) -> bool {
    bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)
}

/// Returns views of which those of nulls are empty.
fn without_nulls(views: &Buffer, validity: &Buffer) -> Buffer {
    let mut views = views.to_vec();
    let (whole, _) = views.as_chunks_mut::<VIEW_BYTES>();
    whole.iter_mut().enumerate().filter(|(row, _)| !is_set(validity, *row)).for_each(|(_, view)| view.fill(0));
    Buffer::from_vec(views)
}

/// Returns the rows of a batch.
pub(crate) fn rows(batch: &RecordBatch<'_>) -> Result<usize, String> {
    usize::try_from(batch.length()).map_err(|_| format!("a record batch has {} rows", batch.length()))
}

/// Counts the nodes and buffers of columns, as the format lays them out.
struct Cursor {
    node: usize,
    buffer: usize,
    /// For each column of views, how many buffers it has besides validity and views.
    views: std::vec::IntoIter<i64>,
    version: MetadataVersion,
}

impl Cursor {
    fn pass(&mut self, data_type: &DataType) -> Result<(), String> {
        use DataType as T;
        self.node = self.node.saturating_add(1);
        let buffers = match data_type {
            T::Null | T::RunEndEncoded(..) => 0,
            T::Struct(_) | T::FixedSizeList(..) => 1,
            T::Utf8 | T::LargeUtf8 | T::Binary | T::LargeBinary | T::ListView(_) | T::LargeListView(_) => 3,
            T::Utf8View | T::BinaryView => {
                let more = self.views.next().and_then(|count| usize::try_from(count).ok());
                2_usize.saturating_add(more.ok_or("a column of views has no number of buffers")?)
            }
            T::Union(_, mode) => {
                let validity = usize::from(self.version < MetadataVersion::V5);
                validity + if *mode == UnionMode::Dense { 2 } else { 1 }
            }
            _ => 2,
        };
        self.buffer = self.buffer.saturating_add(buffers);
        match data_type {
            T::List(field)
            | T::LargeList(field)
            | T::ListView(field)
            | T::LargeListView(field)
            | T::FixedSizeList(field, _)
            | T::Map(field, _) => self.pass(field.data_type()),
            T::Struct(fields) => fields.iter().try_for_each(|field| self.pass(field.data_type())),
            T::Union(fields, _) => fields.iter().try_for_each(|(_, field)| self.pass(field.data_type())),
            T::RunEndEncoded(ends, values) => {
                self.pass(ends.data_type())?;
                self.pass(values.data_type())
            }
            _ => Ok(()),
        }
    }
}
