//! The server's work on models of pipelines, for its pages and clients: that of the commands.

use std::time::Instant;

use stagewright_deployment as deployment;
use stagewright_evaluation::report::comparison::ModelComparison;
use stagewright_lifecycle::lineage::{self, Subject};
use stagewright_pages::{
    Because, ComparedRow, Comparison, ComparisonNote, Lineage, LiveMetrics, Measured, ModelCard, PipelineFault,
    Pipelines, TrustedComponent,
};
use stagewright_promotion::promote::PromoteError;
use stagewright_store::{Home, ModelVersion, StoreError, Verdict};

use super::fault::fault_of;
use super::measured::{Evaluated, interval};
use crate::arguments::DestinationArguments;
use crate::commands::models::{attest, card, decide, outcomes, promote};
use crate::commands::{compare, deploy};
use crate::home::HomeLocation;
use crate::installation;
use crate::production;
use crate::trust::ModelSignatures;

/// The pipelines' models of a home.
pub(super) struct HomePipelines {
    location: HomeLocation,
    /// To read from. A change opens the home anew, as its command does.
    home: Home,
    evaluated: Evaluated,
}

impl HomePipelines {
    pub(super) fn new(location: HomeLocation, home: Home) -> Self {
        Self { location, home, evaluated: Evaluated::default() }
    }

    /// Opens the home to change it in somebody's name.
    fn to_change(&self, why: Because<'_>) -> anyhow::Result<Home> {
        let mut home = self.location.existing()?;
        if let Some(actor) = why.actor {
            home.registry = home.registry.acting_as(actor);
        }
        Ok(home)
    }
}

/// Returns the result of a promotion. Where the version is champion and something remains, the next
/// promotion does that.
fn promoted<T>(model: &str, done: anyhow::Result<T>) -> Result<(), PipelineFault> {
    match done {
        Ok(_) => Ok(()),
        Err(error) if error.downcast_ref().is_some_and(PromoteError::is_champion) => {
            tracing::warn!("model `{model}`: {error:#}");
            Ok(())
        }
        Err(error) => Err(fault_of(&error)),
    }
}

fn told<T>(done: anyhow::Result<T>) -> Result<T, PipelineFault> {
    done.map_err(|error| fault_of(&error))
}

/// The place of a model's last promotion.
fn last_place() -> DestinationArguments {
    DestinationArguments::default()
}

impl Pipelines for HomePipelines {
    fn promote(
        &self,
        model: &str,
        version: u32,
        expected: Option<Option<u32>>,
        why: Because<'_>,
    ) -> Result<(), PipelineFault> {
        let promote = || {
            let home = self.to_change(why)?;
            let version = home.registry.version(model, version)?;
            let destination = production::to_write(&home, Some(model), &last_place())?;
            promote::promote_version(&home, &version, expected, why.reason, &destination, true)
        };
        promoted(model, promote())
    }

    fn roll_back(&self, model: &str, expected: u32, why: Because<'_>) -> Result<(), PipelineFault> {
        let roll_back = || {
            let home = self.to_change(why)?;
            let target = home.registry.rollback_target(model)?;
            if target != expected {
                return Ok(Err(PipelineFault::Refused(format!(
                    "a rollback leads to version {target} now, and not to version {expected}"
                ))));
            }
            promote::roll_back(&home, model, why.reason, &last_place(), true).map(Ok)
        };
        match roll_back() {
            Ok(Err(refused)) => Err(refused),
            Ok(Ok(done)) => promoted(model, Ok(done)),
            Err(error) => promoted::<()>(model, Err(error)),
        }
    }

    fn decide(&self, model: &str, version: u32, verdict: Verdict, why: Because<'_>) -> Result<(), PipelineFault> {
        told(self.to_change(why).and_then(|home| decide::record(&home, verdict, model, version, why.reason)).map(drop))
    }

    fn advance(&self, model: &str, number: u32, why: Because<'_>) -> Result<(), PipelineFault> {
        let advance = || {
            let home = self.to_change(why)?;
            check_active(&home, model, number)?;
            deploy::advanced(&home, model, why.reason, &last_place(), true)
        };
        promoted(model, advance())
    }

    fn abort(&self, model: &str, number: u32, why: Because<'_>) -> Result<(), PipelineFault> {
        let abort = || {
            let home = self.to_change(why)?;
            check_active(&home, model, number)?;
            Ok(deployment::abort(&home.registry, model, why.reason)?)
        };
        told(abort().map(drop))
    }

    fn measured(&self, version: &ModelVersion, until: Instant) -> Result<Measured, PipelineFault> {
        told(self.evaluated.of(&self.home, version, until))
    }

    fn card(&self, version: &ModelVersion) -> Result<ModelCard, PipelineFault> {
        let card = told(card::of(&self.home, version))?;
        let json = told(serde_json::from_str(&card.json()).map_err(Into::into))?;
        Ok(ModelCard { html: card.html(), json })
    }

    fn compared(&self, versions: &[ModelVersion]) -> Result<Comparison, PipelineFault> {
        let subjects = versions.iter().map(|version| compare::of_version(&self.home, version));
        let comparison = ModelComparison { subjects: told(subjects.collect())? };
        let mut notes = comparison.notes();
        notes.sort_by_key(|note| !note.warning);
        Ok(Comparison {
            titles: comparison.subjects.iter().map(|subject| subject.title.clone()).collect(),
            notes: notes.into_iter().map(|note| ComparisonNote { warning: note.warning, text: note.text }).collect(),
            rows: comparison
                .text_rows()
                .into_iter()
                .map(|row| ComparedRow {
                    section: row.section.name().to_owned(),
                    key: row.key,
                    values: row.values,
                    differs: row.differs,
                })
                .collect(),
        })
    }

    fn lineage(&self, model: &str, version: u32) -> Result<Lineage, PipelineFault> {
        let found = lineage::of(&self.home.registry, &Subject::Version(model.to_owned(), version));
        let found = told(found.map_err(Into::into))?;
        let found = found.ok_or_else(|| PipelineFault::Refused("nothing on record has to do with it".to_owned()))?;
        let json = told(serde_json::to_value(&found).map_err(Into::into))?;
        Ok(Lineage { tree: lineage::tree(&found), json })
    }

    fn provenance(&self, version: &ModelVersion) -> Result<serde_json::Value, PipelineFault> {
        told(attest::statement(&self.home, version))
    }

    fn components(&self, version: &ModelVersion) -> Result<Vec<TrustedComponent>, PipelineFault> {
        let components = || {
            let model = crate::commands::models::version::contents(version)?;
            let kept = ModelSignatures::of(&installation::operator()?, self.home.path())?;
            let component = |(stage, it): (&str, &stagewright_lifecycle::model::ModelComponent)| TrustedComponent {
                stage: stage.to_owned(),
                name: it.name.clone(),
                digest: it.digest.to_string(),
                is_vouched_for: kept.vouches_for(&it.name, it.digest),
            };
            let both = [("transformation", &model.transformation), ("training", &model.training)];
            anyhow::Ok(both.into_iter().map(component).collect())
        };
        told(components())
    }

    fn outcomes(&self, model: &str, since_ms: i64) -> Result<Vec<LiveMetrics>, PipelineFault> {
        let measured = told(outcomes::measured(&self.home, model, since_ms, None, None))?;
        let live = measured.into_iter().map(|group| LiveMetrics {
            version: group.version,
            arm: group.arm,
            outcomes: group.outcomes,
            joined: group.joined,
            metrics: group.metrics.iter().map(interval).collect(),
        });
        Ok(live.collect())
    }
}

/// Checks that the active deployment is the one that somebody saw.
fn check_active(home: &Home, model: &str, number: u32) -> anyhow::Result<()> {
    let active = home.registry.active_deployment(model)?;
    if active.is_some_and(|active| active.number == number) {
        return Ok(());
    }
    let gone = stagewright_store::DeploymentError::NoneActive { model: model.to_owned() };
    Err(StoreError::from(gone).into())
}
