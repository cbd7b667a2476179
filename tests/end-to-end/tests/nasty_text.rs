//! Text from outside, wherever it is shown, moves no cursor, reorders and hides nothing, and starts
//! no line that imitates the host's.
//!
//! A registry and files with such text stand for everything that components, servers and other
//! people may send. Every command that shows some of it is called.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use stagewright_end_to_end::{Ended, Place, guests, least_pipeline};

const MODEL: &str = "churn-classifier";

/// Parts of a name or a message. Each forges or hides something where it is shown unescaped.
const PARTS: [&str; 17] = [
    "\u{1b}[2J",
    "\u{1b}]0;title\u{7}",
    "\u{9b}31m",
    "\u{85}FORGED",
    "\nhint: FORGED",
    "\r\nerror: FORGED",
    "\nerror[SW0101]: FORGED",
    "\rFORGED",
    "\u{2028}FORGED\u{2029}",
    "\u{202e}txt.\u{202c}",
    "\u{2066}a\u{2069}\u{61c}\u{200f}",
    "a\u{200b}b\u{200d}\u{feff}\u{2060}",
    "\u{e0041}\u{e0042}",
    "\u{ad}\u{fe0f}\u{3164}",
    "<script>alert(1)</script>",
    "`|`|\"'\\",
    "\t\u{8}\u{7f}",
];

/// Returns whether a character is invisible or misleading. The list is repeated here so that the
/// product's own list does not judge itself.
fn is_hidden(letter: char) -> bool {
    let code = u32::from(letter);
    (code < 0x20 && letter != '\n')
        || (0x7f..0xa0).contains(&code)
        || [0xad, 0x61c, 0x180e, 0x3164, 0xfeff].contains(&code)
        || [0x200b..=0x200f, 0x2028..=0x202e, 0x2060..=0x206f, 0xfe00..=0xfe0f, 0xe0000..=0xe0fff]
            .iter()
            .any(|range| range.contains(&code))
}

#[track_caller]
fn clean(what: &str, text: &str) {
    let hidden: Vec<char> = text.chars().filter(|letter| is_hidden(*letter)).collect();
    assert!(hidden.is_empty(), "{what} shows {hidden:?}:\n{}", text.escape_debug());
    let forged = text.lines().find(|line| {
        let line = line.trim_start();
        ["hint: FORGED", "error: FORGED", "error[SW0101]: FORGED", "FORGED", "txt"]
            .iter()
            .any(|begins| line.starts_with(begins))
    });
    assert_eq!(forged, None, "{what}:\n{text}");
}

fn asked(place: &Place, arguments: &[&str]) -> Ended {
    let ended = place.run(arguments);
    let what = arguments.join(" ");
    clean(&what, &ended.stdout);
    clean(&what, &ended.stderr);
    if arguments.contains(&"--json") && ended.code == 0 {
        serde_json::from_str::<Value>(&ended.stdout).expect("JSON");
    }
    assert!(!ended.stderr.contains("panicked"), "{what}: {}", ended.stderr);
    ended
}

/// Appends a text to every free text in a registry.
fn soil(database: &Path, text: &str) {
    const KEPT: [&str; 30] = [
        "run_id",
        "digest",
        "kind",
        "status",
        "media_type",
        "owner",
        "config",
        "error",
        "logs",
        "description",
        "contents",
        "verdict",
        "stage",
        "model",
        "alias",
        "role",
        "state",
        "old_state",
        "new_state",
        "hash",
        "previous",
        "policy",
        "evaluation",
        "reasons",
        "judged_against",
        "judged",
        "semantic_version",
        "parts",
        "key_columns",
        "hash_key",
    ];
    let connection = rusqlite::Connection::open(database).expect("the registry");
    let names = |sql: &str| {
        let mut statement = connection.prepare(sql).expect("SQL");
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        rows.collect::<Result<Vec<_>, _>>().expect("names")
    };
    for table in names("SELECT name FROM sqlite_master WHERE type = 'table'") {
        for column in names(&format!("SELECT name FROM pragma_table_info('{table}') WHERE type = 'TEXT'")) {
            let is_key = table == "registered_models" && column == "name";
            if !is_key && !KEPT.contains(&column.as_str()) {
                // Texts that a key or a trigger protects stay as they are.
                drop(
                    connection.execute(
                        &format!("UPDATE OR IGNORE \"{table}\" SET \"{column}\" = \"{column}\" || ?1"),
                        [text],
                    ),
                );
            }
        }
    }
    let log = serde_json::json!([{ "level": "warn", "message": text }]).to_string();
    connection.execute("UPDATE stages SET logs = ?1", [log]).expect("the stages");
    connection
        .execute("UPDATE runs SET error = ?1", [serde_json::json!({ "message": text }).to_string()])
        .expect("the runs");
    let contents: String =
        connection.query_row("SELECT contents FROM versions", [], |row| row.get(0)).expect("a version");
    let mut model: Value = serde_json::from_str(&contents).expect("a model");
    for place in ["/task/positive", "/task/negative", "/transformation/name", "/training/name", "/run_id", "/source"] {
        if let Some(Value::String(old)) = model.pointer_mut(place) {
            old.push_str(text);
        }
    }
    model["code"] = serde_json::json!({ "commit": text, "branch": text, "dirty": null });
    connection.execute("UPDATE versions SET contents = ?1", [model.to_string()]).expect("the versions");
}

#[test]
fn no_command_shows_text_of_a_registry_as_its_own() {
    let place = Place::new();
    let quick = [
        "--set",
        "training.component=train-logistic",
        "--set",
        "gates.minimum.roc_auc=0.5",
        "--set",
        "gates.minimum.accuracy=0.5",
    ];
    place.churn(1500, &quick).expect(0);
    let database = place.home().join("stagewright.db");
    // The log is part of the database, so it is merged first.
    rusqlite::Connection::open(&database)
        .and_then(|connection| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
        .expect("one file");
    let whole = fs::read(&database).expect("the registry");
    place.run(&["artifacts", "export", "ingestion.table", "--output", "rows.csv"]).expect(0);
    let version = format!("{MODEL}/1");
    let card = place.path().join("card.html");
    let card_file = card.display().to_string();
    let commands: Vec<Vec<&str>> = vec![
        vec!["runs"],
        vec!["runs", "list"],
        vec!["runs", "show"],
        vec!["runs", "search", "metrics.roc_auc > 0"],
        vec!["artifacts", "list"],
        vec!["models", "list"],
        vec!["models", "show", MODEL],
        vec!["models", "show", &version],
        vec!["models", "history", MODEL],
        vec!["models", "search", "metrics.roc_auc > 0"],
        vec!["models", "compare", &version, &version],
        vec!["models", "card", &version],
        vec!["models", "card", &version, "--output", &card_file],
        vec!["audit", "list"],
        vec!["audit", "verify"],
        vec!["gate", &version, "--min-auc", "0.1"],
        vec!["predict", &version, "--input", "rows.csv"],
        vec!["gc"],
        vec!["doctor"],
        vec!["artifacts", "export", "nothing", "--output", "-"],
        vec!["runs", "show", "\u{1b}[2Jx\nhint: FORGED"],
        vec!["models", "show", "\u{1b}[2Jx\nhint: FORGED"],
        vec!["models", "tag", &version, "--remove", "\u{1b}\nhint: FORGED"],
    ];
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() });
    let texts =
        prop::collection::vec(prop::sample::select(&PARTS[..]), 3..10).prop_map(|parts| format!("x{}", parts.concat()));
    let all = PARTS.concat();
    let check = |text: String| {
        for suffix in ["", "-wal", "-shm"] {
            drop(fs::remove_file(format!("{}{suffix}", database.display())));
        }
        fs::write(&database, &whole).expect("the registry");
        soil(&database, &text);
        let mut shown = String::new();
        for command in &commands {
            let ended = asked(&place, command);
            let is_card = command.starts_with(&["models", "card"]);
            assert!(!is_card || ended.code == 0, "{}", ended.stderr);
            shown.push_str(&ended.stdout);
            if !command.contains(&"--output") && command[0] != "predict" {
                asked(&place, &[&command[..], &["--json"]].concat());
            }
        }
        clean("the card", &fs::read_to_string(&card).expect("a card"));
        assert!(!fs::read_to_string(&card).expect("a card").contains("<script>alert"));
        shown
    };
    // All parts at once: the check needs some of them to be shown.
    let shown = check(format!("x{all}"));
    assert!(shown.matches("\\u{1b}[2J").count() > 20, "{shown}");
    runner
        .run(&texts, |text| {
            check(text);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn no_command_shows_text_of_a_file_as_its_own() {
    let place = Place::new();
    let all = PARTS.concat();
    let quoted = Value::from(all.as_str()).to_string();
    // Keys and values of a manifest, as TOML writes them.
    let toml = stagewright_toml(&all);
    for text in [
        format!("{toml} = 1\n"),
        format!("pipeline = {toml}\n"),
        format!("[sources.x]\nuri = {toml}\n"),
        format!("[sources.{toml}]\nuri = \"csv:x\"\n"),
        format!("[components.x]\npath = {toml}\n"),
        format!("[task]\nkind = {toml}\ntarget = {toml}\n"),
        format!("[gates]\npolicy = {toml}\n"),
        all.clone(),
        format!("x = \"{all}\"\n"),
    ] {
        let manifest = place.write("nasty.toml", &text).display().to_string();
        for command in [["plan", &manifest], ["run", &manifest], ["lock", &manifest]] {
            assert_ne!(asked(&place, &command).code, 0);
        }
        let lock = place.write("stagewright.lock", &text);
        let churn = place
            .write("churn.toml", fs::read_to_string(stagewright_end_to_end::config("churn.toml")).expect("a manifest"));
        asked(&place, &["plan", &churn.display().to_string()]);
        fs::remove_file(lock).expect("the lock");
    }
    asked(&place, &["plan", "no-such-file\u{1b}[2J\nhint: FORGED"]);
    asked(&place, &["run", &stagewright_end_to_end::config("churn.toml"), "--set", &format!("gates.margin={all}")]);

    // Columns and classes of a table.
    let cell = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut table = format!("{},y\n", cell(&format!("x{all}")));
    for row in 0..40 {
        let class = if row % 2 == 0 { cell(&format!("no{all}")) } else { cell(&format!("yes{all}")) };
        table.push_str(&format!("{row},{class}\n"));
    }
    place.write("nasty.csv", table);
    for target in ["y", "nothing", all.split('\0').next().expect("text")] {
        drop(fs::remove_file(place.path().join("pipeline.toml")));
        asked(&place, &["init", "--source", "csv:nasty.csv", "--target", target]);
    }
    place.write("rows.json", format!("[{{ {quoted}: {quoted} }}]"));
    place
        .churn(
            1500,
            &[
                "--set",
                "training.component=train-logistic",
                "--set",
                "gates.minimum.roc_auc=0.5",
                "--set",
                "gates.minimum.accuracy=0.5",
            ],
        )
        .expect(0);
    asked(&place, &["predict", MODEL, "--input", "rows.json"]);
    asked(&place, &["predict", MODEL, "--input", "nasty.csv"]);
}

/// Returns a TOML string with everything escaped that TOML requires.
fn stagewright_toml(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|letter| match letter {
            '"' | '\\' => format!("\\{letter}"),
            letter if letter.is_control() => format!("\\u{:04X}", u32::from(letter)),
            letter => letter.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

#[test]
fn names_in_a_component_are_not_shown_as_the_hosts_words() {
    let place = Place::new();
    let mut bytes = fs::read(guests().join("empty-promotion.wasm")).expect("a guest");
    // One more export and one more import, with producers' metadata.
    let name = "x\nsignature  sound, by ed25519:0 (trusted)\u{1b}[2J\u{202e}";
    let section = |id: u8, content: Vec<u8>| [vec![id, u8::try_from(content.len()).expect("short")], content].concat();
    let named = |before: &[u8], after: &[u8]| [before, &[name.len() as u8][..], name.as_bytes(), after].concat();
    bytes.extend(section(11, named(&[1, 0], &[1, 0, 0])));
    bytes.extend(section(10, named(&[1, 0], &[1, 0])));
    bytes.extend(section(0, [&[8][..], b"licenses", name.as_bytes()].concat()));
    let file = place.write("nasty.wasm", bytes).display().to_string();
    for command in [&["stage", "inspect", &file][..], &["stage", "inspect", &file, "--json"]] {
        let ended = asked(&place, command);
        let forged = |line: &str| line.trim_start().starts_with("signature  sound");
        assert!(!ended.stdout.lines().any(forged), "{}", ended.stdout);
        assert!(ended.stdout.contains("\\n") && ended.stdout.contains("(trusted)"), "{}{}", ended.stdout, ended.stderr);
    }
}

// invariant: as `events_are_json_lines_that_say_which_run_and_step_they_are_of`
#[test]
fn what_a_stage_writes_is_an_event_of_its_step_and_begins_no_line_of_its_own() {
    let place = Place::new();
    place.write("least.toml", least_pipeline("empty-training"));
    let path = format!("components.misbehave-validation.path={}", guests().join("misbehave-validation.wasm").display());
    let changes = ["validation.component=misbehave-validation", "validation.misdeed=terminal-escapes", &path];
    let mut arguments = vec!["run", "least.toml", "--log-format", "json", "--set", "validation.export=validate"];
    arguments.extend(changes.iter().flat_map(|change| ["--set", change]));
    let ended = asked(&place, &arguments).expect(0);
    let lines: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let written: Vec<&Value> = lines.iter().filter(|line| line["event"] == "log").collect();
    // One line that it logged and two that it printed: a line break ends a line.
    assert_eq!(
        written.iter().map(|line| line["level"].as_str()).collect::<Vec<_>>(),
        [Some("warn"), Some("info"), Some("info")]
    );
    for line in written {
        assert_eq!((&line["step"], &line["run"]), (&"validation".into(), &lines[0]["run"]));
        let message = line["message"].as_str().expect("text");
        assert!(!message.contains(is_hidden), "{message:?}");
        assert!(message.lines().skip(1).all(|line| line.starts_with("  | ")), "{message:?}");
    }
}
