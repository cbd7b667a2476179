//! Sources on PostgreSQL servers, as a manifest names them.

use stagewright_data::Literal;
use stagewright_manifest::{DatabaseSource, Manifest, Operator, Overrides, SourceLocation, SqliteRows};

use crate::{WHOLE, changed, parse, said};

/// A source of the example, which it does not read.
const PLACE: &str = "[sources.transactions]\nuri = \"sqlite:shop.db\"";

fn source(manifest: &Manifest) -> &DatabaseSource {
    match &manifest.sources[&stagewright_manifest::Identifier::new("transactions").unwrap()].location {
        SourceLocation::Postgres(source) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_source_is_a_table_or_a_query_with_bound_parameters() {
    let manifest = changed(PLACE, "[sources.transactions]\nuri = \"postgresql://ada@db.example.org/shop\"").unwrap();
    let found = source(&manifest);
    assert_eq!((found.address.server().as_str(), found.max_bytes), ("db.example.org", 1 << 30));
    assert!(
        matches!(&found.rows, SqliteRows::Query { parameters, .. } if *parameters == [Literal::Text("2024-01-01".into()), Literal::Integer(3)])
    );
    let recorded = manifest.effective()["sources"]["transactions"].clone();
    assert_eq!(recorded["uri"], "postgresql://ada@db.example.org/shop");
    assert!(recorded["query"].as_str().is_some_and(|query| query.contains("SELECT")), "{recorded}");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let uri = |uri: &str| said(PLACE, &format!("[sources.transactions]\nuri = \"{uri}\""));
    assert!(uri("postgresql://ada@h/d#t").contains("names a table, but there is a query too"));
    assert!(uri("postgresql://h/d").contains("names no user"));
    assert!(uri("postgres://ada@h/d?sslmode=maybe").contains("`sslmode` is not an option"));
    let other = said(PLACE, "[sources.transactions]\nuri = \"sqlite:shop.db\"\npassword-env = \"STAGEWRIGHT_TOKEN_A\"");
    assert!(other.contains("has no meaning for a `sqlite:` source"), "{other}");
    let delimiter = said(PLACE, "[sources.transactions]\ndelimiter = \";\"\nuri = \"postgresql://ada@h/d\"");
    assert!(delimiter.contains("has no meaning for a `postgresql:` source"), "{delimiter}");
}

// invariant: The password of a database is neither recorded nor shown.
#[test]
fn a_password_is_refused_in_a_file_and_taken_from_the_command_line() {
    let refused = said(PLACE, "[sources.transactions]\nuri = \"postgresql://ada:hush-hush@h/d\"");
    assert!(refused.contains("carries a password") && refused.contains("password-env"), "{refused}");
    let typed = |uri: &str| {
        let sources = vec![format!("transactions={uri}")];
        parse(WHOLE, &Overrides { sources, ..Overrides::default() })
    };
    let manifest = typed("postgresql://ada:hush-hush@h/d#shop.t").unwrap_or_else(|error| panic!("{}", error.render()));
    assert_eq!(source(&manifest).address.password.as_ref().map(|it| it.0.as_str()), Some("hush-hush"));
    assert!(matches!(&source(&manifest).rows, SqliteRows::Table { table } if table == "shop.t"));
    let recorded = format!("{} {}", manifest.effective(), manifest.recorded_text());
    assert!(!recorded.contains("hush-hush"), "{recorded}");
    for wrong in ["postgresql://ada:hush-hush@/d", "postgresql://ada@h/d?password=hush-hush#t"] {
        let error = typed(wrong).expect_err("it is wrong").render();
        assert!(!error.contains("hush-hush") && error.contains("--source"), "{error}");
    }
}

#[test]
fn a_manifest_names_only_variables_that_are_meant_and_servers_that_the_operator_allows() {
    let with = |more: &str| {
        let uri = format!("[sources.transactions]\nuri = \"postgresql://ada@h/d\"\n{more}");
        changed(PLACE, &uri).unwrap_or_else(|error| panic!("{}", error.render()))
    };
    let operator = |text: &str| Operator::parse("operator.toml", text.to_owned()).unwrap();
    assert!(with("password-env = \"STAGEWRIGHT_TOKEN_SHOP\"").within(&Operator::default()).is_ok());
    let error = with("password-env = \"AWS_SECRET_ACCESS_KEY\"").within(&Operator::default()).unwrap_err().render();
    assert!(
        error.contains("pipeline.toml:20:") && error.contains("not a variable that a manifest may have sent"),
        "{error}"
    );
    let set = vec!["ingestion.postgres=[\"db.example.org\"]".to_owned()];
    let granting = || parse(WHOLE, &Overrides { set: set.clone(), ..Overrides::default() }).unwrap();
    assert!(granting().within(&operator("[http]\nhosts = [\"db.example.org\", \"data.example.org\"]\n")).is_ok());
    let error = granting().within(&operator("[http]\nhosts = [\"data.example.org\"]\n")).unwrap_err().render();
    assert!(error.contains("does not allow `db.example.org`"), "{error}");
}
