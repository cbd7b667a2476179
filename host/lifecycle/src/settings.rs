//! Sections of the manifest as types of `stagewright-data` and `stagewright-evaluation`.

use std::path::Path;

use stagewright_data::{DataError, HostGrant, Signature};
use stagewright_evaluation::gates::{Gate, GateRule, Gates, Policy};
use stagewright_manifest::{
    self as manifest, HttpFormat, HttpGrant, Manifest, SourceLocation, SourceSection, SqliteRows,
};

use crate::invocation::{AskedRows, SourceFormat};

/// Returns the file of a source; `None` for a source on a server.
pub fn path(section: &SourceSection) -> Option<&Path> {
    match &section.location {
        SourceLocation::Csv { path, .. }
        | SourceLocation::Jsonl { path, .. }
        | SourceLocation::Parquet { path }
        | SourceLocation::Arrow { path }
        | SourceLocation::Sqlite { path, .. } => Some(path),
        SourceLocation::Http { .. }
        | SourceLocation::Objects(_)
        | SourceLocation::Postgres(_)
        | SourceLocation::Data { .. } => None,
    }
}

/// Returns the format of a source's content; `None` for objects, whose keys may tell it.
pub fn reading(section: &SourceSection) -> Option<SourceFormat> {
    Some(match &section.location {
        SourceLocation::Csv { delimiter, header, compression, dialect, .. } => SourceFormat::Csv {
            delimiter: *delimiter as u8,
            header: *header,
            compression: *compression,
            dialect: dialect.clone(),
        },
        SourceLocation::Jsonl { compression, .. } => SourceFormat::Jsonl { compression: *compression },
        SourceLocation::Arrow { .. } => SourceFormat::Arrow,
        SourceLocation::Http { format, .. } => body_reading(format),
        SourceLocation::Objects(_) => return None,
        SourceLocation::Postgres(source) => SourceFormat::PostgresRows { rows: asked(&source.rows) },
        // A version of data is read as the file that it is exported as.
        SourceLocation::Parquet { .. } | SourceLocation::Data { .. } => SourceFormat::Parquet,
        SourceLocation::Sqlite { rows: SqliteRows::Table { table }, .. } => {
            SourceFormat::Table { table: table.clone() }
        }
        SourceLocation::Sqlite { rows: SqliteRows::Query { query, parameters }, .. } => {
            SourceFormat::Query { query: query.clone(), parameters: parameters.clone() }
        }
    })
}

/// Returns what a database is asked for.
fn asked(rows: &SqliteRows) -> AskedRows {
    match rows {
        SqliteRows::Table { table } => AskedRows::Table { table: table.clone() },
        SqliteRows::Query { query, parameters } => {
            AskedRows::Query { query: query.clone(), parameters: parameters.clone() }
        }
    }
}

/// Returns the format of what a server sends.
pub(crate) fn body_reading(format: &HttpFormat) -> SourceFormat {
    match format {
        HttpFormat::Csv { delimiter, header, compression, dialect } => SourceFormat::Csv {
            delimiter: *delimiter as u8,
            header: *header,
            compression: *compression,
            dialect: dialect.clone(),
        },
        // The host keeps the records as lines.
        HttpFormat::Json(_) => SourceFormat::Jsonl { compression: None },
        HttpFormat::Jsonl { compression } => SourceFormat::Jsonl { compression: *compression },
        HttpFormat::Arrow => SourceFormat::Arrow,
        HttpFormat::Parquet => SourceFormat::Parquet,
    }
}

/// Returns the hosts and networks that the host may ask for a stage.
pub fn host_grants(grants: &[HttpGrant]) -> Vec<HostGrant> {
    let grant = |grant: &HttpGrant| match grant {
        HttpGrant::Host { host, port } => HostGrant::Host { host: host.clone(), port: *port },
        HttpGrant::Network { address, prefix } => HostGrant::Network { address: *address, prefix: *prefix },
    };
    grants.iter().map(grant).collect()
}

/// Returns the signature that the manifest declares, if any.
///
/// # Errors
/// A column has a name that no table may have.
pub fn signature(manifest: &Manifest) -> Result<Option<Signature>, DataError> {
    let section = &manifest.signature;
    if section.fields.is_empty() {
        return Ok(None);
    }
    Ok(Some(
        Signature::new(section.fields.clone())?
            .with_null_values(section.null_values.clone())
            .with_extra_columns(section.extra_columns),
    ))
}

/// Returns the manifest's gates.
pub fn gates(section: &manifest::GatesSection) -> Gates {
    let gate = |rule, metric: &str, threshold| Gate::new(rule, metric, threshold);
    let minimum = section.minimum.iter().map(|(metric, threshold)| gate(GateRule::Minimum, metric, *threshold));
    let maximum = section.maximum.iter().map(|(metric, threshold)| gate(GateRule::Maximum, metric, *threshold));
    let regression = section.no_regression.iter().flat_map(|section| {
        section.metrics.iter().map(|metric| gate(GateRule::NoRegression, metric, section.tolerance))
    });
    Gates {
        policy: match section.policy {
            manifest::Policy::Better => Policy::Better,
            manifest::Policy::NoWorse => Policy::NoWorse,
            manifest::Policy::Absolute => Policy::Absolute,
        },
        primary: section.primary.clone(),
        margin: section.margin,
        confidence: section.confidence,
        others: minimum.chain(maximum).chain(regression).collect(),
    }
}

#[cfg(test)]
mod tests {
    use stagewright_evaluation::metrics::{MetricSet, binary, lower_is_better, multi_class, regression};
    use stagewright_manifest::{TaskKind, metrics_of};

    #[test]
    fn a_manifest_may_name_exactly_the_metrics_that_the_host_computes() {
        let labels = [0, 1];
        let sets: [(TaskKind, MetricSet); 3] = [
            (TaskKind::Binary { positive: "Yes".into() }, binary(&labels, &[0.1, 0.9], 0.5).expect("two rows").named()),
            (TaskKind::MultiClass, multi_class(&[0, 1], &[0.9, 0.1, 0.2, 0.8], 2).expect("two rows").named()),
            (TaskKind::Regression, regression(&[1.0, 2.0], &[1.0, 2.5]).expect("two rows").named()),
        ];
        for (kind, set) in sets {
            let computed: Vec<&str> = set.iter().map(|(name, _)| name).collect();
            assert_eq!(metrics_of(&kind), computed);
            // The default of `primary` is a metric of which a higher value is better.
            assert!(computed.iter().any(|name| !lower_is_better(name)));
        }
    }
}
