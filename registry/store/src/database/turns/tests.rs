//! Changes that share a transaction: what each is told, and what is there after faults.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use super::super::Database;
use super::super::value::values;
use super::*;
use crate::error::StoreError;

const WRITERS: i64 = 40;
const PATIENCE: Duration = Duration::from_secs(60);

/// Opens a database with an empty table, in which changes share whatever comes together.
fn database(folder: &Path) -> Database {
    let mut database = Database::open_file(folder.join("registry.db")).expect("a file");
    database.turns.most_age = PATIENCE;
    let made = database.write("make a table", Scope::Models, |connection| {
        Ok(connection.batch("CREATE TABLE done (number INTEGER PRIMARY KEY) STRICT")?)
    });
    made.expect("a table");
    database
}

fn done(database: &Database) -> BTreeSet<i64> {
    let numbers = database.read("look", |connection| {
        connection.query("SELECT number FROM done", &[])?.iter().map(|row| Ok(row.get(0)?)).collect()
    });
    numbers.expect("numbers")
}

fn insert(connection: &mut Connection, number: i64) -> Outcome<i64> {
    connection.execute("INSERT INTO done (number) VALUES (?1)", values![number])?;
    Ok(number)
}

/// Returns how many commits are in the log: its frames that tell the size of the database.
fn commits(folder: &Path) -> usize {
    let log = std::fs::read(folder.join("registry.db-wal")).expect("a log");
    log[32..].chunks(24 + 4096).filter(|frame| frame[4..8] != [0; 4]).count()
}

/// Has writers come while another one, the number -1, is at work, so that all wait for their
/// turn. Returns what each was told, the other one last; `None` of one that panicked.
fn at_once(
    database: &Database,
    change: impl Fn(&mut Connection, i64) -> Outcome<i64> + Sync,
) -> Vec<Option<Result<i64, StoreError>>> {
    let (begun, has_begun) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let change = &change;
        let first = scope.spawn(move || {
            database.write("wait", Scope::Runs, |connection| {
                begun.send(()).expect("the test waits");
                may_go.recv_timeout(PATIENCE).expect("the test goes on");
                insert(connection, -1)
            })
        });
        has_begun.recv_timeout(PATIENCE).expect("it begins");
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                scope.spawn(move || database.write("insert", Scope::Runs, |connection| change(connection, number)))
            })
            .collect();
        let began = Instant::now();
        while database.turns.waiting.load(Ordering::SeqCst) < WRITERS as usize {
            assert!(began.elapsed() < PATIENCE, "the writers do not come");
            thread::yield_now();
        }
        go.send(()).expect("the first waits");
        let told = writers.into_iter().chain([first]).map(|writer| writer.join().ok());
        told.collect()
    })
}

// invariant: Changes that wait for each other share a commit, and each is whole or not there.
#[test]
fn changes_that_wait_share_a_commit_and_one_that_fails_takes_back_itself_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = database(folder.path());
    let before = commits(folder.path());
    let told = at_once(&database, |connection, number| {
        insert(connection, number)?;
        // What it inserted goes with it, whether it is refused or the database fails.
        match number % 4 {
            0 => Err(StoreError::NoRun { id: number.to_string() }.into()),
            1 => insert(connection, number),
            _ => Ok(number),
        }
    });
    let expected: BTreeSet<i64> = (0..WRITERS).filter(|number| number % 4 > 1).chain([-1]).collect();
    assert_eq!(done(&database), expected);
    for (number, told) in (0..WRITERS).chain([-1]).zip(told) {
        let told = told.expect("no panic");
        match number % 4 {
            0 => assert!(matches!(told, Err(StoreError::NoRun { .. })), "{told:?}"),
            1 => assert!(matches!(told, Err(StoreError::Database { .. })), "{told:?}"),
            _ => assert_eq!(told.expect("it is recorded"), number),
        }
    }
    assert_eq!(commits(folder.path()) - before, 1, "one for all");
}

// invariant: as `changes_that_wait_share_a_commit_and_one_that_fails_takes_back_itself_alone`
#[test]
fn a_change_that_panics_takes_back_itself_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = database(folder.path());
    let told = at_once(&database, |connection, number| {
        insert(connection, number)?;
        assert_ne!(number, WRITERS / 2, "a fault of the program");
        Ok(number)
    });
    for (number, told) in (0..WRITERS).chain([-1]).zip(told) {
        match told {
            None => assert_eq!(number, WRITERS / 2),
            Some(told) => assert_eq!(told.expect("it is recorded"), number),
        }
    }
    assert_eq!(done(&database), (-1..WRITERS).filter(|number| *number != WRITERS / 2).collect());
    // One that is alone in its transaction, too.
    let panics = || database.write("panic", Scope::Runs, |_| -> Outcome<()> { panic!("a fault of the program") });
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    database.write("insert", Scope::Runs, |connection| insert(connection, 1000)).expect("it is recorded");
    assert!(done(&database).contains(&1000));
}

// invariant: If a commit fails, each of its changes has failed, and nobody is told of what was
// not committed.
#[test]
fn a_commit_that_fails_fails_for_all_also_for_those_who_were_refused_because_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = database(folder.path());
    let made = database.write("make a table", Scope::Models, |connection| {
        let sql = "CREATE TABLE late (number INTEGER REFERENCES done DEFERRABLE INITIALLY DEFERRED) STRICT";
        Ok(connection.batch(sql)?)
    });
    made.expect("a table");
    let told = at_once(&database, |connection, number| {
        if number == WRITERS / 2 {
            // Only the commit finds that there is no such number.
            connection.execute("INSERT INTO late (number) VALUES (1000)", &[])?;
            return Ok(number);
        }
        if number % 2 == 0 {
            return insert(connection, number);
        }
        let there = connection.first("SELECT 1 FROM done WHERE number = -1", &[])?;
        assert!(there.is_some(), "a writer sees what those before it changed");
        Err(StoreError::NoRun { id: "-1".to_owned() }.into())
    });
    assert_eq!(told.len() as i64, WRITERS + 1);
    for told in told {
        let told = told.expect("no panic");
        assert!(matches!(told, Err(StoreError::Database { .. })), "{told:?}");
    }
    assert_eq!(done(&database), BTreeSet::new());
    database.write("insert", Scope::Runs, |connection| insert(connection, 1000)).expect("it is recorded");
    assert_eq!(done(&database), BTreeSet::from([1000]));
}

// invariant: as `changes_that_wait_share_a_commit_and_one_that_fails_takes_back_itself_alone`
#[test]
fn nothing_is_seen_before_its_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = database(folder.path());
    let elsewhere = Database::open_file(folder.path().join("registry.db")).expect("the same file");
    let told = at_once(&database, |connection, number| {
        insert(connection, number)?;
        assert_eq!(done(&database), BTreeSet::new());
        assert_eq!(done(&elsewhere), BTreeSet::new());
        Ok(number)
    });
    assert!(told.iter().all(|told| matches!(told, Some(Ok(_)))), "{told:?}");
    assert_eq!(done(&elsewhere).len() as i64, WRITERS + 1);
}

/// The variable that tells a process of a test what to do.
const PART: &str = "STAGEWRIGHT_TEST_TURNS";
const THREADS: i64 = 16;

/// A process that runs the part of the test with this name, through a shell's script.
fn process(test: &str, part: &str, script: &str) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(program).args(["--exact", "--nocapture"]);
    shell.arg(format!("database::turns::tests::{test}")).env(PART, part);
    shell.stdout(Stdio::piped()).spawn().expect("a process")
}

/// Inserts numbers in many threads, each number in two rows. Says each number, once it was told
/// that it is recorded, and each failure.
fn insert_many(database: &Database, first: i64, each: i64) {
    let insert = |number: i64| {
        database.write("insert", Scope::Runs, |connection| {
            insert(connection, number)?;
            let filler = vec![7_u8; 9000];
            connection.execute("INSERT INTO also (number, filler) VALUES (?1, ?2)", values![number, filler])?;
            Ok(())
        })
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in first + thread * each..first + (thread + 1) * each {
                    match insert(number) {
                        Ok(()) => println!("\nrecorded {number}"),
                        Err(error) => println!("\nfailed {number} {error:?}"),
                    }
                }
            });
        }
    });
}

/// Returns the numbers that a process said with this word.
fn said(text: &str, word: &str) -> BTreeSet<i64> {
    // A process that was killed may have said half a line.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().filter_map(|line| line.strip_prefix(word)?.split_whitespace().next()?.parse().ok());
    lines.collect()
}

/// As `database`, with a table of larger rows.
fn database_of_two(folder: &Path) -> Database {
    let database = database(folder);
    let made = database.write("make a table", Scope::Models, |connection| {
        Ok(connection.batch("CREATE TABLE also (number INTEGER PRIMARY KEY, filler BLOB) STRICT")?)
    });
    made.expect("a table");
    database
}

/// Returns the numbers of which there are both rows. Fails if there is one alone.
fn whole(database: &Database) -> BTreeSet<i64> {
    let alone = database.read("look", |connection| {
        let query = "SELECT (SELECT count(*) FROM done WHERE number NOT IN (SELECT number FROM also)),
            (SELECT count(*) FROM also WHERE number NOT IN (SELECT number FROM done))";
        let row = connection.one(query, &[])?;
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))
    });
    assert_eq!(alone.expect("numbers"), (0, 0), "half of a change is there");
    done(database)
}

// invariant: What a writer was told is recorded stays, whenever a process dies, and what a
// process was changing as it died is whole or not there.
#[test]
fn of_two_processes_one_of_which_is_killed_each_change_is_whole_and_none_that_was_told_is_lost() {
    let test = "of_two_processes_one_of_which_is_killed_each_change_is_whole_and_none_that_was_told_is_lost";
    if let Ok(part) = std::env::var(PART) {
        let (first, folder) = part.split_once(' ').expect("two words");
        let database = Database::open_file(Path::new(folder).join("registry.db")).expect("a file");
        return insert_many(&database, first.parse().expect("a number"), 20);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let database = database_of_two(folder.path());
    let mut told = BTreeSet::new();
    for round in 0..6 {
        let [mut killed, left] = [0, 1].map(|which| {
            let part = format!("{} {}", (2 * round + which) * 1000, folder.path().display());
            process(test, &part, "exec \"$0\" \"$@\"")
        });
        let mut lines = BufReader::new(killed.stdout.take().expect("its output"));
        let mut text = String::new();
        // At different moments of its work.
        while said(&text, "recorded ").len() <= (round * 37 % 101) as usize {
            assert_ne!(lines.read_line(&mut text).expect("its output"), 0, "{text}");
        }
        killed.kill().expect("it runs");
        lines.read_to_string(&mut text).expect("its output");
        killed.wait().expect("it has ended");
        told.extend(said(&text, "recorded "));
        let left = left.wait_with_output().expect("it has ended");
        let text = String::from_utf8_lossy(&left.stdout).into_owned();
        assert!(left.status.success(), "{text}");
        assert_eq!(said(&text, "recorded ").len() as i64, 20 * THREADS, "{text}");
        told.extend(said(&text, "recorded "));
        let there = whole(&database);
        assert!(told.is_subset(&there), "lost: {:?}", told.difference(&there));
    }
}

// invariant: A process that writes all the time lets others write.
#[test]
fn a_process_that_writes_all_the_time_lets_others_write() {
    let test = "a_process_that_writes_all_the_time_lets_others_write";
    if let Ok(folder) = std::env::var(PART) {
        let database = Database::open_file(Path::new(&folder).join("registry.db")).expect("a file");
        return insert_many(&database, 1000, i64::from(u32::MAX));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let database = database_of_two(folder.path());
    let mut busy = process(test, &folder.path().display().to_string(), "exec \"$0\" \"$@\"");
    let lines = BufReader::new(busy.stdout.take().expect("its output")).lines();
    let (said, hears) = mpsc::channel();
    let reader = thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(said.send(line))));
    for number in 0..10 {
        while !hears.recv_timeout(PATIENCE).expect("it writes").starts_with("recorded ") {}
        database.write("insert", Scope::Runs, |connection| insert(connection, number)).expect("its turn comes");
    }
    busy.kill().expect("it writes");
    busy.wait().expect("it has ended");
    reader.join().expect("no panic");
    assert!(done(&database).is_superset(&(0..10).collect()));
}

// invariant: as
// `a_commit_that_fails_fails_for_all_also_for_those_who_were_refused_because_of_it`
#[test]
fn of_changes_that_find_the_disk_full_those_remain_that_were_told_so() {
    let test = "of_changes_that_find_the_disk_full_those_remain_that_were_told_so";
    if let Ok(folder) = std::env::var(PART) {
        let database = Database::open_file(Path::new(&folder).join("registry.db")).expect("a file");
        return insert_many(&database, 0, 20);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let database = database_of_two(folder.path());
    // No file grows beyond some hundred kilobytes, of which all changes need several times as
    // much.
    let script = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\"";
    let ended = process(test, &folder.path().display().to_string(), script).wait_with_output();
    let ended = ended.expect("it has ended");
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{text}");
    let (recorded, failed) = (said(&text, "recorded "), said(&text, "failed "));
    assert!(!recorded.is_empty() && !failed.is_empty(), "{text}");
    assert_eq!(recorded.len() + failed.len(), 20 * THREADS as usize, "{text}");
    assert_eq!(whole(&database), recorded);
    // With room again, changes are recorded, also those that failed.
    insert_many(&database, 1000, 1);
    assert_eq!(whole(&database).len(), recorded.len() + THREADS as usize);
}

// invariant: as `changes_that_wait_share_a_commit_and_one_that_fails_takes_back_itself_alone`
#[test]
fn changes_that_share_a_commit_need_no_folder_for_temporary_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = database_of_two(folder.path());
    insert_many(&database, 0, 10);
    let told = at_once(&database, |connection, number| {
        // Pages that it changes are kept as they were, as long as it can be taken back.
        connection.execute("UPDATE also SET filler = ?1", values![vec![number as u8; 9000]])?;
        let files = std::fs::read_dir("/proc/self/fd").expect("its files").flatten();
        let links = files.filter_map(|file| file.path().read_link().ok());
        // A temporary file of SQLite has no name, or none any more.
        let found: Vec<_> = links.filter(|link| link.to_string_lossy().ends_with(" (deleted)")).collect();
        assert!(found.is_empty(), "{found:?}");
        Ok(number)
    });
    assert!(told.iter().all(|told| matches!(told, Some(Ok(_)))), "{told:?}");
}

#[test]
fn a_change_of_models_shares_with_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = database(folder.path());
    let before = commits(folder.path());
    thread::scope(|scope| {
        for number in 0..WRITERS {
            let database = &database;
            scope.spawn(move || {
                let change = |connection: &mut Connection| {
                    assert_eq!(connection.scope(), Scope::Models);
                    insert(connection, number)
                };
                database.write("insert", Scope::Models, change).expect("it is recorded");
            });
        }
    });
    assert_eq!(done(&database).len(), WRITERS as usize);
    assert_eq!(commits(folder.path()) - before, WRITERS as usize);
}
