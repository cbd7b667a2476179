//! A run before it runs: which of its steps would be executed, and why.
//!
//! Steps are wired as a run wires them, as far as what they read is known: what a step that has to
//! be executed makes is not known before. No component is called, no server is asked, and nothing
//! is registered.

use serde::Serialize;
use serde_json::Value;
use stagewright_manifest::{Register, SourceLocation, World};
use stagewright_store::{ArtifactKind, Digest, RunId};

use crate::bench::Bench;
use crate::cached::{self, Found};
use crate::candidate::{self, Candidate};
use crate::invocation::Invocation;
use crate::key;
use crate::made::Made;
use crate::run::{Request, Run, RunError};
use crate::{upon, wire};

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// The step.
    pub name: String,
    /// Its component.
    pub component: String,
    /// The component's digest.
    pub digest: Digest,
    /// The digest of all that can change what it makes; `null` while that is not known.
    pub key: Option<Digest>,
    /// Whether it need not be executed.
    pub cached: bool,
    /// The run that executed it, if it need not be executed again.
    pub from: Option<RunId>,
    /// Why it is executed, or why it is not.
    pub why: String,
    /// The run that `differs` compares with: the latest of the pipeline with such a step.
    pub compared_with: Option<RunId>,
    /// The parts of the key that differ from that run's.
    pub differs: Vec<Difference>,
}

/// A part of a key that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Where: `guest.parameters.depth`, `inputs.transformation.state.digest`.
    pub part: String,
    /// What it was; `null` where it was not there.
    pub before: Value,
    /// What it is; `null` where it is not there any more.
    pub now: Value,
}

/// Says of each step that a run of this request has whether it would be executed.
///
/// # Errors
/// What the run would fail with before it calls a component: artifacts of another run that do not
/// fit, a registry that cannot be read.
pub fn explain(request: Request) -> Result<Vec<Planned>, RunError> {
    // Nothing is recorded under it.
    let id = "0".repeat(32).parse()?;
    let run = Run { request, id };
    let made = upon::taken_over(&run)?;
    let mut planning =
        Planning { run: &run, made, candidate: None, anew: Vec::new(), is_champion: false, is_unnumbered: false };
    let asked: Vec<World> = World::all().filter(|world| run.request.stages.contains(world)).collect();
    asked.into_iter().map(|world| planning.step(world)).collect()
}

struct Planning<'a> {
    run: &'a Run,
    made: Made,
    /// The candidate, once training is known.
    candidate: Option<Candidate>,
    /// The steps that are executed.
    anew: Vec<World>,
    /// Whether the candidate is the champion already.
    is_champion: bool,
    /// Whether the candidate gets its number in this run.
    is_unnumbered: bool,
}

/// How a step stands before it runs.
enum Standing {
    /// It need not be executed.
    OnRecord(Invocation, Box<Found>),
    /// It is executed; its invocation, where that is known.
    Executed(Option<Invocation>, String),
    /// There is nothing to do.
    Nothing(String),
}

impl Planning<'_> {
    fn step(&mut self, world: World) -> Result<Planned, RunError> {
        let standing = self.standing(world)?;
        let component = &self.run.request.components[&world];
        let plain = Planned {
            name: world.as_str().to_owned(),
            component: component.name.clone(),
            digest: component.digest,
            key: None,
            cached: false,
            from: None,
            why: String::new(),
            compared_with: None,
            differs: Vec::new(),
        };
        Ok(match standing {
            Standing::Nothing(why) => Planned { cached: true, why, ..plain },
            Standing::OnRecord(invocation, found) => {
                let Found { run, stage } = *found;
                self.made.add(world, stage);
                self.consider(world)?;
                let why = format!("run {} did the same", short(&run));
                Planned { key: Some(invocation.key()), cached: true, from: Some(run), why, ..plain }
            }
            Standing::Executed(invocation, why) => {
                self.anew.push(world);
                let latest = self
                    .run
                    .request
                    .home
                    .registry
                    .latest_stage(self.run.request.manifest.pipeline.as_str(), world.as_str())?;
                let key = invocation.as_ref().map(Invocation::key);
                let Some((invocation, (run, stage))) = invocation.zip(latest) else {
                    return Ok(Planned { key, why, ..plain });
                };
                let differs = differs(&invocation, stage.invocation.as_ref());
                let why = match &differs[..] {
                    [] => why,
                    [first, more @ ..] => {
                        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
                        format!("{why}: `{}`{more} differs from run {}", first.part, short(&run))
                    }
                };
                Planned { key, why, compared_with: Some(run), differs, ..plain }
            }
        })
    }

    fn standing(&mut self, world: World) -> Result<Standing, RunError> {
        let request = &self.run.request;
        if self.is_champion && world > World::Training {
            return Ok(Standing::Nothing("the candidate is the champion: nothing is judged".to_owned()));
        }
        if let Some(before) = self.anew.iter().find(|before| reads(world, **before)) {
            let why = format!("it reads what `{before}` makes, which is executed: what that makes is not known yet");
            return Ok(Standing::Executed(None, why));
        }
        if self.is_unnumbered && world == World::Evaluation {
            let why = "the candidate has no number yet, which the report names";
            return Ok(Standing::Executed(None, why.to_owned()));
        }
        if world == World::Ingestion && asks_a_server(request) {
            let why = "its source is on a server: what that answers is not known before it is asked";
            return Ok(Standing::Executed(None, why.to_owned()));
        }
        let component = request.components[&world].clone();
        let mut bench = Bench::begin(world, component, request.manifest.stage(world).limits, self.run.session());
        let invocation = wire::invocation(self.run, &self.made, self.candidate.as_ref(), &mut bench)?;
        if request.reuse.refresh.contains(&world) {
            return Ok(Standing::Executed(Some(invocation), format!("`--refresh {world}`")));
        }
        if request.reuse.nothing {
            return Ok(Standing::Executed(Some(invocation), "`--no-cache`".to_owned()));
        }
        if !request.manifest.stage(world).cache {
            return Ok(Standing::Executed(Some(invocation), "`cache = false`".to_owned()));
        }
        let key = invocation.key();
        let on_record = request.home.registry.stage_of_key(&key)?;
        Ok(match cached::find(&request.home, &key)? {
            Some(found) => Standing::OnRecord(invocation, Box::new(found)),
            None if on_record.is_some() => {
                Standing::Executed(Some(invocation), "an artifact that it made is not there any more".to_owned())
            }
            None => Standing::Executed(Some(invocation), "no run did the same".to_owned()),
        })
    }

    /// Looks at the candidate once its model is known.
    fn consider(&mut self, world: World) -> Result<(), RunError> {
        if world != World::Training || *self.run.request.stages.end() < World::Evaluation {
            return Ok(());
        }
        let candidate = candidate::unregistered(self.run, &self.made)?;
        self.is_champion = self.run.request.stages.contains(&World::Promotion) && candidate.is_champion(self.run)?;
        // A report names the version, whose number is given when the candidate is registered.
        self.is_unnumbered =
            candidate.version.is_none() && self.run.request.manifest.gates.register == Register::Always;
        self.candidate = Some(candidate);
        Ok(())
    }
}

/// Whether a step reads what another one makes.
fn reads(world: World, before: World) -> bool {
    EDGES.contains(&(before, world))
}

use World::{Evaluation, Ingestion, Promotion, Training, Transformation, Validation};

/// Which step reads what another one makes. Of a validation no step does: it lets a run go on.
pub const EDGES: [(World, World); 7] = [
    (Ingestion, Validation),
    (Ingestion, Transformation),
    (Ingestion, Evaluation),
    (Transformation, Training),
    (Transformation, Evaluation),
    (Training, Evaluation),
    (Evaluation, Promotion),
];

/// Whether the source of ingestion is on a server, and not kept by its digest.
fn asks_a_server(request: &Request) -> bool {
    let Some((_, section)) = request.manifest.ingestion_source() else { return false };
    let SourceLocation::Http { sha256, .. } = &section.location else { return false };
    let digest = sha256.as_ref().and_then(|digits| Digest::from_hex(digits).ok());
    !digest.is_some_and(|digest| request.home.artifacts.contains(ArtifactKind::Blob, &digest))
}

/// The parts of the key that differ from what is on record.
fn differs(invocation: &Invocation, recorded: Option<&Value>) -> Vec<Difference> {
    // A record of another format is compared with nothing.
    let recorded = recorded.and_then(|recorded| serde_json::from_value::<Invocation>(recorded.clone()).ok());
    let Some(recorded) = recorded else { return Vec::new() };
    let (before, now) = (recorded.keyed(), invocation.keyed());
    key::differing(&before, &now)
        .into_iter()
        .map(|path| Difference { part: path.name(), before: path.of(&before), now: path.of(&now) })
        .collect()
}

fn short(run: &RunId) -> &str {
    &run.as_str()[..8]
}
