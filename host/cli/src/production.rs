//! The destination of promotions: that of the command line, else of the manifest, else of the last
//! promotion, else the home.

use std::sync::Arc;

use stagewright_manifest::ProductionSection;
use stagewright_promotion::{Destination, PromotionError, Settings};
use stagewright_store::{CHAMPION, Home, StoreError};

use crate::arguments::DestinationArguments;
use crate::environment;

/// Returns the settings that the environment and a file `.env` have for destinations.
pub(crate) fn settings() -> Settings {
    Settings::from_variables(environment::variables())
}

/// Opens the destination of a pipeline's promotions and checks that it can be written to, before
/// anything is trained.
pub(crate) fn of_manifest(home: &Home, section: &ProductionSection) -> Result<Arc<Destination>, PromotionError> {
    let ProductionSection { destination, endpoint, region, path_style } = section.clone();
    let Some(uri) = destination else { return Ok(Arc::new(in_home(home)?)) };
    let settings = Settings { endpoint, region, path_style, ..settings() };
    let destination = Destination::open(&uri, &settings)?;
    destination.check()?;
    Ok(Arc::new(destination))
}

/// Opens the destination that a command names, else that of the model's last promotion, else the
/// home.
pub(crate) fn of_command(
    home: &Home,
    model: Option<&str>,
    arguments: &DestinationArguments,
) -> anyhow::Result<Destination> {
    let uri = match (&arguments.destination, model) {
        (Some(uri), _) => Some(uri.clone()),
        (None, Some(model)) => last(home, model)?,
        (None, None) => None,
    };
    let Some(uri) = uri.filter(|uri| uri != IN_HOME) else { return Ok(in_home(home)?) };
    let DestinationArguments { endpoint, region, path_style, .. } = arguments.clone();
    let settings = Settings { endpoint, region, path_style: path_style.then_some(true), ..settings() };
    Ok(Destination::open(&uri, &settings)?)
}

/// Does what [`of_command`] does, and checks that the destination can be written to.
pub(crate) fn to_write(
    home: &Home,
    model: Option<&str>,
    arguments: &DestinationArguments,
) -> anyhow::Result<Destination> {
    let destination = of_command(home, model, arguments)?;
    if arguments.destination.is_some() || destination.uri().starts_with("s3://") {
        destination.check()?;
    }
    Ok(destination)
}

/// The name under which promotions to the home are recorded if the registry is in the home too, so
/// that both can be moved together.
const IN_HOME: &str = "home:production";

fn in_home(home: &Home) -> Result<Destination, PromotionError> {
    let folder = Destination::open(&home.production_dir().display().to_string(), &settings())?;
    Ok(if home.has_own_registry() { folder.called(IN_HOME) } else { folder })
}

/// Returns the destination of the champion's promotion; without a champion, that of the last
/// promotion.
fn last(home: &Home, model: &str) -> Result<Option<String>, StoreError> {
    let promotion = match home.registry.alias(model, CHAMPION)? {
        Some(champion) => home.registry.promotion_of(model, champion)?,
        None => home.registry.last_promotion(model)?,
    };
    Ok(promotion.map(|it| it.destination).filter(|uri| !uri.is_empty()))
}
