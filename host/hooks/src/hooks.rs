//! All hooks of a machine.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use stagewright_manifest::HookSection;
use stagewright_store::{ChampionChange, Registry, StoreError};

use crate::delivery::{Delivery, Patience, Report};
use crate::secret::Variables;

/// The hooks that the operator's file names.
#[derive(Clone)]
pub struct Hooks {
    sections: Vec<HookSection>,
    variables: Arc<Variables>,
}

impl Hooks {
    /// Creates hooks. `variables` returns variables of the environment.
    pub fn new(
        sections: Vec<HookSection>,
        variables: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Self {
        Self { sections, variables: Arc::new(variables) }
    }

    /// Returns the hooks.
    pub fn sections(&self) -> &[HookSection] {
        &self.sections
    }

    /// Returns those with these names.
    #[must_use]
    pub fn named(&self, names: &[String]) -> Self {
        let sections = self.sections.iter().filter(|section| names.contains(&section.name)).cloned().collect();
        Self { sections, variables: self.variables.clone() }
    }

    /// Makes the registry know all hooks. One that it does not know yet is told of what comes after
    /// `place` of the audit; `None`: from now on. Whoever is about to promote calls this before.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Database`].
    pub fn begin(&self, registry: &Registry, place: Option<u64>) -> Result<(), StoreError> {
        let names: Vec<&str> = self.sections.iter().map(|section| section.name.as_str()).collect();
        registry.begin_hooks(&names, place)
    }

    /// Tells each hook of the changes that it was not told of yet, all hooks at once. No attempt
    /// begins after the end of `patience`, and each has the hook's timeout, so that this ends.
    pub fn deliver(&self, registry: &Registry, patience: &Patience) -> Vec<Report> {
        let deliver = |section| {
            let delivery = Delivery { section, registry, variables: &*self.variables };
            delivery.deliver(patience)
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = self.sections.iter().map(|section| scope.spawn(move || deliver(section))).collect();
            // A panic of a thread goes on here.
            let reports = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            reports.collect()
        })
    }

    /// Passes over the next change that each hook is to be told of, for good. Returns it, by the
    /// name of the hook; `None` if it was told of everything.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn skip(&self, registry: &Registry) -> Result<Vec<(String, Option<ChampionChange>)>, StoreError> {
        let skip = |section: &HookSection| {
            let delivery = Delivery { section, registry, variables: &*self.variables };
            Ok((section.name.clone(), delivery.skip()?))
        };
        self.sections.iter().map(skip).collect()
    }

    pub(crate) fn variables(&self) -> Arc<Variables> {
        self.variables.clone()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.sections.iter().map(|section| &section.name);
        f.debug_list().entries(names).finish()
    }
}
