//! Filters and orders parse back from their text, no text panics, and SQLite matches patterns as
//! the module defines.

use proptest::collection::vec;
use proptest::prelude::*;
use rusqlite::Connection;
use stagewright_store::search::{
    Attribute, Clause, Comparison, DatasetField, Entity, Filter, Key, Kind, OrderBy, Relation, like, like_to_glob,
};

use Entity::{ModelVersions, Runs};

/// Texts that are easily mistaken for something else.
fn hard_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z' \"`\\\\%_.,()=<>!]{0,12}",
        "\\PC{1,8}",
        Just("AND".to_owned()),
        Just("metrics.a > 1 OR".to_owned()),
        Just("日本 '語".to_owned()),
    ]
}

fn any_clause(entity: Entity) -> impl Strategy<Value = Clause> {
    let name = || hard_text().prop_filter("a name", |name| !name.is_empty());
    let mut keys = vec![
        proptest::sample::select(entity.attributes().to_vec()).prop_map(Key::Attribute).boxed(),
        name().prop_map(Key::Tag).boxed(),
    ];
    if matches!(entity, Runs | ModelVersions) {
        keys.extend([name().prop_map(Key::Metric).boxed(), name().prop_map(Key::Parameter).boxed()]);
    }
    if entity == Runs {
        let fields = [DatasetField::Name, DatasetField::Digest, DatasetField::Context];
        keys.push(proptest::sample::select(fields.to_vec()).prop_map(Key::Dataset).boxed());
    }
    proptest::strategy::Union::new(keys).prop_flat_map(|key| {
        let comparison = any_comparison(&key);
        (Just(key), comparison).prop_map(|(key, comparison)| Clause { key, comparison })
    })
}

fn any_comparison(key: &Key) -> BoxedStrategy<Comparison> {
    let relation = || proptest::sample::select(Relation::ALL.to_vec());
    let plain = prop_oneof![
        hard_text().prop_map(Comparison::Equal),
        hard_text().prop_map(Comparison::NotEqual),
        hard_text().prop_map(Comparison::Like),
        hard_text().prop_map(Comparison::Ilike),
    ];
    let list = || vec(hard_text(), 1..4);
    let lists = || prop_oneof![list().prop_map(Comparison::In), list().prop_map(Comparison::NotIn)];
    let nulls = || prop_oneof![Just(Comparison::Null), Just(Comparison::NotNull)];
    let finite = proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO;
    match key.kind() {
        Kind::Number => (relation(), finite).prop_map(|(relation, value)| Comparison::Number(relation, value)).boxed(),
        Kind::Integer => (relation(), any::<i64>()).prop_map(|(sign, value)| Comparison::Integer(sign, value)).boxed(),
        Kind::Text => prop_oneof![plain, lists()].boxed(),
        Kind::OptionalText => prop_oneof![plain, lists(), nulls()].boxed(),
        Kind::Entry => prop_oneof![plain, nulls()].boxed(),
    }
}

fn any_filter() -> impl Strategy<Value = (Entity, Vec<Clause>)> {
    let entity = proptest::sample::select(Entity::ALL.to_vec());
    entity.prop_flat_map(|entity| (Just(entity), vec(any_clause(entity), 0..5)))
}

proptest! {
    #[test]
    fn a_printed_filter_parses_to_the_same((entity, clauses) in any_filter()) {
        let text = clauses.iter().map(Clause::to_string).collect::<Vec<_>>().join(" AND ");
        let filter = Filter::parse(entity, &text);
        prop_assert_eq!(filter.as_ref().map(Filter::clauses), Ok(&clauses[..]));
        prop_assert_eq!(filter.expect("a filter").to_string(), text);
    }

    #[test]
    fn keys_of_a_filter_are_keys_of_an_order((entity, clauses) in any_filter()) {
        for key in clauses.iter().map(|clause| &clause.key) {
            let order = OrderBy::parse(entity, &[format!("{key} DESC")]);
            let several = matches!(key, Key::Dataset(_) | Key::Attribute(Attribute::Alias));
            prop_assert_eq!(order.map(|order| order.keys()[0].key.clone()).ok(), (!several).then(|| key.clone()));
        }
    }

    #[test]
    fn sqlite_agrees(pattern in "[%_aAbé*?\\[\\]\\\\^-]{0,8}", text in "[aAbBéÉ*?\\[\\]\\\\^-]{0,8}") {
        let database = Connection::open_in_memory().expect("a database");
        let ask = |sql, pattern: &str| {
            database.query_row(sql, [&*text, pattern], |row| row.get::<_, bool>(0)).expect("an answer")
        };
        prop_assert_eq!(ask("SELECT ?1 GLOB ?2", &like_to_glob(&pattern)), like(&pattern, &text, false));
        prop_assert_eq!(ask("SELECT ?1 LIKE ?2", &pattern), like(&pattern, &text, true));
    }

    #[test]
    fn any_text_is_a_filter_that_prints_as_itself_or_an_error_with_a_place(text in hostile_text()) {
        for entity in Entity::ALL {
            match Filter::parse(entity, &text) {
                Ok(filter) => prop_assert_eq!(Filter::parse(entity, &filter.to_string()), Ok(filter)),
                Err(error) => {
                    prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1);
                    prop_assert_eq!(error.to_string().lines().count(), 2);
                }
            }
            if let Ok(order) = OrderBy::parse(entity, &[&text]) {
                prop_assert_eq!(OrderBy::parse(entity, &[order.to_string()]), Ok(order));
            }
        }
    }
}

/// Any characters, and pieces of filters in any order.
fn hostile_text() -> impl Strategy<Value = String> {
    const PIECES: &str = "metrics.|tags.|params.|datasets.|attributes.|name|status|verdict|alias|start_time|a|`a b`|'x'|\"y\"|'|`|.|,|\
        (|)|=|!=|<|>=|LIKE|IN|NOT|IS NULL|AND|AND |1|-2.5e3| |\u{301}";
    let pieces = vec(proptest::sample::select(PIECES.split('|').collect::<Vec<_>>()), 0..16);
    prop_oneof![
        "(?s).{0,40}",
        pieces.clone().prop_map(|pieces| pieces.concat()),
        pieces.prop_map(|pieces| pieces.join(" "))
    ]
}
