//! A guest's imports as values, so that a stage process can send them to its parent.
//!
//! One list declares all imports. The macro `imports!` derives from it the trait that an instance
//! calls ([`ImportFunctions`]), the value that crosses to the parent ([`ImportCall`]), and the
//! dispatch of such a value to a [`StageHost`].

use serde::{Deserialize, Serialize};
use stagewright_lifecycle::fault::StageFault;

use crate::bindings::GuestResult;
use crate::bindings::stagewright::stage::models::FeatureImportance;
use crate::bindings::stagewright::stage::tracking::{Figure, Level};
use crate::bindings::stagewright::stage::types::{Batch, Field, Output, Role};
use crate::process::message::{self, Message, Payload};
use crate::process::remote_host::RemoteHost;
use crate::resource_types::Handle;
use crate::stage_host::StageHost;

/// The host that answers an instance: a [`StageHost`] in this process, or a [`RemoteHost`], which
/// forwards to the parent process.
pub(crate) trait Host: ImportFunctions + Send + 'static {
    /// Charges growth of the guest's linear memories. Returns `false` if the memory cannot grow.
    ///
    /// # Errors
    /// The growth exceeds the stage's memory limit.
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool>;

    /// Checks whether the instance may continue. Compiled code calls this at epoch checks.
    ///
    /// # Errors
    /// A time limit is exceeded, or the run is cancelled.
    fn check_time(&mut self) -> wasmtime::Result<()>;
}

impl Host for StageHost {
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.account.grow(current, desired, maximum)?)
    }

    fn check_time(&mut self) -> wasmtime::Result<()> {
        Ok(self.account.check_time()?)
    }
}

impl Host for RemoteHost {
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow_memory(current, desired, maximum)?)
    }

    /// Always succeeds: the parent and the jail's watchdog check the time, and code for stage
    /// processes is compiled without epoch checks.
    fn check_time(&mut self) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// Declares the imports.
macro_rules! imports {
    ($(fn $name:ident/$case:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {
        /// The imports of the contract, with handles for resources.
        pub(crate) trait ImportFunctions {
            $(fn $name(&mut self $(, $argument: $kind)*) -> Result<$answer, StageFault>;)+
        }

        impl ImportFunctions for StageHost {
            $(fn $name(&mut self $(, $argument: $kind)*) -> Result<$answer, StageFault> {
                StageHost::$name(self $(, $argument)*)
            })+
        }

        impl ImportFunctions for RemoteHost {
            $(fn $name(&mut self $(, $argument: $kind)*) -> Result<$answer, StageFault> {
                let mut call = ImportCall::$case { $($argument),* };
                if self.is_forgetful() && let Some(answer) = call.forgotten()? {
                    return RemoteHost::answered(&answer);
                }
                let is_one_way = call.is_one_way();
                self.call(&mut call, is_one_way)
            })+
        }

        /// A call of an import.
        #[derive(Debug, Serialize, Deserialize)]
        pub(crate) enum ImportCall {
            $($case { $($argument: $kind),* }),+
        }

        impl ImportCall {
            /// Calls the function of `host` and encodes its result.
            pub(crate) fn perform(self, host: &mut StageHost) -> Result<Message, StageFault> {
                match self {
                    $(Self::$case { $($argument),* } => {
                        message::encode(&mut StageHost::$name(host $(, $argument)*)?).map_err(StageFault::host)
                    })+
                }
            }
        }
    };
}

imports! {
    fn table_fields/TableFields(table: Handle) -> Vec<Field>;
    fn table_roles/TableRoles(table: Handle) -> Vec<Role>;
    fn table_rows/TableRows(table: Handle) -> u64;
    fn select_columns/SelectColumns(table: Handle, columns: Vec<u32>) -> GuestResult<Handle>;
    fn read_table/ReadTable(table: Handle, start: u64, rows: u32) -> GuestResult<Batch>;
    fn drop_table/DropTable(table: Handle) -> ();
    fn begin_table/BeginTable(fields: Vec<Field>) -> Handle;
    fn write_rows/WriteRows(writer: Handle, rows: Batch) -> GuestResult<()>;
    fn finish_table/FinishTable(writer: Handle) -> GuestResult<Handle>;
    fn drop_table_writer/DropTableWriter(writer: Handle) -> ();
    fn blob_size/BlobSize(blob: Handle) -> u64;
    fn read_blob/ReadBlob(blob: Handle, offset: u64, length: u32) -> GuestResult<Vec<u8>>;
    fn drop_blob/DropBlob(blob: Handle) -> ();
    fn begin_blob/BeginBlob() -> Handle;
    fn write_blob/WriteBlob(writer: Handle, bytes: Vec<u8>) -> GuestResult<()>;
    fn finish_blob/FinishBlob(writer: Handle) -> GuestResult<Handle>;
    fn drop_blob_writer/DropBlobWriter(writer: Handle) -> ();
    fn open_source/OpenSource(source: String) -> GuestResult<Handle>;
    fn cursor_fields/CursorFields(cursor: Handle) -> Vec<Field>;
    fn next_rows/NextRows(cursor: Handle, rows: u32) -> GuestResult<Option<Batch>>;
    fn drop_cursor/DropCursor(cursor: Handle) -> ();
    fn outputs/Outputs(model: Handle) -> Vec<Output>;
    fn predict/Predict(model: Handle, rows: Batch) -> GuestResult<Batch>;
    fn importance/Importance(model: Handle) -> Vec<FeatureImportance>;
    fn drop_model/DropModel(model: Handle) -> ();
    fn log/Log(level: Level, message: String) -> ();
    fn progress/Progress(done: u64, total: u64) -> ();
    fn metric/Metric(name: String, value: f64, step: u64) -> ();
    fn count/Count(treatment: String, column: u32, rows: u64) -> ();
    fn add_figure/AddFigure(figure: Figure) -> GuestResult<()>;
}

impl ImportCall {
    /// Returns the WIT name of the interface that the function belongs to.
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

    /// Returns whether the function returns `()` without failing, so that the guest need not wait.
    pub(crate) fn is_one_way(&self) -> bool {
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

impl ImportCall {
    /// Returns the answer to a call that a host remembers: it could change the answers to later
    /// calls, by which a request could reach another one. A resource that is dropped would be
    /// unknown, and the name of a figure would be taken. `None` for other calls, which a host
    /// answers as if each were the first.
    fn forgotten(&self) -> Result<Option<Message>, StageFault> {
        let message = match self {
            Self::AddFigure { .. } => message::encode(&mut GuestResult::<()>::Ok(())),
            Self::DropTable { .. }
            | Self::DropTableWriter { .. }
            | Self::DropBlob { .. }
            | Self::DropBlobWriter { .. }
            | Self::DropCursor { .. }
            | Self::DropModel { .. } => message::encode(&mut ()),
            _ => return Ok(None),
        };
        message.map(Some).map_err(StageFault::host)
    }
}

impl Payload for ImportCall {
    fn payload(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::WriteRows { rows, .. } | Self::Predict { rows, .. } => Some(&mut rows.bytes),
            Self::WriteBlob { bytes, .. } => Some(bytes),
            _ => None,
        }
    }
}
