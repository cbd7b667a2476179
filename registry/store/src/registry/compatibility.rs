//! Which programs may use a database: the rule by which a program of an older format reads, or even
//! writes, the tables of a newer one.
//!
//! The program that converts a database knows what it changed, and the older ones cannot. So it
//! leaves a row, the oldest formats whose programs may read and write, and older programs keep to
//! it. Programs before format 10 do not know the row, and refuse every newer format. The decision
//! is docs/decisions/older-programs-may-read.md.

use crate::database::{Connection, Database, NewerFormat, Outcome, values};
use crate::error::StoreError;

/// The format that this program writes. It is in SQLite's `user_version` or PostgreSQL's table
/// `stagewright_format`.
pub(super) const FORMAT: u32 = 10;

/// The oldest format whose program may read the tables of [`FORMAT`]. It stays where it is as long
/// as a format only adds tables, indexes and columns that may be absent from an answer. It rises to
/// [`FORMAT`] when a table or column that older programs read is removed, renamed or means
/// something else.
const READ_FROM: u32 = 10;
/// The oldest format whose program may write them. It rises to [`FORMAT`] also when something must
/// be written together with what older programs write, or limits who may write.
const WRITE_FROM: u32 = 10;

/// The most characters of a program's version that are believed.
const MAX_VERSION_CHARACTERS: usize = 40;

/// The word of a format's maker about older programs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct UsableBy {
    read_from: u32,
    write_from: u32,
    /// The version of the program that made it.
    program: String,
}

/// The right of this program to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has no tables.
    Empty,
    /// It has an older format.
    Older(u32),
    /// It has this program's format, or a newer one that this program may write.
    Usable,
    /// It has a newer format that this program may read.
    Readable(NewerFormat),
    /// It has a newer format that this program must leave alone.
    Closed(u32),
}

/// Returns what this program may do with the database. Writes nothing.
pub(super) fn standing(database: &Database) -> Result<Standing, StoreError> {
    database.read("read the format", |connection| {
        let found = format(connection)?;
        let rule = if found > FORMAT { usable_by(connection)? } else { None };
        Ok(judged(FORMAT, found, rule))
    })
}

/// Returns what a program of format `program` may do with a database of format `found` with this
/// row. Without a row that can be read, a newer format is closed.
fn judged(program: u32, found: u32, rule: Option<UsableBy>) -> Standing {
    match rule {
        _ if found == 0 => Standing::Empty,
        _ if found < program => Standing::Older(found),
        _ if found == program => Standing::Usable,
        Some(rule) if rule.read_from.max(rule.write_from) <= program => Standing::Usable,
        Some(rule) if rule.read_from <= program => {
            Standing::Readable(NewerFormat { found, known: program, program: rule.program })
        }
        _ => Standing::Closed(found),
    }
}

/// Returns the format of the database; 0 if it is empty.
pub(super) fn format(connection: &mut Connection) -> Outcome<u32> {
    if connection.is_sqlite() {
        return Ok(connection.one("SELECT user_version FROM pragma_user_version", &[])?.get(0)?);
    }
    if has_table(connection, "stagewright_format")? {
        Ok(connection.one("SELECT format FROM stagewright_format", &[])?.get(0)?)
    } else {
        Ok(0)
    }
}

/// Writes the format of this program, and which older ones may use it.
pub(super) fn record(connection: &mut Connection) -> Outcome<()> {
    connection.execute("DELETE FROM usable_by", &[])?;
    let insert = "INSERT INTO usable_by (read_from, write_from, program) VALUES (?1, ?2, ?3)";
    connection.execute(insert, values![READ_FROM, WRITE_FROM, env!("CARGO_PKG_VERSION")])?;
    if connection.is_sqlite() {
        return Ok(connection.batch(&format!("PRAGMA user_version = {FORMAT}"))?);
    }
    // Programs that watch learn that the tables have changed.
    Ok(connection.batch(&format!(
        "CREATE TABLE IF NOT EXISTS stagewright_format (format BIGINT NOT NULL);
         DELETE FROM stagewright_format; INSERT INTO stagewright_format VALUES ({FORMAT});
         SELECT pg_notify('stagewright', '')"
    ))?)
}

/// Returns the row of a newer format; `None` if there is none, or one that says nothing clear.
fn usable_by(connection: &mut Connection) -> Outcome<Option<UsableBy>> {
    if !has_table(connection, "usable_by")? {
        return Ok(None);
    }
    let rows = connection.query("SELECT read_from, write_from, program FROM usable_by", &[])?;
    let [row] = rows.as_slice() else { return Ok(None) };
    let (read_from, write_from, program): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let program: String = program.chars().filter(char::is_ascii_graphic).take(MAX_VERSION_CHARACTERS).collect();
    let formats = u32::try_from(read_from).ok().zip(u32::try_from(write_from).ok());
    Ok(formats.map(|(read_from, write_from)| UsableBy { read_from, write_from, program }))
}

fn has_table(connection: &mut Connection, name: &str) -> Outcome<bool> {
    let query = if connection.is_sqlite() {
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)"
    } else {
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE relname = ?1 AND pg_table_is_visible(oid))"
    };
    Ok(connection.one(query, values![name])?.get(0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(read_from: u32, write_from: u32) -> Option<UsableBy> {
        Some(UsableBy { read_from, write_from, program: "9.1.0".into() })
    }

    // invariant: A program uses the tables of a newer format as far as their maker says, and no
    // further.
    #[test]
    fn a_newer_format_is_used_as_far_as_its_maker_says() {
        let readable = || Standing::Readable(NewerFormat { found: 13, known: 12, program: "9.1.0".into() });
        let cases = [
            (12, 0, None, Standing::Empty),
            (12, 11, None, Standing::Older(11)),
            (12, 12, None, Standing::Usable),
            // What is said about older programs does not concern programs of the same format.
            (12, 12, rule(99, 99), Standing::Usable),
            (12, 13, None, Standing::Closed(13)),
            (12, 13, rule(12, 12), Standing::Usable),
            (12, 13, rule(10, 11), Standing::Usable),
            (12, 13, rule(12, 13), readable()),
            (12, 13, rule(1, 99), readable()),
            (12, 13, rule(13, 13), Standing::Closed(13)),
            // Whoever may write may read: a row that says otherwise says nothing.
            (12, 13, rule(13, 12), Standing::Closed(13)),
        ];
        for (program, found, rule, expected) in cases {
            assert_eq!(judged(program, found, rule.clone()), expected, "{program} {found} {rule:?}");
        }
    }

    #[test]
    fn what_this_program_says_of_itself_lets_it_in() {
        const { assert!(READ_FROM <= WRITE_FROM && WRITE_FROM <= FORMAT && READ_FROM >= 10) };
    }
}
