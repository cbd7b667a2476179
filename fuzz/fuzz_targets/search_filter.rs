#![no_main]
//! Arbitrary text as a filter and as an order for every kind of record. The result prints as text
//! of the same meaning, or is a problem with its position. As a pattern, a match ends in time.

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
    // The text after the first line is matched against it.
    if let Some((pattern, text)) = text.split_once('\n') {
        assert!(like(pattern, text, true) || !like(pattern, text, false));
        assert!(like_to_glob(pattern).len() <= 3 * pattern.len());
    }
});
