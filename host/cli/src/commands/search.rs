//! `runs search` and `models search`: filters in MLflow's grammar.

use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{Home, Page, StoreError, ViewType};

use crate::arguments::SearchArguments;
use crate::commands::models::list::version_table;
use crate::commands::runs::list::run_table;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::output::print_json;

pub(crate) fn runs(
    location: &HomeLocation,
    experiments: &[String],
    search: &SearchArguments,
) -> anyhow::Result<ExitCode> {
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
        println!("{}", run_table(&runs));
    }
    Ok(ExitCode::Done)
}

pub(crate) fn versions(home: &Home, search: &SearchArguments) -> anyhow::Result<ExitCode> {
    let (filter, order) = parsed(Entity::ModelVersions, search)?;
    let versions = home.registry.search_versions(&filter, &order, page(search))?;
    if search.json.json {
        print_json(&versions)?;
    } else {
        println!("{}", version_table(&versions, true));
    }
    Ok(ExitCode::Done)
}

fn parsed(entity: Entity, search: &SearchArguments) -> Result<(Filter, OrderBy), StoreError> {
    Ok((Filter::parse(entity, &search.filter)?, OrderBy::parse(entity, &search.order_by)?))
}

fn page(search: &SearchArguments) -> Page {
    Page { limit: search.limit, offset: search.offset }
}
