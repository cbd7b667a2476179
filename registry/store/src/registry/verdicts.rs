//! Verdicts: what gates or a person said about a version, each a record of its own.
//!
//! A later verdict supersedes an earlier one and erases nothing. Each records the champion that it was reached against,
//! because "better than the champion" says nothing about the next champion: [`crate::registry::promotions`] promotes a
//! version only while its latest verdict was reached against the champion of that moment.
//!
//! Why not one verdict that is set once? A retrained model can be worth another look under another policy, and what was
//! approved while there was no champion must not replace the one that came since.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use crate::artifact::ArtifactStore;
use crate::database::{Connection, Outcome, Row, Scope, values};
use crate::error::StoreError;
use crate::registry::audit::NewEntry;
use crate::registry::versions::{self, Reference};
use crate::registry::{Registry, RunId, check_key, now_ms, promotions};

/// What was said about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may become champion.
    Approved,
    /// It may not.
    Rejected,
    /// There was too little to judge by; it may not either.
    Undecided,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Approved, Self::Rejected, Self::Undecided];

    /// The name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Undecided => "undecided",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| format!("a verdict is `{name}`"))
    }
}

/// The champion that a verdict was reached against. In JSON: the version's number, null for none, `"unknown"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JudgedAgainst {
    /// The model had no champion.
    NoChampion,
    /// This version was champion.
    Champion(u32),
    /// Nobody recorded it: verdicts that were given before format 3 of the database.
    Unknown,
}

impl JudgedAgainst {
    /// The champion's version; `None` if there was none or nobody recorded it.
    pub const fn champion(self) -> Option<u32> {
        match self {
            Self::Champion(version) => Some(version),
            Self::NoChampion | Self::Unknown => None,
        }
    }

    /// The number in the database: numbers of versions begin at 1.
    fn stored(self) -> Option<u32> {
        match self {
            Self::NoChampion => Some(0),
            Self::Champion(version) => Some(version),
            Self::Unknown => None,
        }
    }

    pub(super) fn from_stored(stored: Option<u32>) -> Self {
        match stored {
            None => Self::Unknown,
            Some(0) => Self::NoChampion,
            Some(version) => Self::Champion(version),
        }
    }
}

impl From<Option<u32>> for JudgedAgainst {
    /// The champion of the moment, as [`Registry::alias`] gives it.
    fn from(champion: Option<u32>) -> Self {
        champion.map_or(Self::NoChampion, Self::Champion)
    }
}

impl fmt::Display for JudgedAgainst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChampion => f.pad("no champion"),
            Self::Champion(version) => write!(f, "version {version}"),
            Self::Unknown => f.pad("a champion that was not recorded"),
        }
    }
}

impl Serialize for JudgedAgainst {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::NoChampion => serializer.serialize_none(),
            Self::Champion(version) => serializer.serialize_u32(*version),
            Self::Unknown => serializer.serialize_str("unknown"),
        }
    }
}

/// One reason of a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictReason {
    /// The gate that gives it.
    pub gate: String,
    /// Whether it was passed.
    pub passed: bool,
    /// Its text for people.
    pub message: String,
}

/// What is known when a version is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct NewVerdict {
    /// What is said.
    pub verdict: Verdict,
    /// By which rule: `better`, `no-worse`, `absolute`, `person`.
    pub policy: String,
    /// The champion that it was reached against.
    pub judged_against: JudgedAgainst,
    /// Why, in one line.
    pub reason: String,
    /// Why, gate by gate.
    pub reasons: Vec<VerdictReason>,
    /// What it was reached by, as the caller's JSON.
    pub evaluation: serde_json::Value,
    /// What the version was measured to be worth, by name; empty if nothing was measured.
    pub metrics: Vec<(String, f64)>,
    /// The artifacts that explain it. Predictions need none of them.
    pub references: Vec<Reference>,
    /// The run that judged, if one did.
    pub run_id: Option<RunId>,
    /// Whether a person decided, whatever gates say.
    pub is_override: bool,
}

/// The policy of a person's decision.
pub const PERSON: &str = "person";

impl NewVerdict {
    /// A person's decision.
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

/// A verdict as recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VersionVerdict {
    /// What was said.
    pub verdict: Verdict,
    /// By which rule: `better`, `no-worse`, `absolute`, `person`; `unknown` of those of before format 3.
    pub policy: String,
    /// The champion that it was reached against.
    pub judged_against: JudgedAgainst,
    /// Why, in one line.
    pub reason: String,
    /// Why, gate by gate.
    pub reasons: Vec<VerdictReason>,
    /// What it was reached by, as the caller's JSON.
    pub evaluation: serde_json::Value,
    /// What the version was measured to be worth, by name.
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
    /// Records a verdict about a version, which supersedes those before it. Its metrics, if it has some, become the
    /// version's. Atomic.
    ///
    /// # Errors
    /// [`StoreError::ChampionChanged`] if `judged_against` is not the champion of the moment,
    /// [`StoreError::IsChampion`] of the version in production, which is judged against itself by nobody;
    /// [`StoreError::Incomplete`] if an artifact that explains it is not in `artifacts` whole. Nothing is recorded then.
    /// [`StoreError::NoModel`], [`StoreError::NoVersion`], [`StoreError::BadKey`] or [`StoreError::Database`].
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
        let sizes = versions::sizes(artifacts, model, &verdict.references)?;
        self.write("record a verdict", Scope::Models, |connection| {
            let id = versions::numbered(connection, model, version)?;
            let champion = promotions::champion(connection, model)?;
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

    /// What was said about a version, oldest first: the last one counts.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::NoVersion`], [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn verdicts(&self, model: &str, version: u32) -> Result<Vec<VersionVerdict>, StoreError> {
        self.read("read verdicts", |connection| {
            let id = versions::numbered(connection, model, version)?;
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
        let old = old.map(|old| Ok::<_, crate::database::Failure>(state(old, before.get(1)?))).transpose()?;
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
            versions::insert_metrics(connection, "version_metrics", id, &verdict.metrics)?;
        }
        versions::publish_metrics(connection, id, &verdict.metrics)?;
        let action = if verdict.is_override { "version.judged-by-person" } else { "version.judged" };
        let entry = NewEntry::about(action, model, Some(version));
        self.audit(connection, &entry.states(old, Some(state(verdict.verdict, against))).because(&verdict.reason))
    }
}

/// How the audit tells of a verdict: `approved against version 3`.
pub(super) fn state(verdict: Verdict, stored: Option<u32>) -> String {
    match JudgedAgainst::from_stored(stored) {
        JudgedAgainst::Unknown => verdict.name().to_owned(),
        against => format!("{verdict} against {against}"),
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
    let references = "SELECT role, kind, digest FROM verdict_artifacts WHERE verdict = ?1 ORDER BY role";
    let references = connection.query(references, values![id])?;
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
        metrics: versions::metrics(connection, metrics, id)?,
        references: references.iter().map(reference).collect::<Outcome<_>>()?,
    })
}

/// The artifacts that explain the verdicts of a version, by role: of each role the latest.
pub(super) fn references_of(connection: &mut Connection, version: i64) -> Outcome<BTreeMap<String, Reference>> {
    let query =
        "SELECT role, kind, digest FROM verdict_artifacts JOIN verdicts ON verdicts.id = verdict_artifacts.verdict
        WHERE version = ?1 ORDER BY verdicts.id";
    let mut found = BTreeMap::new();
    for row in connection.query(query, values![version])? {
        let reference = reference(&row)?;
        found.insert(reference.role.clone(), reference);
    }
    Ok(found)
}

fn reference(row: &Row) -> Outcome<Reference> {
    Ok(Reference { role: row.get(0)?, kind: row.parsed(1)?, digest: row.parsed(2)?, needed: false })
}

/// Removes what was said about a version.
pub(super) fn remove(connection: &mut Connection, version: i64) -> Outcome<()> {
    for table in ["verdict_metrics", "verdict_artifacts"] {
        let delete = format!("DELETE FROM {table} WHERE verdict IN (SELECT id FROM verdicts WHERE version = ?1)");
        connection.execute(&delete, values![version])?;
    }
    connection.execute("DELETE FROM verdicts WHERE version = ?1", values![version])?;
    Ok(())
}
