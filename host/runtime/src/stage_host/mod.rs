//! Answers the imports of an instance: tables, blobs, cursors, models and tracking.
//!
//! A [`StageHost`] does not depend on a Wasm engine. Its functions take the contract's records and
//! handles, so the guest may run in this process or in another one; each WIT interface has a file
//! of its name. No function trusts a handle or a value that comes from the guest.

mod blobs;
mod held;
mod lent_model;
mod models;
mod sources;
mod tables;
mod tracking;

use std::sync::Arc;

use stagewright_lifecycle::fault::{StageFault, guest_text};
use stagewright_lifecycle::sandbox::{Sources, StageContext, View};
use stagewright_store::Blob;

use self::held::{HeldResources, Kind, OpenTable};
pub(crate) use self::lent_model::{LentModel, PredictionSource};
use crate::account::InstanceAccount;
use crate::bindings::GuestResult;
use crate::engine::EngineOptions;
use crate::resource_types::Handle;

/// The result of an import. The inner error is returned to the guest, which may continue; the outer
/// error ends its call.
pub(crate) type HostResult<T> = Result<GuestResult<T>, StageFault>;

/// A component's fault against the contract.
pub(crate) fn contract_fault(context: &StageContext, export: &str, message: impl std::fmt::Display) -> StageFault {
    StageFault::Contract {
        stage: context.world.into(),
        component: context.component.name.clone(),
        export: export.into(),
        message: guest_text(&message.to_string()),
    }
}

/// Answers the imports of one instance.
pub(crate) struct StageHost {
    pub(crate) account: InstanceAccount,
    sources: Option<Arc<dyn Sources>>,
    held: HeldResources,
}

impl StageHost {
    pub(crate) fn new(context: Arc<StageContext>, options: EngineOptions, sources: Option<Arc<dyn Sources>>) -> Self {
        let message = "it names something that it does not hold";
        let held = HeldResources::new(contract_fault(&context, "an import", message));
        Self { account: InstanceAccount::new(context, options), sources, held }
    }

    pub(crate) fn context(&self) -> &Arc<StageContext> {
        &self.account.context
    }

    /// Adds a resource for the guest, up to the operator's limit on handles.
    fn insert(&mut self, resource: impl Kind) -> Result<Handle, StageFault> {
        let most = self.account.bounds.handles;
        self.held.insert(resource, most).ok_or_else(|| self.account.operator_limit("handles", most))
    }

    /// Lends a table; the guest may read what the view shows.
    pub(crate) fn lend_table(&mut self, view: View) -> Result<Handle, StageFault> {
        self.insert(OpenTable::lent(view))
    }

    /// Lends a blob.
    pub(crate) fn lend_blob(&mut self, blob: Blob) -> Result<Handle, StageFault> {
        self.insert(blob)
    }

    /// Lends a model.
    pub(crate) fn lend_model(&mut self, model: LentModel) -> Result<Handle, StageFault> {
        self.insert(model)
    }

    /// Removes a table that the guest returned.
    pub(crate) fn take_table(&mut self, table: Handle) -> Result<View, StageFault> {
        Ok(self.held.take::<OpenTable>(table)?.view)
    }

    /// Removes a blob that the guest returned.
    pub(crate) fn take_blob(&mut self, blob: Handle) -> Result<Blob, StageFault> {
        self.held.take(blob)
    }
}
