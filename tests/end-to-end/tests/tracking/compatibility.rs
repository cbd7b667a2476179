//! The expectations of MLflow's clients: their sessions, and a stock server side by side. The page
//! docs/tracking-compatibility.md is made of the results.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;

use serde_json::Value;
use stagewright_end_to_end::{Ended, Place};
use toml::de::DeTable;

use super::server::Server;
use super::session::{self, Client, NEW, OLD};

/// The page, from this crate.
const PAGE: &str = "../../docs/tracking-compatibility.md";

/// The variable that has the page written instead of compared.
const WRITE: &str = "STAGEWRIGHT_WRITE_DOCS";

#[test]
fn the_server_is_of_the_version_that_is_pinned() {
    let place = Place::new();
    let version = String::from_utf8(Server::start(&place).get("/version").body).expect("text");
    assert_eq!(version, NEW.version(), "registry/server/src/router.rs differs from tests/mlflow/requirements.txt");
    assert!(OLD.version().starts_with("2."), "{}", OLD.version());
}

// invariant: Stock clients of MLflow work with the tracking server unchanged, and each request of
// tiers 1 to 3 gets the answer of a stock server, or its deviation is documented.
#[test]
#[ignore = "needs MLflow's clients: STAGEWRIGHT_MLFLOW_PYTHON and STAGEWRIGHT_MLFLOW_2_PYTHON name Pythons that have them"]
fn clients_and_requests_get_what_a_stock_server_gives() {
    let (clients, operations) = thread::scope(|scope| {
        let run = |client: &'static Client| {
            let place = Place::new();
            client.run(&Server::start(&place))
        };
        let compared = scope.spawn(side_by_side);
        let clients = [&OLD, &NEW].map(|client| scope.spawn(move || (client.version(), run(client))));
        (clients.map(|client| client.join().expect("a session")), compared.join().expect("a comparison"))
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&path).expect("the page");
    let mut made = with_part(&page, "clients", &table_of_clients(&clients));
    made = with_part(&made, "operations", &table_of_operations(&operations));
    made = with_part(&made, "differences", &table_of_differences());
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, made).expect("the page is written");
    } else {
        assert_eq!(page, made, "docs/tracking-compatibility.md is stale: cargo xtask compatibility writes it");
    }
}

/// Compares the answers of a stock server with ours. Returns how often each operation was asked and
/// differed.
fn side_by_side() -> BTreeMap<String, Value> {
    let place = Place::new();
    let server = Server::start(&place);
    let ended = Ended::of(NEW.python("side_by_side.py", &server.address)).expect(0);
    serde_json::from_value(session::last_line(&ended)["operations"].clone()).expect("operations")
}

/// Returns a page with another text between the marks of a part.
fn with_part(page: &str, part: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {part}: begin -->\n"), format!("<!-- {part}: end -->"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("the page has no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("the page has no {end}"));
    format!("{before}{begin}{text}{end}{after}")
}

fn table_of_clients(clients: &[(&str, Vec<(String, String)>)]) -> String {
    let mut table = String::from("| what a user calls |");
    clients.iter().for_each(|(version, _)| write!(table, " {version} |").expect("text"));
    table.push_str("\n| --- |");
    clients.iter().for_each(|_| table.push_str(" --- |"));
    table.push('\n');
    let (_, newest) = clients.last().expect("a client");
    for (step, _) in newest {
        write!(table, "| {} |", cell(step)).expect("text");
        for (version, steps) in clients {
            let found = steps.iter().find(|(name, _)| name == step);
            let (_, result) = found.unwrap_or_else(|| panic!("{version} has no step {step}"));
            write!(table, " {result} |").expect("text");
        }
        table.push('\n');
    }
    table
}

fn table_of_operations(operations: &BTreeMap<String, Value>) -> String {
    let mut table = String::from("| operation | requests | answers that differ | the client asks it |\n");
    table.push_str("| --- | --- | --- | --- |\n");
    for (operation, counts) in operations {
        let count = |member: &str| counts[member].as_u64().expect("a count");
        let is_asked = counts["by_client"].as_bool().expect("a truth");
        let is_asked = if is_asked { "yes" } else { "" };
        writeln!(table, "| `{operation}` | {} | {} | {is_asked} |", count("asked"), count("differ")).expect("text");
    }
    table
}

fn table_of_differences() -> String {
    let known = DeTable::parse(include_str!("../../../mlflow/differences.toml")).expect("TOML").into_inner();
    let list = known.get("difference").and_then(|list| list.get_ref().as_array()).expect("a list");
    let mut table = String::from("| where | MLflow's server | this server | why |\n| --- | --- | --- | --- |\n");
    for entry in list.iter().filter_map(|entry| entry.get_ref().as_table()) {
        let text = |member: &str| {
            let text = entry.get(member).and_then(|text| text.get_ref().as_str());
            cell(text.unwrap_or_else(|| panic!("no {member}: {entry:?}")))
        };
        writeln!(table, "| {} | {} | {} | {} |", text("where"), text("stock"), text("ours"), text("why"))
            .expect("text");
    }
    table
}

/// Returns a text for a cell of a table.
fn cell(text: &str) -> String {
    text.trim().replace('\n', " ").replace('|', "\\|")
}
