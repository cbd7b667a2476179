//! Rows in an Arrow IPC stream from a client, none of whose bytes is trusted.
//!
//! Messages and buffers are located here, within the bytes that came, and only columns that are
//! read become arrays. Arrow's stream reader would allocate what a message claims, build all
//! columns, and validate a text once for each view of it. Arrow still has code that panics on what
//! it does not expect; such a panic becomes an error.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use arrow_array::ArrayRef;
use arrow_buffer::Buffer;
use arrow_ipc::{DictionaryBatch, MetadataVersion, RecordBatch};
use arrow_schema::DataType;

use crate::error::{DataFault, shown};
use crate::rows::RowsBuilder;
use crate::source::arrow_cells;
use crate::source::arrow_ipc::columns::{self, Columns};
use crate::source::arrow_ipc::messages::{Framed, Messages};
use crate::source::arrow_ipc::{Field, fields};
use crate::source::catch_panic::catch_panic;

/// Appends the rows of a stream.
///
/// # Errors
/// The reason for which it cannot be read, in words.
pub(super) fn append(rows: &mut RowsBuilder<'_>, stream: &[u8]) -> Result<(), String> {
    let read = catch_panic(|| read(rows, stream));
    read.unwrap_or_else(|panic| Err(format!("its contents contradict each other ({panic})")))
}

fn read(rows: &mut RowsBuilder<'_>, stream: &[u8]) -> Result<(), String> {
    if stream.starts_with(b"ARROW1") {
        return Err("it is an Arrow file, and a stream is needed, as `pyarrow.ipc.new_stream` writes it".to_owned());
    }
    // A copy is aligned, whatever the bytes before a request's body.
    let stream = Buffer::from_slice_ref(stream);
    let mut messages = Messages::new(&stream);
    let first = messages.next()?.ok_or("it is empty")?;
    let schema = first.message.header_as_schema().ok_or("it does not begin with a schema")?;
    let fields = fields(schema)?;
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let Some(places) = rows.bind_each(&names) else { return Ok(()) };
    let mut reader = Reader { rows, fields, places, dictionaries: HashMap::new(), seen: 0 };
    if !reader.admits_types() {
        return Ok(());
    }
    while let Some(Framed { message, body }) = messages.next()? {
        let version = message.version();
        let goes_on = if let Some(dictionary) = message.header_as_dictionary_batch() {
            reader.dictionary(dictionary, &body, version)?
        } else {
            let batch = message.header_as_record_batch().ok_or("a message is neither rows nor a dictionary")?;
            reader.batch(batch, &body, version)?
        };
        if !goes_on {
            break;
        }
    }
    Ok(())
}

struct Reader<'r, 'p> {
    rows: &'r mut RowsBuilder<'p>,
    fields: Vec<Field>,
    /// The field of each column that is read.
    places: Vec<usize>,
    /// The values of the dictionaries that are read, by their numbers, as views where they are
    /// texts: a batch takes what it needs of them, however many batches there are.
    dictionaries: HashMap<i64, ArrayRef>,
    /// The bytes of text that arrays were built of, so far.
    seen: usize,
}

impl Reader<'_, '_> {
    /// Collects a fault for each column whose type is not read. Returns whether there is none.
    fn admits_types(&mut self) -> bool {
        let mut all = true;
        for (column, place) in self.places.iter().enumerate() {
            let data_type = &self.fields[*place].data_type;
            if !columns::is_read(data_type) {
                all = false;
                let found = shown(&data_type.to_string());
                let message = format!("values of the Arrow type {found} are not read; send numbers, times or texts");
                self.rows.refuse_column(column, DataFault::new(message));
            }
        }
        all
    }

    /// Reads the values of a dictionary. Returns whether to go on.
    fn dictionary(
        &mut self,
        dictionary: DictionaryBatch<'_>,
        body: &Buffer,
        version: MetadataVersion,
    ) -> Result<bool, String> {
        let id = dictionary.id();
        let field = self.places.iter().map(|place| &self.fields[*place]).find(|field| field.dictionary == Some(id));
        let Some(DataType::Dictionary(_, values)) = field.map(|field| &field.data_type) else { return Ok(true) };
        if dictionary.isDelta() {
            return Err("a dictionary is sent in parts: write it without delta dictionaries".to_owned());
        }
        let batch = dictionary.data().ok_or("a dictionary has no values")?;
        let columns = Columns::locate(batch, body, version, std::iter::once(&**values))?;
        self.seen = self.seen.saturating_add(columns.seen_bytes(0, values)?);
        if self.rows.exceeds_text(self.seen) {
            return Ok(false);
        }
        let values = arrow_cells::dictionary_values(&columns.array(0, values, None)?);
        self.dictionaries.insert(id, values.map_err(|error| shown(&error.to_string()))?);
        Ok(true)
    }

    /// Appends the rows of a batch. Returns whether to go on.
    fn batch(&mut self, batch: RecordBatch<'_>, body: &Buffer, version: MetadataVersion) -> Result<bool, String> {
        let rows = columns::rows(&batch)?;
        if rows == 0 {
            return Ok(true);
        }
        if !self.rows.begin_batch(rows) {
            return Ok(false);
        }
        let columns = Columns::locate(batch, body, version, self.fields.iter().map(|field| &field.data_type))?;
        for (column, place) in self.places.iter().enumerate() {
            let field = &self.fields[*place];
            self.seen = self.seen.saturating_add(columns.seen_bytes(*place, &field.data_type)?);
            if self.rows.exceeds_text(self.seen) {
                return Ok(false);
            }
            let dictionary = field.dictionary.and_then(|id| self.dictionaries.get(&id));
            let in_words = |problem| format!("column `{}`: {problem}", shown(&field.name));
            let array = columns.array(*place, &field.data_type, dictionary).map_err(in_words)?;
            if !self.rows.append_array(column, &array, field.is_uuid) {
                return Ok(false);
            }
        }
        self.rows.end_batch(rows);
        Ok(true)
    }
}
