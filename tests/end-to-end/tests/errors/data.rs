//! Errors of data and its sources: SW03.

use std::net::TcpListener;

use stagewright_end_to_end::{Ended, Place, config};

use crate::{Case, provoke};

pub(crate) const CASES: &[Case] = &[
    ("SW0301", || Place::new().run(&["init", "--source", "xls:table.xls", "--target", "y"])),
    ("SW0302", || Place::new().run(&["init", "--source", "csv:missing.csv", "--target", "y"])),
    ("SW0303", server_that_is_gone),
    ("SW0304", || on_a_table(|row| if row == 7 { "many".into() } else { row.to_string() })),
    ("SW0305", || on_a_table(|row| if row.is_multiple_of(2) { String::new() } else { row.to_string() })),
];

#[test]
fn errors_of_data_and_its_sources() {
    provoke(CASES);
}

fn server_that_is_gone() -> Ended {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let source = format!("customers=http://127.0.0.1:{port}/customers.csv");
    let grant = format!("ingestion.http=[\"127.0.0.1:{port}\"]");
    Place::new().run(&["run", &config("churn.toml"), "--json", "--source", &source, "--set", &grant])
}

fn table(value: impl Fn(usize) -> String) -> String {
    let row = |row: usize| format!("{},{},{}\n", value(row), (row * 53) % 89, usize::from(row.is_multiple_of(3)));
    format!("a,b,y\n{}", (0..600).map(row).collect::<String>())
}

/// A pipeline that was made for whole numbers, on others.
fn on_a_table(value: impl Fn(usize) -> String) -> Ended {
    let place = Place::new();
    place.write("table.csv", table(|row| row.to_string()));
    place.run(&["init", "--source", "csv:table.csv", "--target", "y"]).expect(0);
    place.write("table.csv", table(value));
    place.run(&["run", "pipeline.toml", "--json"])
}
