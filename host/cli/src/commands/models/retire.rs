//! `models retire`: takes the champion out of production without a successor.

use stagewright_promotion::promote::withdraw;
use stagewright_store::Home;

use crate::arguments::{DestinationArguments, RetireArguments};
use crate::exit_code::ExitCode;
use crate::output::print_json;
use crate::production;

/// Retires a model: in the registry first, then at every destination that its champion was promoted
/// to. A second call does what the first left undone.
pub(super) fn retire(home: &Home, arguments: &RetireArguments) -> anyhow::Result<ExitCode> {
    let RetireArguments { model, reason, endpoint, region, path_style, json } = arguments;
    let champion = home.registry.model(model)?.champion;
    let removals = home.registry.retire_model(model, reason)?;
    if let (Some(champion), false) = (champion, json.json) {
        println!("version {champion} of `{model}` is archived; the model has no champion now");
    }
    for removal in &removals {
        let place = DestinationArguments {
            destination: Some(removal.destination.clone()),
            endpoint: endpoint.clone(),
            region: region.clone(),
            path_style: *path_style,
        };
        let destination = production::of_command(home, None, &place)?;
        withdraw(home, &destination, removal)?;
        if !json.json {
            println!("{} does not point to it any more", destination.uri());
        }
    }
    if json.json {
        let destinations: Vec<&str> = removals.iter().map(|removal| removal.destination.as_str()).collect();
        print_json(&serde_json::json!({ "model": model, "retired": champion, "destinations": destinations }))?;
    }
    Ok(ExitCode::Done)
}
