//! `init` writes manifests that run as they are, or says why it cannot. The hints of commands work
//! when they are followed.

use stagewright_end_to_end::{Ended, Place};

/// Returns a table of `rows` rows that can be learnt: `y` follows `a` and `d` most of the time.
/// `more` adds cells before them.
fn table(head: &str, rows: usize, labels: [&str; 2], more: impl Fn(usize) -> String) -> String {
    let row = |i: usize| {
        let (a, d) = (i * 7919 % 101, i * 104_729 % 97);
        let label = labels[usize::from((a + d + i * 31 % 60) > 110)];
        format!("{}{a},{d}.5,\"{}\"\n", more(i), label.replace('"', "\"\""))
    };
    std::iter::once(format!("{head}a,d,y\n")).chain((0..rows).map(row)).collect()
}

/// Writes a manifest for the table and runs it. Returns the output of `init`.
#[track_caller]
fn runs(name: &str, text: &str, more: &[&str]) -> String {
    let place = Place::new();
    place.write("table.csv", text);
    let mut arguments = vec!["init", "--source", "csv:table.csv", "--target", "y"];
    arguments.extend(more);
    let written = place.run(&arguments).expect(0);
    place.run(&["plan", "pipeline.toml"]).expect(0);
    let run = place.run(&["run", "pipeline.toml", "--json"]);
    assert!([0, 4].contains(&run.code), "{name}: {}\n{}\n{}", run.code, run.stderr, written.stdout);
    assert!(run.json()["decision"].is_object(), "{name}: it came to a decision");
    written.stdout
}

#[test]
fn columns_that_a_default_would_trip_over() {
    let plain = |_: usize| String::new();
    let date = |i: usize| format!("2024-{:02}-{:02}", 1 + i % 12, 1 + i % 28);
    let said = runs(
        "two dates",
        &table("opened,seen,", 400, ["no", "yes"], |i| format!("{},{} 10:00,", date(i), date(i * 7))),
        &[],
    );
    assert!(said.contains("`seen`") && said.contains("no feature is made of a date"), "{said}");
    let said = runs(
        "gaps",
        &table("gaps,empty,same,", 400, ["0", "1"], |i| {
            format!("{},,k,", if i % 10 == 3 { String::new() } else { i.to_string() })
        }),
        &[],
    );
    assert!(said.contains("`empty`: every value is missing") && said.contains("`same`"), "{said}");
    let said = runs("an index", &table(",", 400, ["0", "1"], |i| format!("{i},")), &[]);
    assert!(said.contains("left out: column 1: it has no name"), "{said}");
    let said =
        runs("names twice", &table("b,b,\"c\nd\",", 400, ["0", "1"], |i| format!("{i},{},{},", i % 3, i % 5)), &[]);
    assert!(said.contains("left out: column 3 (`c\\nd`): its name has a control character"), "{said}");
    let odd = format!("\"it's \"\"x\"\" = [é] # \\\",\u{202e}猫,{},y=1,", "n".repeat(256));
    let said = runs(
        "odd names",
        &table(&odd, 400, ["0", "1"], |i| format!("{},{},{},{},", i % 4, ["p", "q"][i % 2], i % 7, ["u", "v"][i % 2])),
        &[],
    );
    assert!(!said.contains('\u{202e}'), "{said:?}");
    let said = runs(
        "NA",
        &table("n,", 400, ["0", "1"], |i| if i % 20 == 0 { "NA,".into() } else { format!("{},", i % 37) }),
        &[],
    );
    assert!(
        said.contains("`n`: every value is a whole number, 20 missing; `NA` (20 rows) is taken for a missing value"),
        "{said}"
    );
    runs(
        "a question mark",
        &table("n,", 400, ["0", "1"], |i| if i % 3 == 0 { " ?,".into() } else { format!("{}.5,", i % 37) }),
        &[],
    );
    runs("wide numbers", &table("n,", 400, ["0", "1"], |i| format!("{}99999999999999999,", 100 + i)), &[]);
    runs("few rows", &table("", 24, ["0", "1"], plain), &[]);
}

#[test]
fn labels_of_every_kind() {
    let long = "the customer has defaulted on the loan; ".repeat(20);
    for labels in [
        ["a\\b", "c"],
        ["`no`", "`yes`"],
        ["no\nnever", "yes\nalways"],
        ["no", "no\u{a0}"],
        ["no", "no\u{200b}"],
        ["no", &long],
        ["\u{1b}[2J\u{202e}", "\"'#"],
        ["2024-01-01", "2024-01-02"],
        ["none", "some"],
    ] {
        let said = runs(&format!("{labels:?}"), &table("", 400, labels, |_| String::new()), &[]);
        assert!(!said.contains(['\u{1b}', '\u{202e}', '\u{200b}']), "{said:?}");
    }
    let spelt = |i: usize, label: &str| label.replace('0', ["0", "0.0"][i % 2]).replace('1', ["1.0", "1"][i % 2]);
    let text: String = table("", 400, ["0", "1"], |_| String::new())
        .lines()
        .enumerate()
        .map(|(i, line)| match line.rsplit_once(',') {
            Some((cells, label)) if i > 0 => format!("{cells},{}\n", spelt(i, label)),
            _ => format!("{line}\n"),
        })
        .collect();
    let place = Place::new();
    place.write("table.csv", &text);
    place.run(&["init", "--source", "csv:table.csv", "--target", "y", "--positive", "1.0"]).expect(0);
    place.run(&["run", "pipeline.toml"]).expect(0);
    let task = place.run(&["artifacts", "export", "transformation.task", "--output", "-"]).expect(0).json();
    assert_eq!((&task["kind"], &task["negative"], &task["positive"]), (&"binary".into(), &"0".into(), &"1".into()));
}

// invariant: as `a_task_that_a_component_cannot_do_is_refused_at_its_line`
#[test]
fn what_cannot_be_learnt_is_refused_before_anything_runs() {
    for (name, cell, kind) in [
        ("classes", ["x", "y", "z"].map(str::to_owned), "multi-class"),
        ("numbers", ["1.5", "2.25", "7.125"].map(str::to_owned), "regression"),
    ] {
        let place = Place::new();
        let rows: String = (0..90).map(|i| format!("{},{}\n", i * 7 % 31, cell[i % 3])).collect();
        place.write("table.csv", format!("a,y\n{rows}"));
        let written = place.run(&["init", "--source", "csv:table.csv", "--target", "y"]).expect(0);
        assert!(written.stdout.contains("it does not run as it is"), "{name}: {}", written.stdout);
        for command in ["plan", "run"] {
            let refused = place.run(&[command, "pipeline.toml"]).expect(2);
            let told = refused.stderr;
            assert!(told.contains(&format!("the task is `{kind}`")) && told.contains("hint: "), "{name}: {told}");
            assert!(!told.contains("--set"), "{name}: {told}");
        }
        assert_eq!(place.artifacts(), Vec::<String>::new(), "{name}: nothing ran");
        // The hint: take a target of two values, for which `init` writes a manifest, or stages that
        // do not need the task.
        place.write("table.csv", table("", 400, ["0", "1"], |_| String::new()));
        place.run(&["init", "--source", "csv:table.csv", "--target", "y", "--output", "two.toml"]).expect(0);
        place.run(&["plan", "two.toml"]).expect(0);
    }
    let place = Place::new();
    let refused = |text: &str, code: i32, words: &str| {
        place.write("table.csv", text);
        let ended = place.run(&["init", "--source", "csv:table.csv", "--target", "y"]).expect(code);
        assert!(ended.stderr.contains(words) && !place.path().join("pipeline.toml").exists(), "{}", ended.stderr);
    };
    refused("a,y\n", 3, "there are no rows");
    refused("a,y\n1,0\n", 2, "`y` has 1 distinct values");
    refused("a,y\n1,0\n2,1\n3,\n4,1\n5,0\n", 3, "column `y`: 1 of 5 rows have no value");
    refused("a,y,y\n1,0,1\n2,1,0\n", 3, "the column `y` cannot be the target: 2 columns have this name");
}

#[test]
fn two_files_of_one_name_are_told_apart() {
    let place = Place::new();
    for folder in ["shop", "bank"] {
        std::fs::create_dir(place.path().join(folder)).expect("a folder");
        place.write(&format!("{folder}/data.csv"), table("", 400, ["0", "1"], |_| String::new()));
    }
    let init = |folder: &str, file: &str, more: &[&str]| {
        let source = format!("csv:{folder}/data.csv");
        let arguments = [&["init", "--source", &source, "--target", "y", "--output", file], more].concat();
        place.run(&arguments).expect(0).stdout
    };
    let first = init("shop", "shop.toml", &[]);
    assert!(!first.contains("already"), "{first}");
    assert!(!place.home().exists(), "looking for a model makes no home");
    place.run(&["run", "shop.toml"]).expect(0);
    let again = init("shop", "again.toml", &[]);
    assert!(!again.contains("already"), "the same source is no namesake: {again}");
    let second = init("bank", "bank.toml", &[]);
    assert!(second.contains("`data-model` already") && second.contains("`csv:shop/data.csv`"), "{second}");
    assert!(second.contains("`--name bank-data`") && second.contains("`--register-name bank-data-model`"), "{second}");
    // Both hints work.
    init("bank", "named.toml", &["--name", "bank-data"]);
    place.run(&["run", "named.toml"]).expect(0);
    place.run(&["run", "bank.toml", "--register-name", "other-model"]).expect(0);
    let models = place.run(&["models", "--json"]).expect(0).json();
    let names: Vec<&str> =
        models.as_array().expect("models").iter().filter_map(|model| model["name"].as_str()).collect();
    assert_eq!(names, ["bank-data-model", "data-model", "other-model"]);
}

/// Returns the arguments of each command that an error proposes.
#[track_caller]
fn proposed(ended: &Ended) -> Vec<Vec<String>> {
    let commands =
        ended.stderr.lines().filter_map(|line| line.trim_start_matches([' ', '|']).strip_prefix("stagewright "));
    let commands: Vec<Vec<String>> =
        commands.map(|command| command.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect()).collect();
    assert!(!commands.is_empty(), "no command in:\n{}", ended.stderr);
    commands
}

fn run_words(place: &Place, words: &[String]) -> Ended {
    place.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn the_table_of_a_folder_gets_a_pipeline_without_a_question() {
    let place = Place::new();
    place.run(&["init"]).expect(2);
    let text = table("", 400, ["No", "Yes"], |_| String::new()).replacen("a,d,y", "visits,spent,Churned", 1);
    place.write("customers.csv", &text);
    place.write("notes.txt", "no table");
    let said = place.run(&["init"]).expect(0).stdout;
    assert!(said.contains("target `Churned` (binary)"), "{said}");
    assert!(said.contains("its name is usual for a target, it is the last column, it has two values"), "{said}");
    let yes = text.matches("\"Yes\"").count();
    assert!(
        said.contains(&format!("`Yes` is the positive class: {yes} of 400 rows, ")) && said.contains("(95 %: "),
        "{said}"
    );
    let run = place.run(&["run", "pipeline.toml", "--json"]);
    assert!([0, 4].contains(&run.code), "{}", run.stderr);
    // The same file by its path, as an address, and by its folder gives the same pipeline.
    let split = |file: &str| {
        let text = std::fs::read_to_string(place.path().join(file)).expect("a manifest");
        text.lines().filter(|line| !line.starts_with("seed")).map(str::to_owned).collect::<Vec<_>>()
    };
    for (file, arguments) in [
        ("path.toml", &["init", "customers.csv"][..]),
        ("address.toml", &["init", "csv:customers.csv"]),
        ("source.toml", &["init", "--source", "csv:customers.csv"]),
        ("folder.toml", &["init", "."]),
        ("target.toml", &["init", "--target", "Churned"]),
    ] {
        place.run(&[arguments, &["--output", file]].concat()).expect(0);
        assert_eq!(split(file), split("pipeline.toml"), "{file}");
    }
}

#[test]
fn no_file_is_overwritten() {
    let place = Place::new();
    place.write("t.csv", table("", 400, ["0", "1"], |_| String::new()));
    place.write("pipeline.toml", "mine");
    for arguments in [&["init"][..], &["init", "t.csv"], &["init", "--source", "csv:t.csv", "--target", "y"]] {
        let refused = place.run(arguments).expect(2);
        assert!(refused.stderr.contains("pipeline.toml exists already") && refused.stderr.contains("--output"));
        assert_eq!(std::fs::read_to_string(place.path().join("pipeline.toml")).expect("the file"), "mine");
    }
    place.run(&["init", "t.csv", "--output", "other.toml"]).expect(0);
}

#[test]
fn several_tables_are_named_with_the_commands_to_choose_from() {
    let place = Place::new();
    for name in ["a.csv", "b c.csv"] {
        place.write(name, table("", 400, ["0", "1"], |_| String::new()));
    }
    let several = place.run(&["init"]).expect(2);
    assert!(several.stderr.contains("there are 2 tables in this folder"), "{}", several.stderr);
    let commands = proposed(&several);
    assert_eq!(commands[0], ["init", "a.csv"]);
    assert!(several.stderr.contains("stagewright init 'b c.csv'"), "{}", several.stderr);
    run_words(&place, &commands[0]).expect(0);
    place.run(&["init", "b c.csv", "--output", "b.toml"]).expect(0);
}

#[test]
fn the_tables_of_a_database_are_named_with_the_commands_to_choose_from() {
    let place = Place::new();
    let database = rusqlite::Connection::open(place.path().join("shop.db")).expect("a database");
    let rows: String =
        (0..400).map(|i| format!("({}, {}, {}),", i * 7919 % 101, i % 7, i32::from(i * 7919 % 101 > 60))).collect();
    let rows = rows.trim_end_matches(',');
    let make = |name: &str| {
        let sql = format!("CREATE TABLE {name} (a, b, target); INSERT INTO {name} VALUES {rows};");
        database.execute_batch(&sql).expect("a table");
    };
    let none = place.run(&["init"]).expect(2);
    assert!(none.stderr.contains("the database `shop.db` has no table"), "{}", none.stderr);
    make("customers");
    let one = place.run(&["init", "--output", "one.toml"]).expect(0);
    assert!(one.stdout.contains("target `target` (binary)"), "{}", one.stdout);
    make("orders");
    let two = place.run(&["init"]).expect(2);
    let commands = proposed(&two);
    assert_eq!(commands, [["init", "sqlite:shop.db#customers"], ["init", "sqlite:shop.db#orders"]]);
    run_words(&place, &commands[1]).expect(0);
    place.run(&["plan", "pipeline.toml"]).expect(0);
}

#[test]
fn a_doubtful_target_is_left_to_a_person_with_the_commands_to_choose_from() {
    let place = Place::new();
    let text = table("", 400, ["u", "v"], |_| String::new()).replacen("a,d,y", "visits,spent,group", 1);
    place.write("t.csv", &text);
    let doubtful = place.run(&["init"]).expect(2);
    assert!(doubtful.stderr.contains("it is not certain which column is to be predicted"), "{}", doubtful.stderr);
    assert!(!place.path().join("pipeline.toml").exists());
    let commands = proposed(&doubtful);
    assert_eq!(commands, [["init", "t.csv", "--target", "group"]]);
    run_words(&place, &commands[0]).expect(0);
    place.run(&["plan", "pipeline.toml"]).expect(0);
    // No column has two values or a usual name.
    place.write("u.csv", text.replace("\"u\"", "\"1.5\"").replace("\"v\"", "\"2.5\"") + "3,4.5,\"7.25\"\n");
    let none = place.run(&["init", "u.csv", "--output", "u.toml"]).expect(2);
    assert!(none.stderr.contains("no column looks like the one to predict"), "{}", none.stderr);
    assert_eq!(proposed(&none)[2], ["init", "u.csv", "--target", "group"]);
}

/// Returns the key that the hint of a failure names.
#[track_caller]
fn key_of(ended: &Ended) -> String {
    let hint = ended.stderr.split("--set ").nth(1).unwrap_or_else(|| panic!("no key in:\n{}", ended.stderr));
    hint.split('=').next().expect("a key").to_owned()
}

// invariant: as `every_command_that_a_message_names_exists`
#[test]
fn a_hint_that_names_a_key_can_be_followed() {
    let place = Place::new();
    place.write("table.csv", table("", 400, ["0", "1"], |_| String::new()));
    place.run(&["init", "--source", "csv:table.csv", "--target", "y"]).expect(0);
    // A limit.
    let small = place.run(&["run", "pipeline.toml", "--set", "training.limits.memory=\"1 MiB\""]);
    assert_eq!(small.code, 6, "{}", small.stderr);
    let larger = format!("{}=\"1 GiB\"", key_of(&small));
    let again = |arguments: &[&str]| {
        let ended = place.run(arguments);
        // The same model is no better than itself.
        assert!([0, 4].contains(&ended.code), "{arguments:?}: {}", ended.stderr);
    };
    again(&["run", "pipeline.toml", "--set", "training.limits.memory=\"1 MiB\"", "--set", &larger]);
    // A parameter that no schema checks.
    let wrong = ["--set", "ingestion.columns=[\"a\", \"d\", \"x\"]"];
    let unknown = place.run(&[&["run", "pipeline.toml"], &wrong[..]].concat()).expect(2);
    let right = format!("{}=[\"a\", \"d\", \"y\"]", key_of(&unknown));
    again(&[&["run", "pipeline.toml"], &wrong[..], &["--set", &right]].concat());
    // A missing source.
    let text = std::fs::read_to_string(place.path().join("pipeline.toml")).expect("the manifest");
    place.write("without.toml", text.replace("source = \"data\"\n", ""));
    let without = place.run(&["run", "without.toml"]).expect(2);
    again(&["run", "without.toml", "--set", &format!("{}=data", key_of(&without))]);
    // A report of failed checks.
    let unfit = place.run(&["run", "pipeline.toml", "--set", "validation.min_rows=100000"]).expect(3);
    let command =
        unfit.stderr.split("`stagewright ").nth(1).and_then(|it| it.split('`').next()).expect("a command in the hint");
    place.run(&command.split(' ').collect::<Vec<_>>()).expect(0);
    assert!(std::fs::read_to_string(place.path().join("report.html")).expect("a report").contains("row_count"));
}
