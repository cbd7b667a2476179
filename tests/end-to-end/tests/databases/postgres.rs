//! A PostgreSQL server as the source of a pipeline.

use std::time::Duration;

use stagewright_end_to_end::{Ended, Place, config};
use stagewright_services::postgres::Cluster;

/// The columns of the customers, as a database declares them.
const COLUMNS: &str = "\"customerID\" text, gender text, \"SeniorCitizen\" int2, \"Partner\" varchar(3), \
    \"Dependents\" text, tenure int4, \"PhoneService\" text, \"MultipleLines\" text, \"InternetService\" text, \
    \"OnlineSecurity\" text, \"OnlineBackup\" text, \"DeviceProtection\" text, \"TechSupport\" text, \
    \"StreamingTV\" text, \"StreamingMovies\" text, \"Contract\" text, \"PaperlessBilling\" text, \
    \"PaymentMethod\" text, \"MonthlyCharges\" numeric, \"TotalCharges\" float8, \"Churn\" char(3)";

/// A place with generated customers, as CSV and in a database.
struct Customers<'a> {
    place: Place,
    cluster: &'a Cluster,
    /// The address of the database, with its password.
    url: String,
}

impl<'a> Customers<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let (place, url) = (Place::new(), cluster.create_database());
        place.churn(1500, &["--until", "ingestion"]).expect(0);
        place.run(&["artifacts", "export", "ingestion.table", "--output", "customers.csv"]).expect(0);
        let csv = std::fs::read_to_string(place.path().join("customers.csv")).expect("the export");
        let customers = Self { place, cluster, url };
        customers.sql(&format!("CREATE SCHEMA shop; CREATE TABLE shop.customers ({COLUMNS})"));
        let literal = |cell: &str| if cell.trim().is_empty() { "NULL".to_owned() } else { format!("'{cell}'") };
        let rows: Vec<String> = csv
            .lines()
            .skip(1)
            .map(|line| format!("({})", line.split(',').map(literal).collect::<Vec<_>>().join(",")))
            .collect();
        for some in rows.chunks(250) {
            customers.sql(&format!("INSERT INTO shop.customers VALUES {}", some.join(",")));
        }
        customers
    }

    fn sql(&self, statements: &str) -> String {
        self.cluster.psql(&self.url, statements).unwrap_or_else(|problem| panic!("{problem}"))
    }

    fn password(&self) -> &str {
        self.url.split(':').nth(2).and_then(|rest| rest.split('@').next()).expect("a password")
    }

    /// The address without the password, and the server as a grant names it.
    fn address(&self) -> (String, String) {
        let address = self.url.replace(&format!(":{}@", self.password()), "@");
        let server = address.split('@').nth(1).and_then(|rest| rest.split('/').next()).expect("a server").to_owned();
        (address, server)
    }

    /// Runs the pipeline on a source, with the server granted, and the password in the environment.
    fn run(&self, source: &str, more: &[&str]) -> Ended {
        let manifest = config("churn.toml");
        let source = format!("customers={source}");
        let grant = format!("ingestion.postgres=[\"{}\"]", self.address().1);
        let mut arguments = vec!["run", &manifest, "--json", "--source", &source, "--set", &grant];
        arguments.extend(more);
        let mut command = self.place.command(&arguments);
        command.env("PGPASSWORD", self.password());
        Ended::of(command)
    }

    fn table(&self) -> String {
        format!("{}#shop.customers", self.address().0)
    }
}

fn artifact(run: &Ended, name: &str) -> String {
    let artifacts = run.json()["stages"][0]["artifacts"].as_array().expect("artifacts").clone();
    let found = artifacts.iter().find(|artifact| artifact["name"] == name).expect("the artifact");
    found["digest"].as_str().expect("a digest").to_owned()
}

/// Asserts that no file of the home has a text.
fn assert_nowhere(place: &Place, secret: &str) {
    let mut folders = vec![place.home()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                let bytes = std::fs::read(&path).expect("a file");
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{} has the password", path.display());
            }
        }
    }
}

// invariant: A run whose rows came from a PostgreSQL server is reproduced without the server.
#[test]
#[ignore = "needs PostgreSQL"]
fn a_table_of_a_server_is_the_table_of_the_file_and_is_kept() {
    let mut cluster = Cluster::start();
    let customers = Customers::new(&cluster);
    let (place, table) = (&customers.place, customers.table());
    let until = ["--until", "ingestion"];
    // A server stores rows in an order of its own.
    let csv = std::fs::read_to_string(place.path().join("customers.csv")).expect("the export");
    let mut lines: Vec<&str> = csv.lines().collect();
    lines[1..].sort_unstable();
    place.write("sorted.csv", lines.join("\n"));
    let of_file = customers.run("csv:sorted.csv", &until).expect(0);
    let sorted = "sources.customers.query='SELECT * FROM shop.customers ORDER BY \"customerID\" COLLATE \"C\"'";
    let of_query = customers.run(&customers.address().0, &["--set", sorted, "--until", "ingestion"]).expect(0);
    assert_eq!(artifact(&of_query, "table"), artifact(&of_file, "table"));
    let of_table = customers.run(&table, &until).expect(0);

    // Equal rows are found in the cache; another row is not.
    let again = customers.run(&table, &until).expect(0);
    assert_eq!(again.json()["stages"][0]["cached"], true);
    customers.sql("INSERT INTO shop.customers SELECT * FROM shop.customers LIMIT 1");
    let more = customers.run(&table, &until).expect(0);
    assert_ne!(artifact(&more, "table"), artifact(&of_table, "table"));
    customers.sql(
        "DELETE FROM shop.customers WHERE ctid IN (SELECT max(ctid) FROM shop.customers GROUP BY \"customerID\" HAVING count(*) > 1)",
    );

    // A query with a bound parameter; an injection is a value.
    let query = |parameter: &str| {
        let parameters = format!("sources.customers.parameters=[\"{parameter}\"]");
        let query = "sources.customers.query=\"SELECT * FROM shop.customers WHERE \\\"Contract\\\" = $1\"";
        customers.run(&customers.address().0, &["--set", query, "--set", &parameters, "--until", "ingestion"])
    };
    let some = query("Two year").expect(0);
    assert_ne!(artifact(&some, "table"), artifact(&of_table, "table"));
    let none = query("x' OR 1=1 --");
    assert!(none.code != 0 && none.stdout.contains("no rows"), "{}", none.stdout);
    assert_eq!(customers.sql("SELECT count(*) FROM shop.customers"), "1500");
    let id = some.json()["run_id"].as_str().expect("a run").to_owned();
    let lineage = place.run(&["runs", "show", &id, "--json"]).expect(0);
    assert!(lineage.stdout.contains("WHERE \\\"Contract\\\" = $1") && lineage.stdout.contains("Two year"));

    // A whole run, then without the server.
    let whole = customers.run(&table, &[]);
    assert!([0, 4].contains(&whole.code), "{}", whole.stderr);
    let id = whole.json()["run_id"].as_str().expect("a run").to_owned();
    let pin = format!("sources.customers.sha256=\"{}\"", artifact(&whole, "response").trim_start_matches("sha256:"));
    assert_nowhere(place, customers.password());
    let Customers { place, url, .. } = customers;
    cluster.stop();
    let customers = Customers { place, cluster: &cluster, url };
    customers.place.run(&["reproduce", &id]).expect(0);
    customers.run(&table, &["--set", &pin, "--until", "ingestion"]).expect(0);
    let down = customers.run(&table, &until);
    assert!(down.code != 0 && down.stdout.contains("is the server up"), "{}\n{}", down.stdout, down.stderr);
    let Customers { place, url, .. } = customers;
    cluster.start_again();
    Customers { place, cluster: &cluster, url }.run(&table, &until).expect(0);
}

// invariant: The password of a database is neither recorded nor shown.
#[test]
#[ignore = "needs PostgreSQL"]
fn a_password_is_used_and_kept_nowhere() {
    let customers = Customers::new(Cluster::shared());
    let (manifest, password) = (config("churn.toml"), customers.password());
    let grant = format!("ingestion.postgres=[\"{}\"]", customers.address().1);
    let run = |source: &str, more: &[&str], variables: &[(&str, &str)]| {
        let source = format!("customers={source}");
        let arguments = ["run", &manifest, "--json", "--source", &source, "--until", "ingestion"];
        let mut command = customers.place.command(&[&arguments[..], more].concat());
        command.envs(variables.iter().copied());
        let ended = Ended::of(command);
        assert!(!ended.stdout.contains(password) && !ended.stderr.contains(password));
        ended
    };
    let granted = ["--set", grant.as_str()];
    // In the address of the command line, in a variable that the source names, and in `.env`.
    run(&format!("{}#shop.customers", customers.url), &granted, &[]).expect(0);
    let named = [&granted[..], &["--set", "sources.customers.password-env=\"STAGEWRIGHT_TOKEN_SHOP\""]].concat();
    run(&customers.table(), &named, &[("STAGEWRIGHT_TOKEN_SHOP", password)]).expect(0);
    let other = [&granted[..], &["--set", "sources.customers.password-env=\"SHOP_PASSWORD\""]].concat();
    let refused = run(&customers.table(), &other, &[("SHOP_PASSWORD", password)]).expect(2);
    assert!(refused.stderr.contains("STAGEWRIGHT_TOKEN_"), "{}", refused.stderr);
    let none = run(&customers.table(), &granted, &[]);
    assert!(none.code != 0 && none.stdout.contains("it asks for a password"), "{}", none.stdout);
    // Errors about the address do not repeat it either.
    for wrong in [format!("{}#", customers.url), format!("{}?sslmode=maybe#t", customers.url)] {
        run(&wrong, &granted, &[]).expect(2);
    }
    // A manifest has none.
    let text = std::fs::read_to_string(&manifest).expect("the manifest");
    let text = text.replace("csv:../data/telco_churn.csv", &format!("{}#shop.customers", customers.url));
    customers.place.write("own.toml", text);
    let refused = customers.place.run(&["plan", "own.toml"]).expect(2);
    assert!(refused.stderr.contains("carries a password"), "{}", refused.stderr);
    assert_nowhere(&customers.place, password);
}

// invariant: A server of a source is reached only if it is granted, by name and by address.
#[test]
#[ignore = "needs PostgreSQL"]
fn what_a_server_refuses_is_an_error_and_leaves_nothing_behind() {
    let customers = Customers::new(Cluster::shared());
    let (address, table) = (customers.address().0, customers.table());
    let until = ["--until", "ingestion"];
    let fails = |source: &str, more: &[&str], parts: &[&str]| {
        let ended = customers.run(source, &[&until[..], more].concat());
        assert_ne!(ended.code, 0, "{}", ended.stdout);
        let said = format!("{}\n{}", ended.stdout, ended.stderr);
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?}: {said}");
    };
    fails(&table, &["--set", "ingestion.postgres=[]"], &["was not granted", "to grant it, write `postgres = ["]);
    fails(&table, &["--set", "ingestion.postgres=[\"127.0.0.1\"]"], &["was not granted"]);
    fails(&format!("{address}#customers"), &[], &["it has no table `customers`", "shop.customers"]);
    fails(&format!("{address}#shop.custmers"), &[], &["it has no table"]);
    let slow = "sources.customers.query=\"SELECT *, pg_sleep(0.1)::text FROM shop.customers\"";
    fails(&address, &["--set", slow, "--set", "ingestion.limits.wall=1s"], &["wall"]);
    fails(&table, &["--set", "sources.customers.max-bytes=\"10 KiB\""], &["10.0 KiB max-bytes"]);

    // The schema of the server changes between two runs.
    customers.run(&table, &until).expect(0);
    customers.sql("ALTER TABLE shop.customers RENAME COLUMN tenure TO months");
    fails(&table, &[], &["tenure"]);
    customers.sql("ALTER TABLE shop.customers RENAME COLUMN months TO tenure");
    customers.sql("ALTER TABLE shop.customers ALTER COLUMN tenure TYPE text USING tenure || ' months'");
    fails(&table, &[], &["tenure", "is not an int64"]);
    customers.sql("ALTER TABLE shop.customers ALTER COLUMN tenure TYPE int4 USING split_part(tenure, ' ', 1)::int4");
    customers.run(&table, &until).expect(0);

    // The connection is cut in the middle, and the run is right when it is tried again.
    let cut = "sources.customers.query=\"SELECT *, pg_sleep(0.01)::text AS slept FROM shop.customers\"";
    std::thread::scope(|scope| {
        let run = scope.spawn(|| customers.run(&address, &["--set", cut, "--until", "ingestion"]));
        while !run.is_finished() {
            customers.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                 AND state = 'active' AND query LIKE 'SELECT *, pg_sleep%'",
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let ended = run.join().expect("a run");
        assert_ne!(ended.code, 0, "{}", ended.stdout);
        assert!(ended.stdout.contains("run it again"), "{}\n{}", ended.stdout, ended.stderr);
    });
    customers.run(&table, &until).expect(0);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn init_writes_a_manifest_for_a_table_of_a_server_that_runs_as_it_is() {
    let customers = Customers::new(Cluster::shared());
    customers.sql("ALTER TABLE shop.customers ADD COLUMN tags text[]");
    let run = |arguments: &[&str]| {
        let mut command = customers.place.command(arguments);
        command.env("PGPASSWORD", customers.password());
        Ended::of(command)
    };
    let written = run(&["init", "--source", &customers.table(), "--target", "Churn"]).expect(0);
    assert!(written.stdout.contains("21 columns, 1500 rows"), "{}", written.stdout);
    let text = std::fs::read_to_string(customers.place.path().join("pipeline.toml")).expect("the manifest");
    assert!(text.contains(&format!("postgres = [\"{}\"]", customers.address().1)), "{text}");
    assert!(text.contains("its type is text[], which tables do not hold"), "{text}");
    assert!(!text.contains(customers.password()));
    run(&["plan", "pipeline.toml"]).expect(0);
    let ended = run(&["run", "pipeline.toml", "--json"]);
    assert!([0, 4].contains(&ended.code), "{}\n{}", ended.stdout, ended.stderr);
}

// invariant: A server that does not prove its name gets neither a password nor a question.
#[test]
#[ignore = "needs PostgreSQL"]
fn a_server_with_tls_is_believed_if_its_authority_is_named() {
    let cluster = Cluster::start();
    let customers = Customers::new(&cluster);
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../host/serving/tests/server/fixtures");
    let fixture = |name: &str| std::fs::read_to_string(format!("{fixtures}/{name}")).expect("a fixture");
    for (name, to) in [("first.crt.pem", "server.crt"), ("first.key.pem", "server.key")] {
        let lines = fixture(name).trim_end().replace('\n', "|");
        customers
            .sql(&format!("COPY (SELECT unnest(string_to_array('{lines}', '|'))) TO PROGRAM 'umask 077; cat > {to}'"));
    }
    customers.sql("ALTER SYSTEM SET ssl = on");
    customers.sql("SELECT pg_reload_conf()");
    let required = format!("{}?sslmode=require#shop.customers", customers.address().0);
    let run = |authority: Option<&str>| {
        let manifest = config("churn.toml");
        let (source, grant) =
            (format!("customers={required}"), format!("ingestion.postgres=[\"{}\"]", customers.address().1));
        let arguments = ["run", &manifest, "--json", "--source", &source, "--set", &grant, "--until", "ingestion"];
        let mut command = customers.place.command(&arguments);
        command.env("PGPASSWORD", customers.password());
        command.envs(authority.map(|file| ("PGSSLROOTCERT", format!("{fixtures}/{file}"))));
        Ended::of(command)
    };
    // The server takes its new settings a moment later.
    let begun = std::time::Instant::now();
    while run(Some("first.crt.pem")).code != 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", run(Some("first.crt.pem")).stdout);
    }
    for authority in [None, Some("second.crt.pem")] {
        let refused = run(authority);
        assert_ne!(refused.code, 0);
        assert!(refused.stdout.contains("certificate is not trusted"), "{}", refused.stdout);
        assert!(refused.stdout.contains("PGSSLROOTCERT"), "{}", refused.stdout);
    }
}
