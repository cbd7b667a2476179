//! The properties of the test server that tests rely on: it has a password and ends with them.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use stagewright_services::postgres::{Cluster, Durability};

/// Set for the process that is killed.
const VICTIM: &str = "STAGEWRIGHT_VICTIM";

#[test]
fn databases_are_empty_and_apart() {
    let cluster = Cluster::shared();
    let (one, other) = (cluster.create_database(), cluster.create_database());
    assert_ne!(one, other);
    assert_eq!(cluster.psql(&one, "CREATE TABLE a (b text)"), Ok(String::new()));
    assert_eq!(cluster.psql(&one, "SELECT count(*) FROM a").as_deref(), Ok("0"));
    let refused = cluster.psql(&other, "SELECT count(*) FROM a").expect_err("another database");
    assert!(refused.contains("does not exist"), "{refused}");
}

#[test]
fn a_password_is_demanded() {
    let cluster = Cluster::shared();
    let url = cluster.url();
    let (before, after) = url.split_once('@').expect("an address with a password");
    let refused = cluster.psql(&format!("{before}x@{after}"), "SELECT 1").expect_err("a wrong password");
    assert!(refused.contains("password authentication failed"), "{refused}");
    let (user, _) = before.rsplit_once(':').expect("a password");
    assert!(cluster.psql(&format!("{user}@{after}"), "SELECT 1").is_err());
    assert_eq!(cluster.psql(&url, "SHOW password_encryption").as_deref(), Ok("scram-sha-256"));
}

#[test]
fn texts_are_sorted_as_people_do() {
    let cluster = Cluster::shared();
    let sorted = |collation| {
        cluster.psql(
            &cluster.url(),
            &format!("SELECT string_agg(a, '' ORDER BY a {collation}) FROM (VALUES ('a'), ('B'), ('c')) t (a)"),
        )
    };
    assert_eq!(sorted("").as_deref(), Ok("aBc"));
    assert_eq!(sorted("COLLATE \"C\"").as_deref(), Ok("Bac"));
}

#[test]
fn a_server_that_was_stopped_comes_back_with_its_databases() {
    let mut cluster = Cluster::start();
    let url = cluster.create_database();
    assert_eq!(cluster.psql(&url, "CREATE TABLE a (b text)"), Ok(String::new()));
    for _ in 0..2 {
        cluster.stop();
        assert!(cluster.psql(&url, "SELECT 1").is_err(), "it still answers");
        cluster.start_again();
        assert_eq!(cluster.psql(&url, "SELECT count(*) FROM a").as_deref(), Ok("0"));
    }
}

#[test]
fn a_cluster_syncs_if_it_should() {
    let syncs = |cluster: &Cluster| cluster.psql(&cluster.url(), "SHOW fsync");
    assert_eq!(syncs(Cluster::shared()).as_deref(), Ok("off"));
    assert_eq!(syncs(&Cluster::start_with(Durability::Synced)).as_deref(), Ok("on"));
}

#[test]
fn a_cluster_is_gone_when_it_is_dropped_by_a_panic_too() {
    let mut whereabouts = None;
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let cluster = Cluster::start();
        whereabouts = Some(address_and_data(&cluster));
        // A panic without its message.
        resume_unwind(Box::new(()));
    }));
    assert!(ended.is_err());
    let (address, data) = whereabouts.expect("a cluster");
    assert!(TcpStream::connect(address).is_err() && !data.exists(), "{}", data.display());
}

#[test]
fn a_cluster_ends_with_a_process_that_is_killed() {
    if env::var_os(VICTIM).is_some() {
        let (address, data) = address_and_data(Cluster::shared());
        println!("\nvictim {address} {}", data.display());
        sleep(Duration::from_secs(600));
    }
    let mut victim = Command::new(env::current_exe().expect("this test's own path"))
        .args(["--exact", "a_cluster_ends_with_a_process_that_is_killed", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let lines = BufReader::new(victim.stdout.take().expect("a pipe")).lines();
    let said = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("victim ").map(str::to_owned));
    let said = said.expect("the victim has a cluster");
    let (address, data) = said.split_once(' ').expect("an address and a folder");
    assert!(TcpStream::connect(address).is_ok());
    victim.kill().expect("a victim");
    victim.wait().expect("a victim");
    let begun = Instant::now();
    while TcpStream::connect(address).is_ok() || PathBuf::from(data).exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{data} is still there");
        sleep(Duration::from_millis(20));
    }
}

/// Returns the address and the data folder of a cluster.
fn address_and_data(cluster: &Cluster) -> (String, PathBuf) {
    let url = cluster.url();
    let (_, after) = url.split_once('@').expect("an address with a password");
    let data = cluster.psql(&url, "SHOW data_directory").expect("a folder");
    (after.trim_end_matches("/postgres").to_owned(), data.into())
}
