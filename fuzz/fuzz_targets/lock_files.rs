#![no_main]
//! Arbitrary text as a lock file. The result is digests by name, or problems that can be shown.
//! What was read is written so that it reads back.

use libfuzzer_sys::fuzz_target;
use stagewright_manifest::Lock;

fuzz_target!(|text: &str| {
    match Lock::parse("stagewright.lock", text.to_owned()) {
        Ok(lock) => {
            let again = Lock::parse("stagewright.lock", lock.render());
            assert_eq!(again.expect("what is written reads back"), lock);
        }
        Err(error) => assert!(!error.render().is_empty()),
    }
});
