//! Words of a command as a POSIX shell reads them.

/// Returns a text as one word of a shell, quoted where it has to be.
pub(super) fn word(text: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./:@%+=,".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::word;

    #[test]
    fn a_shell_reads_a_word_as_it_was() {
        for text in ["churn.csv", "a b", "it's", "$HOME", "", "a#b", "*", "-x", "größe", "a\"b\\", "~", "a;b"] {
            let shown = Command::new("sh").args(["-c", &format!("printf %s {}", word(text))]).output().unwrap();
            assert_eq!(String::from_utf8(shown.stdout).unwrap(), text);
        }
        assert_eq!(word("data/churn.csv"), "data/churn.csv");
    }
}
