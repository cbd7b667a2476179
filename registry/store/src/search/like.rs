//! Matching `LIKE` patterns, and converting them to `GLOB` patterns.
//!
//! SQLite's `LIKE` ignores the case of ASCII letters, so that a `LIKE` becomes a `GLOB` there,
//! which does not. A pattern has no escapes: every `%` matches any number of characters and every
//! `_` one, as in SQLite, and in MLflow on SQLite.

/// Returns whether the whole `text` matches the pattern. With `ignore_case`, `A` to `Z` equal `a`
/// to `z`; other letters do not.
pub fn like(pattern: &str, text: &str, ignore_case: bool) -> bool {
    let same = |a: char, b: char| a == b || (ignore_case && a.eq_ignore_ascii_case(&b));
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // The pattern after the last `%`, and the text that this `%` has not matched yet.
    let mut last = None;
    loop {
        let (before, here) = (text.clone(), pattern.next());
        match (here, text.next()) {
            (Some('%'), _) => {
                text = before;
                last = Some((pattern.clone(), text.clone()));
            }
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == '_' || same(wanted, found) => {}
            _ => {
                // The last `%` matches one more character. If an earlier one did, the last would
                // only have fewer choices.
                let Some((after, mut rest)) = last.take() else { return false };
                if rest.next().is_none() {
                    return false;
                }
                (pattern, text) = (after.clone(), rest.clone());
                last = Some((after, rest));
            }
        }
    }
}

/// Returns the pattern of SQLite's `GLOB` that matches what a case-sensitive `LIKE` with this
/// pattern matches. It is at most three times as long.
pub fn like_to_glob(pattern: &str) -> String {
    let mut glob = String::with_capacity(pattern.len());
    for character in pattern.chars() {
        match character {
            '%' => glob.push('*'),
            '_' => glob.push('?'),
            // Within brackets they match themselves. A `]` does wherever no bracket is open.
            '*' | '?' | '[' => glob.extend(['[', character, ']']),
            other => glob.push(other),
        }
    }
    glob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_the_whole_text() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("%", "", true),
            ("%%", "any", true),
            ("_", "", false),
            ("_", "é", true),
            ("a%", "a", true),
            ("a%c", "abcbc", true),
            ("%b%c", "abcd", false),
            ("%a_c%", "xxabac_abcx", true),
            ("a\\%", "a%", false),
            ("a\\%", "a\\b", true),
            ("[a]*?", "[a]*?", true),
            ("telco", "Telco", false),
        ] {
            assert_eq!(like(pattern, text, false), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn case_is_ignored_in_ascii_only() {
        assert!(like("TELCO%", "telco-2", true));
        assert!(!like("É", "é", true));
    }

    #[test]
    fn many_wildcards_take_no_time() {
        assert!(!like(&"%a".repeat(900), &"a".repeat(899), false));
        assert!(!like(&format!("{}b", "a%".repeat(900)), &"a".repeat(9_000), false));
    }

    #[test]
    fn what_glob_takes_for_itself_is_bracketed() {
        assert_eq!(like_to_glob("a%b_c*d?e[f]g^h-i"), "a*b?c[*]d[?]e[[]f]g^h-i");
    }
}
