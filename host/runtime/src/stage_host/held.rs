//! The resources that one guest holds.

use std::collections::HashMap;

use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::{SourceCursor, View};
use stagewright_store::{Blob, BlobWriter, Schema, TableWriter};

use super::lent_model::LentModel;
use crate::resource_types::Handle;

/// A table that the guest may read, limited to a view.
pub(super) struct OpenTable {
    pub(super) view: View,
    /// Bytes of host memory that the guest is charged for; 0 for a table that the host lends.
    pub(super) held: u64,
}

impl OpenTable {
    /// Wraps a table that the host lends.
    pub(super) fn lent(view: View) -> Self {
        Self { view, held: 0 }
    }
}

/// A table that the guest is writing.
pub(super) struct OpenTableWriter {
    /// `Err` is why the fields were refused, which the first write returns.
    pub(super) writer: Result<(TableWriter, Schema), String>,
    /// Bytes of host memory that the guest is charged for.
    pub(super) held: u64,
}

/// A blob that the guest is writing. The file is created at the first write, so an unused writer
/// costs nothing.
pub(super) struct OpenBlobWriter(pub(super) Option<BlobWriter>);

/// A source that the guest is reading.
pub(super) struct OpenCursor {
    pub(super) cursor: Box<dyn SourceCursor>,
    /// Decoded rows that did not fit the last batch.
    pub(super) rest: Option<arrow_array::RecordBatch>,
    /// The size of the largest batch so far, in bytes.
    pub(super) largest: u64,
    /// Bytes of host memory that the guest is charged for.
    pub(super) held: u64,
    /// The number of rows returned so far.
    pub(super) given: u64,
}

/// All resources that a guest holds, by handle.
///
/// The engine in this process maps a guest's handles to these. A stage process is not trusted to
/// do so: every lookup checks that the handle exists and has the expected type.
pub(super) struct HeldResources {
    /// The fault of using a handle that the guest does not hold.
    unknown: StageFault,
    entries: HashMap<Handle, Entry>,
    /// The last handle. No handle is used twice.
    last: Handle,
}

#[expect(clippy::large_enum_variant, reason = "a guest holds few entries, and boxing would allocate for each")]
pub(super) enum Entry {
    Table(OpenTable),
    TableWriter(OpenTableWriter),
    Blob(Blob),
    BlobWriter(OpenBlobWriter),
    Cursor(OpenCursor),
    Model(LentModel),
}

/// A type of resource: one case of [`Entry`].
pub(super) trait Kind: Sized {
    fn into_entry(self) -> Entry;
    fn from_entry(entry: &Entry) -> Option<&Self>;
    fn from_entry_mut(entry: &mut Entry) -> Option<&mut Self>;
    fn take_entry(entry: Entry) -> Option<Self>;
}

macro_rules! kinds {
    ($($case:ident($kind:ty)),+) => {$(
        impl Kind for $kind {
            fn into_entry(self) -> Entry {
                Entry::$case(self)
            }
            fn from_entry(entry: &Entry) -> Option<&Self> {
                if let Entry::$case(kind) = entry { Some(kind) } else { None }
            }
            fn from_entry_mut(entry: &mut Entry) -> Option<&mut Self> {
                if let Entry::$case(kind) = entry { Some(kind) } else { None }
            }
            fn take_entry(entry: Entry) -> Option<Self> {
                if let Entry::$case(kind) = entry { Some(kind) } else { None }
            }
        }
    )+};
}

kinds!(
    Table(OpenTable),
    TableWriter(OpenTableWriter),
    Blob(Blob),
    BlobWriter(OpenBlobWriter),
    Cursor(OpenCursor),
    Model(LentModel)
);

impl HeldResources {
    /// Creates an empty table. `unknown` is the fault of using a handle that the guest does not
    /// hold.
    pub(super) fn new(unknown: StageFault) -> Self {
        Self { unknown, entries: HashMap::new(), last: 0 }
    }

    /// Adds a resource and returns its handle, or `None` if the guest holds `most` already.
    pub(super) fn insert(&mut self, resource: impl Kind, most: usize) -> Option<Handle> {
        let handle = self.last.checked_add(1).filter(|_| self.entries.len() < most)?;
        self.last = handle;
        self.entries.insert(handle, resource.into_entry());
        Some(handle)
    }

    pub(super) fn get<K: Kind>(&self, handle: Handle) -> Result<&K, StageFault> {
        self.entries.get(&handle).and_then(K::from_entry).ok_or_else(|| self.unknown.clone())
    }

    pub(super) fn get_mut<K: Kind>(&mut self, handle: Handle) -> Result<&mut K, StageFault> {
        let Self { unknown, entries, .. } = self;
        entries.get_mut(&handle).and_then(K::from_entry_mut).ok_or_else(|| unknown.clone())
    }

    pub(super) fn take<K: Kind>(&mut self, handle: Handle) -> Result<K, StageFault> {
        // An entry of another type stays.
        self.get::<K>(handle)?;
        self.entries.remove(&handle).and_then(K::take_entry).ok_or_else(|| self.unknown.clone())
    }
}
