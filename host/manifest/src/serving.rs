//! The server's file: how a machine serves models (docs/serving.md).
//!
//! Owns its keys, their types and bounds. A key that is absent is `None`: the command line may set
//! it, and the server has the defaults.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::document::{self, Origin, Value};
use crate::problem::{Collector, Condition, ManifestError, Source};
use crate::reader::{Context, Item, Section};
use crate::units::{bytes_text, duration_text};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The largest file, as for a manifest.
const MAX_BYTES: u64 = 16 * MIB;

/// Below 10 ms, an ordinary network looks like a slow client. Above a day it is no limit.
const TIME: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(24 * 3600));

/// How long files of predictions are kept: at least the hour that a file is of, at most ten years.
const KEPT: (Duration, Duration) = (Duration::from_secs(3600), Duration::from_secs(87_600 * 3600));

/// The settings of a server and of the models that it serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServingFile {
    /// The table `[server]`.
    pub server: ServerSection,
    /// The tables `[models.NAME]`, in the order of the file.
    pub models: Vec<ServedModelSection>,
}

/// How the server listens and whom it admits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerSection {
    /// The address to listen on.
    pub host: Option<IpAddr>,
    /// The port to listen on.
    pub port: Option<u16>,
    /// Whether everybody is admitted on an address that other machines reach.
    pub insecure: Option<bool>,
    /// The file of the certificate.
    pub tls_certificate: Option<PathBuf>,
    /// The file of the certificate's key.
    pub tls_key: Option<PathBuf>,
    /// The file of the tokens.
    pub tokens_file: Option<PathBuf>,
    /// The most bytes of a body.
    pub max_body: Option<u64>,
    /// The most bytes of a head.
    pub max_header: Option<u64>,
    /// The time for a head.
    pub header_timeout: Option<Duration>,
    /// The time for a body, and for sending an answer.
    pub body_timeout: Option<Duration>,
    /// The time that a connection may be without a request.
    pub idle_timeout: Option<Duration>,
    /// The time for requests to end after the server was told to stop.
    pub drain: Option<Duration>,
    /// The most connections at once.
    pub max_connections: Option<u64>,
    /// Whether each request is logged on standard output.
    pub access_log: Option<bool>,
}

/// How a model is served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServedModelSection {
    /// The model's name.
    pub name: String,
    /// The alias whose version is served.
    pub alias: Option<String>,
    /// Whether an instance answers several requests.
    pub isolation: Option<IsolationPolicy>,
    /// Sessions at once.
    pub workers: Option<u64>,
    /// Whether fields that the signature does not have are refused.
    pub refuses_unknown_fields: Option<bool>,
    /// The most rows of a request.
    pub max_rows: Option<u64>,
    /// The most rows that wait.
    pub max_queue: Option<u64>,
    /// CPU time of one request, in both components together.
    pub cpu: Option<Duration>,
    /// Wall time of one request, in both components together.
    pub wall: Option<Duration>,
    /// Bytes of memory of one instance.
    pub memory: Option<u64>,
    /// Which predictions are logged; none unless this is set.
    pub log: Option<PredictionLogSection>,
}

/// Which predictions of a model are logged, and how much of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PredictionLogSection {
    /// The share of requests that is logged, from 0 to 1. Requests that fail always are.
    pub rate: Option<f64>,
    /// The features that are logged.
    pub features: LoggedFeatures,
    /// Columns of the signature that are no features and are logged all the same.
    pub identifiers: Vec<String>,
    /// The columns whose values are logged as keyed hashes.
    pub mask: Vec<String>,
    /// The most bytes of the model's files.
    pub max_size: Option<u64>,
    /// The time after which files are removed.
    pub keep: Option<Duration>,
}

/// The features that are logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LoggedFeatures {
    /// All of them.
    #[default]
    All,
    /// None: predictions alone.
    None,
    /// These.
    Named(Vec<String>),
}

/// Whether an instance of a model answers several requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolationPolicy {
    /// Pooled for components that are built in or that a trusted key has signed, else fresh.
    #[default]
    Auto,
    /// An instance answers many requests.
    Pooled,
    /// An instance answers one request.
    Fresh,
}

impl ServingFile {
    /// Reads and checks a file. Relative paths in it start at its folder.
    ///
    /// # Errors
    /// [`ManifestError`] with everything that is wrong in the file.
    pub fn load(path: &Path) -> Result<Self, ManifestError> {
        let file = path.display().to_string();
        let text = stagewright_store::read_regular_text(path, MAX_BYTES).map_err(|error| {
            let hint = "give the path of a server's file; config/serving.toml is an example";
            ManifestError::unreadable(file.clone(), format!("cannot read the file: {error}"), hint)
        })?;
        Self::parse(&file, text)
    }

    /// Parses and checks a text. `file` is its name in errors.
    ///
    /// ```
    /// use stagewright_manifest::ServingFile;
    ///
    /// let text = "[server]\nport = 8080\n\n[models.churn-classifier]\nworkers = 2\n";
    /// let file = ServingFile::parse("serving.toml", text.to_owned())?;
    /// assert_eq!(file.server.port, Some(8080));
    /// assert_eq!(file.models[0].workers, Some(2));
    ///
    /// let error = ServingFile::parse("serving.toml", text.replace("port", "prot")).unwrap_err();
    /// assert!(error.render().contains("serving.toml:2: unknown key `prot`"), "{}", error.render());
    /// # Ok::<(), stagewright_manifest::ManifestError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`ServingFile::load`].
    pub fn parse(file: &str, text: String) -> Result<Self, ManifestError> {
        let source = Arc::new(Source::new(file.to_owned(), text));
        let collector = Collector::new(Arc::clone(&source));
        match document::parse(&source.text) {
            Ok(root) => {
                let directory = Path::new(file).parent().map_or_else(PathBuf::new, Path::to_owned);
                let context = Context { collector: &collector, directory };
                let serving = read(Section::root(&context, &root));
                if collector.is_empty() {
                    return Ok(serving);
                }
            }
            Err(faults) => {
                for fault in faults {
                    collector.report_as(Condition::Syntax, &Origin::File(fault.span), "", fault.message, None);
                }
            }
        }
        Err(ManifestError::new(&source, collector.into_problems()))
    }
}

fn read(file: Section<'_>) -> ServingFile {
    let mut serving = ServingFile::default();
    if let Some(section) = file.section("server") {
        serving.server = read_server(section);
    }
    if let Some(section) = file.section("models") {
        let models = section.items().filter_map(|(name, item)| Some(read_model(name, item.section()?)));
        serving.models = models.collect();
    }
    file.finish();
    serving
}

fn read_server(section: Section<'_>) -> ServerSection {
    let path = |name| section.get(name).and_then(|item| item.path());
    let time = |name| section.get(name).and_then(|item| time(&item));
    let size = |name, least, most| section.get(name).and_then(|item| size(&item, least, most));
    let read = ServerSection {
        host: section.get("host").and_then(|item| address(&item)),
        port: section.get("port").and_then(|item| Some(item.integer(0, 65_535)? as u16)),
        insecure: section.get("insecure").and_then(|item| item.boolean()),
        tls_certificate: path("tls-certificate"),
        tls_key: path("tls-key"),
        tokens_file: path("tokens-file"),
        max_body: size("max-body", KIB, 1 << 30),
        max_header: size("max-header", 8 * KIB, MIB),
        header_timeout: time("header-timeout"),
        body_timeout: time("body-timeout"),
        idle_timeout: time("idle-timeout"),
        drain: time("drain"),
        max_connections: section.get("max-connections").and_then(|item| item.integer(1, 1_000_000)),
        access_log: section.get("access-log").and_then(|item| item.boolean()),
    };
    for (one, other) in [("tls-certificate", "tls-key"), ("tls-key", "tls-certificate")] {
        if let (Some(item), None) = (section.get(one), section.get(other)) {
            item.report(format!("`{one}` needs `{other}`"), Some(format!("add `{other} = \"FILE.pem\"`")));
        }
    }
    section.finish();
    read
}

fn read_model(name: &str, section: Section<'_>) -> ServedModelSection {
    let number = |name, least, most| section.get(name).and_then(|item| item.integer(least, most));
    let unknown = [("refuse", true), ("ignore", false)];
    let mut model = ServedModelSection {
        name: name.to_owned(),
        alias: section.get("alias").and_then(|item| Some(item.text()?.to_owned())),
        isolation: section.get("isolation").and_then(|item| {
            let policies = [
                ("auto", IsolationPolicy::Auto),
                ("pooled", IsolationPolicy::Pooled),
                ("fresh", IsolationPolicy::Fresh),
            ];
            item.choice(&policies)
        }),
        workers: number("workers", 1, 1024),
        refuses_unknown_fields: section.get("unknown-fields").and_then(|item| item.choice(&unknown)),
        max_rows: number("max-rows", 1, 10_000_000),
        max_queue: number("max-queue", 1, 10_000_000),
        ..ServedModelSection::default()
    };
    if let Some(limits) = section.section("limits") {
        model.cpu = limits.get("cpu").and_then(|item| time(&item));
        model.wall = limits.get("wall").and_then(|item| time(&item));
        model.memory = limits.get("memory").and_then(|item| size(&item, MIB, 64 << 30));
        limits.finish();
    }
    model.log = section.section("log").map(read_log);
    section.finish();
    model
}

fn read_log(section: Section<'_>) -> PredictionLogSection {
    let names = |name| section.get(name).and_then(|item| item.strings()).unwrap_or_default();
    let log = PredictionLogSection {
        rate: section
            .get("rate")
            .and_then(|item| item.float_within("from 0 to 1, such as 0.1", |rate| (0.0..=1.0).contains(&rate))),
        features: section.get("features").and_then(|item| features(&item)).unwrap_or_default(),
        identifiers: names("identifiers"),
        mask: names("mask"),
        max_size: section.get("max-size").and_then(|item| size(&item, MIB, 1 << 40)),
        keep: section.get("keep").and_then(|item| time_within(&item, KEPT)),
    };
    section.finish();
    log
}

fn features(item: &Item<'_>) -> Option<LoggedFeatures> {
    match &item.node.value {
        Value::Array(_) => item.strings().map(LoggedFeatures::Named),
        _ => match item.choice(&[("all", true), ("none", false)])? {
            true => Some(LoggedFeatures::All),
            false => Some(LoggedFeatures::None),
        },
    }
}

fn address(item: &Item<'_>) -> Option<IpAddr> {
    let text = item.text()?;
    let parsed = text.parse();
    if parsed.is_err() {
        let hint = "write an address such as `127.0.0.1`, `0.0.0.0` or `::1`";
        item.report_value(format!("`{}` is no IP address: `{text}`", item.key), Some(hint.to_owned()));
    }
    parsed.ok()
}

fn time(item: &Item<'_>) -> Option<Duration> {
    time_within(item, TIME)
}

fn time_within(item: &Item<'_>, (least, most): (Duration, Duration)) -> Option<Duration> {
    let time = item.duration()?;
    if (least..=most).contains(&time) {
        return Some(time);
    }
    let hint = format!("choose from `{}` to `{}`", duration_text(least), duration_text(most));
    item.report_value(format!("`{}` is out of range: `{}`", item.key, duration_text(time)), Some(hint));
    None
}

fn size(item: &Item<'_>, least: u64, most: u64) -> Option<u64> {
    let bytes = item.bytes()?;
    if (least..=most).contains(&bytes) {
        return Some(bytes);
    }
    let hint = format!("choose from `{}` to `{}`", bytes_text(least), bytes_text(most));
    item.report_value(format!("`{}` is out of range: `{}`", item.key, bytes_text(bytes)), Some(hint));
    None
}
