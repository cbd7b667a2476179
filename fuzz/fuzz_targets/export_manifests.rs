#![no_main]
//! Arbitrary bytes as the files of a destination: a version's manifest, its model, the pointer to a
//! champion. Each is an error, or reads back as it is written.

use libfuzzer_sys::fuzz_target;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_promotion::{Pointer, manifest_objects};

const MODEL: &str = "churn";

fuzz_target!(|bytes: &[u8]| {
    match manifest_objects(bytes) {
        Ok(objects) => assert!(objects.len() <= bytes.len()),
        Err(error) => assert!(!error.is_empty()),
    }
    if let Ok(pointer) = Pointer::parse(bytes, MODEL) {
        assert_eq!(pointer.model, MODEL);
        let again = pointer.to_bytes().expect("text");
        assert_eq!(Pointer::parse(&again, MODEL), Ok(pointer));
    }
    if let Ok(model) = serde_json::from_slice::<RegisteredModel>(bytes) {
        let again = serde_json::to_vec(&model).expect("text");
        let read: RegisteredModel = serde_json::from_slice(&again).expect("what is written reads back");
        assert_eq!(read, model);
        let _ = (model.parts(), model.features());
    }
});
