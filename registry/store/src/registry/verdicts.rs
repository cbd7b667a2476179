//! Verdicts of gates or people about versions, each a record of its own.
//!
//! A later verdict supersedes an earlier one and erases nothing. Each records the champion that it
//! was reached against, because "better than the champion" says nothing about the next champion.
//! [`crate::registry::promotions`] promotes a version only if its latest verdict was reached
//! against the current champion.
//!
//! Why not one verdict that is set once? A model can deserve another look under another policy. And
//! a version that was approved while there was no champion must not replace one that came since.

use serde::{Deserialize, Serialize};

use crate::artifact::ArtifactStore;
use crate::database::{Connection, Failure, Outcome, Row, Scope, values};
use crate::error::StoreError;
use crate::registry::audit::NewEntry;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::judgement::{JudgedAgainst, Verdict, audit_text};
use crate::registry::names::check_key;
use crate::registry::references::{self, Reference};
use crate::registry::run_id::RunId;
use crate::registry::{ids, version_metrics};

/// A reason of a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictReason {
    /// The gate.
    pub gate: String,
    /// Whether the version passed the gate.
    pub passed: bool,
    /// The explanation for people.
    pub message: String,
}

/// A verdict to record.
#[derive(Clone, Debug, PartialEq)]
pub struct NewVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// The rule: `better`, `no-worse`, `absolute`, `person`.
    pub policy: String,
    /// The champion that it was reached against.
    pub judged_against: JudgedAgainst,
    /// The reason in one line.
    pub reason: String,
    /// The reasons, gate by gate.
    pub reasons: Vec<VerdictReason>,
    /// The data that it is based on, as the caller's JSON.
    pub evaluation: serde_json::Value,
    /// The version's measured metrics, by name; empty if nothing was measured.
    pub metrics: Vec<(String, f64)>,
    /// The artifacts that explain it. Predictions need none of them.
    pub references: Vec<Reference>,
    /// The run that judged, if one did.
    pub run_id: Option<RunId>,
    /// Whether a person decided, whatever the gates say.
    pub is_override: bool,
}

/// The policy of a person's decision.
pub const PERSON: &str = "person";

impl NewVerdict {
    /// Creates the verdict of a person.
    pub fn by_person(verdict: Verdict, judged_against: JudgedAgainst, reason: &str) -> Self {
        Self {
            verdict,
            policy: PERSON.to_owned(),
            judged_against,
            reason: reason.to_owned(),
            reasons: vec![VerdictReason {
                gate: PERSON.to_owned(),
                passed: verdict == Verdict::Approved,
                message: reason.to_owned(),
            }],
            evaluation: serde_json::Value::Null,
            metrics: Vec::new(),
            references: Vec::new(),
            run_id: None,
            is_override: true,
        }
    }
}

/// A recorded verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VersionVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// The rule: `better`, `no-worse`, `absolute`, `person`; `unknown` in records older than format
    /// 3.
    pub policy: String,
    /// The champion that it was reached against.
    pub judged_against: JudgedAgainst,
    /// The reason in one line.
    pub reason: String,
    /// The reasons, gate by gate.
    pub reasons: Vec<VerdictReason>,
    /// The data that it is based on, as the caller's JSON.
    pub evaluation: serde_json::Value,
    /// The version's measured metrics, by name.
    pub metrics: Vec<(String, f64)>,
    /// The artifacts that explain it, by role.
    pub references: Vec<Reference>,
    /// The run that judged, if one did.
    pub run_id: Option<RunId>,
    /// Whether a person decided.
    #[serde(rename = "override")]
    pub is_override: bool,
    /// Who judged.
    pub by: String,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
}

const COLUMNS: &str = "verdicts.id, verdict, policy, judged_against, reason, reasons, evaluation, run_id, is_override, \
     actor, at_ms FROM verdicts";

impl Registry {
    /// Records a verdict about a version, which supersedes earlier ones. Its metrics, if it has
    /// any, become the version's. Atomic.
    ///
    /// # Errors
    /// Nothing is recorded on an error: [`StoreError::ChampionChanged`] if `judged_against` is not
    /// the current champion, [`StoreError::IsChampion`] if the version is in production, because it
    /// cannot be judged against itself; [`StoreError::Incomplete`] if an artifact that explains the
    /// verdict is missing or damaged in `artifacts`; [`crate::TrackingError::Foreign`],
    /// [`StoreError::NoModel`],
    /// [`StoreError::NoVersion`], [`StoreError::BadKey`] or [`StoreError::Database`].
    pub fn record_verdict(
        &self,
        artifacts: &ArtifactStore,
        model: &str,
        version: u32,
        verdict: &NewVerdict,
    ) -> Result<(), StoreError> {
        for (name, _) in &verdict.metrics {
            check_key("metric", name, "")?;
        }
        let sizes = references::sizes(artifacts, model, &verdict.references)?;
        self.write("record a verdict", Scope::Models, |connection| {
            let id = ids::own_version(connection, model, version)?;
            let champion = ids::champion(connection, model)?;
            if champion.is_some_and(|(number, _)| number == id) {
                return Err(StoreError::IsChampion { model: model.to_owned(), version, action: "judged" }.into());
            }
            let champion = champion.map(|(_, version)| version);
            if verdict.judged_against != JudgedAgainst::from(champion) {
                let (model, judged_against) = (model.to_owned(), verdict.judged_against);
                return Err(StoreError::ChampionChanged { model, judged_against, champion }.into());
            }
            self.judge(connection, id, (model, version), verdict, &sizes)
        })
    }

    /// Returns the verdicts about a version, oldest first. The last one counts.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::NoVersion`], [`StoreError::Database`] or
    /// [`StoreError::BadRecord`].
    pub fn verdicts(&self, model: &str, version: u32) -> Result<Vec<VersionVerdict>, StoreError> {
        self.read("read verdicts", |connection| {
            let id = ids::version(connection, model, version)?;
            let rows = connection.query(&format!("SELECT {COLUMNS} WHERE version = ?1 ORDER BY id"), values![id])?;
            rows.iter().map(|row| complete(connection, row)).collect()
        })
    }

    fn judge(
        &self,
        connection: &mut Connection,
        id: i64,
        (model, version): (&str, u32),
        verdict: &NewVerdict,
        sizes: &[u64],
    ) -> Outcome<()> {
        let (now, name, against) = (now_ms(), verdict.verdict.name(), verdict.judged_against.stored());
        let before = connection.one("SELECT verdict, judged_against FROM versions WHERE id = ?1", values![id])?;
        let old: Option<Verdict> = before.optional_parsed(0)?;
        let old = old.map(|old| Ok::<_, Failure>(audit_text(old, before.get(1)?))).transpose()?;
        let row = connection.one(
            "INSERT INTO verdicts (version, verdict, policy, judged_against, is_override, reason, reasons, evaluation, run_id, actor, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING id",
            values![
                id,
                name,
                &verdict.policy,
                against,
                verdict.is_override,
                &verdict.reason,
                serde_json::to_string(&verdict.reasons)?,
                verdict.evaluation.to_string(),
                verdict.run_id.as_ref().map(RunId::as_str),
                &*self.actor,
                now
            ],
        )?;
        insert_parts(connection, row.get(0)?, verdict, sizes)?;
        connection.execute(
            "UPDATE versions SET verdict = ?2, reason = ?3, judged_against = ?4, judged_ms = ?5, updated_ms = ?5 WHERE id = ?1",
            values![id, name, &verdict.reason, against, now],
        )?;
        if !verdict.metrics.is_empty() {
            connection.execute("DELETE FROM version_metrics WHERE version = ?1", values![id])?;
            version_metrics::insert(connection, "version_metrics", id, &verdict.metrics)?;
        }
        version_metrics::publish(connection, id, &verdict.metrics)?;
        let action = if verdict.is_override { "version.judged-by-person" } else { "version.judged" };
        let entry = NewEntry::about(action, model, Some(version));
        self.audit(connection, &entry.states(old, Some(audit_text(verdict.verdict, against))).because(&verdict.reason))
    }
}

fn insert_parts(connection: &mut Connection, id: i64, verdict: &NewVerdict, sizes: &[u64]) -> Outcome<()> {
    let metric = "INSERT INTO verdict_metrics (verdict, name, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    for (name, value) in &verdict.metrics {
        connection.execute(metric, values![id, name, *value])?;
    }
    let artifact = "INSERT INTO verdict_artifacts (verdict, role, kind, digest, bytes) VALUES (?1, ?2, ?3, ?4, ?5)";
    for (Reference { role, kind, digest, needed: _ }, bytes) in verdict.references.iter().zip(sizes) {
        connection.execute(artifact, values![id, role, *kind, *digest, *bytes])?;
    }
    Ok(())
}

fn complete(connection: &mut Connection, row: &Row) -> Outcome<VersionVerdict> {
    let id: i64 = row.get(0)?;
    let metrics = "SELECT name, value FROM verdict_metrics WHERE verdict = ?1 ORDER BY name";
    let artifacts = "SELECT role, kind, digest FROM verdict_artifacts WHERE verdict = ?1 ORDER BY role";
    let artifacts = connection.query(artifacts, values![id])?;
    Ok(VersionVerdict {
        verdict: row.parsed(1)?,
        policy: row.get(2)?,
        judged_against: JudgedAgainst::from_stored(row.get(3)?),
        reason: row.get(4)?,
        reasons: serde_json::from_value(row.json(5)?)?,
        evaluation: row.json(6)?,
        run_id: row.optional_parsed(7)?,
        is_override: row.get(8)?,
        by: row.get(9)?,
        at_ms: row.get(10)?,
        metrics: version_metrics::query(connection, metrics, id)?,
        references: artifacts.iter().map(|row| references::of_verdict_row(row, 0)).collect::<Outcome<_>>()?,
    })
}
