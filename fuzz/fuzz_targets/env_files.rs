#![no_main]
//! Arbitrary text as a file `.env`. The result is assignments, and lines with the reason why they
//! are refused. A value that is quoted by us reads back.

#[path = "../../host/cli/src/environment/assignments.rs"]
mod assignments;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut last = 0;
    for (line, assignment) in assignments::read(text) {
        assert!(line > last, "each line is read once");
        last = line;
        let Ok((name, value)) = assignment else { continue };
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        let quoted: String = value
            .chars()
            .flat_map(|letter| match letter {
                '\n' => vec!['\\', 'n'],
                '\\' | '"' | '$' => vec!['\\', letter],
                letter => vec![letter],
            })
            .collect();
        let again = format!("{name}=\"{quoted}\"");
        // `lines` treats a carriage return as the end of a line only before a line feed.
        if !value.contains('\r') {
            assert_eq!(assignments::read(&again).next(), Some((1, Ok((name, value)))));
        }
    }
});
