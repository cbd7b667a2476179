//! Versions in a registry that several machines share.

use stagewright_end_to_end::{Ended, Place};
use stagewright_services::postgres::Cluster;

use crate::{CUSTOMERS, MORE_CUSTOMERS, OTHER_CUSTOMERS, text};

#[test]
#[ignore = "needs PostgreSQL"]
fn machines_of_a_postgresql_registry_number_versions_together() {
    let database = Cluster::shared().create_database();
    let (place, other, remote) = (Place::new(), Place::new(), Place::new());
    let on = |place: &Place, arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("STAGEWRIGHT_REGISTRY", &database);
        Ended::of(command)
    };
    let add = |place: &Place, table: &str| {
        place.write("customers.csv", table);
        on(place, &["data", "add", "customers", "csv:customers.csv", "--json"])
    };
    assert_eq!(add(&place, CUSTOMERS).expect(0).json()["version"], "1.0.0");
    assert_eq!(add(&place, MORE_CUSTOMERS).expect(0).json()["version"], "1.0.1");
    // The other machine knows the versions and has no bytes of them.
    let shown = on(&other, &["data", "show", "customers", "--json"]).expect(0).json();
    assert_eq!((&shown["version"], &shown["is_here"]), (&"1.0.1".into(), &false.into()));
    let at = text(remote.path());
    on(&place, &["data", "push", "--remote", &at]).expect(0);
    on(&other, &["data", "pull", "--remote", &at]).expect(0);
    let changed = add(&other, OTHER_CUSTOMERS).expect(0).json();
    assert_eq!(changed["version"], "1.1.0");
    assert_eq!(on(&place, &["data", "list", "customers", "--json"]).expect(0).json().as_array().map(Vec::len), Some(3));
    on(&place, &["data", "remove", "customers@1.1.0"]).expect(0);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn additions_at_once_to_a_postgresql_registry_are_all_numbered() {
    const MACHINES: u32 = 5;
    let database = Cluster::shared().create_database();
    let shared = Place::new();
    let add = |number: u32| {
        let rows: String = (0..=number).map(|id| format!("{id},{}\n", id * 7)).collect();
        let file = shared.write(&format!("{number}.csv"), format!("id,amount\n{rows}"));
        let address = format!("csv:{}", text(&file));
        let mut command = shared.command(&["data", "add", "amounts", &address]);
        command.env("STAGEWRIGHT_REGISTRY", &database);
        command
    };
    assert!(add(0).status().expect("it starts").success());
    let additions: Vec<_> = (1..=MACHINES).map(|number| add(number).spawn().expect("it starts")).collect();
    for mut addition in additions {
        assert!(addition.wait().expect("it ends").success());
    }
    let mut list = shared.command(&["data", "list", "amounts", "--json"]);
    list.env("STAGEWRIGHT_REGISTRY", &database);
    assert_eq!(Ended::of(list).expect(0).json().as_array().map(Vec::len), Some(1 + MACHINES as usize));
}
