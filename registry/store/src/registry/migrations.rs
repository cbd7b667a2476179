//! The tables of the registry, format by format.
//!
//! `migrations/N.sql` leads from format N - 1 to format N, for both databases. It is written for
//! SQLite; [`for_postgres`] replaces the few words that PostgreSQL spells differently. A migration
//! is never edited after a release.

use crate::database::{Connection, Database, NewerFormat, Outcome, Scope, values};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::compatibility::{self, FORMAT, Standing};
use crate::registry::{audit, row_memory};

const MIGRATIONS: [&str; FORMAT as usize] = [
    include_str!("migrations/1.sql"),
    include_str!("migrations/2.sql"),
    include_str!("migrations/3.sql"),
    include_str!("migrations/4.sql"),
    include_str!("migrations/5.sql"),
    include_str!("migrations/6.sql"),
    include_str!("migrations/7.sql"),
    include_str!("migrations/8.sql"),
    include_str!("migrations/9.sql"),
    include_str!("migrations/10.sql"),
];

/// The format of `migrations/new.sql`, the tables of a new SQLite file, which later migrations are
/// applied to. A migration that changes a table makes SQLite read the whole schema again, so that
/// the migrations up to this format take five times as long as these statements. The test below
/// prints the statements of today's format.
const NEW_FORMAT: u32 = 8;
const NEW_SQLITE: &str = include_str!("migrations/new.sql");

/// Triggers that refuse to change or remove entries of the audit, even by mistake with a client.
const APPEND_ONLY_SQLITE: &str = "
    CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;
    CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq)
        BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;
    CREATE TRIGGER audit_is_never_removed BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;
";
const APPEND_ONLY_POSTGRES: &str = "
    CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$;
    CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
";

/// Notifies whoever listens on the channel of every change of models: each has an entry of the
/// audit, which moves its head. Triggers, because a statement of the program would be another round
/// trip of every change, would be forgotten in a new one, and would miss what is changed in SQL.
const NOTIFY_POSTGRES: &str = "
    CREATE FUNCTION models_have_changed() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_notify('stagewright', ''); RETURN NULL; END $$;
    CREATE TRIGGER models_have_changed AFTER UPDATE ON audit_head
        FOR EACH STATEMENT EXECUTE FUNCTION models_have_changed();
    CREATE TRIGGER deployments_have_changed AFTER INSERT OR UPDATE OR DELETE ON deployments
        FOR EACH STATEMENT EXECUTE FUNCTION models_have_changed();
";

/// Creates the tables, or migrates those of an older format. Writes nothing to a database of
/// today's format, or of a newer one. Returns the newer format, if this program may only read it.
pub(super) fn bring_up_to_date(database: &Database) -> Result<Option<NewerFormat>, StoreError> {
    let mut found = compatibility::standing(database)?;
    if matches!(found, Standing::Empty | Standing::Older(_)) {
        // Another process may be faster: `migrate` reads the format again inside the transaction.
        database.write("create the tables", Scope::Models, migrate)?;
        found = compatibility::standing(database)?;
    }
    admitted(database, found)
}

/// Checks that the database has tables, of this, an older, or a newer format that this program may
/// read. Writes nothing.
pub(super) fn check_existing(database: &Database) -> Result<(), StoreError> {
    match compatibility::standing(database)? {
        Standing::Older(_) => Ok(()),
        found => admitted(database, found).map(drop),
    }
}

/// Checks that this program may read the tables as they are. Writes nothing. Returns the newer
/// format, if it is one that this program may only read.
pub(super) fn check_current(database: &Database) -> Result<Option<NewerFormat>, StoreError> {
    admitted(database, compatibility::standing(database)?)
}

fn admitted(database: &Database, standing: Standing) -> Result<Option<NewerFormat>, StoreError> {
    let place = || database.place();
    match standing {
        Standing::Usable => Ok(None),
        Standing::Readable(newer) => Ok(Some(newer)),
        Standing::Empty => Err(StoreError::NoRegistry { place: place() }),
        Standing::Older(found) => Err(StoreError::TooOld { place: place(), found, known: FORMAT }),
        Standing::Closed(found) => Err(StoreError::TooNew { place: place(), found, known: FORMAT }),
    }
}

/// Migrates to today's format, inside a transaction. Leaves a newer one alone, if a newer program
/// was faster.
fn migrate(connection: &mut Connection) -> Outcome<()> {
    let found = compatibility::format(connection)?;
    if found >= FORMAT {
        return Ok(());
    }
    if found == 0 && connection.is_sqlite() {
        connection.batch(NEW_SQLITE)?;
        row_memory::create_key(connection)?;
        upgrade(connection, NEW_FORMAT)?;
    } else {
        upgrade(connection, found)?;
    }
    compatibility::record(connection)
}

/// Applies the migrations after format `found`, one after another.
fn upgrade(connection: &mut Connection, found: u32) -> Outcome<()> {
    for (format, migration) in (1..).zip(MIGRATIONS).skip(found as usize) {
        if connection.is_sqlite() {
            connection.batch(migration)?;
        } else {
            connection.batch(&for_postgres(migration))?;
        }
        match format {
            2 => {
                chain_old_moves(connection)?;
                list_old_contents(connection)?;
                connection.batch(if connection.is_sqlite() { APPEND_ONLY_SQLITE } else { APPEND_ONLY_POSTGRES })?;
            }
            3 => row_memory::create_key(connection)?,
            4 => audit::record_all(connection)?,
            8 if !connection.is_sqlite() => connection.batch(NOTIFY_POSTGRES)?,
            _ => {}
        }
    }
    Ok(())
}

/// Moves the alias moves that format 1 recorded to the beginning of the audit, and drops the tables
/// of format 1.
fn chain_old_moves(connection: &mut Connection) -> Outcome<()> {
    let moves = "SELECT model, alias, old_version, new_version, moved_ms FROM alias_moves ORDER BY id";
    for row in connection.query(moves, &[])? {
        let (alias, old): (String, Option<u32>) = (row.get(1)?, row.get(2)?);
        let (model, new): (String, u32) = (row.get(0)?, row.get(3)?);
        let named = |version: u32| format!("{alias} -> {version}");
        let entry = audit::NewEntry::about("alias.moved", &model, Some(new));
        let entry = entry.states(old.map(named), Some(named(new))).because("recorded by format 1");
        audit::append_old(connection, "", row.get(4)?, &entry)?;
    }
    for table in ["alias_moves", "aliases", "model_versions", "models"] {
        connection.batch(&format!("DROP TABLE {table}"))?;
    }
    // A view of the name and columns that users and programs know from format 1.
    connection.batch(
        "CREATE VIEW models AS SELECT name, created_ms, last_version,
             (SELECT version FROM versions WHERE versions.model = registered_models.id AND stage = 'production') AS champion
         FROM registered_models",
    )?;
    connection.execute("UPDATE runs SET name = substr(run_id, 1, 8) WHERE name = ?1", values![""])?;
    Ok(())
}

/// Lists the artifacts, metrics and parameters in the contents of versions of format 1, as
/// registration does for new versions.
fn list_old_contents(connection: &mut Connection) -> Outcome<()> {
    const PARTS: [(&str, &str); 4] = [
        ("transformation-component", "/transformation/digest"),
        ("transformation-state", "/state"),
        ("training-component", "/training/digest"),
        ("model", "/model"),
    ];
    for row in connection.query("SELECT id, contents FROM versions", &[])? {
        let (id, contents): (i64, _) = (row.get(0)?, row.json(1)?);
        for (role, place) in PARTS {
            // A text that is not a digest could never be loaded as a model. It stays as it is.
            let digest = contents.pointer(place).and_then(|it| it.as_str()?.parse::<Digest>().ok());
            let Some(digest) = digest else { continue };
            let insert = "INSERT INTO version_artifacts (version, role, kind, digest, bytes, needed)
                VALUES (?1, ?2, 'blob', ?3, 0, 1)";
            connection.execute(insert, values![id, role, digest])?;
        }
        let metrics = contents.get("metrics").and_then(serde_json::Value::as_object);
        for (name, value) in metrics.into_iter().flatten() {
            let insert = "INSERT INTO version_metrics (version, name, value) VALUES (?1, ?2, ?3)";
            connection.execute(insert, values![id, name, value.as_f64()])?;
        }
        for world in ["transformation", "training"] {
            let component = contents.get(world).and_then(|it| it.get("name")?.as_str());
            let parameters = contents.get(world).and_then(|it| it.get("parameters")?.as_object());
            let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let own = parameters.into_iter().flatten().map(|(name, value)| (format!("{world}.{name}"), text(value)));
            let named = component.map(|name| (format!("{world}.component"), name.to_owned()));
            for (name, value) in own.chain(named) {
                let insert = "INSERT INTO version_parameters (version, name, value) VALUES (?1, ?2, ?3)";
                connection.execute(insert, values![id, name, value])?;
            }
        }
    }
    Ok(())
}

/// Translates the statements to PostgreSQL's dialect.
fn for_postgres(sql: &str) -> String {
    sql.replace(") STRICT, WITHOUT ROWID;", ");")
        .replace(") STRICT;", ");")
        .replace(" INTEGER PRIMARY KEY,", " BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,")
        .replace(" INTEGER", " BIGINT")
        .replace(" REAL", " DOUBLE PRECISION")
        .replace(" BLOB", " BYTEA")
        // Texts are compared and sorted by their bytes, as in SQLite, whatever the server's locale.
        .replace(" TEXT", " TEXT COLLATE \"C\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the statements that create a file's tables, in the order of their names.
    fn made(make: impl FnOnce(&mut Connection) -> Outcome<()>) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open_file(folder.path().join("registry.db")).expect("a new file");
        let made = database.write("create the tables", Scope::Models, |connection| {
            make(connection)?;
            let head = connection.one("SELECT seq, hash FROM audit_head", &[])?;
            assert_eq!((head.get(0).ok(), head.get(1).ok()), (Some(0_i64), Some(String::new())));
            connection.one("SELECT hash_key FROM row_hash_key", &[])?;
            let statements = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name";
            connection.query(statements, &[])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
        });
        made.expect("tables")
    }

    #[test]
    fn a_new_file_has_the_tables_to_which_the_migrations_lead() {
        let upgraded = made(|connection| upgrade(connection, 0));
        let new = made(migrate);
        assert!(new == upgraded, "new.sql and what follows are not what all migrations lead to:\n{upgraded:#?}");
    }
}
