//! Compiled code that is ready to be instantiated.

use std::sync::Arc;

use stagewright_manifest::World;
use wasmtime::component::InstancePre;

use crate::engine::EngineOptions;
use crate::installation::StageProcess;
use crate::process::stage_parent::StageLaunch;
use crate::sealed::Sealed;
use crate::stage_host::StageHost;
use crate::store_data::StoreData;
use crate::wasi::stubs::Stubs;

/// The compiled code of a component, linked for a world.
#[derive(Clone)]
pub(crate) struct Code {
    /// For instances in this process.
    pub(crate) pre: InstancePre<StoreData<StageHost>>,
    /// For instances in stage processes.
    pub(crate) sealed: Arc<Sealed>,
    pub(crate) world: World,
    pub(crate) stubs: Stubs,
}

impl Code {
    /// Returns how to start a stage process that runs this code.
    pub(crate) fn launch<'a>(&'a self, process: &'a StageProcess, options: EngineOptions) -> StageLaunch<'a> {
        StageLaunch {
            program: &process.program,
            code: &self.sealed,
            world: self.world,
            stubs: self.stubs,
            options,
            required: process.required,
        }
    }
}
