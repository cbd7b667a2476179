//! Answers a guest's imports: its tables, blobs, cursors and models, in its stage's account.
//!
//! A [`Desk`] knows no Wasm engine. It speaks the contract's records and keeps what a guest holds
//! under numbers, so the guest may be anywhere; `imports` is the few lines between it and an
//! instance in this process. No function trusts a number or a value that comes from the guest.

mod blobs;
mod models;
mod sources;
mod tables;
mod tracking;

use std::collections::HashMap;
use std::sync::Arc;

use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::{Sources, StageContext, View};
use stagewright_store::Blob;

use self::blobs::OpenBlobWriter;
pub(crate) use self::models::{Asked, LentModel};
use self::sources::OpenCursor;
use self::tables::{OpenTable, OpenTableWriter};
use crate::account::Account;
use crate::ask::Heard;
use crate::engine::EngineOptions;

/// The number under which a guest holds something.
pub(crate) type Handle = u32;

/// An import's answer. The guest hears the inner error and may go on; the outer one ends its call.
pub(crate) type Answer<T> = Result<Heard<T>, StageFault>;

/// Everything that a guest holds, by number.
struct Held {
    /// The fault of naming what it does not hold. An engine in this process maps the numbers that a
    /// guest says to ours; one in another process is not to be believed.
    unknown: StageFault,
    entries: HashMap<Handle, Entry>,
    /// Numbers given so far. None is given twice.
    given: Handle,
}

#[expect(clippy::large_enum_variant, reason = "a guest holds few, and a box would be an allocation for each")]
enum Entry {
    Table(OpenTable),
    TableWriter(OpenTableWriter),
    Blob(Blob),
    BlobWriter(OpenBlobWriter),
    Cursor(OpenCursor),
    Model(LentModel),
}

/// Something that an [`Entry`] may be.
trait Kind: Sized {
    fn wrap(self) -> Entry;
    fn of(entry: &Entry) -> Option<&Self>;
    fn of_mut(entry: &mut Entry) -> Option<&mut Self>;
    fn unwrap(entry: Entry) -> Option<Self>;
}

macro_rules! kinds {
    ($($case:ident($kind:ty)),+) => {$(
        impl Kind for $kind {
            fn wrap(self) -> Entry {
                Entry::$case(self)
            }
            fn of(entry: &Entry) -> Option<&Self> {
                if let Entry::$case(kind) = entry { Some(kind) } else { None }
            }
            fn of_mut(entry: &mut Entry) -> Option<&mut Self> {
                if let Entry::$case(kind) = entry { Some(kind) } else { None }
            }
            fn unwrap(entry: Entry) -> Option<Self> {
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

impl Held {
    fn get<K: Kind>(&self, handle: Handle) -> Result<&K, StageFault> {
        self.entries.get(&handle).and_then(K::of).ok_or_else(|| self.unknown.clone())
    }

    fn get_mut<K: Kind>(&mut self, handle: Handle) -> Result<&mut K, StageFault> {
        let Self { unknown, entries, .. } = self;
        entries.get_mut(&handle).and_then(K::of_mut).ok_or_else(|| unknown.clone())
    }

    fn take<K: Kind>(&mut self, handle: Handle) -> Result<K, StageFault> {
        // An entry of another kind stays.
        self.get::<K>(handle)?;
        self.entries.remove(&handle).and_then(K::unwrap).ok_or_else(|| self.unknown.clone())
    }
}

/// Answers the imports of one instance.
pub(crate) struct Desk {
    pub(crate) account: Account,
    sources: Option<Arc<dyn Sources>>,
    held: Held,
}

impl Desk {
    pub(crate) fn new(context: Arc<StageContext>, options: EngineOptions, sources: Option<Arc<dyn Sources>>) -> Self {
        let message = "it names something that it does not hold";
        let unknown = crate::seat::contract(&context, "an import", message);
        let held = Held { unknown, entries: HashMap::new(), given: 0 };
        Self { account: Account::new(context, options), sources, held }
    }

    pub(crate) fn context(&self) -> &Arc<StageContext> {
        &self.account.context
    }

    /// Keeps something for the guest, as far as the operator allows it handles.
    fn keep(&mut self, kind: impl Kind) -> Result<Handle, StageFault> {
        let most = self.account.bounds.handles;
        let number = self.held.given.checked_add(1).filter(|_| self.held.entries.len() < most);
        let number = number.ok_or_else(|| self.account.bound("handles", most))?;
        self.held.given = number;
        self.held.entries.insert(number, kind.wrap());
        Ok(number)
    }

    /// Lends a table: the guest may read as far as the view goes.
    pub(crate) fn lend_table(&mut self, view: View) -> Result<Handle, StageFault> {
        self.keep(OpenTable::lent(view))
    }

    /// Lends a blob.
    pub(crate) fn lend_blob(&mut self, blob: Blob) -> Result<Handle, StageFault> {
        self.keep(blob)
    }

    /// Lends a model.
    pub(crate) fn lend_model(&mut self, model: LentModel) -> Result<Handle, StageFault> {
        self.keep(model)
    }

    /// Takes back a table that the guest returned, as far as its view goes.
    pub(crate) fn take_table(&mut self, table: Handle) -> Result<View, StageFault> {
        Ok(self.held.take::<OpenTable>(table)?.view)
    }

    /// Takes back a blob that the guest made.
    pub(crate) fn take_blob(&mut self, blob: Handle) -> Result<Blob, StageFault> {
        self.held.take(blob)
    }
}
