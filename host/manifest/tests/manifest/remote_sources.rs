//! Sources in buckets of S3, and APIs of JSON.

use serde_json::json;
use stagewright_manifest::{HttpFormat, JsonSource, NextPageSection, SourceLocation};

use super::{changed, parse, said};

/// A change of the example: its source is this.
const SOURCE: &str = "uri = \"csv:telco.csv\"\ndelimiter = \";\"\nheader = true";

fn location(source: &str) -> SourceLocation {
    let manifest = changed(SOURCE, source).unwrap_or_else(|error| panic!("{source}: {}", error.render()));
    manifest.sources.values().find(|it| it.uri.contains("://")).expect("the source").location.clone()
}

fn place(source: &str) -> (String, String) {
    let SourceLocation::Objects(objects) = location(source) else { panic!("{source}") };
    (objects.bucket, objects.key)
}

#[test]
fn the_key_of_an_object_is_filled_in_from_values_and_the_time() {
    let of = |bucket: &str, key: &str| (bucket.to_owned(), key.to_owned());
    assert_eq!(place("uri = \"s3://lake/a b/größe=1/x.csv\""), of("lake", "a b/größe=1/x.csv"));
    assert_eq!(place("uri = \"s3://lake\""), of("lake", ""));
    let filled = place(
        "uri = \"s3://lake/y={year}/{date}/{region}/{n}/{{x}}.csv\"\nvalues = { region = \"eu\", n = 7, date = \"today\" }",
    );
    assert_eq!(filled, of("lake", "y=2026/today/eu/7/{x}.csv"));
    for (source, part) in [
        ("uri = \"s3://lake/{dat}/\"", "asks for `{dat}`, which has no value"),
        ("uri = \"s3://lake/{date/\"", "has a `{` or `}` alone"),
        ("uri = \"s3://lake/x\"\nvalues = { date = \"x\" }", "has no `{date}`"),
        ("uri = \"s3://lake/{x}\"\nvalues = { x = 1.5 }", "must be a text, a whole number or a boolean"),
        ("uri = \"s3://lake/{x}\"\nvalues = { x = \"a\\nb\" }", "gives a key that no object has"),
        ("uri = \"s3:///x\"", "names no bucket"),
        ("uri = \"s3://me@lake/x\"", "names no bucket"),
        ("uri = \"s3://lake/x.csv\"\nendpoint = \"minio:9000\"", "is not an address"),
        ("uri = \"s3://lake/x.csv\"\nsha256 = \"x\"", "has no meaning for a `s3:` source"),
        ("uri = \"s3://lake/x.parquet\"\ndelimiter = \";\"", "has no meaning for a `s3: parquet:` source"),
        ("uri = \"csv:x.csv\"\nvalues = { a = 1 }", "has no meaning for a `csv:` source"),
    ] {
        let told = said(SOURCE, source);
        assert!(told.contains(part) && told.contains("hint: ") || part.starts_with("must be"), "{told}");
    }
}

#[test]
fn the_format_of_objects_is_told_by_their_keys_and_must_agree() {
    let SourceLocation::Objects(prefix) = location("uri = \"s3://lake/events/\"") else { panic!("no objects") };
    let of = |keys: &[&str]| prefix.format.of(keys.iter().copied()).map_err(str::to_owned);
    let csv = |delimiter| HttpFormat::Csv { delimiter, header: true, compression: None, dialect: Default::default() };
    assert_eq!(of(&["a.csv", "b.TXT", "c.csv.gz"]), Ok(csv(',')));
    assert_eq!(of(&["a.tsv"]), Ok(csv('\t')));
    assert_eq!(of(&["a.parquet", "b/c.pq"]), Ok(HttpFormat::Parquet));
    assert_eq!(of(&["a.jsonl.zst", "b.ndjson"]), Ok(HttpFormat::Jsonl { compression: None }));
    for (keys, wrong) in [(["a.csv", "b.parquet"], "b.parquet"), (["a", "b.csv"], "a"), (["a.csv", "b.tsv"], "b.tsv")] {
        assert_eq!(of(&keys), Err(wrong.to_owned()));
    }
    let SourceLocation::Objects(told) = location("uri = \"s3://lake/events/\"\nformat = \"csv\"\ndelimiter = \";\"")
    else {
        panic!("no objects")
    };
    assert_eq!(told.format.of(["a", "b.tsv"]), Ok(csv(';')));
}

#[test]
fn an_api_says_where_records_and_further_pages_are() {
    let api = |keys: &str| match location(&format!("uri = \"https://a.example/v1?x=1\"\nformat = \"json\"\n{keys}")) {
        SourceLocation::Http { format: HttpFormat::Json(api), headers, .. } => (api, headers),
        other => panic!("{other:?}"),
    };
    assert_eq!(api("").0, JsonSource { records: Vec::new(), pages: None });
    let (found, headers) = api(
        "records = \"data.items\"\npages = { link = [\"links\", \"a.b\"], max-pages = 3 }\nheaders = { X-Api-Key = \"STAGEWRIGHT_TOKEN_A\" }",
    );
    assert_eq!(found.records, ["data", "items"]);
    let pages = found.pages.expect("pages");
    assert_eq!((pages.next, pages.max_pages), (NextPageSection::Link(vec!["links".into(), "a.b".into()]), 3));
    assert_eq!(json!(headers), json!({ "x-api-key": "STAGEWRIGHT_TOKEN_A" }));
    let (found, _) = api("pages = { cursor = \"next\", parameter = \"after\" }");
    let cursor = NextPageSection::Cursor { path: vec!["next".into()], parameter: "after".into() };
    assert_eq!(found.pages.expect("pages").next, cursor);
    for (keys, part) in [
        ("pages = { link = \"a\", link-header = true }", "does not say in one way how to get the next page"),
        ("pages = { cursor = \"a\" }", "does not say in one way"),
        ("pages = { link = \"a\", max-pages = 0 }", "max-pages"),
        ("records = \"a..b\"", "names no member"),
        ("headers = { Host = \"STAGEWRIGHT_TOKEN_A\" }", "`Host` is not a header that may be set"),
        ("headers = { \"a b\" = \"STAGEWRIGHT_TOKEN_A\" }", "is not a header that may be set"),
    ] {
        let told = said(SOURCE, &format!("uri = \"https://a.example/v1\"\nformat = \"json\"\n{keys}"));
        assert!(told.contains(part), "{told}");
    }
    let told = said(SOURCE, "uri = \"https://a.example/v1.csv\"\nrecords = \"a\"\nformat = \"csv\"");
    assert!(told.contains("has no meaning for a `https: csv:` source"), "{told}");
}

// invariant: The variables of headers follow the rule of tokens: by their prefix, or listed by the
// operator.
#[test]
fn a_header_sends_no_other_variable_than_a_token_may() {
    let with = |variable: &str| {
        let source =
            format!("uri = \"https://a.example/v1\"\nformat = \"json\"\nheaders = {{ X-Key = \"{variable}\" }}");
        changed(SOURCE, &source).expect("a manifest").within(&Default::default())
    };
    with("STAGEWRIGHT_TOKEN_A").expect("a token");
    let told = with("AWS_SECRET_ACCESS_KEY").expect_err("no token").render();
    assert!(told.contains("`AWS_SECRET_ACCESS_KEY` is not a variable that a manifest may have sent"), "{told}");
}

#[test]
fn an_argument_replaces_a_source_of_objects_and_its_keys() {
    let text =
        super::WHOLE.replacen(SOURCE, "uri = \"s3://lake/{x}/\"\nvalues = { x = \"a\" }\nregion = \"eu-central-1\"", 1);
    let overrides = |sources: &[&str], set: &[&str]| stagewright_manifest::Overrides {
        sources: sources.iter().map(|it| (*it).to_owned()).collect(),
        set: set.iter().map(|it| (*it).to_owned()).collect(),
        ..Default::default()
    };
    let name = parse(&text, &overrides(&[], &[])).expect("a manifest");
    let (name, _) = name.sources.iter().find(|(_, source)| source.uri.contains("s3://")).expect("the source");
    let replaced = parse(&text, &overrides(&[&format!("{name}=csv:x.csv")], &[])).expect("a manifest");
    assert!(matches!(replaced.sources[name].location, SourceLocation::Csv { .. }));
    let set = parse(&text, &overrides(&[], &[&format!("sources.{name}.values.x=b")])).expect("a manifest");
    assert!(matches!(&set.sources[name].location, SourceLocation::Objects(it) if it.key == "b/"));
}
