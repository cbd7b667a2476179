//! The world `preparation`: makes one table of several, between ingestion and validation.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
use crate::bindings::exports::stagewright::stage::prepare::Guest;
use crate::bindings::stagewright::stage::{tables, types};
use crate::table::HostTable;
use crate::{ANY_TASK, Described, Failure, FinishedTable, Settings, Table, TaskKind};

/// The tables that the manifest passes to a stage, by the names that it gives them.
pub struct Inputs(Vec<(String, Box<dyn Table>)>);

impl Inputs {
    /// Creates inputs for native tests. In a component, the host provides them.
    pub fn new(tables: impl IntoIterator<Item = (String, Box<dyn Table>)>) -> Self {
        Self(tables.into_iter().collect())
    }

    /// Wraps the tables that the host passes.
    pub(super) fn of_host(tables: Vec<(String, tables::Table)>) -> Self {
        let own = |(name, table): (String, tables::Table)| -> (String, Box<dyn Table>) {
            (name, Box::new(HostTable::new(table)))
        };
        Self::new(tables.into_iter().map(own))
    }

    /// Returns the table of this name.
    ///
    /// # Errors
    /// `parameter` if the manifest passes no table of this name.
    pub fn named(&self, name: &str) -> Result<&dyn Table, Failure> {
        self.iter().find(|(found, _)| *found == name).map(|(_, table)| table).ok_or_else(|| {
            let names: Vec<&str> = self.iter().map(|(name, _)| name).collect();
            let message = format!("no table is handed over as `{name}`, but as `{}`", names.join("`, `"));
            Failure::parameter("inputs", message)
        })
    }

    /// Returns all tables with their names, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &dyn Table)> {
        self.0.iter().map(|(name, table)| (name.as_str(), &**table))
    }
}

/// A preparation stage.
pub trait Preparation: 'static {
    /// The stage's parameters.
    type Parameters: DeserializeOwned + JsonSchema;

    /// The tasks that the stage supports.
    const TASKS: &'static [TaskKind] = ANY_TASK;

    /// Makes one table of the input tables, which include identifiers and target.
    ///
    /// # Errors
    /// `data` if the tables do not fit together; `parameter` if the parameters or the names of the
    /// inputs do not fit the stage.
    fn prepare(inputs: &Inputs, settings: &Settings<Self::Parameters>) -> Result<FinishedTable, Failure>;
}

impl<T: Preparation + Described> Guest for Stage<T> {
    fn prepare(inputs: Vec<(String, tables::Table)>, settings: types::Settings) -> Result<tables::Table, Failure> {
        let inputs = Inputs::of_host(inputs);
        Ok(T::prepare(&inputs, &Settings::parse(&settings)?)?.into_imported())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataType, Field, MemoryTable, Role};

    #[test]
    fn a_table_is_found_by_its_name_and_a_missing_one_is_the_manifest_s_fault() {
        let table = |name: &str| -> (String, Box<dyn Table>) {
            let field = Field::required(name, DataType::Float64);
            (name.to_owned(), Box::new(MemoryTable::new([(field, Role::Feature)], Vec::new())))
        };
        let inputs = Inputs::new([table("left"), table("right")]);
        assert_eq!(inputs.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["left", "right"]);
        assert_eq!(inputs.named("right").unwrap().fields()[0].name, "right");
        let Err(Failure::Parameter(fault)) = inputs.named("middle") else { panic!("found") };
        assert_eq!(fault.parameter, "inputs");
        assert_eq!(fault.message, "no table is handed over as `middle`, but as `left`, `right`");
    }
}
