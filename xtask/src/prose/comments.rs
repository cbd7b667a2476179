//! Rules for comments in source files.

/// The maximum width of a comment in characters, with its indentation.
const WIDEST: usize = 100;

/// Checks the comments of a file. Returns lines with their problems.
///
/// `marks` are the beginnings of a comment in its language. Only comments on lines of their own are
/// checked; rustfmt checks the width of code.
pub(super) fn wrong(text: &str, marks: &[&str]) -> Vec<(usize, String)> {
    let mut wrong = Vec::new();
    let mut before = None;
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        let comment = marks.iter().find_map(|mark| Some((*mark, line.trim_start().strip_prefix(mark)?)));
        let Some((mark, text)) = comment else {
            (before, in_code) = (None, false);
            continue;
        };
        let body = text.trim();
        let begins = before != Some(mark);
        if begins && mark.len() == 3 && body.split(' ').next() == Some("What") {
            wrong.push((at + 1, "a doc comment begins with \"What\"; say what it is or does".to_owned()));
        }
        before = Some(mark);
        if body.starts_with("```") {
            in_code = !in_code;
        }
        let width = line.chars().count();
        // Text that is indented in its comment is code too.
        let as_it_is =
            in_code || text.starts_with("   ") || body.starts_with('|') || body.contains("://") || !body.contains(' ');
        if width > WIDEST && !as_it_is {
            wrong.push((at + 1, format!("a comment of {width} columns; {WIDEST} are the most")));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::wrong;

    const RUST: [&str; 3] = ["///", "//!", "//"];

    fn lines(text: &str) -> Vec<usize> {
        wrong(text, &RUST).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn a_doc_comment_that_begins_with_what_is_wrong() {
        assert_eq!(lines("/// What a run is.\nstruct Run;\n//! What else.\n"), [1, 3]);
        assert_eq!(lines("/// A run.\n/// What it does is elsewhere.\n// What this is for.\n/// Whatever.\n"), [0; 0]);
    }

    #[test]
    fn a_comment_is_at_most_100_columns_wide_but_for_what_cannot_be_broken() {
        let words = "word ".repeat(20);
        assert_eq!(lines(&format!("// {words}\n    // {}\n", &words[..94])), [1, 2]);
        assert_eq!(lines(&format!("// {}\nlet a = 1; // {words}\n", &words[..96])), [0; 0]);
        assert_eq!(
            lines(&format!("/// ```\n/// {words}\n/// ```\n/// | {words} |\n/// https://a.example {words}")),
            [0; 0]
        );
        assert_eq!(lines(&format!("/// ```\n/// ```\n/// {words}")), [3]);
        assert_eq!(lines(&format!("// {}\n//     {words}", "x".repeat(120))), [0; 0]);
    }
}
