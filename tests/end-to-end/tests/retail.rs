//! `config/retail.toml`: purchases and events become features of time, as a person would compute
//! them.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array as _, RecordBatch};
use arrow_ipc::reader::FileReader;
use serde_json::Value;
use stagewright_end_to_end::{Place, WALLS, config, digests, guests};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 1970-01-01 was a Thursday.
const MONDAY: i64 = 3;

/// Rows for the tests: 250 users of history and 50 later ones.
const ROWS: [&str; 8] = [
    "--set",
    "transactions.rows=2000",
    "--set",
    "events.rows=6000",
    "--set",
    "live-transactions.rows=400",
    "--set",
    "live-events.rows=1200",
];

/// Returns a place with the manifest of the repository, and all of its tables as outputs.
fn place(walls: &str) -> Place {
    let place = Place::new().with_walls(walls);
    let text = std::fs::read_to_string(config("retail.toml")).expect("the manifest");
    let path = guests().join("prepare-table.wasm").display().to_string();
    let text = text.replace("[components.prepare-table]\n", &format!("[components.prepare-table]\npath = {path:?}\n"));
    let more = "[outputs]\n\"retail/transactions.arrow\" = \"transactions.table\"\n\"retail/events.arrow\" = \"events.table\"\n\
        \"retail/live-transactions.arrow\" = \"live-transactions.table\"\n\
        \"retail/live-events.arrow\" = \"live-events.table\"\n";
    place.write("retail.toml", text.replace("[outputs]\n", more));
    place
}

fn run(place: &Place, more: &[&str]) -> Value {
    place.run(&[&["run", "retail.toml", "--json"], &ROWS[..], more].concat()).expect(0).json()
}

fn step<'a>(run: &'a Value, name: &str) -> &'a Value {
    run["stages"].as_array().expect("stages").iter().find(|stage| stage["name"] == name).expect("a step")
}

/// A table in memory.
struct Rows(Vec<RecordBatch>);

impl Rows {
    fn read(place: &Place, name: &str) -> Self {
        let file = File::open(place.path().join("retail").join(name)).expect("an output");
        Self(FileReader::try_new(file, None).expect("Arrow").map(|batch| batch.expect("rows")).collect())
    }

    /// Returns a column by `of`, which reads a value of a column that is not null.
    fn column<T>(&self, name: &str, of: impl Fn(&dyn arrow_array::Array, usize) -> T) -> Vec<Option<T>> {
        let columns = self.0.iter().map(|batch| batch.column_by_name(name).expect("a column"));
        columns
            .flat_map(|column| {
                (0..column.len()).map(|row| column.is_valid(row).then(|| of(column, row))).collect::<Vec<_>>()
            })
            .collect()
    }

    fn numbers(&self, name: &str) -> Vec<Option<f64>> {
        self.column(name, |column, row| column.as_primitive::<Float64Type>().value(row))
    }

    fn integers(&self, name: &str) -> Vec<i64> {
        self.column(name, |column, row| column.as_primitive::<Int64Type>().value(row)).into_iter().flatten().collect()
    }

    fn times(&self, name: &str) -> Vec<i64> {
        let of = |column: &dyn arrow_array::Array, row| column.as_primitive::<TimestampMicrosecondType>().value(row);
        self.column(name, of).into_iter().flatten().collect()
    }

    fn texts(&self, name: &str) -> Vec<Option<String>> {
        self.column(name, |column, row| column.as_string::<i32>().value(row).to_owned())
    }
}

/// An event of a user.
struct Event {
    at: i64,
    /// None for the registration.
    minutes: Option<f64>,
    device: String,
}

/// A user's rows in both tables.
#[derive(Default)]
struct User {
    /// Times and amounts.
    purchases: Vec<(i64, f64)>,
    events: Vec<Event>,
}

/// Computes each feature by looking at every purchase and event of the user, and compares.
fn compare(place: &Place, prepared: &str, transactions: &str, events: &str) -> usize {
    let (made, bought, seen) =
        (Rows::read(place, prepared), Rows::read(place, transactions), Rows::read(place, events));
    let (users, at, amounts) = (bought.integers("user_id"), bought.times("at"), bought.numbers("amount"));
    let mut of_user: HashMap<i64, User> = HashMap::new();
    for row in 0..users.len() {
        of_user.entry(users[row]).or_default().purchases.push((at[row], amounts[row].expect("an amount")));
    }
    let (devices, minutes, when) = (seen.texts("device"), seen.numbers("session_minutes"), seen.times("at"));
    for (row, user) in seen.integers("user_id").into_iter().enumerate() {
        let device = devices[row].clone().expect("a device");
        of_user.entry(user).or_default().events.push(Event { at: when[row], minutes: minutes[row], device });
    }

    // Rows keep their order, and as many as there were: the left join repeats none.
    assert_eq!(made.integers("transaction_id"), bought.integers("transaction_id"));
    assert_eq!(made.texts("churn"), bought.texts("churn"));
    let (total, duration) = (made.numbers("total_purchases_30d"), made.numbers("avg_session_duration_7d"));
    let (frequency, value) = (made.numbers("purchase_frequency"), made.numbers("value_per_session"));
    let (hours, days, device) = (made.integers("hour"), made.integers("day_of_week"), made.texts("device"));
    let weekend: Vec<bool> =
        made.column("is_weekend", |column, row| column.as_boolean().value(row)).into_iter().flatten().collect();
    let close = |row: usize, name: &str, found: Option<f64>, wanted: Option<f64>| match (found, wanted) {
        (Some(found), Some(wanted)) => {
            assert!((found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0), "row {row}, {name}: {found}, not {wanted}");
        }
        (found, wanted) => assert_eq!(found, wanted, "row {row}, {name}"),
    };
    for row in 0..users.len() {
        let User { purchases, events } = &of_user[&users[row]];
        let now = at[row];
        let within = |time: i64, days: i64| time > now - days * DAY && time <= now;
        let spent =
            |days: i64| purchases.iter().filter(|(time, _)| within(*time, days)).map(|(_, amount)| amount).sum::<f64>();
        close(row, "total_purchases_30d", total[row], Some(spent(30)));
        let sessions: Vec<&Event> = events.iter().filter(|event| event.minutes.is_some() && event.at <= now).collect();
        let week: Vec<f64> =
            sessions.iter().filter(|event| within(event.at, 7)).filter_map(|event| event.minutes).collect();
        let mean = (!week.is_empty()).then(|| week.iter().sum::<f64>() / week.len() as f64);
        close(row, "avg_session_duration_7d", duration[row], mean);
        let registered = events.iter().find(|event| event.minutes.is_none()).expect("a registration").at;
        let ratio = |above: f64, below: f64| if below == 0.0 { 0.0 } else { above / below };
        let count = purchases.iter().filter(|(time, _)| *time <= now).count() as f64;
        close(row, "purchase_frequency", frequency[row], Some(ratio(count, (now - registered) as f64 / DAY as f64)));
        close(row, "value_per_session", value[row], Some(ratio(spent(3650), sessions.len() as f64)));
        let latest = sessions.iter().map(|event| event.at).max();
        let used: Vec<&str> =
            sessions.iter().filter(|event| Some(event.at) == latest).map(|event| &*event.device).collect();
        match &device[row] {
            Some(device) => assert!(used.contains(&device.as_str()), "row {row}: {device} is not of {used:?}"),
            None => assert!(used.is_empty(), "row {row}: one of {used:?}"),
        }
        assert_eq!(hours[row], now / (DAY / 24) % 24, "row {row}");
        assert_eq!(days[row], (now / DAY + MONDAY) % 7, "row {row}");
        assert_eq!(weekend[row], days[row] >= 5, "row {row}");
    }
    users.len()
}

/// Returns the text of a figure of a preparation as rows.
fn joins(place: &Place) -> Vec<Vec<String>> {
    let file = place.path().join("figures.json");
    let path = file.display().to_string();
    place.run(&["artifacts", "export", "features.figures", "--output", &path]).expect(0);
    let report: Value = serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    assert_eq!(report["format"], "stagewright-preparation-report/1");
    let figure = &report["figures"][0];
    assert_eq!(figure["name"], "joins");
    serde_json::from_value(figure["plot"]["text"]["rows"].clone()).expect("rows")
}

fn exists(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.len() > 0)
}

// invariant: The features that polars makes behind both walls are those of brute force, of the rows
// up to each purchase alone.
#[test]
fn the_features_of_the_shop_are_those_of_brute_force_and_do_not_depend_on_where_they_are_made() {
    let first = place(WALLS[0]);
    let ran = run(&first, &[]);
    assert_eq!(compare(&first, "history.arrow", "transactions.arrow", "events.arrow"), 2000);
    assert_eq!(compare(&first, "live.arrow", "live-transactions.arrow", "live-events.arrow"), 400);
    assert_eq!(ran["decision"]["verdict"], "approved", "{ran}");
    let features = step(&ran, "features");
    assert_eq!((&features["rows_in"], &features["rows_out"]), (&8000.into(), &2000.into()));
    assert!(features["walls"].as_array().is_some_and(|walls| walls.len() > 1), "{features}");
    let (used, limits) = (&features["peak_memory_bytes"], &features["invocation"]["guest"]["limits"]);
    assert!(used.as_u64().is_some_and(|used| used > 0) && used.as_u64() < limits["memory"].as_u64(), "{features}");

    // What the joins found is in the report of the step, and its warnings where a person looks.
    let figure = joins(&first);
    let names: Vec<&str> = figure.iter().map(|row| &*row[1]).collect();
    assert_eq!(names, ["registrations", "sessions"]);
    assert_eq!(figure[0][2..], ["2000", "0", "0", "2000"]);
    let without: usize = figure[1][3].parse().expect("a number");
    let empty = Rows::read(&first, "history.arrow").texts("device").iter().filter(|device| device.is_none()).count();
    assert_eq!(without, empty);
    assert!(exists(&first.path().join("retail/joins.html")));
    let warned = format!("{without} of 2000 rows have no row in `sessions`");
    assert!(features["warnings"].to_string().contains(&warned), "{features}");
    let told = first.run(&[&["run", "retail.toml"], &ROWS[..]].concat()).expect(0).stdout;
    assert!(told.contains(&warned), "{told}");
    assert!(told.contains("features: used ") && told.contains(" of 2.00 GiB memory and "), "{told}");

    // The tables are the same without the outer wall, and for any number of workers.
    let elsewhere = place(WALLS[1]);
    assert_eq!(digests(&run(&elsewhere, &["--workers", "1"])), digests(&ran));
    // Rows that are prepared later are predicted as they are written.
    let predicted =
        first.run(&["predict", "retail-churn", "--input", "arrow:retail/live.arrow", "--json"]).expect(0).json();
    assert_eq!(predicted["predictions"].as_array().map(Vec::len), Some(400));
}

#[test]
fn later_users_differ_by_the_strength_of_their_drift_and_a_target_among_features_is_refused() {
    let place = place(WALLS[1]);
    run(&place, &["--until", "preparation"]);
    let mean = |name: &str| {
        let numbers: Vec<f64> = Rows::read(&place, name).numbers("amount").into_iter().flatten().collect();
        numbers.iter().sum::<f64>() / numbers.len() as f64
    };
    let (history, none) = (mean("history.arrow"), mean("live.arrow"));
    run(&place, &["--until", "preparation", "--set", "live-transactions.drift=1.0", "--set", "live-events.drift=1.0"]);
    let full = mean("live.arrow");
    assert!((none / history - 1.0).abs() < 0.2 && full > 1.3 * history, "{history} {none} {full}");

    // The host tells the preparation which column is the target; no parameter does.
    let text = std::fs::read_to_string(place.path().join("retail.toml")).expect("a manifest");
    let planted = "    { derive = { columns = { secret = { is_null = \"churn\" } } } },\n    { time_parts";
    place.write("leak.toml", text.replace("    { time_parts", planted));
    let refused = place.run(&[&["run", "leak.toml"], &ROWS[..]].concat()).expect(2);
    assert!(refused.stderr.contains("computed from the target"), "{}", refused.stderr);
}
