//! `data`: versions of tables and of folders of files.

mod add;
mod diff;
mod show;
mod size;
mod transfer;

use stagewright_data_versions::export;
use stagewright_store::{DataReference, DataRequirement, Home};

use crate::arguments::DataCommand;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::output::print_json;
use crate::usage_error::UsageError;

/// Executes a `data` command.
pub(crate) fn data(location: &HomeLocation, command: &DataCommand) -> anyhow::Result<ExitCode> {
    match command {
        DataCommand::Add(arguments) => add::add(location, arguments)?,
        DataCommand::List { name, json } => show::list(&location.existing()?, name.as_deref(), json.json)?,
        DataCommand::Show { data, json } => show::show(&location.existing()?, data, json.json)?,
        DataCommand::Diff(arguments) => diff::diff(&location.existing()?, arguments)?,
        DataCommand::Export { data, output, json } => {
            let home = location.existing()?;
            let record = home.registry.data_version(data)?;
            let written = export::write(&home, &record, output)?;
            if json.json {
                print_json(&serde_json::json!({ "data": record.reference().to_string(), "path": written }))?;
            } else {
                println!("wrote {} as {}", record.reference(), written.display());
            }
        }
        DataCommand::Push(arguments) => transfer::push(&location.existing()?, arguments)?,
        // An empty machine has no home.
        DataCommand::Pull(arguments) => transfer::pull(&location.open()?, arguments)?,
        DataCommand::Remove { data } => remove(&location.existing()?, data)?,
    }
    Ok(ExitCode::Done)
}

fn remove(home: &Home, data: &DataReference) -> anyhow::Result<()> {
    let DataRequirement::Exact(version) = data.requirement else {
        return Err(UsageError::error(
            ErrorCode::Argument,
            format!("`{data}` may be more than one version"),
            format!("name one: `stagewright data list {}` shows those that there are", data.name),
        ));
    };
    home.registry.remove_data_version(&data.name, version)?;
    println!("removed {data}; its bytes stay until `stagewright gc`");
    Ok(())
}
