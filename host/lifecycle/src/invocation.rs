//! A step as a value: everything that decides what it makes, and its outcome.
//!
//! An [`Invocation`] names its inputs by digest and holds every value of the manifest and of the
//! registry that the step reads. It has no path, no secret and no live object. Two invocations can
//! be compared, and one gives the same outputs wherever it is [executed](crate::execute). A run
//! builds the invocation of each step, and the step's record keeps it.

mod exact_limits;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stagewright_data::{
    Compression, CsvOptions, Dialect, Literal, Signature, Source, SourceUri, SplitPlan, Task, TaskKind,
};
use stagewright_evaluation::gates::Gates;
use stagewright_evaluation::report;
use stagewright_manifest::{Limits, NullPolicy, Requirements, StepId, World};
use stagewright_store::{ArtifactKind, ArtifactRecord, Digest, LogLine, MetricRecord, Role, Schema};

use crate::fault::StageFault;
use crate::overlap::Overlap;

/// The format of [`Invocation`] that this version writes.
pub const FORMAT: u32 = 1;

/// The version of the host's own work: how it decodes, splits, encodes, measures and reports. A
/// change that makes the host give other results for the same inputs must raise it, so that earlier
/// results are not taken from the cache. `tests/flow/semantics.rs` detects such a change.
pub const HOST_SEMANTICS: u32 = 1;

/// The version of the contract between host and components.
pub const CONTRACT: &str = "0.2.0";

/// The content of a source.
pub(crate) const SOURCE: &str = "source";
/// The list of the objects that the content of a source was read from.
pub(crate) const SOURCE_OBJECTS: &str = "source-objects";
/// The prefix of the roles of a preparation's inputs. The name in the manifest follows it.
pub(crate) const NAMED_INPUT: &str = "input.";
/// A file with a split that was made elsewhere.
pub(crate) const SPLIT_FILE: &str = "split-file";
/// The champion's fitted state.
pub(crate) const CHAMPION_STATE: &str = "champion.state";
/// The champion's model.
pub(crate) const CHAMPION_MODEL: &str = "champion.model";

/// A step of a run. Executing it again gives the same outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    /// [`FORMAT`].
    pub format: u32,
    /// [`HOST_SEMANTICS`].
    pub host: u32,
    /// The step.
    pub step: StepId,
    /// The component that is called.
    pub guest: GuestSpec,
    /// The work of the host around the component.
    pub work: Work,
    /// The artifacts and files that the step may read, by role. Missing optional ones are not
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

    /// Returns the same components for modification.
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

/// A component, and everything that decides how its instances answer a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuestSpec {
    /// The world that it was admitted to.
    pub world: World,
    /// [`CONTRACT`].
    pub contract: String,
    /// The name by which errors call it.
    pub name: String,
    /// SHA-256 of its bytes.
    pub component: Digest,
    /// The stubs of WASI, which always fail, that it may link.
    pub stubs: BTreeSet<String>,
    /// The grants: `source:NAME`, and `http:GRANT` for the servers that the host may ask for that
    /// source.
    pub grants: BTreeSet<String>,
    /// Whether every NaN that it computes has the same bits on every architecture.
    pub canonicalize_nans: bool,
    /// Its parameters, with the defaults of its schema filled in.
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// The seed of its randomness.
    pub seed: u64,
    /// The time at which its clocks start, in microseconds since the epoch.
    pub as_of: i64,
    /// The limits of the step.
    #[serde(with = "exact_limits")]
    pub limits: Limits,
}

/// An input of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRef {
    /// Its role: `STAGE.NAME` for an artifact of the run, `input.NAME` for a named input of the
    /// manifest, or `source`, `source-objects`, `split-file` or `champion.NAME`.
    pub role: String,
    /// The kind of artifact.
    pub kind: ArtifactKind,
    /// The digest of its content.
    pub digest: Digest,
    /// The place that it comes from, for people. It changes no result.
    pub from: Origin,
}

/// The place that an input comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Origin {
    /// A step of this run or of its base run.
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

/// The work of the host in a step, with all values of the manifest and of the registry that it
/// reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// Reads a source, or lets the component generate rows.
    Ingestion(Box<IngestionWork>),
    /// Makes one table of several tables.
    Preparation(PreparationWork),
    /// Divides the rows of a table into segments. No component is called.
    Segments(SegmentsWork),
    /// Checks the table.
    Validation,
    /// Splits the rows, encodes the target and makes features.
    Transformation(TransformationWork),
    /// Trains a model.
    Training,
    /// Measures the candidate and the champion.
    Evaluation(Box<EvaluationWork>),
    /// Decides on the candidate.
    Promotion {
        /// The manifest's gates.
        gates: Gates,
    },
}

/// The work of the host in ingestion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IngestionWork {
    /// The source, if there is one. Its content is the input `source`.
    pub source: Option<SourceWork>,
    /// The columns that the manifest declares; `None` if they are inferred.
    pub signature: Option<Signature>,
    /// The texts that count as null where columns are inferred.
    pub null_values: Vec<String>,
    /// The name of the target; `None` if no model is trained on this table itself.
    pub target: Option<String>,
    /// The requirements on the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Requirements>,
}

/// The work of the host in preparation. The tables are the inputs `input.NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreparationWork {
    /// The columns that the manifest declares, if a model is trained on this table itself.
    pub signature: Option<Signature>,
    /// The name of the target; `None` if no model is trained on this table itself.
    pub target: Option<String>,
    /// The roles that the manifest declares, by the names of columns. The input tables are shown
    /// with them. Older invocations have none.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
}

/// The division of a table into segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentsWork {
    /// The column whose values are the segments.
    pub column: String,
    /// The treatment of rows without a value: an error, left out, or a segment.
    pub nulls: NullPolicy,
    /// The largest number of segments.
    pub most: u64,
}

/// A source that ingestion may open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceWork {
    /// The name by which the component asks for it.
    pub name: String,
    /// The format of its content.
    pub reading: SourceFormat,
}

/// The format of a source's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "kebab-case")]
pub enum SourceFormat {
    /// Text with separated values.
    Csv {
        /// The separator, one ASCII character.
        delimiter: u8,
        /// Whether the first line names the columns.
        header: bool,
        /// How it is compressed; `None` for what the name of the file tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compression: Option<Compression>,
        /// The deviations from plain CSV.
        #[serde(default, skip_serializing_if = "Dialect::is_plain")]
        dialect: Dialect,
    },
    /// Text with an object on each line.
    Jsonl {
        /// How it is compressed; `None` for what the name of the file tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compression: Option<Compression>,
    },
    /// A Parquet file.
    Parquet,
    /// An Arrow IPC file or stream.
    Arrow,
    /// A pack: an archive of parts, all in one format, that are read as one table.
    Pack {
        /// The format of every part.
        of: Box<SourceFormat>,
    },
    /// Rows of a PostgreSQL server, as the host kept them.
    PostgresRows {
        /// The table or query that the server was asked for.
        rows: AskedRows,
    },
    /// An SQLite database, of which all rows of one table are read.
    Table {
        /// The table's name.
        table: String,
    },
    /// An SQLite database, of which the result of a query is read.
    Query {
        /// One `SELECT` statement.
        query: String,
        /// The values of its `?`, in order.
        parameters: Vec<Literal>,
    },
}

/// The table or query that a server was asked for. The rows are an input of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AskedRows {
    /// All rows of a table.
    Table {
        /// The table, with its schema if that is named.
        table: String,
    },
    /// The result of a query.
    Query {
        /// One `SELECT` statement.
        query: String,
        /// The values of its `$1`, `$2`, ..., in order.
        parameters: Vec<Literal>,
    },
}

impl SourceFormat {
    /// Returns the source at a path.
    pub fn at(&self, path: std::path::PathBuf) -> Source {
        match self {
            Self::Csv { delimiter, header, compression, dialect } => {
                // In a folder, the ending of each file tells its delimiter if no other was told.
                let is_default = *delimiter == b',' && path.as_os_str().as_encoded_bytes().ends_with(b"/");
                let delimiter = Some(*delimiter).filter(|_| !is_default);
                let (header, dialect) = (Some(*header), dialect.clone());
                let options = CsvOptions { delimiter, header, compression: *compression, dialect };
                Source::new(SourceUri::Csv { path, options })
            }
            Self::Jsonl { compression } => Source::new(SourceUri::Jsonl { path, compression: *compression }),
            Self::Arrow => Source::new(SourceUri::Arrow { path }),
            Self::Parquet => Source::new(SourceUri::Parquet { path }),
            Self::PostgresRows { .. } => Source::new(SourceUri::PostgresRows { path }),
            Self::Pack { of } => of.at(path).packed(),
            Self::Table { table } => Source::new(SourceUri::Sqlite { path, table: Some(table.clone()) }),
            Self::Query { query, parameters } => {
                Source::new(SourceUri::Sqlite { path, table: None }).with_query(query.clone(), parameters.clone())
            }
        }
    }
}

/// The work of the host in transformation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransformationWork {
    /// The task, without the classes, which the data shows.
    pub task: TaskKind,
    /// The name of the target.
    pub target: String,
    /// The division into training, validation and test rows; `None` if the input `split-file` holds
    /// it.
    pub split: Option<SplitPlan>,
}

/// The work of the host in evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationWork {
    /// The name of the registered model.
    pub model: String,
    /// The manifest's gates.
    pub gates: Gates,
    /// Whether it is an error that the champion was trained on test rows.
    pub refuse_overlap: bool,
    /// The fewest compared rows of each class, where rows are left out.
    pub rows_per_class: u64,
    /// The components of the candidate.
    pub candidate: ModelGuests,
    /// The candidate's version; `None` until it is registered.
    pub candidate_version: Option<u32>,
    /// The test rows that the candidate was trained on.
    pub candidate_overlap: Overlap,
    /// The champion.
    pub champion: ChampionStatus,
    /// The artifacts that the candidate was made from.
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

/// The champion at the time of the evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ChampionStatus {
    /// There is no champion.
    Absent,
    /// The candidate is the champion.
    Itself {
        /// Its number.
        version: u32,
    },
    /// The champion can predict the test rows. Its state and its model are the inputs
    /// `champion.state` and `champion.model`.
    Readable(Box<ChampionSpec>),
    /// The champion cannot read the table, and the manifest lets the absolute gates decide.
    Unreadable {
        /// Its number.
        version: u32,
        /// The digest of its model.
        model: Digest,
        /// The reason why it cannot.
        reason: String,
    },
}

/// A champion that can predict the test rows.
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
    /// The importance of each of its features.
    pub importance: Vec<(String, f64)>,
    /// The test rows that it was trained on.
    pub overlap: Overlap,
}

/// The outcome of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The artifacts that it made; none if it failed.
    pub outputs: Vec<ArtifactRecord>,
    /// The time, memory and bytes that it used.
    pub usage: Usage,
    /// Metrics of the run that the host computed; `None` for one that is undefined.
    pub results: Vec<(String, Option<f64>)>,
    /// Metrics that the component reported, with their steps.
    pub metrics: Vec<MetricRecord>,
    /// The log lines of the component.
    pub logs: Vec<LogLine>,
    /// The walls around every call of its components, from the inside out: `wasm`, `seccomp`,
    /// `landlock`, `rlimits`.
    pub walls: Vec<String>,
    /// The fault, if it failed.
    pub fault: Option<StageFault>,
}

/// The time, memory and bytes that a step used, over all its instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Wall time in milliseconds, with the host's work.
    pub wall_ms: f64,
    /// CPU time in milliseconds.
    pub cpu_ms: f64,
    /// The largest memory of one instance, in bytes.
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
    /// Bytes written to artifacts, which the output limit counts.
    pub output_bytes: u64,
    /// Bytes of log lines and figures, which the log limit counts.
    pub log_bytes: u64,
    /// Log lines dropped past the limit.
    pub log_lines_dropped: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stagewright_data::SplitMethod;

    use super::*;

    fn again<T: Serialize + for<'de> Deserialize<'de>>(value: &T) -> T {
        let text = serde_json::to_string(value).expect("a value");
        serde_json::from_str(&text).unwrap_or_else(|reason| panic!("{text}: {reason}"))
    }

    #[test]
    fn every_work_is_read_as_it_was_written() {
        let readings = [
            SourceFormat::Csv {
                delimiter: b'&',
                header: false,
                compression: None,
                dialect: Dialect { decimal: Some(','), null_words: vec!["NA".to_owned()], ..Dialect::default() },
            },
            SourceFormat::Csv {
                delimiter: b',',
                header: true,
                compression: Some(Compression::Zstd),
                dialect: Dialect::default(),
            },
            SourceFormat::Jsonl { compression: Some(Compression::Gzip) },
            SourceFormat::Parquet,
            SourceFormat::Arrow,
            SourceFormat::Pack {
                of: Box::new(SourceFormat::Csv {
                    delimiter: b';',
                    header: true,
                    compression: None,
                    dialect: Dialect::default(),
                }),
            },
            SourceFormat::PostgresRows { rows: AskedRows::Table { table: "sales.orders".to_owned() } },
            SourceFormat::PostgresRows {
                rows: AskedRows::Query {
                    query: "SELECT $1".to_owned(),
                    parameters: vec![
                        Literal::Boolean(false),
                        Literal::Integer(1),
                        Literal::Float(0.1),
                        Literal::Text("x".to_owned()),
                    ],
                },
            },
            SourceFormat::Table { table: "a#b".to_owned() },
            SourceFormat::Query {
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
            let requirements = Some(Requirements {
                min_rows: Some(7),
                min_span: Some(Duration::from_secs(86_400)),
                max_age: None,
                time: Some("at".to_owned()),
            });
            let work = IngestionWork { source, signature: None, null_values, target, requirements };
            let work = Work::Ingestion(Box::new(work));
            assert_eq!(again(&work), work);
        }
        let work = Work::Preparation(PreparationWork {
            signature: None,
            target: Some("y".to_owned()),
            roles: BTreeMap::new(),
        });
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
