//! The operator's file: bounds for all pipelines on a machine.
//!
//! Owns the ceilings of limits, limits that only the operator sets, the servers that manifests may
//! grant, the keys that components must be signed with, and the hooks that are told of new
//! champions. A limit that a manifest sets above its ceiling is an error of the manifest; a default
//! above it is lowered. Without the file, the general bounds of manifests hold (docs/operator.md).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::bucket_grant::BucketGrant;
use crate::ceilings::Ceilings;
use crate::document::{self, Origin};
use crate::hooks::HookSection;
use crate::http_grant::HttpGrant;
use crate::limits::Limits;
use crate::manifest::{MAX_WORKERS, Manifest};
use crate::overrides::Overrides;
use crate::presence::is_there;
use crate::problem::{Collector, Condition, ManifestError, Source};
use crate::reader::{Context, Item, Section};
use crate::source::{SourceLocation, TOKEN_PREFIX};
use crate::trust::TrustSection;
use crate::units::{bytes_text, duration_text};
use crate::walls::WallPolicy;
use crate::world::World;

/// The path of the machine's file.
pub const OPERATOR_FILE: &str = "/etc/stagewright/operator.toml";

const MIB: u64 = 1 << 20;

/// The largest file, as for a manifest.
const MAX_BYTES: u64 = 16 * MIB;

/// The operator's settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Operator {
    /// The file that they come from, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Upper bounds on the limits of stages, by world.
    #[serde(skip)]
    pub ceilings: Ceilings,
    /// The limits of every instance.
    pub instances: InstanceLimits,
    /// The budget that all runs of a process share.
    #[serde(skip_serializing_if = "MachineLimits::is_default")]
    pub machine: MachineLimits,
    /// The limits of compiling components.
    pub compilation: CompilationLimits,
    /// The servers that manifests may grant; `None` for any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Vec<HttpGrant>>,
    /// The buckets, or places in them, that manifests may grant; `None` for any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<Vec<BucketGrant>>,
    /// Environment variables whose values manifests may send as tokens, besides those that begin
    /// with [`TOKEN_PREFIX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_env: Vec<String>,
    /// The walls that must stand around every stage. `None` requires all of them where the system
    /// supports them, and the sandbox alone elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub walls: Option<WallPolicy>,
    /// Whose components may run, whatever manifests say.
    #[serde(skip_serializing_if = "TrustSection::is_default")]
    pub trust: TrustSection,
    /// Who is told of changes of champions. No file of a project names one.
    #[serde(skip)]
    pub hooks: Vec<HookSection>,
}

/// The limits of one instance of a component. A manifest cannot change them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct InstanceLimits {
    /// Handles at once: tables, blobs, cursors, pollables.
    pub handles: u64,
    /// Elements of all of its Wasm tables.
    pub table_elements: u64,
    /// Core instances, memories and Wasm tables, each.
    pub instances: u64,
    /// Rows of a data table. The host keeps some bytes for each.
    pub rows: u64,
    /// Bytes of stack. The value holds for the whole process, because it is compiled into the
    /// engine.
    pub stack: u64,
}

impl Default for InstanceLimits {
    fn default() -> Self {
        // A Python runtime needs about 20 instances and 20,000 elements. 1 MiB of stack is what
        // native threads of small services get.
        Self { handles: 10_000, table_elements: 100_000, instances: 100, rows: 1 << 28, stack: MIB }
    }
}

/// The budget that all runs of a process share. `None` stands for what the machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MachineLimits {
    /// Threads that work at once, which is also the most workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permits: Option<u64>,
    /// Bytes of memory of all guests. Above it, no further thread starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

impl MachineLimits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The limits of compiling one component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CompilationLimits {
    /// Bytes of memory of the compiling process.
    pub memory: u64,
    /// Wall-clock time.
    pub wall: Duration,
    /// Bytes of the component.
    pub size: u64,
}

impl Default for CompilationLimits {
    fn default() -> Self {
        // A component with polars in it (32 MiB) takes 16 s and 1.5 GiB on two cores.
        Self { memory: 4 << 30, wall: Duration::from_secs(300), size: 256 * MIB }
    }
}

impl Operator {
    /// Reads the settings of this machine: [`OPERATOR_FILE`] if it exists, else `file`, else the
    /// defaults. The machine's file wins, so that no user's environment loosens it.
    ///
    /// # Errors
    /// [`ManifestError`] with everything that is wrong in the file.
    pub fn find(file: Option<&Path>) -> Result<Self, ManifestError> {
        Self::find_at(Path::new(OPERATOR_FILE), file)
    }

    /// Reads the settings, with the machine's file at `machine`. If it is unknown whether that file
    /// exists, this is an error: it must not count as absent.
    fn find_at(machine: &Path, file: Option<&Path>) -> Result<Self, ManifestError> {
        let exists = is_there(machine).map_err(|error| {
            let message = format!("cannot tell whether the operator's file is there: {error}");
            let hint = "let every user search its folder and read it (chmod a+rX), or remove it";
            ManifestError::unreadable(machine.display().to_string(), message, hint)
        })?;
        match (exists, file) {
            (true, _) => Self::load(machine),
            (false, Some(file)) => Self::load(file),
            (false, None) => Ok(Self::default()),
        }
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// As for [`Operator::find`].
    pub fn load(path: &Path) -> Result<Self, ManifestError> {
        let file = path.display().to_string();
        let text = stagewright_store::read_regular_text(path, MAX_BYTES).map_err(|error| {
            let hint = "give the path of an operator's file, or remove the setting that names it";
            ManifestError::unreadable(file.clone(), format!("cannot read the file: {error}"), hint)
        })?;
        let operator = Self::parse(&file, text)?;
        Ok(Self { file: Some(path.to_owned()), ..operator })
    }

    /// Parses and checks a text. `file` is its name in errors.
    ///
    /// # Errors
    /// As for [`Operator::find`].
    pub fn parse(file: &str, text: String) -> Result<Self, ManifestError> {
        let source = Arc::new(Source::new(file.to_owned(), text));
        let collector = Collector::new(Arc::clone(&source));
        match document::parse(&source.text) {
            Ok(root) => {
                let directory = Path::new(file).parent().map_or_else(PathBuf::new, Path::to_owned);
                let context = Context { collector: &collector, directory };
                let operator = read(Section::root(&context, &root));
                if collector.is_empty() {
                    Ok(operator)
                } else {
                    Err(ManifestError::new(&source, collector.into_problems()))
                }
            }
            Err(faults) => {
                for fault in faults {
                    collector.report_as(Condition::Syntax, &Origin::File(fault.span), "", fault.message, None);
                }
                Err(ManifestError::new(&source, collector.into_problems()))
            }
        }
    }
}

fn read(file: Section<'_>) -> Operator {
    let mut operator = Operator::default();
    if let Some(section) = file.section("ceilings") {
        let all = Limits::greatest().read_keys(&section);
        operator.ceilings = Ceilings::all(all);
        for world in World::all() {
            if let Some(own) = section.section(world.as_str()) {
                operator.ceilings.set(world, all.read_keys(&own));
                own.finish();
            }
        }
        section.finish();
    }
    if let Some(section) = file.section("instances") {
        let InstanceLimits { handles, table_elements, instances, rows, stack } = &mut operator.instances;
        set(handles, section.get("handles").and_then(|item| item.integer(100, 1_000_000)));
        set(table_elements, section.get("table-elements").and_then(|item| item.integer(1000, 10_000_000)));
        set(instances, section.get("instances").and_then(|item| item.integer(1, 1000)));
        set(rows, section.get("rows").and_then(|item| item.integer(1000, 1 << 40)));
        set(stack, section.get("stack").and_then(|item| size(&item, 64 << 10, 64 * MIB)));
        section.finish();
    }
    if let Some(section) = file.section("machine") {
        operator.machine = MachineLimits {
            permits: section.get("permits").and_then(|item| item.integer(1, MAX_WORKERS)),
            memory: section.get("memory").and_then(|item| size(&item, 64 * MIB, 1 << 50)),
        };
        section.finish();
    }
    if let Some(section) = file.section("compilation") {
        let CompilationLimits { memory, wall, size: bytes } = &mut operator.compilation;
        set(memory, section.get("memory").and_then(|item| size(&item, 64 * MIB, 1 << 40)));
        set(wall, section.get("wall").and_then(|item| item.duration()));
        set(bytes, section.get("size").and_then(|item| size(&item, 64 << 10, 4 << 30)));
        section.finish();
    }
    if let Some(section) = file.section("http") {
        operator.http = section.get("hosts").and_then(|item| HttpGrant::read_all(&item));
        let names = section.get("token-env").and_then(|item| item.array());
        operator.token_env = names.iter().flatten().filter_map(|item| Some(item.text()?.to_owned())).collect();
        section.finish();
    }
    if let Some(section) = file.section("s3") {
        operator.s3 = section.get("buckets").and_then(|item| BucketGrant::read_all(&item));
        section.finish();
    }
    operator.walls = file.get("walls").and_then(|item| item.choice(&WallPolicy::ALL));
    if let Some(section) = file.section("trust") {
        operator.trust = TrustSection::read(section);
    }
    if let Some(section) = file.section("hooks") {
        operator.hooks = HookSection::read_all(&section);
    }
    file.finish();
    operator
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

fn size(item: &Item<'_>, least: u64, greatest: u64) -> Option<u64> {
    let bytes = item.bytes()?;
    if (least..=greatest).contains(&bytes) {
        return Some(bytes);
    }
    let hint = format!("choose from `{}` to `{}`", bytes_text(least), bytes_text(greatest));
    item.report_value(format!("`{}` is out of range: `{}`", item.key, bytes_text(bytes)), Some(hint));
    None
}

/// Returns the limits above their ceilings: the key, the value and the ceiling.
fn over(asked: &Limits, ceiling: &Limits) -> [Option<(&'static str, String, String)>; 5] {
    let bytes =
        |key, asked: u64, allowed: u64| (asked > allowed).then(|| (key, bytes_text(asked), bytes_text(allowed)));
    let time = |key, asked: Duration, allowed: Duration| {
        (asked > allowed).then(|| (key, duration_text(asked), duration_text(allowed)))
    };
    [
        bytes("memory", asked.memory, ceiling.memory),
        time("cpu", asked.cpu, ceiling.cpu),
        time("wall", asked.wall, ceiling.wall),
        bytes("output", asked.output, ceiling.output),
        bytes("log", asked.log, ceiling.log),
    ]
}

impl Operator {
    /// Returns the limits of a registered model's stages: those that it was trained under, changed
    /// by `--set` (`training.limits.memory=4 GiB`) and lowered to their ceilings.
    ///
    /// # Errors
    /// [`ManifestError`] with every argument that is no limit of these stages, and every one above
    /// its ceiling.
    pub fn limits_of_model<const N: usize>(
        &self,
        recorded: [(World, Limits); N],
        set: &[String],
    ) -> Result<[(World, Limits); N], ManifestError> {
        let source = Arc::new(Source::new("--set".to_owned(), String::new()));
        let collector = Collector::new(Arc::clone(&source));
        let mut root = document::Table::default();
        Overrides { set: set.to_vec(), ..Overrides::default() }.apply(&mut root, &collector);
        let context = Context { collector: &collector, directory: PathBuf::new() };
        let arguments = Section::root(&context, &root);
        let stages = arguments.section("stages");
        let limits = recorded.map(|(world, recorded)| {
            let ceiling = self.ceilings.of(world);
            let allowed = recorded.at_most(ceiling);
            let Some(stage) = stages.as_ref().and_then(|stages| stages.section(world.as_str())) else {
                return (world, allowed);
            };
            let Some(section) = stage.section("limits") else {
                stage.finish();
                return (world, allowed);
            };
            let asked = allowed.read_keys(&section);
            for (key, asked, allowed) in over(&asked, ceiling).into_iter().flatten() {
                let message = format!("`{key}` is above the operator's ceiling: `{asked}`");
                let whose = self.file.as_ref().map_or("the operator's file".into(), |file| file.display().to_string());
                let hint = format!("choose at most `{allowed}`, or have the ceiling raised in {whose}");
                let entry = root.at(&["stages", world.as_str(), "limits", key]);
                let origin = entry.map_or(Origin::File(0..0), |entry| entry.node.origin.clone());
                collector.report_as(
                    Condition::OperatorBound,
                    &origin,
                    &format!("stages.{world}.limits.{key}"),
                    message,
                    Some(hint),
                );
            }
            section.finish();
            stage.finish();
            (world, asked)
        });
        if let Some(stages) = stages {
            stages.finish();
        }
        arguments.finish_with(|_| Some("a model has limits: `--set training.limits.memory=4GiB`".to_owned()));
        if collector.is_empty() { Ok(limits) } else { Err(ManifestError::new(&source, collector.into_problems())) }
    }
}

impl Manifest {
    /// Returns the pipeline within the operator's bounds: defaults are lowered to their ceilings.
    ///
    /// # Errors
    /// [`ManifestError`] with every limit that is set above its ceiling, and every grant that the
    /// operator does not allow.
    pub fn within(mut self, operator: &Operator) -> Result<Self, ManifestError> {
        let collector = Collector::new(Arc::clone(&self.source));
        let whose =
            operator.file.as_ref().map_or_else(|| "the operator's file".to_owned(), |file| file.display().to_string());
        for stage in &mut self.stages {
            let world = stage.world;
            let ceiling = operator.ceilings.of(world);
            let asked = stage.limits;
            let over = over(&asked, ceiling);
            stage.limits = asked.at_most(ceiling);
            for (key, asked, allowed) in over.into_iter().flatten() {
                if let Some(entry) = self.root.at(&["stages", stage.name.as_str(), "limits", key]) {
                    let message = format!("`{key}` is above the operator's ceiling: `{asked}`");
                    let hint = format!("choose at most `{allowed}`, or have the ceiling raised in {whose}");
                    let path = format!("stages.{}.limits.{key}", stage.name);
                    collector.report_as(Condition::OperatorBound, &entry.node.origin, &path, message, Some(hint));
                }
            }
        }
        for stage in &self.stages {
            for (key, grants) in [("http", &stage.http), ("postgres", &stage.postgres)] {
                let entry = self.root.at(&["stages", stage.name.as_str(), key]);
                let (Some(allowed), Some(entry)) = (&operator.http, entry) else { continue };
                for grant in grants.iter().filter(|grant| !allowed.contains(grant)) {
                    let message = format!("the operator does not allow `{grant}`");
                    let hint = format!("have it added to `hosts` under [http] in {whose}");
                    let key = format!("stages.{}.{key}", stage.name);
                    collector.report_as(Condition::OperatorBound, &entry.node.origin, &key, message, Some(hint));
                }
            }
        }
        self.check_buckets(operator, &whose, &collector);
        self.check_tokens(operator, &whose, &collector);
        self.check_workers(operator, &whose, &collector);
        if !collector.is_empty() {
            return Err(ManifestError::new(&self.source, collector.into_problems()));
        }
        for child in &mut self.children {
            child.manifest = Arc::new(Self::clone(&child.manifest).within(operator)?);
        }
        Ok(self)
    }

    fn check_buckets(&self, operator: &Operator, whose: &str, collector: &Collector) {
        for stage in &self.stages {
            let entry = self.root.at(&["stages", stage.name.as_str(), "s3"]);
            let (Some(allowed), Some(entry)) = (&operator.s3, entry) else { continue };
            for grant in stage.s3.iter().filter(|grant| !allowed.iter().any(|allowed| allowed.covers(grant))) {
                let message = format!("the operator does not allow `{grant}`");
                let hint = format!("have it added to `buckets` under [s3] in {whose}");
                let key = format!("stages.{}.s3", stage.name);
                collector.report_as(Condition::OperatorBound, &entry.node.origin, &key, message, Some(hint));
            }
        }
    }

    fn check_workers(&self, operator: &Operator, whose: &str, collector: &Collector) {
        let (Some(asked), Some(most)) = (self.workers, operator.machine.permits) else { return };
        if asked.get() as u64 > most {
            let message = format!("`workers` is above the operator's `permits`: `{asked}`");
            let hint = format!("choose at most `{most}`, or have `permits` under [machine] raised in {whose}");
            let origin = self.root.at(&["workers"]).map(|entry| &entry.node.origin);
            collector.report_as(
                Condition::OperatorBound,
                origin.unwrap_or(&Origin::File(0..0)),
                "workers",
                message,
                Some(hint),
            );
        }
    }

    /// Refuses variables that are not meant as tokens. The author of a manifest chooses the server
    /// too, and could otherwise have any variable sent there.
    fn check_tokens(&self, operator: &Operator, whose: &str, collector: &Collector) {
        for (source, name) in self.token_variables() {
            if name.starts_with(TOKEN_PREFIX) || operator.token_env.iter().any(|listed| listed == name) {
                continue;
            }
            let is_of_postgres = matches!(self.sources[source].location, SourceLocation::Postgres(_));
            let key = if is_of_postgres { "password-env" } else { "token-env" };
            let path = format!("sources.{source}.{key}");
            let message = format!("`{name}` is not a variable that a manifest may have sent to a server");
            let hint =
                format!("call it `{TOKEN_PREFIX}...`, or have `{name}` added to `token-env` under [http] in {whose}");
            let origin = self.root.at(&["sources", source.as_str(), key]).map(|entry| &entry.node.origin);
            collector.report_as(
                Condition::OperatorBound,
                origin.unwrap_or(&Origin::File(0..0)),
                &path,
                message,
                Some(hint),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_limits_are_those_that_it_was_made_under_below_the_ceilings() {
        const MIB: u64 = super::MIB;
        let own = |world: World| Limits { memory: 300 * MIB, cpu: Duration::from_secs(20), ..world.default_limits() };
        let recorded = [World::Transformation, World::Training].map(|world| (world, own(world)));
        let operator = Operator::parse("operator.toml", "[ceilings.training]\nmemory = \"256 MiB\"\n".into());
        let operator = operator.expect("a file");
        let limits = |set: &[&str]| {
            let set: Vec<String> = set.iter().map(|text| (*text).to_owned()).collect();
            operator.limits_of_model(recorded, &set).map_err(|error| error.render())
        };
        let found = limits(&[]).expect("nothing is set");
        assert_eq!(found[0], (World::Transformation, own(World::Transformation)));
        assert_eq!(found[1], (World::Training, Limits { memory: 256 * MIB, ..own(World::Training) }));
        let set = ["transformation.limits.memory=1 GiB", "training.limits.cpu=90 s", "training.limits.memory=200 MiB"];
        let found = limits(&set).expect("these are limits");
        assert_eq!((found[0].1.memory, found[0].1.cpu), (1024 * MIB, Duration::from_secs(20)));
        assert_eq!((found[1].1.memory, found[1].1.cpu), (200 * MIB, Duration::from_secs(90)));
        for (set, told) in [
            ("training.limits.memory=1 GiB", "choose at most `256 MiB`"),
            ("training.limits.memory=tiny", "limits.memory"),
            ("training.limits.memry=1 GiB", "did you mean `memory`?"),
            ("evaluation.limits.memory=1 GiB", "unknown key `evaluation`"),
            ("training.component=mine", "unknown key `component`"),
            ("gates.margin=0.1", "a model has limits"),
            ("training.depth=3", "stage `training` has no component"),
        ] {
            let error = limits(&[set]).expect_err(set);
            assert!(error.contains(told), "{set}: {error}");
        }
    }

    // invariant: An operator's file, lock file or registry that cannot be examined is an error and
    // not treated as absent.
    #[test]
    fn an_operators_file_that_cannot_be_looked_at_is_an_error_and_not_absent() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("own.toml"), "[ceilings]\nmemory = \"1 GiB\"\n").expect("a file");
        let own = path("own.toml");
        // A symbolic link to itself, which not even root can follow, and a dangling link.
        std::os::unix::fs::symlink(path("loop"), path("loop")).expect("a link");
        std::os::unix::fs::symlink(path("gone"), path("link.toml")).expect("a link");
        for hidden in ["loop/operator.toml", "link.toml", "own.toml/operator.toml"] {
            for file in [None, Some(own.as_path())] {
                let told = Operator::find_at(&path(hidden), file).expect_err("it may say anything").render();
                assert!(told.contains(hidden) && told.contains("hint"), "{told}");
            }
        }
        let absent = path("absent/operator.toml");
        assert_eq!(Operator::find_at(&absent, None).expect("there is none"), Operator::default());
        assert_eq!(Operator::find_at(&absent, Some(&own)).expect("a file").file, Some(own.clone()));
        std::fs::write(path("machine.toml"), "").expect("a file");
        let machine = Operator::find_at(&path("machine.toml"), Some(&own)).expect("a file");
        assert_eq!(machine.file, Some(path("machine.toml")), "the machine's file wins");
    }
}
