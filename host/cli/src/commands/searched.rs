//! `runs search`, `models search`: MLflow's grammar on the command line.

use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{Home, Page, StoreError, ViewType};

use crate::arguments::SearchArguments;
use crate::commands::{models, print_json, runs as listed};
use crate::ending::Ending;
use crate::location::Location;

/// Finds runs.
pub(crate) fn runs(location: &Location, experiments: &[String], search: &SearchArguments) -> anyhow::Result<Ending> {
    let (filter, order) = parsed(Entity::Runs, search)?;
    let experiments = (!experiments.is_empty()).then_some(experiments);
    let registry = location.existing()?.registry;
    for name in experiments.into_iter().flatten() {
        if registry.experiment(name)?.is_none() {
            return Err(StoreError::NoExperiment { name: name.clone() }.into());
        }
    }
    let runs = registry.search_runs(experiments, &filter, &order, ViewType::Active, page(search))?;
    if search.json.json {
        print_json(&runs)?;
    } else {
        println!("{}", listed::table_of(&runs));
    }
    Ok(Ending::Done)
}

/// Finds versions of models.
pub(crate) fn versions(home: &Home, search: &SearchArguments) -> anyhow::Result<Ending> {
    let (filter, order) = parsed(Entity::ModelVersions, search)?;
    let versions = home.registry.search_versions(&filter, &order, page(search))?;
    if search.json.json {
        print_json(&versions)?;
    } else {
        println!("{}", models::table_of(&versions, true));
    }
    Ok(Ending::Done)
}

fn parsed(entity: Entity, search: &SearchArguments) -> Result<(Filter, OrderBy), StoreError> {
    Ok((Filter::parse(entity, &search.filter)?, OrderBy::parse(entity, &search.order_by)?))
}

fn page(search: &SearchArguments) -> Page {
    Page { limit: search.limit, offset: search.offset }
}
