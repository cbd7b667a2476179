//! Parser of `.env` files: lines `NAME=VALUE`, with an optional `export `, quotes around the value,
//! and comments.
//!
//! `$NAME` is not expanded and no command is run: otherwise a value could pass exported variables
//! on to whoever wrote the file.

/// Returns the assignments with their line numbers, or the reason why a line is no assignment.
pub(super) fn read(text: &str) -> impl Iterator<Item = (usize, Result<(String, String), &'static str>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = (1..).zip(text.lines().map(str::trim));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| (number, assignment(line)))
}

fn assignment(line: &str) -> Result<(String, String), &'static str> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or("it is not NAME=VALUE")?;
    let name = name.trim();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return Err("a name is made of letters, digits and `_`");
    }
    Ok((name.to_owned(), unquoted(value.trim())?))
}

/// Returns a value without its quotes and comment.
fn unquoted(value: &str) -> Result<String, &'static str> {
    let rest_is_comment = |rest: &str| rest.trim_start().is_empty() || rest.trim_start().starts_with('#');
    if let Some(quoted) = value.strip_prefix('\'') {
        let (inside, rest) = quoted.split_once('\'').ok_or("a quote is not closed")?;
        return if rest_is_comment(rest) {
            Ok(inside.to_owned())
        } else {
            Err("there is text behind the closing quote")
        };
    }
    if let Some(quoted) = value.strip_prefix('"') {
        let mut inside = String::new();
        let mut letters = quoted.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '"' if rest_is_comment(letters.as_str()) => return Ok(inside),
                '"' => return Err("there is text behind the closing quote"),
                '\\' => inside.push(match letters.next() {
                    Some('n') => '\n',
                    Some(letter @ ('\\' | '"' | '$' | '\'')) => letter,
                    _ => return Err("behind `\\` stands `n`, `\\`, `\"`, `'` or `$`"),
                }),
                letter => inside.push(letter),
            }
        }
        return Err("a quote is not closed");
    }
    // A comment begins after a space: `#` is a character of many passwords.
    let end = value.find(" #").or_else(|| value.find("\t#")).unwrap_or(value.len());
    Ok(value[..end].trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_a_value() {
        for (line, name, value) in [
            ("A=b", "A", "b"),
            ("export A = b c # d", "A", "b c"),
            ("A=p#ss", "A", "p#ss"),
            ("A='b # $c \\n'", "A", "b # $c \\n"),
            ("A=\"b\\n\\\"c\\\"\" # d", "A", "b\n\"c\""),
            ("A=", "A", ""),
            ("A=b=c", "A", "b=c"),
        ] {
            assert_eq!(read(line).next(), Some((1, Ok((name.to_owned(), value.to_owned())))), "{line}");
        }
        assert_eq!(read("\n# a comment\n\n").count(), 0);
    }

    #[test]
    fn variables_are_not_put_in() {
        for line in ["A=$HOME", "A=${HOME}", "A=\"${HOME}\"", "A=$(id)", "A=`id`"] {
            let value = line[2..].trim_matches('"').to_owned();
            assert_eq!(read(line).next(), Some((1, Ok(("A".to_owned(), value)))), "{line}");
        }
    }

    #[test]
    fn other_lines_are_told_with_their_number() {
        for line in ["nothing", "A B=c", "=b", "A='b", "A=\"b", "A='b'c", "A=\"b\"c", "A=\"\\x\""] {
            let found: Vec<_> = read(&format!("# one\n{line}\nB=1")).collect();
            assert!(matches!(&found[..], [(2, Err(_)), (3, Ok(_))]), "{line}: {found:?}");
        }
    }
}
