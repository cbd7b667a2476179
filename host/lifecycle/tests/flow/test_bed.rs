//! A test bed: a home of its own for every test, a pipeline of fake stages, and runs of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagewright_lifecycle::Reuse;
use stagewright_lifecycle::sandbox::Cancel;
use stagewright_lifecycle::summary::Summary;
use stagewright_lifecycle::{Request, Run, RunError};
use stagewright_manifest::{Manifest, Overrides, StageSection, StepId, World};
use stagewright_store::{
    ArtifactKind, CHAMPION, Digest, Home, JudgedAgainst, NewVerdict, PromotionRequest, Run as RunRecord, RunId,
    StageRecord, Verdict,
};

use crate::fake::{Call, Fake, Script, component, other_code};

/// The model's name.
pub(crate) const MODEL: &str = "outcomes";

/// A pipeline whose model is the column `x`, which predicts the outcome.
const MANIFEST: &str = r#"
pipeline = "flow"
experiment = "flow"
model = "outcomes"
seed = 7

[task]
kind = "binary"
target = "outcome"
positive = "yes"

[signature.fields]
id = { type = "utf8", role = "identifier" }
x = "float64"
y = "float64"
z = "float64"
outcome = { type = "utf8", role = "target" }

[split]
method = "stratified"
test = 0.4
validation = 0.2
seed = 1

[stages]
ingestion.component = "ingest"
validation.component = "validate"
transformation.component = "transform"
training.component = "train"
evaluation.component = "evaluate"
promotion.component = "promote"

[components.ingest.parameters]
columns = ["id", "x", "y", "z", "outcome"]

[components.train.parameters]
column = "x"

[components.other-train.parameters]
column = "x"

[gates]
primary = "roc_auc"
margin = 0.01
minimum = { roc_auc = 0.6 }
"#;

/// A home in a temporary folder.
pub(crate) struct TestBed {
    _folder: tempfile::TempDir,
    pub home: Home,
}

/// The specification of a run.
#[derive(Clone)]
pub(crate) struct RunSpec {
    set: Vec<String>,
    stages: RangeInclusive<World>,
    only: Option<StepId>,
    base_run: Option<RunId>,
    workers: usize,
    script: Script,
    reuse: Reuse,
    other_codes: BTreeSet<World>,
    file: String,
    folder: PathBuf,
}

/// A run that has ended, with its record.
pub(crate) struct EndedRun {
    pub id: RunId,
    pub summary: Summary,
    pub result: Result<(), RunError>,
    pub calls: Vec<Call>,
    pub stages: Vec<StageRecord>,
    pub record: RunRecord,
}

impl RunSpec {
    /// All stages of the pipeline.
    pub(crate) fn whole() -> Self {
        Self::of(World::Ingestion..=World::Promotion)
    }

    /// Some stages of the pipeline.
    pub(crate) fn of(stages: RangeInclusive<World>) -> Self {
        Self {
            set: Vec::new(),
            stages,
            only: None,
            base_run: None,
            workers: 1,
            script: Script::default(),
            reuse: Reuse::default(),
            other_codes: BTreeSet::new(),
            file: MANIFEST.to_owned(),
            folder: PathBuf::new(),
        }
    }

    /// One stage, or one step of a world.
    pub(crate) fn only(world: World, name: &str) -> Self {
        Self { only: Some(StepId::new(name).expect("a name")), ..Self::of(world..=world) }
    }

    /// Adds a `[foreach]` section, and a table whose rows have a region.
    pub(crate) fn each(mut self, section: &str) -> Self {
        let (columns, fields) = ("\"outcome\"]\n", "outcome = { type = \"utf8\", role = \"target\" }\n");
        self.file = self.file.replacen(columns, "\"outcome\", \"region\"]\n", 1);
        let region = "region = { type = \"utf8\", role = \"identifier\", nullable = true }\n";
        self.file = self.file.replacen(fields, &format!("{fields}{region}"), 1);
        self.file.push_str(&format!("\n[foreach]\n{section}\n"));
        self
    }

    /// Replaces the six stages.
    pub(crate) fn stages(mut self, stages: &str) -> Self {
        let (start, end) = (self.file.find("[stages]"), self.file.find("[components.ingest.parameters]"));
        let (start, end) = (start.expect("stages"), end.expect("components"));
        self.file.replace_range(start..end, stages);
        self
    }

    /// Puts the manifest into this folder.
    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.folder = folder.to_owned();
        self
    }

    /// Removes the declared columns from the manifest.
    pub(crate) fn without_signature(mut self) -> Self {
        let (start, end) = (self.file.find("[signature.fields]"), self.file.find("[split]"));
        self.file.replace_range(start.expect("a signature")..end.expect("a split"), "");
        self
    }

    /// Sets the base run.
    pub(crate) fn based_on(mut self, run: &EndedRun) -> Self {
        self.base_run = Some(run.id.clone());
        self
    }

    /// Changes the manifest, as `--set` does.
    pub(crate) fn set(mut self, text: &str) -> Self {
        self.set.push(text.to_owned());
        self
    }

    /// Makes another column the model.
    pub(crate) fn column(self, name: &str) -> Self {
        self.set(&format!("training.column={name}"))
    }

    /// Sets the number of workers.
    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Sets the script of the stages. Nothing may be reused, because results do not depend on the
    /// recorded values alone.
    pub(crate) fn script(mut self, script: Script) -> Self {
        self.script = script;
        self.fresh()
    }

    /// Executes every step, whatever is recorded.
    pub(crate) fn fresh(self) -> Self {
        self.reuse(Reuse { nothing: true, ..Reuse::default() })
    }

    /// Sets the rules for reusing recorded results.
    pub(crate) fn reuse(mut self, reuse: Reuse) -> Self {
        self.reuse = reuse;
        self
    }

    /// Changes a byte of a stage's component without changing its behaviour.
    pub(crate) fn other_code(mut self, world: World) -> Self {
        self.other_codes.insert(world);
        self
    }
}

impl TestBed {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = Home::open(folder.path().join("home")).expect("a home");
        Self { _folder: folder, home }
    }

    /// Returns the request for a run, and the stages that it uses.
    pub(crate) fn request(&self, asked: RunSpec) -> (Request, Arc<Fake>) {
        let overrides = Overrides { set: asked.set, ..Overrides::default() };
        let file = asked.folder.join("flow.toml").display().to_string();
        let manifest = Manifest::parse(&file, asked.file.clone(), asked.folder, &overrides);
        let manifest = Arc::new(manifest.unwrap_or_else(|error| panic!("{}", error.render())));
        let cancel = Cancel::default();
        let fake = Arc::new(Fake::new(asked.script, cancel.clone()));
        let ready = |stage: &StageSection| {
            let mut ready = component(stage.world, stage.component.as_str());
            if asked.other_codes.contains(&stage.world) {
                ready.digest = Digest::of(&other_code(&ready.name));
            }
            Arc::new(ready)
        };
        let request = Request {
            manifest_text: asked.file,
            home: self.home.clone(),
            sandbox: fake.clone(),
            decoder: Arc::new(stagewright_data::InProcess),
            components: manifest.stages.iter().map(|stage| (stage.name.clone(), ready(stage))).collect(),
            manifest,
            observer: fake.clone(),
            workers: asked.workers,
            cancel,
            stages: asked.stages,
            only: asked.only,
            base_run: asked.base_run,
            child: None,
            changes: serde_json::Value::Null,
            code: None,
            tokens: BTreeMap::new(),
            s3: stagewright_promotion::Settings::default(),
            destination: None,
            reuse: asked.reuse,
        };
        (request, fake)
    }

    /// Runs, and reads the record.
    pub(crate) fn run(&self, asked: RunSpec) -> EndedRun {
        let (request, fake) = self.request(asked);
        let (summary, result) = Run::execute(request);
        let id: RunId = summary.run_id.parse().expect("a run's identifier");
        let stages = self.home.registry.stages(&id).expect("the record of its stages");
        let record = self.home.registry.run(id.as_str()).expect("its record");
        EndedRun { id, summary, result, calls: fake.calls(), stages, record }
    }

    /// Runs, and fails the test if the run fails.
    pub(crate) fn run_ok(&self, asked: RunSpec) -> EndedRun {
        let ended = self.run(asked);
        if let Err(error) = &ended.result {
            panic!("the run failed: {error}");
        }
        ended
    }

    pub(crate) fn champion(&self) -> Option<u32> {
        self.home.registry.alias(MODEL, CHAMPION).expect("a registry")
    }

    /// Returns the number of registered versions.
    pub(crate) fn versions(&self) -> usize {
        self.home
            .registry
            .models()
            .expect("a registry")
            .first()
            .map_or(0, |_| self.home.registry.versions(MODEL).expect("a registry").len())
    }

    /// Returns the names of published artifacts.
    pub(crate) fn published(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.home.artifacts.directory()).expect("the artifacts' folder");
        let files = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Returns the file names of a run's published artifacts, and of the components that it called.
    pub(crate) fn named(&self, ended: &EndedRun) -> BTreeSet<String> {
        let path = |(kind, digest)| self.home.artifacts.path(kind, &digest);
        let outputs = ended.stages.iter().flat_map(|stage| &stage.outputs);
        let outputs = outputs.map(|output| (output.kind, output.digest));
        let finished = ended.stages.iter().filter(|stage| stage.status == "finished");
        let paths = outputs.chain(finished.map(|stage| (ArtifactKind::Blob, stage.digest))).map(path);
        paths.map(|path| path.file_name().expect("a file").to_string_lossy().into_owned()).collect()
    }

    /// Returns the staged files.
    pub(crate) fn staged(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.home.artifacts.directory().join("staging")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    _ => files.push(entry.path()),
                }
            }
        }
        files.retain(|file| !file.to_string_lossy().ends_with("lock"));
        files
    }
}

/// Makes a version the champion by hand, whoever is the champion now.
pub(crate) fn make_champion(home: &Home, version: u32) {
    let current = home.registry.alias(MODEL, CHAMPION).expect("a registry");
    let verdict = NewVerdict::by_person(Verdict::Approved, JudgedAgainst::from(current), "somebody wants it");
    home.registry.record_verdict(&home.artifacts, MODEL, version, &verdict).expect("a version that is not champion");
    let request = PromotionRequest {
        destination: String::new(),
        expected: Some(current),
        reason: "somebody wants it".to_owned(),
    };
    home.registry.promote(MODEL, version, &request).expect("an approved version");
}

impl EndedRun {
    /// Returns the recorded steps in order, each with its status.
    pub(crate) fn steps(&self) -> Vec<(&str, &str)> {
        self.stages.iter().map(|stage| (stage.name.as_str(), stage.status.as_str())).collect()
    }

    /// Returns the worlds of the executed steps.
    pub(crate) fn executed(&self) -> Vec<World> {
        let executed = self.summary.stages.iter().filter(|stage| !stage.cached);
        executed.map(|stage| World::from_name(&stage.name).expect("a step")).collect()
    }

    /// Returns the bits of the run's metrics, by name.
    pub(crate) fn results(&self) -> BTreeMap<String, u64> {
        self.record.metrics.iter().map(|metric| (metric.name.clone(), metric.value.to_bits())).collect()
    }

    /// Returns the digests of the run's artifacts, by step and name.
    pub(crate) fn made(&self) -> BTreeMap<String, Digest> {
        let outputs = self.stages.iter().flat_map(|stage| stage.outputs.iter().map(move |output| (stage, output)));
        outputs.map(|(stage, output)| (format!("{}.{}", stage.name, output.name), output.digest)).collect()
    }

    /// Returns the calls in order. Repeated calls of one export count once.
    pub(crate) fn exports(&self) -> Vec<&'static str> {
        let mut exports: Vec<_> = self.calls.iter().map(|call| call.export).collect();
        exports.dedup();
        exports
    }

    /// Returns the number of calls of an export.
    pub(crate) fn count(&self, export: &str) -> usize {
        self.calls.iter().filter(|call| call.export == export).count()
    }

    /// Returns the error as text.
    pub(crate) fn error(&self) -> String {
        self.result.as_ref().err().map(ToString::to_string).unwrap_or_default()
    }

    /// Returns the name of the verdict.
    pub(crate) fn verdict(&self) -> Option<&'static str> {
        self.summary.decision.as_ref().map(|decision| decision.verdict.name())
    }
}
