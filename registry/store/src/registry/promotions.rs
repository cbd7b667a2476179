//! Promotions: recorded as intended, then carried out, then made known to the production location.
//!
//! 1. *intended*: recorded before a byte is copied ([`Registry::begin_promotion`]), if the
//!    version's latest verdict approves it against the current champion.
//! 2. The caller copies the version to its destination and verifies it there. Nothing points to it
//!    yet.
//! 3. *current*: the version is the champion ([`Registry::complete_promotion`]), by compare-and-set
//!    against the champion at the time of step 1. The same transaction archives that one. From here
//!    on, the database is the truth.
//! 4. The caller moves the pointer at the destination, which is derived from the database.
//! 5. *finished* ([`Registry::finish_promotion`]).
//!
//! If a process dies before step 3, the next process to open the registry undoes its intent. If it
//! dies after step 3, the pointer has to be repaired, and [`Registry::unfinished_promotions`] finds
//! it. At no time are there two champions, or none where there was one.

use crate::database::{Connection, Failure, Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::audit::{self, NewEntry};
use crate::registry::handle::{Registry, now_ms};
use crate::registry::ids::{self, champion};
use crate::registry::judgement::{JudgedAgainst, Verdict};
use crate::registry::lifecycle_stage::LifecycleStage;
use crate::registry::names::{CHAMPION, random_id};
use crate::registry::promotion_record::{
    COLUMNS, Promotion, PromotionRequest, PromotionState, by_id, promotion, unfinished,
};
use crate::registry::{models, transitions};

/// The order of completed promotions, the last one first. Those of one place are repairs of one
/// champion, which overlapped, or retirements.
const LAST_FIRST: &str = "coalesce(completed, 0) DESC, began_ms DESC, promotions.id";

impl Registry {
    /// Records the intent to make a version champion that is approved against the current champion.
    /// If the version is the champion already, the promotion repairs its destination.
    ///
    /// # Errors
    /// [`StoreError::NotApproved`]; [`StoreError::StaleVerdict`] if the version was approved
    /// against another champion, or an unknown one; [`StoreError::AliasMoved`] if the champion is
    /// not the one that the request expects; [`StoreError::CollectionRunning`] while garbage is
    /// collected at the destination, [`StoreError::NoModel`], [`StoreError::NoVersion`] or
    /// [`StoreError::Database`].
    pub fn begin_promotion(
        &self,
        model: &str,
        version: u32,
        request: &PromotionRequest,
    ) -> Result<Promotion, StoreError> {
        let (id, owner) = (random_id()?, self.owner()?);
        self.write("intend a promotion", Scope::Models, |connection| {
            // Checked before anything is copied. A promotion that overtakes this one is detected at
            // its completion.
            let actual = champion(connection, model)?.map(|(_, version)| version);
            if let Some(expected) = request.expected
                && expected != actual
            {
                let (model, alias) = (model.to_owned(), CHAMPION.to_owned());
                return Err(StoreError::AliasMoved { model, alias, expected, actual }.into());
            }
            self.intend(connection, &id, &owner, (model, version), request, false)
        })
    }

    /// Records the intent to go back to the version that [`Registry::rollback_target`] returns. It
    /// was champion before, so that the age of its verdict does not matter.
    ///
    /// # Errors
    /// [`StoreError::NoArchivedVersion`], and those of [`Registry::begin_promotion`].
    pub fn begin_rollback(&self, model: &str, request: &PromotionRequest) -> Result<Promotion, StoreError> {
        let (id, owner) = (random_id()?, self.owner()?);
        self.write("intend a rollback", Scope::Models, |connection| {
            let version = transitions::rollback_target(connection, model)?;
            self.intend(connection, &id, &owner, (model, version), request, true)
        })
    }

    /// Makes the version of an intended promotion champion and archives the previous champion, if
    /// that is still the expected one. Atomic.
    ///
    /// # Errors
    /// [`StoreError::AliasMoved`] if another version has become champion since, in which case the
    /// promotion is undone; [`StoreError::PromotionEnded`], [`StoreError::NoPromotion`] or
    /// [`StoreError::Database`].
    pub fn complete_promotion(&self, id: &str) -> Result<Promotion, StoreError> {
        self.write("make a version champion", Scope::Models, |connection| {
            let (promotion, version, expected) = unfinished(connection, id)?;
            if promotion.state == PromotionState::Current {
                return Ok(Ok(promotion));
            }
            let champion = champion(connection, &promotion.model)?;
            if champion.map(|(id, _)| id) != expected {
                self.undo(connection, &promotion, "the champion has changed since")?;
                let (model, alias) = (promotion.model, CHAMPION.to_owned());
                let (expected, actual) = (promotion.expected, champion.map(|(_, version)| version));
                return Ok(Err(StoreError::AliasMoved { model, alias, expected, actual }));
            }
            // It may have been judged again while it was copied.
            let named = (promotion.model.as_str(), promotion.version);
            match check_verdict(connection, version, named, champion, promotion.rollback) {
                Err(Failure::Refused(refused)) => {
                    self.undo(connection, &promotion, "it was judged again meanwhile")?;
                    return Ok(Err(refused));
                }
                checked => checked?,
            }
            self.replace_champion(connection, &promotion, version, champion)?;
            complete(connection, id, PromotionState::Current)?;
            Ok(Ok(Promotion { state: PromotionState::Current, ..promotion }))
        })?
    }

    /// Records that the destination points to the champion. Also finishes earlier completed
    /// promotions to the same destination whose pointers were never moved, but no later ones: the
    /// pointer may be older than they are.
    ///
    /// # Errors
    /// [`StoreError::PromotionEnded`] if it is undone or only intended; [`StoreError::NoPromotion`]
    /// or [`StoreError::Database`].
    pub fn finish_promotion(&self, id: &str) -> Result<(), StoreError> {
        self.write("finish a promotion", Scope::Models, |connection| {
            let (promotion, ..) = by_id(connection, id)?;
            match promotion.state {
                // Another process repaired the destination meanwhile and finished it.
                PromotionState::Finished => return Ok(()),
                PromotionState::Current => {}
                state => return Err(StoreError::PromotionEnded { id: id.to_owned(), state: state.name() }.into()),
            }
            let update =
                "UPDATE promotions SET state = 'finished', ended_ms = ?3 WHERE destination = ?2 AND state = 'current'
                AND model = (SELECT model FROM promotions WHERE id = ?1)
                AND completed <= (SELECT completed FROM promotions WHERE id = ?1)";
            connection.execute(update, values![id, promotion.destination, now_ms()])?;
            Ok(())
        })
    }

    /// Gives up an intended promotion. The champion stays as it was.
    ///
    /// # Errors
    /// [`StoreError::NoPromotion`], [`StoreError::PromotionEnded`] (also if it is current) or
    /// [`StoreError::Database`].
    pub fn undo_promotion(&self, id: &str, reason: &str) -> Result<(), StoreError> {
        self.write("undo a promotion", Scope::Models, |connection| {
            let (promotion, ..) = unfinished(connection, id)?;
            if promotion.state == PromotionState::Current {
                return Err(StoreError::PromotionEnded { id: id.to_owned(), state: promotion.state.name() }.into());
            }
            self.undo(connection, &promotion, reason)
        })
    }

    /// [`Registry::begin_promotion`] and [`Registry::complete_promotion`] in one transaction, for a
    /// version that is copied nowhere.
    ///
    /// # Errors
    /// Those of both.
    pub fn promote(&self, model: &str, version: u32, request: &PromotionRequest) -> Result<(), StoreError> {
        let id = random_id()?;
        self.write("promote a version", Scope::Models, |connection| {
            // The transaction is atomic, so that the promotion needs no owner.
            let promotion = self.intend(connection, &id, "", (model, version), request, false)?;
            let champion = champion(connection, model)?;
            if champion.map(|(_, version)| version) != promotion.expected {
                let (model, alias) = (model.to_owned(), CHAMPION.to_owned());
                let (expected, actual) = (promotion.expected, champion.map(|(_, version)| version));
                return Err(StoreError::AliasMoved { model, alias, expected, actual }.into());
            }
            let number = ids::own_version(connection, model, version)?;
            self.replace_champion(connection, &promotion, number, champion)?;
            complete(connection, &id, PromotionState::Finished)
        })
    }

    /// Returns one promotion.
    ///
    /// # Errors
    /// [`StoreError::NoPromotion`] or [`StoreError::Database`].
    pub fn promotion(&self, id: &str) -> Result<Promotion, StoreError> {
        self.read("read a promotion", |connection| Ok(by_id(connection, id)?.0))
    }

    /// Returns the promotion by which a version last became champion.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn promotion_of(&self, model: &str, version: u32) -> Result<Option<Promotion>, StoreError> {
        self.read("read a promotion", |connection| {
            let query = format!(
                "SELECT {COLUMNS} WHERE registered_models.name = ?1 AND promoted.version = ?2
                 AND state IN ('current', 'finished') AND retirement = 0 ORDER BY {LAST_FIRST} LIMIT 1"
            );
            connection.first(&query, values![model, version])?.map(|row| promotion(&row)).transpose()
        })
    }

    /// Returns a model's last completed promotion, of any version.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn last_promotion(&self, model: &str) -> Result<Option<Promotion>, StoreError> {
        self.read("read a promotion", |connection| {
            let query = format!(
                "SELECT {COLUMNS} WHERE registered_models.name = ?1
                 AND state IN ('current', 'finished') AND retirement = 0 ORDER BY {LAST_FIRST} LIMIT 1"
            );
            connection.first(&query, values![model])?.map(|row| promotion(&row)).transpose()
        })
    }

    /// Returns the promotions, rollbacks and retirements of a model, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn promotions_of_model(&self, model: &str, limit: usize) -> Result<Vec<Promotion>, StoreError> {
        self.read("read promotions", |connection| {
            let id = ids::model(connection, model)?;
            let query =
                format!("SELECT {COLUMNS} WHERE promotions.model = ?1 ORDER BY began_ms DESC, promotions.id LIMIT ?2");
            connection.query(&query, values![id, limit])?.iter().map(promotion).collect()
        })
    }

    /// Returns the current promotions, first completed first. Their destinations may not yet point
    /// to the champion, or may still point to a retired one.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn unfinished_promotions(&self) -> Result<Vec<Promotion>, StoreError> {
        self.read("read promotions", |connection| {
            let query = format!(
                "SELECT {COLUMNS} WHERE state = 'current' ORDER BY coalesce(completed, 0), began_ms, promotions.id"
            );
            connection.query(&query, &[])?.iter().map(promotion).collect()
        })
    }

    fn intend(
        &self,
        connection: &mut Connection,
        id: &str,
        owner: &str,
        (model, version): (&str, u32),
        request: &PromotionRequest,
        rollback: bool,
    ) -> Outcome<Promotion> {
        let number = ids::own_version(connection, model, version)?;
        let champion = champion(connection, model)?;
        check_verdict(connection, number, (model, version), champion, rollback)?;
        let collecting = "SELECT EXISTS (SELECT 1 FROM collections WHERE destination = ?1)";
        if connection.one(collecting, values![&request.destination])?.get(0)? {
            return Err(StoreError::CollectionRunning { destination: request.destination.clone() }.into());
        }
        let expected = match request.expected {
            None => champion.map(|(id, _)| id),
            Some(None) => None,
            Some(Some(expected)) => Some(ids::own_version(connection, model, expected)?),
        };
        connection.execute(
            "INSERT INTO promotions (id, model, version, expected, rollback, destination, state, owner, actor, reason, began_ms)
             VALUES (?1, (SELECT model FROM versions WHERE id = ?2), ?2, ?3, ?4, ?5, 'intended', ?6, ?7, ?8, ?9)",
            values![
                id,
                number,
                expected,
                rollback,
                &request.destination,
                owner,
                &*self.actor,
                &request.reason,
                now_ms()
            ],
        )?;
        let entry = NewEntry::about("promotion.intended", model, Some(version)).because(&request.reason);
        self.audit(connection, &entry.states(None, Some(id.to_owned())))?;
        Ok(by_id(connection, id)?.0)
    }

    /// Makes a version champion and archives the previous one.
    fn replace_champion(
        &self,
        connection: &mut Connection,
        promotion: &Promotion,
        version: i64,
        champion: Option<(i64, u32)>,
    ) -> Outcome<()> {
        let Promotion { model, version: number, rollback, reason, .. } = promotion;
        if champion.is_some_and(|(id, _)| id == version) {
            return Ok(());
        }
        if let Some((id, old)) = champion {
            let stages = (LifecycleStage::Production, LifecycleStage::Archived);
            let why = if *rollback {
                format!("rolled back to version {number}")
            } else {
                format!("version {number} followed")
            };
            if *rollback {
                // The rollback contradicts its approval: the verdict stays on record, but is not
                // current any more.
                let update = "UPDATE versions SET judged_against = NULL WHERE id = ?1";
                connection.execute(update, values![id])?;
            }
            self.move_stage(connection, id, (model, old), stages, *rollback, &why)?;
        }
        let from = transitions::stage_of(connection, version)?;
        self.move_stage(connection, version, (model, *number), (from, LifecycleStage::Production), false, reason)?;
        let model = ids::model(connection, model)?;
        models::touch(connection, model)
    }

    /// Undoes what is intended with a version, and is not completed yet.
    pub(super) fn undo_intended(
        &self,
        connection: &mut Connection,
        (model, version): (&str, u32),
        reason: &str,
    ) -> Outcome<()> {
        let query = format!(
            "SELECT {COLUMNS} WHERE registered_models.name = ?1 AND promoted.version = ?2 AND state = 'intended'"
        );
        for row in connection.query(&query, values![model, version])? {
            self.undo(connection, &promotion(&row)?, reason)?;
        }
        Ok(())
    }

    fn undo(&self, connection: &mut Connection, promotion: &Promotion, reason: &str) -> Outcome<()> {
        let update = "UPDATE promotions SET state = 'undone', ended_ms = ?2 WHERE id = ?1";
        connection.execute(update, values![&promotion.id, now_ms()])?;
        let entry = NewEntry::about("promotion.undone", &promotion.model, Some(promotion.version));
        self.audit(connection, &entry.states(Some(promotion.id.clone()), None).because(reason))
    }
}

/// Records that the version of a promotion is champion since the audit's last entry, by which
/// promotions are ordered: a clock may stand still, or go back.
fn complete(connection: &mut Connection, id: &str, state: PromotionState) -> Outcome<()> {
    let update =
        "UPDATE promotions SET state = ?2, ended_ms = ?3, completed = (SELECT seq FROM audit_head) WHERE id = ?1";
    let ended_ms = (state == PromotionState::Finished).then(now_ms);
    connection.execute(update, values![id, state.name(), ended_ms])?;
    Ok(())
}

/// Undoes the intended promotions of a dead process, and ends its garbage collections.
pub(super) fn settle_abandoned(connection: &mut Connection, owner: &str) -> Outcome<()> {
    let query = format!("SELECT {COLUMNS} WHERE state = 'intended' AND owner = ?1");
    for row in connection.query(&query, values![owner])? {
        let promotion = promotion(&row)?;
        let update = "UPDATE promotions SET state = 'undone', ended_ms = ?2 WHERE id = ?1";
        connection.execute(update, values![&promotion.id, now_ms()])?;
        let entry = NewEntry::about("promotion.undone", &promotion.model, Some(promotion.version));
        let entry = entry.states(Some(promotion.id), None).because("the process that promoted died");
        audit::append(connection, &promotion.actor, &entry)?;
    }
    connection.execute("DELETE FROM collections WHERE owner = ?1", values![owner])?;
    Ok(())
}

/// Checks whether a version may become champion: whether its latest verdict approves it and was
/// reached against the current champion. A rollback may go back to a former champion whatever its
/// verdict was reached against. Promoting the champion itself only repairs its destination.
fn check_verdict(
    connection: &mut Connection,
    number: i64,
    (model, version): (&str, u32),
    champion: Option<(i64, u32)>,
    rollback: bool,
) -> Outcome<()> {
    if champion.is_some_and(|(id, _)| id == number) {
        return Ok(());
    }
    let row = connection.one("SELECT verdict, judged_against FROM versions WHERE id = ?1", values![number])?;
    let verdict: Option<Verdict> = row.optional_parsed(0)?;
    if verdict != Some(Verdict::Approved) {
        let state = verdict.map_or("not judged", Verdict::name).to_owned();
        let (model, alias) = (model.to_owned(), CHAMPION.to_owned());
        return Err(StoreError::NotApproved { model, version, alias, state }.into());
    }
    let judged_against = JudgedAgainst::from_stored(row.get(1)?);
    let champion = champion.map(|(_, version)| version);
    if !rollback && judged_against != JudgedAgainst::from(champion) {
        return Err(StoreError::StaleVerdict { model: model.to_owned(), version, judged_against, champion }.into());
    }
    Ok(())
}

/// Returns the retirements of a model whose destinations still have a pointer, by destination.
pub(super) fn retirements_of(connection: &mut Connection, model: &str) -> Outcome<Vec<Promotion>> {
    let query = format!(
        "SELECT {COLUMNS} WHERE registered_models.name = ?1 AND state = 'current' AND retirement = 1
         ORDER BY destination, promotions.id"
    );
    connection.query(&query, values![model])?.iter().map(promotion).collect()
}
