//! Arrow IPC files and streams, none of whose bytes is trusted.
//!
//! Messages and buffers are located here, within the bytes that are there, and only columns that
//! are read become arrays. Arrow's readers would allocate what a message claims and build all
//! columns. Requests that are streams are read with the same parts
//! ([`crate::request_decoder`]). A file is a stream with a footer, which must tell as many batches
//! as the stream has.
//!
//! Arrow still has code that panics on what it does not expect; such a panic becomes an error.

mod codec;
pub(crate) mod columns;
mod file;
pub(crate) mod messages;
mod stop;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, ArrayRef};
use arrow_buffer::Buffer;
use arrow_cast::cast;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::{DictionaryBatch, Endianness, MetadataVersion, RecordBatch, Schema};
use arrow_schema::{ArrowError, DataType};
use arrow_select::take::take;
use stagewright_store::MAX_BATCH_BYTES;

use crate::error::{DataError, DataFault, shown};
use crate::interrupt::Interrupt;
use crate::source::CellVisitor;
use crate::source::arrow_cells::{self, viewed};
use crate::source::arrow_rows::{self, Values, parts};
use crate::source::catch_panic::catch_panic;
use columns::Columns;
pub(super) use file::IpcBytes;
use messages::{Framed, Messages};
use stop::Stop;

/// The most columns of a stream, as of a table.
const MAX_COLUMNS: usize = 1 << 16;

/// A column of a stream.
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) is_uuid: bool,
    /// The number of its dictionary, if it has one.
    pub(crate) dictionary: Option<i64>,
}

/// Returns the columns of a stream.
///
/// # Errors
/// The reason for which the stream cannot be read, in words.
pub(crate) fn fields(schema: Schema<'_>) -> Result<Vec<Field>, String> {
    if schema.endianness() != Endianness::Little {
        return Err("its numbers are big-endian, and only little-endian ones are read".to_owned());
    }
    let declared = schema.fields().ok_or("its schema has no columns")?;
    if declared.len() > MAX_COLUMNS {
        return Err(format!("it has {} columns, and at most {MAX_COLUMNS} are read", declared.len()));
    }
    let read =
        try_fb_to_schema(schema).map_err(|error| format!("its schema is damaged: {}", shown(&error.to_string())))?;
    let field = |(field, declared): (&Arc<arrow_schema::Field>, arrow_ipc::Field<'_>)| Field {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        is_uuid: field.extension_type_name() == Some("arrow.uuid"),
        dictionary: declared.dictionary().map(|dictionary| dictionary.id()),
    };
    Ok(read.fields().iter().zip(declared).map(field).collect())
}

/// Passes the cells of a file or stream to the visitor, by column for some rows at a time.
pub(super) fn visit(
    path: &Path,
    bytes: IpcBytes,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    let read = catch_panic(|| visit_bytes(path, bytes, interrupt, visitor));
    let read = read.unwrap_or_else(|panic| Err(format!("its contents contradict each other ({panic})").into()));
    read.map_err(|stop| match stop {
        Stop::Data(error) => error,
        Stop::Unread(problem) => {
            let hint = "have it written again, e.g. with `pyarrow.ipc.new_file`";
            DataError::unreadable(path, problem, hint)
        }
    })
}

fn visit_bytes(
    path: &Path,
    bytes: IpcBytes,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), Stop> {
    let (stream, batches) = bytes.stream(path)?;
    let mut messages = Messages::new(&stream);
    let first = messages.next()?.ok_or("it is empty")?;
    let schema = first.message.header_as_schema().ok_or("it does not begin with a schema")?;
    let fields = fields(schema)?;
    let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
    let places = visitor.columns(&names)?;
    let types: Vec<_> = places.iter().map(|place| (names[*place].as_str(), &fields[*place].data_type)).collect();
    visitor.types(&types)?;
    let reader = Reader { fields: &fields, places, interrupt };
    reader.admits_types()?;
    let mut dictionaries = HashMap::new();
    let (mut row, mut count) = (0, 0);
    while let Some(Framed { message, body }) = messages.next()? {
        let version = message.version();
        if let Some(dictionary) = message.header_as_dictionary_batch() {
            reader.dictionary(dictionary, &body, version, &mut dictionaries)?;
        } else {
            let batch = message.header_as_record_batch().ok_or("a message is neither rows nor a dictionary")?;
            count += 1;
            if !reader.batch(batch, &body, version, &dictionaries, &mut row, visitor)? {
                return Ok(());
            }
        }
    }
    match batches {
        Some(told) if told != count => {
            Err(format!("its footer tells {told} batches of rows, and {count} are there").into())
        }
        _ => Ok(()),
    }
}

/// The values of dictionaries by their numbers, as views where they are texts.
type Dictionaries = HashMap<i64, ArrayRef>;

struct Reader<'r> {
    fields: &'r [Field],
    /// The field of each column that is read.
    places: Vec<usize>,
    interrupt: &'r Interrupt,
}

impl Reader<'_> {
    /// Refuses columns whose type is not read.
    fn admits_types(&self) -> Result<(), DataError> {
        for Field { name, data_type, .. } in self.places.iter().map(|place| &self.fields[*place]) {
            if !columns::is_read(data_type) {
                let found = shown(&data_type.to_string());
                let message = format!(
                    "values of the Arrow type {found} are not read\nhint: have them written as numbers, times or texts, or leave the column out of the signature"
                );
                return Err(DataFault::new(message).in_column(name).into());
            }
        }
        Ok(())
    }

    /// Reads the values of a dictionary.
    fn dictionary(
        &self,
        dictionary: DictionaryBatch<'_>,
        body: &Buffer,
        version: MetadataVersion,
        dictionaries: &mut Dictionaries,
    ) -> Result<(), String> {
        let id = dictionary.id();
        let field = self.places.iter().map(|place| &self.fields[*place]).find(|field| field.dictionary == Some(id));
        let Some(DataType::Dictionary(_, values)) = field.map(|field| &field.data_type) else { return Ok(()) };
        if dictionary.isDelta() {
            return Err("a dictionary is written in parts: write it without delta dictionaries".to_owned());
        }
        let batch = dictionary.data().ok_or("a dictionary has no values")?;
        let columns = Columns::unpack(batch, body, version, std::iter::once(&**values), |_| true)?;
        let values = arrow_cells::dictionary_values(&columns.array(0, values, None)?);
        dictionaries.insert(id, values.map_err(|error| shown(&error.to_string()))?);
        Ok(())
    }

    /// Passes the rows of a batch on. Returns whether to go on.
    fn batch(
        &self,
        batch: RecordBatch<'_>,
        body: &Buffer,
        version: MetadataVersion,
        dictionaries: &Dictionaries,
        row: &mut u64,
        visitor: &mut impl CellVisitor,
    ) -> Result<bool, Stop> {
        let rows = columns::rows(&batch)?;
        if rows == 0 {
            return Ok(true);
        }
        let types = self.fields.iter().map(|field| &field.data_type);
        let columns = Columns::unpack(batch, body, version, types, |column| self.places.contains(&column))?;
        let mut arrays = Vec::with_capacity(self.places.len());
        for place in &self.places {
            let field = &self.fields[*place];
            let dictionary = field.dictionary.and_then(|id| dictionaries.get(&id));
            let in_words = |problem| format!("column `{}`: {problem}", shown(&field.name));
            arrays.push(columns.array(*place, &field.data_type, dictionary).map_err(in_words)?);
        }
        let at_once = self.rows_at_once(visitor.rows_at_once());
        let mut start = 0;
        while start < rows {
            let length = at_once.min(rows - start);
            let slices: Result<Vec<ArrayRef>, _> =
                arrays.iter().map(|array| in_views(&array.slice(start, length))).collect();
            let slices = slices.map_err(|error| shown(&error.to_string()))?;
            for part in parts(&slices, length) {
                if self.interrupt.is_set() {
                    return Err(DataError::Interrupted.into());
                }
                for (column, (place, array)) in self.places.iter().zip(&slices).enumerate() {
                    let Field { name, is_uuid, .. } = &self.fields[*place];
                    let mut values = Values { column, name, first: *row, visitor };
                    arrow_cells::visit(&array.slice(part.start, part.len()), *is_uuid, &mut values)
                        .map_err(|error| arrow_rows::in_words(error, name))?;
                }
                *row += part.len() as u64;
                if !visitor.end_rows(part.len())? {
                    return Ok(false);
                }
            }
            start += length;
        }
        Ok(true)
    }

    /// Returns how many rows are looked at together: at most `most`, and fewer if values are long.
    fn rows_at_once(&self, most: usize) -> usize {
        let width = |place: &usize| match &self.fields[*place].data_type {
            DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).unwrap_or(0),
            _ => 0,
        };
        let bytes = self.places.iter().map(width).fold(0_usize, usize::saturating_add);
        most.min(MAX_BATCH_BYTES / bytes.max(1)).max(1)
    }
}

/// Returns an array with texts as views, whose lengths are known before they are read.
fn in_views(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Dictionary(_, values) if matches!(**values, DataType::Utf8View | DataType::BinaryView) => {
            let dictionary = array.as_any_dictionary();
            take(dictionary.values(), dictionary.keys(), None)
        }
        data_type if viewed(data_type) != *data_type => cast(array, &viewed(data_type)),
        _ => Ok(array.clone()),
    }
}
