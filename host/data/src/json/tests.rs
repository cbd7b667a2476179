//! The scanner against `serde_json` and against a plain reader.

use proptest::prelude::*;
use serde_json::Value;

use super::scanner::plain_end;
use super::*;

/// Returns the top-level values, with the elements of arrays one by one; `None` if the text is not
/// JSON.
fn rows(text: &str) -> Option<Vec<Raw<'_>>> {
    let mut scanner = Scanner::new(text);
    let mut rows = Vec::new();
    while let Some(first) = scanner.peek() {
        let read = match first {
            b'[' => scanner.elements(|scanner| scanner.value().map(|value| rows.push(value))),
            _ => scanner.top_value().map(|value| rows.push(value)),
        };
        read.ok()?;
    }
    Some(rows)
}

fn object(text: &str) -> Vec<(Raw<'_>, Raw<'_>)> {
    let mut found = Vec::new();
    Scanner::new(text).members(|name, value| found.push((name, value))).expect("an object");
    found
}

/// Compares the scanner with the plain reader.
fn compare(text: &str) -> Result<(), TestCaseError> {
    let (found, expected) = (rows(text), split::rows(text).ok());
    prop_assert_eq!(found.is_some(), expected.is_some(), "{:?}", text);
    let (Some(found), Some(expected)) = (found, expected) else { return Ok(()) };
    prop_assert_eq!(found.iter().map(|raw| raw.text).collect::<Vec<_>>(), expected);
    for raw in found {
        let kind = match serde_json::from_str::<Value>(raw.text) {
            Ok(Value::Null) => Kind::Null,
            Ok(Value::Bool(value)) => Kind::Boolean(value),
            Ok(Value::String(_)) if raw.text.contains('\\') => Kind::Escaped,
            Ok(Value::String(_)) => Kind::Plain,
            Ok(Value::Number(_)) if raw.text.contains(['.', 'e', 'E']) => Kind::Decimal,
            Ok(Value::Number(_)) => Kind::Integer,
            Ok(Value::Array(_)) => Kind::Array,
            Ok(Value::Object(_)) => Kind::Object,
            // Half of a surrogate pair, or a number beyond the range of a double.
            Err(_) => continue,
        };
        prop_assert_eq!(raw.kind, kind, "{:?}", raw.text);
        if kind == Kind::Object {
            let Ok(Some(expected)) = split::members(raw.text) else { continue };
            let members = object(raw.text);
            let named = members.iter().map(|(name, value)| (name.string().unwrap().into_owned(), value.text));
            prop_assert_eq!(named.collect::<std::collections::HashMap<_, _>>(), expected);
        }
    }
    Ok(())
}

#[test]
fn numbers_keep_their_digits() {
    let text = "[{\"a\": 2.9999999999999999999 , \"b\":[1,{\"c\":\"}\\\"\"}]}]\n{\"a\":1e400}";
    let rows = rows(text).unwrap();
    let first: Vec<_> = object(rows[0].text).iter().map(|(_, value)| value.text).collect();
    assert_eq!(first, ["2.9999999999999999999", "[1,{\"c\":\"}\\\"\"}]"]);
    assert_eq!(object(rows[1].text)[0].1.text, "1e400");
}

#[test]
fn values_are_cells_of_their_kind() {
    let cell = |text: &str| {
        let rows = rows(text).unwrap();
        rows[0].with_cell(|cell| format!("{cell:?}")).map_err(|error| error.to_string())
    };
    for (text, expected) in [
        ("null", "Null"),
        ("true", "Boolean(true)"),
        ("-7", "Integer(-7)"),
        ("-0", "Decimal(\"-0\")"),
        ("18446744073709551615", "Text(\"18446744073709551615\")"),
        ("1.50", "Decimal(\"1.50\")"),
        ("\"a b\"", "Text(\"a b\")"),
        ("\"\\u00e9\\n\"", "Text(\"é\\n\")"),
        ("\"\\ud83d\\ude00\"", "Text(\"😀\")"),
        ("[[ 1.50 , null]]", "Text(\"[1.5,null]\")"),
        ("{ \"b\" : 1, \"a\": {} }", "Text(\"{\\\"a\\\":{},\\\"b\\\":1}\")"),
    ] {
        assert_eq!(cell(text).unwrap(), expected, "{text}");
    }
    assert!(cell("\"\\ud800\"").is_err());
    assert!(cell("[[1e999]]").unwrap_err().contains("number out of range"));
}

#[test]
fn only_json_is_accepted() {
    for text in [
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "{\"a\":1 \"b\":2}",
        "[1 2]",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "tru",
        "nulll",
        "true1",
        "1true",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "[}",
        "{]",
        "[[1}]",
        "{\"a\":[1}}",
        "NaN",
        "'a'",
        "[1],",
        "\u{feff}1",
    ] {
        assert!(rows(text).is_none(), "{text}");
        assert!(split::rows(text).is_err(), "{text}");
    }
    for text in
        ["", " \n", "1 2", "1[2]\"a\"{}", "\"a\"1", "[]{}", "[ ]", "{ }", "0", "-0.0e-0", "[1 , {\"a\" : [ ] } ]"]
    {
        assert!(rows(text).is_some(), "{text}");
    }
}

#[test]
fn nesting_has_a_limit() {
    let nested =
        |depth: usize| format!("{}{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2)).replace(":}", ":0}");
    let read = |text: &str| read(text.as_bytes(), |scanner| scanner.value().map(drop).map_err(Into::into));
    assert!(read(&nested(128)).is_ok());
    let Err(Unread::Fault(fault)) = read(&nested(130)) else { panic!("it is too deep") };
    assert_eq!(fault.message, "the text is not JSON: arrays and objects are nested more than 128 deep");
    // A text that never ends its brackets costs no stack.
    assert!(read(&"[".repeat(1 << 20)).is_err());
}

#[test]
fn envelopes_are_taken_apart() {
    let found = members(b"\xef\xbb\xbf {\"a\": [1.50], \"\\u0062\": 1, \"a\" : \"x\"} ").unwrap();
    assert_eq!(found, [("a".to_owned(), "\"x\""), ("b".to_owned(), "1")]);
    assert_eq!(elements(b"[1.50, [2], {}]").unwrap(), ["1.50", "[2]", "{}"]);
    let told = |unread: Unread| unread.named("x").to_string();
    for (text, message) in [
        ("[1]", "`[1]` is not an object"),
        ("", "the text is empty, where an object is needed"),
        ("{} {}", "more text follows an object"),
        ("{\"a\": 1", "the text is not JSON: EOF while parsing an object at line 1 column 7"),
        ("{\"\\ud800\": 1}", "the text is not JSON: unexpected end of hex escape at line 1 column 8"),
    ] {
        assert_eq!(told(members(text.as_bytes()).unwrap_err()), message, "{text}");
    }
    assert_eq!(told(elements(b"{}").unwrap_err()), "`{}` is not an array of values");
    assert_eq!(told(elements(b"[\xff]").unwrap_err()), "the text is not UTF-8, from byte 1 on");
    assert!(told(elements(b"\x1f\x8b\x08").unwrap_err()).contains("compressed with gzip"));
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a\"\\\\{}\\[\\],: é\n\u{1}]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a\"\\\\}é]{0,3}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn values_are_found_as_a_plain_reader_finds_them(values in prop::collection::vec(json(), 0..4), pretty: bool) {
        let write = |value: &Value| if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        let text = values.iter().map(|value| write(value).unwrap()).collect::<Vec<_>>().join(" ");
        prop_assert!(rows(&text).is_some());
        compare(&text)?;
    }

    #[test]
    fn any_text_is_accepted_or_refused_as_by_serde_json(text in "[\\[\\]{}:,\"\\\\aeu0.1+ \u{1}é-]{0,40}") {
        compare(&text)?;
    }

    #[test]
    fn a_damaged_text_is_accepted_or_refused_as_by_serde_json(
        values in prop::collection::vec(json(), 1..3),
        at: prop::sample::Index,
        with in "[\\[\\]{}:,\"\\\\ae01. -]?",
    ) {
        let text: Vec<char> = serde_json::to_string(&values).unwrap().chars().collect();
        let at = at.index(text.len());
        let text: String = text[..at].iter().copied().chain(with.chars()).chain(text[at + 1..].iter().copied()).collect();
        compare(&text)?;
    }

    #[test]
    fn the_end_of_plain_text_is_the_first_byte_that_ends_it(bytes in prop::collection::vec(any::<u8>(), 0..40), start in 0_usize..9) {
        let start = start.min(bytes.len());
        let expected = bytes[start..].iter().position(|byte| *byte < 0x20 || b"\"\\".contains(byte));
        prop_assert_eq!(plain_end(&bytes, start), expected.map_or(bytes.len(), |found| start + found));
    }
}
