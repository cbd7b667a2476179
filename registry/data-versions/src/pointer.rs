//! Pointer files: a small text beside code that names a version of data by its digest.
//!
//! A field has a line, in an order that never changes, so that two pointers differ in the lines of
//! what differs. Nothing in it depends on the machine or the time.

use serde::{Deserialize, Serialize};
use stagewright_store::{DataKind, DataReference, DataVersion, DataVersionRecord, Digest, check_data_name};

/// The most bytes of a pointer file. A key may name many columns.
pub const MAX_POINTER_BYTES: u64 = 1 << 20;
/// The format of pointers.
const FORMAT: u32 = 1;

/// A version of data, as a pointer file names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    format: u32,
    /// The name.
    pub name: String,
    /// The number.
    pub version: DataVersion,
    /// Whether it is a table or files.
    pub kind: DataKind,
    /// The digest of the content.
    pub digest: Digest,
    /// The number of rows, or of files.
    pub count: u64,
    /// The number of columns; 0 for files.
    pub columns: u64,
    /// The length of the content.
    pub bytes: u64,
    /// The columns that identify a row.
    pub key: Vec<String>,
}

impl Pointer {
    /// Names a version.
    pub fn of(record: &DataVersionRecord) -> Self {
        Self {
            format: FORMAT,
            name: record.name.clone(),
            version: record.version,
            kind: record.kind,
            digest: record.digest,
            count: record.count,
            columns: record.columns,
            bytes: record.bytes,
            key: record.key.clone(),
        }
    }

    /// Returns the text of the file.
    ///
    /// # Errors
    /// None for text that JSON can hold.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Parses a pointer file.
    ///
    /// # Errors
    /// A text that says why it is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let pointer: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if pointer.format != FORMAT {
            return Err(format!("it has format {}, and this program knows {FORMAT}", pointer.format));
        }
        check_data_name(&pointer.name).map_err(|error| error.to_string())?;
        Ok(pointer)
    }

    /// Returns the reference that names the version.
    pub fn reference(&self) -> DataReference {
        DataReference::exact(&self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_has_a_line_for_each_field_in_one_order() {
        let digest = Digest::of(b"table");
        let text = format!(
            "{{\n  \"format\": 1,\n  \"name\": \"customers\",\n  \"version\": \"1.2.0\",\n  \"kind\": \"table\",\n  \
             \"digest\": \"{digest}\",\n  \"count\": 3,\n  \"columns\": 2,\n  \"bytes\": 48,\n  \"key\": [\n    \"id\"\n  ]\n}}\n"
        );
        let pointer = Pointer::parse(text.as_bytes()).expect("a pointer");
        assert_eq!(pointer.reference().to_string(), "customers@1.2.0");
        assert_eq!(String::from_utf8(pointer.to_bytes().expect("bytes")).expect("text"), text);
        for wrong in [text.replace("\"format\": 1", "\"format\": 2"), text.replace("customers", "../x"), String::new()]
        {
            assert!(Pointer::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
