//! A real PostgreSQL as a source: each type arrives with its exact value, and each fault has a
//! clear error.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array as _, RecordBatch};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use stagewright_data::{
    DataError, HostGrant, Interrupt, Literal, Password, PostgresAddress, PostgresRequest, PostgresRows, Secret,
    Signature, Source, SourceUri, Strictness, TableName, fetch_postgres, infer, open,
};
use stagewright_services::postgres::Cluster;
use stagewright_store::{DataType, Field};
use tempfile::TempDir;

/// A database on the shared server.
struct Database {
    url: String,
    folder: TempDir,
}

impl Database {
    fn new() -> Self {
        Self { url: Cluster::shared().create_database(), folder: tempfile::tempdir().unwrap() }
    }

    fn sql(&self, statements: &str) -> String {
        Cluster::shared().psql(&self.url, statements).unwrap_or_else(|problem| panic!("{problem}"))
    }

    fn request(&self, rows: PostgresRows) -> PostgresRequest {
        let mut address = PostgresAddress::parse(&self.url).unwrap();
        let password = address.password.take().map(Password::Shared);
        let grants = vec![HostGrant::Host { host: address.host.clone(), port: Some(address.port) }];
        let deadline = Instant::now() + Duration::from_secs(120);
        PostgresRequest { address, rows, password, grants, max_bytes: 1 << 30, deadline }
    }

    fn query(&self, query: &str, parameters: Vec<Literal>) -> PostgresRequest {
        self.request(PostgresRows::Query { query: query.to_owned(), parameters })
    }

    fn table(&self, table: &str) -> PostgresRequest {
        self.request(PostgresRows::Table(TableName::parse(table).unwrap()))
    }

    /// Fetches into a file.
    fn fetch(&self, request: &PostgresRequest) -> Result<Source, DataError> {
        let path: PathBuf = self.folder.path().join("rows");
        let mut file = std::fs::File::create(&path).unwrap();
        let length = fetch_postgres(request, &Interrupt::never(), &mut file)?;
        assert_eq!(file.metadata().unwrap().len(), length);
        Ok(Source::new(SourceUri::PostgresRows { path }))
    }

    /// Reads a column `x`.
    fn values(&self, request: &PostgresRequest, data_type: DataType) -> Result<Vec<String>, String> {
        let source = self.fetch(request).map_err(|error| error.to_string())?;
        let signature = Signature::new(vec![Field::new("x", data_type).with_nullable(true)]).unwrap();
        let opened = open(&source, &signature, Strictness::Ingest, &Interrupt::never());
        let mut cursor = opened.map_err(|error| error.to_string())?;
        let mut values = Vec::new();
        while let Some(batch) = cursor.next(usize::MAX).map_err(|error| error.to_string())? {
            values.extend((0..batch.num_rows()).map(|row| value(&batch, row, data_type)));
        }
        Ok(values)
    }

    fn error(&self, request: &PostgresRequest) -> DataError {
        self.fetch(request).expect_err("there is a fault")
    }
}

fn value(batch: &RecordBatch, row: usize, data_type: DataType) -> String {
    let column = batch.column(0);
    if column.is_null(row) {
        return "null".to_owned();
    }
    match data_type {
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp => column.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        _ => column.as_string::<i32>().value(row).to_owned(),
    }
}

// invariant: A value of PostgreSQL arrives exactly as docs/types.md says, or as a fault.
#[test]
#[ignore = "needs PostgreSQL"]
fn each_type_arrives_with_its_exact_value() {
    use DataType::{Boolean, Float64, Int64, Timestamp, Utf8};
    let database = Database::new();
    database.sql("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN tiny AS int2 CHECK (VALUE < 9)");
    for (sql, data_type, wanted) in [
        ("true", Boolean, "true"),
        ("NULL::bool", Boolean, "null"),
        ("(-32768)::int2", Int64, "-32768"),
        ("2147483647::int4", Int64, "2147483647"),
        ("(-9223372036854775808)::int8", Int64, "-9223372036854775808"),
        ("7::tiny", Int64, "7"),
        ("1.5::float4", Float64, "1.5"),
        ("0.1::float4", Float64, "0.10000000149011612"),
        ("0.1::float8", Float64, "0.1"),
        ("'-0'::float8", Float64, "-0.0"),
        ("5e-324::float8", Float64, "5e-324"),
        ("'NaN'::float8", Float64, "NaN"),
        ("'-infinity'::float8", Float64, "-inf"),
        ("12345678901234567890.0123456789::numeric", Utf8, "12345678901234567890.0123456789"),
        ("12.50::numeric(10,2)", Utf8, "12.50"),
        ("12.50::numeric(10,2)", Float64, "12.5"),
        ("1e20::numeric", Utf8, "100000000000000000000"),
        ("9007199254740993::numeric", Int64, "9007199254740993"),
        ("'NaN'::numeric", Float64, "NaN"),
        ("'größe'::text", Utf8, "größe"),
        ("'a'::varchar(5)", Utf8, "a"),
        ("'a'::char(5)", Utf8, "a"),
        ("'sad'::mood", Utf8, "sad"),
        ("date '2024-01-06'", Timestamp, "1704499200000000"),
        ("date '1969-12-31'", Timestamp, "-86400000000"),
        ("date '0044-03-15 BC'", Timestamp, "-63517824000000000"),
        ("timestamp '2024-01-06 23:10:00.000001'", Timestamp, "1704582600000001"),
        ("timestamptz '2024-01-06 23:10:00+02'", Timestamp, "1704575400000000"),
        ("timestamp '9999-12-31 23:59:59.999999'", Timestamp, "253402300799999999"),
        ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid", Utf8, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("'{ \"b\": 1,  \"a\":2}'::json", Utf8, "{ \"b\": 1,  \"a\":2}"),
        ("'{ \"b\": 1,  \"a\":2}'::jsonb", Utf8, "{\"a\": 2, \"b\": 1}"),
        ("timestamp '2024-01-06'::text", Utf8, "2024-01-06 00:00:00"),
        ("(timestamptz '2024-01-06 00:00:00+00')::text", Utf8, "2024-01-06 00:00:00+00"),
    ] {
        let values = database.values(&database.query(&format!("SELECT {sql} AS x"), Vec::new()), data_type);
        assert_eq!(values, Ok(vec![wanted.to_owned()]), "{sql}");
    }
    for (sql, data_type, said) in [
        ("date 'infinity'", Timestamp, "`infinity` is no time"),
        ("timestamptz '-infinity'", Timestamp, "`-infinity` is no time"),
        ("timestamp '12000-01-01'", Timestamp, "outside the years"),
        ("'NaN'::numeric", Int64, "is not an int64"),
        ("ARRAY[1, 2]", Utf8, "its type is int4[], which tables do not hold"),
        ("'x'::bytea", Utf8, "its type is bytea"),
        ("interval '1 day'", Utf8, "its type is interval"),
        ("ROW(1, 2)", Utf8, "its type is record"),
        ("1", Timestamp, "is not a timestamp"),
    ] {
        let values = database.values(&database.query(&format!("SELECT {sql} AS x"), Vec::new()), data_type);
        let error = values.expect_err(sql);
        assert!(error.contains(said) && error.contains("column `x`"), "{sql}: {error}");
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn any_number_and_time_arrives_as_it_was_stored() {
    let database = Database::new();
    database.sql("CREATE TABLE numbers (f float8, i int8, n text, t int8)");
    let numbers = proptest::collection::vec((any::<f64>(), any::<i64>(), any::<i128>(), 0_u32..25, any::<i64>()), 60);
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(8) });
    let tried = runner.run(&numbers, |numbers| {
        let rows = numbers.iter().map(|(float, integer, digits, scale, time)| {
            // From the year -4368 to the end of 9999.
            let time = time.rem_euclid(453_402_300_800_000_000) - 200_000_000_000_000_000;
            format!("('{float}'::float8, '{integer}'::int8, '{digits}e-{scale}', {time})")
        });
        let rows = rows.collect::<Vec<_>>().join(", ");
        database.sql(&format!("TRUNCATE numbers; INSERT INTO numbers VALUES {rows}"));
        let read = |sql: &str, data_type| {
            let query = format!("SELECT {sql} AS x FROM numbers");
            database.values(&database.query(&query, Vec::new()), data_type).unwrap()
        };
        let floats: Vec<String> = numbers.iter().map(|row| format!("{:?}", row.0)).collect();
        prop_assert_eq!(read("f", DataType::Float64), floats);
        let integers: Vec<String> = numbers.iter().map(|row| row.1.to_string()).collect();
        prop_assert_eq!(read("i", DataType::Int64), integers);
        // The server's own text is the reference for digits and times.
        prop_assert_eq!(read("n::numeric", DataType::Utf8), read("n::numeric::text", DataType::Utf8));
        let time =
            "timestamp 'epoch' + t / 86400000000 * interval '1 day' + t % 86400000000 * interval '1 microsecond'";
        prop_assert_eq!(read(time, DataType::Timestamp), read("t", DataType::Utf8));
        Ok(())
    });
    tried.unwrap();
}

// invariant: A parameter of a query is bound and never becomes SQL.
#[test]
#[ignore = "needs PostgreSQL"]
fn parameters_are_values_of_the_type_that_the_query_wants() {
    let database = Database::new();
    database.sql("CREATE TABLE t (x int4, day date, name text, ok bool, f float8)");
    database.sql("INSERT INTO t VALUES (1, '2024-01-01', 'a', true, 0.1), (2, '2024-02-01', 'b', false, 0.2)");
    let read = |condition: &str, parameters: Vec<Literal>| {
        database.values(
            &database.query(&format!("SELECT x FROM t WHERE {condition} ORDER BY x"), parameters),
            DataType::Int64,
        )
    };
    let text = |text: &str| Literal::Text(text.to_owned());
    assert_eq!(read("day > $1 AND name = $2", vec![text("2024-01-15"), text("b")]).unwrap(), ["2"]);
    assert_eq!(read("ok = $1", vec![Literal::Boolean(true)]).unwrap(), ["1"]);
    assert_eq!(read("x = $1", vec![Literal::Integer(2)]).unwrap(), ["2"]);
    assert_eq!(read("f = $1", vec![Literal::Float(0.1)]).unwrap(), ["1"]);
    for injection in ["' OR 1=1 --", "a'; DROP TABLE t; --", "$1", "a' UNION SELECT 1"] {
        assert_eq!(read("name = $1", vec![text(injection)]).unwrap(), Vec::<String>::new(), "{injection}");
    }
    assert_eq!(database.sql("SELECT count(*) FROM t"), "2");
    for (condition, parameters, said) in [
        ("x = $1", vec![text("many")], "invalid input syntax"),
        ("x = $1", vec![], "it has 1 parameters, and 0 are given"),
        ("x = ?", vec![Literal::Integer(1)], "PostgreSQL's parameters are $1"),
    ] {
        let error = read(condition, parameters).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_query_reads_and_does_nothing_else() {
    let database = Database::new();
    database.sql("CREATE TABLE t (x int4); INSERT INTO t VALUES (1); CREATE SEQUENCE s");
    for query in [
        "DELETE FROM t RETURNING x",
        "WITH gone AS (DELETE FROM t RETURNING x) SELECT x FROM gone",
        "INSERT INTO t VALUES (2) RETURNING x",
        "SELECT nextval('s')",
        "COMMIT",
        "SET TRANSACTION READ WRITE",
        "CREATE TABLE u (x int4)",
        "SELECT x FROM t; DELETE FROM t",
        "SELECT set_config('transaction_read_only', 'off', true)::int4 AS x",
    ] {
        let error = database.error(&database.query(query, Vec::new()));
        assert!(matches!(error, DataError::Query { .. }), "{query}: {error}");
    }
    assert_eq!(database.sql("SELECT count(*) FROM t"), "1");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_table_is_read_without_the_columns_that_no_table_holds() {
    let database = Database::new();
    database
        .sql("CREATE SCHEMA sales; CREATE TABLE sales.\"My \"\"t\" (id int4, tags text[], \"a b\" text, raw bytea)");
    database.sql("INSERT INTO sales.\"My \"\"t\" VALUES (1, '{a}', 'x', '\\x00'), (2, NULL, NULL, NULL)");
    let source = database.fetch(&database.table("sales.My \"t")).unwrap();
    let proposed = infer(&source, &Default::default(), &Interrupt::never()).unwrap();
    let names: Vec<&str> = proposed.signature.fields.fields().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["id", "a b"]);
    let left_out: Vec<(usize, &str)> = proposed.left_out.iter().map(|it| (it.place, it.reason.as_str())).collect();
    assert_eq!(
        left_out,
        [(1, "its type is text[], which tables do not hold"), (3, "its type is bytea, which tables do not hold")]
    );
}

// invariant: A server of a source is reached only if it is granted, by name and by address.
#[test]
#[ignore = "needs PostgreSQL"]
fn a_server_that_is_not_granted_is_not_reached() {
    let database = Database::new();
    let granted = database.query("SELECT 1 AS x", Vec::new());
    let port = granted.address.port;
    for (host, grants) in [
        ("127.0.0.1", vec![]),
        ("127.0.0.1", vec![HostGrant::Host { host: "127.0.0.1".to_owned(), port: None }]),
        ("localhost", vec![HostGrant::Host { host: "localhost".to_owned(), port: Some(port) }]),
    ] {
        let mut request = PostgresRequest { grants, ..granted.clone() };
        request.address.host = host.to_owned();
        let error = database.error(&request);
        assert!(matches!(error, DataError::Denied { .. }), "{host}: {error}");
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn faults_of_a_server_say_what_to_do() {
    let database = Database::new();
    database.sql("CREATE TABLE orders (x int4); CREATE TABLE empty ()");
    database.sql(&format!("CREATE ROLE {0} LOGIN PASSWORD 'p'", role(&database)));
    let good = || database.query("SELECT 1 AS x", Vec::new());
    let error = |request: &PostgresRequest, parts: &[&str]| {
        let error = database.error(request).to_string();
        assert!(parts.iter().all(|part| error.contains(part)) && error.contains("\nhint: "), "{error}");
        assert!(!error.contains("wrong-password"), "{error}");
    };
    let mut request = good();
    request.password = Some(Password::Shared(Secret("wrong-password".to_owned())));
    error(&request, &["password authentication failed", "PGPASSWORD", "password-env"]);
    request.password = None;
    error(&request, &["it asks for a password", "PGPASSWORD"]);
    let mut request = good();
    request.address.database = "nowhere".to_owned();
    error(&request, &["does not exist", "name of the database"]);
    error(&database.table("order"), &["it has no table `order`; it has `empty`, `orders`"]);
    error(&database.table("none.orders"), &["it has no table `none.orders`"]);
    error(&database.table("empty"), &["the table has no columns"]);
    let mut request = database.table("orders");
    request.address.user = role(&database);
    request.password = Some(Password::Shared(Secret("p".to_owned())));
    error(&request, &["permission denied", "GRANT SELECT ON \"orders\" TO"]);
    let mut request = good();
    request.address.port = 1;
    request.grants = vec![HostGrant::Host { host: "127.0.0.1".to_owned(), port: Some(1) }];
    error(&request, &["Connection refused", "is the server up"]);
    let mut request = good();
    request.address.sslmode = Some(stagewright_data::SslMode::Require);
    error(&request, &["does not encrypt connections", "sslmode"]);
    let long = database.query("SELECT repeat('x', 20000000) AS x", Vec::new());
    error(&long, &["a row has more than", "`query`"]);
    let mut request = database.query("SELECT repeat('x', 1000) AS x FROM generate_series(1, 1000)", Vec::new());
    request.max_bytes = 100_000;
    assert!(matches!(database.error(&request), DataError::TooLarge { allowed: 100_000, .. }));
}

/// The name of a role of this database alone: roles belong to the server.
fn role(database: &Database) -> String {
    format!("reader_{}", database.url.rsplit('/').next().unwrap())
}

const SLOW: &str = "SELECT i AS x, pg_sleep(0.02)::text AS y FROM generate_series(1, 1000000) i";

// invariant: A source whose connection is cut in the middle is an error, never fewer rows.
#[test]
#[ignore = "needs PostgreSQL"]
fn a_connection_that_is_cut_in_the_middle_is_an_error() {
    let database = Database::new();
    let request = database.query(SLOW, Vec::new());
    let killed = AtomicBool::new(false);
    let error = std::thread::scope(|scope| {
        let fetching = scope.spawn(|| database.error(&request));
        while !fetching.is_finished() {
            let ended = database.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                 AND state = 'active' AND query LIKE 'SELECT i AS x%'",
            );
            killed.fetch_or(ended.contains('t'), Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
        }
        fetching.join().unwrap()
    });
    assert!(killed.load(Ordering::SeqCst));
    assert!(matches!(error, DataError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("run it again"), "{error}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_slow_query_ends_at_the_deadline_on_the_server_too() {
    let database = Database::new();
    let mut request = database.query("SELECT pg_sleep(3600)::text AS x", Vec::new());
    request.deadline = Instant::now() + Duration::from_millis(500);
    assert!(matches!(database.error(&request), DataError::Interrupted));
    let begun = Instant::now();
    let running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%3600%' \
                   AND pid <> pg_backend_pid()";
    while database.sql(running) != "0" {
        assert!(begun.elapsed() < Duration::from_secs(60), "the server goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn rows_of_one_query_are_of_one_snapshot_and_in_its_order() {
    let database = Database::new();
    database.sql("CREATE TABLE t AS SELECT i AS x FROM generate_series(1, 50000) i");
    let values = database.values(&database.table("t"), DataType::Int64).unwrap();
    assert_eq!(values.len(), 50_000);
    assert_eq!((values[0].as_str(), values[49_999].as_str()), ("1", "50000"));
}
