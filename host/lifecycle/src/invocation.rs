//! A step as a value: all that decides what it makes, and what came of it.
//!
//! An [`Invocation`] names its inputs by digest and holds every figure of the manifest and of the
//! registry that the step may look at. It has no path, no secret and no live object, so two of them
//! can be compared, one can be kept, and the same one gives the same outputs wherever it is
//! [executed](crate::execute). `wire` makes them; the record of a step keeps its own.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stagewright_data::{Literal, Signature, Source, SourceUri, SplitPlan, Task, TaskKind};
use stagewright_evaluation::gates::Gates;
use stagewright_evaluation::report;
use stagewright_manifest::{Limits, NullPolicy, StepId, World};
use stagewright_store::{ArtifactKind, ArtifactRecord, Digest, LogLine, MetricRecord, Schema};

use crate::fault::StageFault;
use crate::overlap::Overlap;

/// The format of [`Invocation`] that this version writes.
pub const FORMAT: u32 = 1;

/// The host's own share of a step: how it decodes, splits, encodes, measures and reports. Whoever
/// changes what the host makes of the same inputs raises it: steps of before are executed again
/// then. `tests/flow/semantics.rs` sees to that.
pub const HOST_SEMANTICS: u32 = 1;

/// The contract that components are called by.
pub const CONTRACT: &str = "0.2.0";

/// The content of a source.
pub(crate) const SOURCE: &str = "source";
/// The roles of a preparation's inputs begin with it, before the names that the manifest gives
/// them.
pub(crate) const NAMED_INPUT: &str = "input.";
/// A split that was made elsewhere.
pub(crate) const SPLIT_FILE: &str = "split-file";
/// The champion's fitted state.
pub(crate) const CHAMPION_STATE: &str = "champion.state";
/// The champion's model.
pub(crate) const CHAMPION_MODEL: &str = "champion.model";

/// A step of a run: executed again, it gives the same outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    /// [`FORMAT`].
    pub format: u32,
    /// [`HOST_SEMANTICS`].
    pub host: u32,
    /// The place in the pipeline.
    pub step: StepId,
    /// The component that is called.
    pub guest: GuestSpec,
    /// The host's work around it.
    pub work: Work,
    /// The artifacts and files that the step may read, by role. One that is not there is not
    /// listed.
    pub inputs: Vec<InputRef>,
}

impl Invocation {
    /// Returns every component that the step calls: its own, and for an evaluation the two of each
    /// model that it measures.
    pub fn guests(&self) -> Vec<&GuestSpec> {
        let mut guests = vec![&self.guest];
        if let Work::Evaluation(work) = &self.work {
            guests.extend([&work.candidate.transformation, &work.candidate.training]);
            if let ChampionStatus::Readable(champion) = &work.champion {
                guests.extend([&champion.guests.transformation, &champion.guests.training]);
            }
        }
        guests
    }

    /// Returns the same components, to change them.
    pub(crate) fn guests_mut(&mut self) -> Vec<&mut GuestSpec> {
        let mut guests = vec![&mut self.guest];
        if let Work::Evaluation(work) = &mut self.work {
            guests.extend([&mut work.candidate.transformation, &mut work.candidate.training]);
            if let ChampionStatus::Readable(champion) = &mut work.champion {
                guests.extend([&mut champion.guests.transformation, &mut champion.guests.training]);
            }
        }
        guests
    }
}

/// A component, and all that decides how its instances answer besides what they are asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuestSpec {
    /// The world that it was admitted to.
    pub world: World,
    /// [`CONTRACT`].
    pub contract: String,
    /// The name by which faults and reasons call it.
    pub name: String,
    /// SHA-256 of its bytes.
    pub component: Digest,
    /// The always-failing parts of WASI that it may link.
    pub stubs: BTreeSet<String>,
    /// The parts of the world outside that it may have: `source:NAME`, and `http:GRANT` for the
    /// servers that the host may ask for that source.
    pub grants: BTreeSet<String>,
    /// Whether every NaN that its arithmetic makes has the same bits on every architecture.
    pub canonicalize_nans: bool,
    /// Its parameters. The defaults that its schema states are filled in.
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// The seed of its randomness.
    pub seed: u64,
    /// Where its clocks start, microseconds since the epoch.
    pub as_of: i64,
    /// The limits of the step.
    #[serde(with = "exact")]
    pub limits: Limits,
}

/// An input: what it is to the step, and its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRef {
    /// `STAGE.NAME` of an artifact of the run, `input.NAME` of one that the manifest hands over
    /// under a name; else `source`, `split-file` or `champion.NAME`.
    pub role: String,
    /// How the content is kept.
    pub kind: ArtifactKind,
    /// The content.
    pub digest: Digest,
    /// Where it comes from, for people. It changes no result.
    pub from: Origin,
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Origin {
    /// A step of this run, or of one that it works on.
    Step {
        /// The step.
        step: StepId,
    },
    /// A source of the manifest.
    Source {
        /// Its name.
        name: String,
    },
    /// A file that the manifest names.
    File,
    /// A registered version.
    Version {
        /// The model.
        model: String,
        /// Its number.
        version: u32,
    },
}

/// The host's part in a step, with everything of the manifest and the registry that it looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// Reads a source, or lets the component make data up.
    Ingestion(IngestionWork),
    /// Makes one table of several.
    Preparation(PreparationWork),
    /// Deals the rows of a table out to segments. No component is called.
    Segments(SegmentsWork),
    /// Checks the table.
    Validation,
    /// Splits rows, encodes the target, makes features.
    Transformation(TransformationWork),
    /// Learns.
    Training,
    /// Measures candidate and champion.
    Evaluation(Box<EvaluationWork>),
    /// Decides.
    Promotion {
        /// The manifest's gates.
        gates: Gates,
    },
}

/// The host's part in ingestion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IngestionWork {
    /// The source, if there is one. Its content is the input `source`.
    pub source: Option<SourceWork>,
    /// The columns that the manifest declares; `None`: they are inferred.
    pub signature: Option<Signature>,
    /// Texts that count as null where columns are inferred.
    pub null_values: Vec<String>,
    /// The name of the target; `None` if nothing is learnt from the table as it is.
    pub target: Option<String>,
}

/// The host's part in preparation. The tables are the inputs `input.NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreparationWork {
    /// The columns that the manifest declares, if it declares any and the table is learnt from.
    pub signature: Option<Signature>,
    /// The name of the target; `None` if nothing is learnt from the table as it is.
    pub target: Option<String>,
}

/// How the rows of a table are dealt out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentsWork {
    /// The column whose values are the segments.
    pub column: String,
    /// Whether rows without a value are an error, are left out, or are a segment.
    pub nulls: NullPolicy,
    /// The most segments.
    pub most: u64,
}

/// A source that ingestion may open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceWork {
    /// The name by which the component asks for it.
    pub name: String,
    /// How its content is read.
    pub reading: Reading,
}

/// How the content of a source is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "kebab-case")]
pub enum Reading {
    /// As text with separated values.
    Csv {
        /// The separator, one ASCII character.
        delimiter: u8,
        /// Whether the first line names the columns.
        header: bool,
    },
    /// As Parquet.
    Parquet,
    /// As an SQLite database of which all rows of a table are read.
    Table {
        /// The table's name.
        table: String,
    },
    /// As an SQLite database that is asked.
    Query {
        /// One `SELECT`.
        query: String,
        /// Values for its `?`, in order.
        parameters: Vec<Literal>,
    },
}

impl Reading {
    /// The source at a path.
    pub fn at(&self, path: std::path::PathBuf) -> Source {
        match self {
            Self::Csv { delimiter, header } => {
                Source::new(SourceUri::Csv { path, delimiter: Some(*delimiter), header: Some(*header) })
            }
            Self::Parquet => Source::new(SourceUri::Parquet { path }),
            Self::Table { table } => Source::new(SourceUri::Sqlite { path, table: Some(table.clone()) }),
            Self::Query { query, parameters } => {
                Source::new(SourceUri::Sqlite { path, table: None }).with_query(query.clone(), parameters.clone())
            }
        }
    }
}

/// The host's part in transformation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransformationWork {
    /// The task, before the data has shown its classes.
    pub task: TaskKind,
    /// The name of the target.
    pub target: String,
    /// Which rows are for what; `None`: the input `split-file` says it.
    pub split: Option<SplitPlan>,
}

/// The host's part in evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationWork {
    /// The name of the registered model.
    pub model: String,
    /// The manifest's gates.
    pub gates: Gates,
    /// Whether a champion that learnt from test rows is an error.
    pub refuse_overlap: bool,
    /// The fewest compared rows of each class, where rows are left out.
    pub rows_per_class: u64,
    /// The components of the candidate.
    pub candidate: ModelGuests,
    /// The candidate's version; `None` until it is registered.
    pub candidate_version: Option<u32>,
    /// The test rows that it learnt from.
    pub candidate_overlap: Overlap,
    /// The champion of the moment.
    pub champion: ChampionStatus,
    /// The artifacts that the candidate comes from.
    pub ancestors: Vec<report::ReportArtifact>,
}

/// The two components of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelGuests {
    /// Makes features of raw rows.
    pub transformation: GuestSpec,
    /// Makes predictions of features.
    pub training: GuestSpec,
}

/// The champion as it stands when the candidate is evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ChampionStatus {
    /// There is none.
    Absent,
    /// It is the candidate.
    Itself {
        /// Its number.
        version: u32,
    },
    /// It can be asked. Its state and its model are the inputs `champion.state` and
    /// `champion.model`.
    Readable(Box<ChampionSpec>),
    /// It cannot read today's table, and absolute gates may decide then.
    Unreadable {
        /// Its number.
        version: u32,
        /// Its model.
        model: Digest,
        /// Why it cannot.
        reason: String,
    },
}

/// A champion that can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChampionSpec {
    /// Its number.
    pub version: u32,
    /// Its components.
    pub guests: ModelGuests,
    /// The raw features that it reads, in order.
    pub features: Schema,
    /// The task that it predicts for.
    pub task: Task,
    /// How much its features count.
    pub importance: Vec<(String, f64)>,
    /// The test rows that it learnt from.
    pub overlap: Overlap,
}

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The artifacts that it made; none if it failed.
    pub outputs: Vec<ArtifactRecord>,
    /// Its use of time, memory and bytes.
    pub usage: Usage,
    /// Figures that the host found, which become the run's metrics; `None` where one is undefined.
    pub results: Vec<(String, Option<f64>)>,
    /// Points of curves that the component reported.
    pub metrics: Vec<MetricRecord>,
    /// Lines that it wrote.
    pub logs: Vec<LogLine>,
    /// The walls that stood around every call of its component, from the inside out: `wasm`,
    /// `seccomp`, `landlock`, `rlimits`.
    pub walls: Vec<String>,
    /// Why it failed, if it did.
    pub fault: Option<StageFault>,
}

/// The use that a step made of time, memory and bytes, over all its instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Milliseconds on the wall, host's work included.
    pub wall_ms: f64,
    /// Milliseconds of processor time.
    pub cpu_ms: f64,
    /// Largest memory of one instance, bytes.
    pub peak_memory_bytes: u64,
    /// Rows that went into its instances.
    pub rows_in: u64,
    /// Rows that came out of them.
    pub rows_out: u64,
    /// Bytes that went into them.
    pub bytes_in: u64,
    /// Bytes that came out of them.
    pub bytes_out: u64,
    /// Bytes copied at the boundary.
    pub bytes_copied: u64,
    /// Bytes written to artifacts: what the output limit counts.
    pub output_bytes: u64,
    /// Bytes of log lines and figures: what the log limit counts.
    pub log_bytes: u64,
    /// Log lines dropped past the limit.
    pub log_lines_dropped: u64,
}

/// Limits as integers, which are compared: the text of a manifest rounds.
mod exact {
    use super::{Deserialize, Deserializer, Duration, Limits, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Exact {
        memory: u64,
        cpu_ns: u64,
        wall_ns: u64,
        output: u64,
        log: u64,
    }

    pub(super) fn serialize<S: Serializer>(limits: &Limits, serializer: S) -> Result<S::Ok, S::Error> {
        let Limits { memory, cpu, wall, output, log } = *limits;
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Exact { memory, cpu_ns: nanoseconds(cpu), wall_ns: nanoseconds(wall), output, log }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limits, D::Error> {
        let Exact { memory, cpu_ns, wall_ns, output, log } = Exact::deserialize(deserializer)?;
        Ok(Limits { memory, cpu: Duration::from_nanos(cpu_ns), wall: Duration::from_nanos(wall_ns), output, log })
    }
}

#[cfg(test)]
mod tests {
    use stagewright_data::SplitMethod;

    use super::*;

    fn again<T: Serialize + for<'de> Deserialize<'de>>(value: &T) -> T {
        let text = serde_json::to_string(value).expect("a value");
        serde_json::from_str(&text).unwrap_or_else(|reason| panic!("{text}: {reason}"))
    }

    #[test]
    fn every_work_is_read_as_it_was_written() {
        let readings = [
            Reading::Csv { delimiter: b'&', header: false },
            Reading::Parquet,
            Reading::Table { table: "a#b".to_owned() },
            Reading::Query {
                query: "SELECT ?".to_owned(),
                parameters: vec![
                    Literal::Boolean(true),
                    Literal::Integer(i64::MIN),
                    Literal::Float(2.0),
                    Literal::Float(0.1 + 0.2),
                    Literal::Text("1".to_owned()),
                ],
            },
        ];
        for reading in readings {
            let source = Some(SourceWork { name: "rows".to_owned(), reading });
            let (null_values, target) = (vec![String::new(), " ".to_owned()], Some("y".to_owned()));
            let work = Work::Ingestion(IngestionWork { source, signature: None, null_values, target });
            assert_eq!(again(&work), work);
        }
        let work = Work::Preparation(PreparationWork { signature: None, target: Some("y".to_owned()) });
        assert_eq!(again(&work), work);
        for split in
            [None, Some(SplitPlan { method: SplitMethod::Hash, test: 0.1, validation: 1.0 / 3.0, seed: u64::MAX })]
        {
            let (task, target) = (TaskKind::Regression, "y".to_owned());
            let work = Work::Transformation(TransformationWork { task, target, split });
            assert_eq!(again(&work), work);
        }
        let gates = Gates { primary: "r2".to_owned(), margin: 1e-17, confidence: Some(0.95), ..Gates::default() };
        let segments = SegmentsWork { column: "a \"b\"".to_owned(), nulls: NullPolicy::Segment, most: 7 };
        for work in [Work::Segments(segments), Work::Validation, Work::Training, Work::Promotion { gates }] {
            assert_eq!(again(&work), work);
        }
        let (version, model, reason) = (7, Digest::of(b"model"), "`x` is missing".to_owned());
        for standing in [
            ChampionStatus::Absent,
            ChampionStatus::Itself { version },
            ChampionStatus::Unreadable { version, model, reason },
        ] {
            assert_eq!(again(&standing), standing);
        }
    }

    #[test]
    fn limits_are_exact() {
        let time = Duration::from_nanos(1_234_567_891);
        let limits = Limits { memory: u64::MAX, cpu: time, wall: time * 3, output: (1 << 30) + 1, log: 1025 };
        let guest = GuestSpec {
            world: World::Training,
            contract: CONTRACT.to_owned(),
            name: "train".to_owned(),
            component: Digest::of(b"code"),
            stubs: BTreeSet::new(),
            grants: BTreeSet::from(["source:rows".to_owned()]),
            canonicalize_nans: true,
            parameters: serde_json::Map::new(),
            seed: u64::MAX,
            as_of: i64::MIN,
            limits,
        };
        assert_eq!(again(&guest), guest);
    }
}
