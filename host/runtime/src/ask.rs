//! A guest's imports as values, so that they can be asked from another process.
//!
//! One list says which there are. From it come the trait that an instance calls, the question that
//! crosses to another process, and the answer that a [`Desk`] gives to such a question.

use serde::{Deserialize, Serialize};
use stagewright_lifecycle::fault::StageFault;

use crate::bindings::stagewright::stage::models::FeatureImportance;
use crate::bindings::stagewright::stage::tracking::{Figure, Level};
use crate::bindings::stagewright::stage::types::{Batch, Failure, Field, Output, Role};
use crate::desk::{Desk, Handle};
use crate::far::child::Parent;
use crate::far::wire::{self, Heavy, Packed};

/// The desk as an instance sees it: in this process, or in another one.
pub(crate) trait Host: Imports + Send + 'static {
    /// Takes growth of the guest's memories in its account; `false` if the memory cannot grow.
    ///
    /// # Errors
    /// It is past the stage's limit.
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool>;

    /// Looks whether the instance may go on; asked where code is compiled to ask.
    ///
    /// # Errors
    /// It is past a limit on time, or somebody wants it to stop.
    fn check_time(&mut self) -> wasmtime::Result<()>;
}

impl Host for Desk {
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.account.grow(current, desired, maximum)?)
    }

    fn check_time(&mut self) -> wasmtime::Result<()> {
        Ok(self.account.check_time()?)
    }
}

/// An answer that the guest may hear fail.
pub(crate) type Heard<T> = Result<T, Failure>;

/// Declares the imports.
macro_rules! imports {
    ($(fn $name:ident/$case:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {
        /// The imports of the contract, by the numbers under which a guest holds things.
        pub(crate) trait Imports {
            $(fn $name(&mut self $(, $argument: $kind)*) -> Result<$answer, StageFault>;)+
        }

        impl Imports for Desk {
            $(fn $name(&mut self $(, $argument: $kind)*) -> Result<$answer, StageFault> {
                Desk::$name(self $(, $argument)*)
            })+
        }

        /// A call of an import.
        #[derive(Debug, Serialize, Deserialize)]
        pub(crate) enum Ask {
            $($case { $($argument: $kind),* }),+
        }

        impl Ask {
            /// Answers at a desk, in a form that crosses.
            pub(crate) fn answer(self, desk: &mut Desk) -> Result<Packed, StageFault> {
                match self {
                    $(Self::$case { $($argument),* } => {
                        wire::pack(&mut Desk::$name(desk $(, $argument)*)?).map_err(StageFault::host)
                    })+
                }
            }
        }

        impl Imports for Parent {
            $(fn $name(&mut self $(, $argument: $kind)*) -> Result<$answer, StageFault> {
                self.ask(Ask::$case { $($argument),* })
            })+
        }
    };
}

imports! {
    fn table_fields/TableFields(table: Handle) -> Vec<Field>;
    fn table_roles/TableRoles(table: Handle) -> Vec<Role>;
    fn table_rows/TableRows(table: Handle) -> u64;
    fn select_columns/SelectColumns(table: Handle, columns: Vec<u32>) -> Heard<Handle>;
    fn read_table/ReadTable(table: Handle, start: u64, rows: u32) -> Heard<Batch>;
    fn drop_table/DropTable(table: Handle) -> ();
    fn begin_table/BeginTable(fields: Vec<Field>) -> Handle;
    fn write_rows/WriteRows(writer: Handle, rows: Batch) -> Heard<()>;
    fn finish_table/FinishTable(writer: Handle) -> Heard<Handle>;
    fn drop_table_writer/DropTableWriter(writer: Handle) -> ();
    fn blob_size/BlobSize(blob: Handle) -> u64;
    fn read_blob/ReadBlob(blob: Handle, offset: u64, length: u32) -> Heard<Vec<u8>>;
    fn drop_blob/DropBlob(blob: Handle) -> ();
    fn begin_blob/BeginBlob() -> Handle;
    fn write_blob/WriteBlob(writer: Handle, bytes: Vec<u8>) -> Heard<()>;
    fn finish_blob/FinishBlob(writer: Handle) -> Heard<Handle>;
    fn drop_blob_writer/DropBlobWriter(writer: Handle) -> ();
    fn open_source/OpenSource(source: String) -> Heard<Handle>;
    fn cursor_fields/CursorFields(cursor: Handle) -> Vec<Field>;
    fn next_rows/NextRows(cursor: Handle, rows: u32) -> Heard<Option<Batch>>;
    fn drop_cursor/DropCursor(cursor: Handle) -> ();
    fn outputs/Outputs(model: Handle) -> Vec<Output>;
    fn predict/Predict(model: Handle, rows: Batch) -> Heard<Batch>;
    fn importance/Importance(model: Handle) -> Vec<FeatureImportance>;
    fn drop_model/DropModel(model: Handle) -> ();
    fn log/Log(level: Level, message: String) -> ();
    fn progress/Progress(done: u64, total: u64) -> ();
    fn metric/Metric(name: String, value: f64, step: u64) -> ();
    fn count/Count(treatment: String, column: u32, rows: u64) -> ();
    fn add_figure/AddFigure(figure: Figure) -> Heard<()>;
}

impl Ask {
    /// The interface whose function it calls, as WIT names it.
    pub(crate) fn interface(&self) -> &'static str {
        match self {
            Self::TableFields { .. }
            | Self::TableRoles { .. }
            | Self::TableRows { .. }
            | Self::SelectColumns { .. }
            | Self::ReadTable { .. }
            | Self::DropTable { .. }
            | Self::BeginTable { .. }
            | Self::WriteRows { .. }
            | Self::FinishTable { .. }
            | Self::DropTableWriter { .. } => "tables",
            Self::BlobSize { .. }
            | Self::ReadBlob { .. }
            | Self::DropBlob { .. }
            | Self::BeginBlob { .. }
            | Self::WriteBlob { .. }
            | Self::FinishBlob { .. }
            | Self::DropBlobWriter { .. } => "blobs",
            Self::OpenSource { .. } | Self::CursorFields { .. } | Self::NextRows { .. } | Self::DropCursor { .. } => {
                "sources"
            }
            Self::Outputs { .. } | Self::Predict { .. } | Self::Importance { .. } | Self::DropModel { .. } => "models",
            Self::Log { .. }
            | Self::Progress { .. }
            | Self::Metric { .. }
            | Self::Count { .. }
            | Self::AddFigure { .. } => "tracking",
        }
    }

    /// Whether it tells something, and nobody waits for the answer, which is `()`.
    pub(crate) fn is_told(&self) -> bool {
        matches!(
            self,
            Self::DropTable { .. }
                | Self::DropTableWriter { .. }
                | Self::DropBlob { .. }
                | Self::DropBlobWriter { .. }
                | Self::DropCursor { .. }
                | Self::DropModel { .. }
                | Self::Log { .. }
                | Self::Progress { .. }
                | Self::Metric { .. }
                | Self::Count { .. }
        )
    }
}

impl Heavy for Ask {
    fn heavy(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::WriteRows { rows, .. } | Self::Predict { rows, .. } => Some(&mut rows.bytes),
            Self::WriteBlob { bytes, .. } => Some(bytes),
            _ => None,
        }
    }
}
