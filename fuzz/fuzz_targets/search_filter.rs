#![no_main]
//! Any text as a filter and as an order of every kind of record: one that prints as a text of the
//! same meaning, or a problem with its place. And as a pattern: what it matches ends in time.

use libfuzzer_sys::fuzz_target;
use stagewright_store::search::{Entity, Filter, OrderBy, like, like_to_glob};

fuzz_target!(|text: &str| {
    for entity in Entity::ALL {
        match Filter::parse(entity, text) {
            Ok(filter) => assert_eq!(Filter::parse(entity, &filter.to_string()), Ok(filter)),
            Err(error) => {
                assert!(error.column <= text.chars().count() + 1);
                assert_eq!(error.to_string().lines().count(), 2);
            }
        }
        if let Ok(order) = OrderBy::parse(entity, &[text]) {
            assert_eq!(OrderBy::parse(entity, &[order.to_string()]), Ok(order.clone()));
            assert!(!order.total(entity).keys().is_empty());
        }
    }
    // What follows the first line is matched by it.
    if let Some((pattern, text)) = text.split_once('\n') {
        assert!(like(pattern, text, true) || !like(pattern, text, false));
        assert!(like_to_glob(pattern).len() <= 3 * pattern.len());
    }
});
