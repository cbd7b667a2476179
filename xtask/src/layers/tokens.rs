//! Splits Rust source into tokens, as far as finding modules and paths needs it.
//!
//! Comments are dropped. A string keeps its text after a leading `"`, `::` is one token, and every
//! other punctuation character is a token of its own.

/// A token and the line on which it starts, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

impl Token {
    /// Whether this is an identifier or a keyword.
    pub(super) fn is_word(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// Splits a source file into its tokens.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut reader = Reader { rest: source, line: 1 };
    let mut tokens = Vec::new();
    while let Some(first) = reader.rest.chars().next() {
        let line = reader.line;
        let text = reader.token(first);
        if !text.is_empty() {
            tokens.push(Token { text, line });
        }
    }
    tokens
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl Reader<'_> {
    /// Takes the next token; empty for white space and comments.
    fn token(&mut self, first: char) -> String {
        if first.is_whitespace() {
            self.take(first.len_utf8());
            return String::new();
        }
        if self.rest.starts_with("//") {
            self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            return String::new();
        }
        if self.rest.starts_with("/*") {
            self.block_comment();
            return String::new();
        }
        if let Some(length) = raw_string(self.rest) {
            return self.raw(length);
        }
        for prefix in ["\"", "b\"", "c\""] {
            if self.rest.starts_with(prefix) {
                self.take(prefix.len());
                return self.string();
            }
        }
        if first == '\'' || self.rest.starts_with("b'") {
            return self.quote();
        }
        if self.rest.starts_with("r#") {
            self.take(2);
        }
        let word = self.rest.find(|next: char| !(next.is_alphanumeric() || next == '_')).unwrap_or(self.rest.len());
        if word > 0 {
            return self.take(word);
        }
        if self.rest.starts_with("::") {
            return self.take(2);
        }
        self.take(first.len_utf8())
    }

    /// Takes a number of bytes.
    fn take(&mut self, bytes: usize) -> String {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken.to_owned()
    }

    /// Takes a comment in `/* */`, with those that are nested in it.
    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.take(2);
            } else if let Some(next) = self.rest.chars().next() {
                self.take(next.len_utf8());
            }
            if depth == 0 || self.rest.is_empty() {
                return;
            }
        }
    }

    /// Takes the rest of a string after its opening quotation mark.
    fn string(&mut self) -> String {
        let mut text = String::from("\"");
        while let Some(next) = self.rest.chars().next() {
            self.take(next.len_utf8());
            match next {
                '"' => break,
                '\\' => {
                    let escaped = self.rest.chars().next().map_or(0, char::len_utf8);
                    self.take(escaped);
                }
                _ => text.push(next),
            }
        }
        text
    }

    /// Takes a raw string whose text starts after `length` bytes.
    fn raw(&mut self, length: usize) -> String {
        let opening = self.take(length);
        let closing = format!("\"{}", "#".repeat(opening.matches('#').count()));
        let end = self.rest.find(&closing).unwrap_or(self.rest.len());
        let text = self.take(end);
        self.take(closing.len().min(self.rest.len()));
        format!("\"{text}")
    }

    /// Takes a character or a lifetime.
    fn quote(&mut self) -> String {
        let opening = if self.rest.starts_with('b') { 2 } else { 1 };
        self.take(opening);
        let mut following = self.rest.chars();
        let (next, after) = (following.next().unwrap_or('\''), following.next());
        if next == '\\' {
            self.take(1);
            let escaped = self.rest.chars().next().map_or(0, char::len_utf8);
            self.take(escaped);
            let end = self.rest.find('\'').map_or(self.rest.len(), |end| end + 1);
            self.take(end);
        } else if after == Some('\'') {
            self.take(next.len_utf8() + 1);
        } else {
            let end = self.rest.find(|next: char| !(next.is_alphanumeric() || next == '_'));
            self.take(end.unwrap_or(self.rest.len()));
        }
        "'".to_owned()
    }
}

/// Returns the length before the text of a raw string, if one starts here.
fn raw_string(source: &str) -> Option<usize> {
    let marks = source.strip_prefix("r").or_else(|| source.strip_prefix("br")).or_else(|| source.strip_prefix("cr"))?;
    let text = marks.trim_start_matches('#').strip_prefix('"')?;
    Some(source.len() - text.len())
}

#[cfg(test)]
mod tests {
    use super::tokens;

    fn texts(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_strings_characters_and_lifetimes_hide_no_code() {
        assert_eq!(texts("a /* b /* c */ d */ e // f\ng"), ["a", "e", "g"]);
        assert_eq!(texts(r#"x("use a;\" b", 'c', '\'', b'd', '\u{1F600}') y"#).len(), 13);
        assert_eq!(texts("fn f<'a>(x: &'a str)").last().map(String::as_str), Some(")"));
        assert_eq!(texts("r#\"a \" b\"# c::r#type"), ["\"a \" b", "c", "::", "type"]);
    }

    #[test]
    fn a_token_knows_its_line() {
        let lines: Vec<usize> = tokens("a\n\"b\nc\"\n/*\n*/ d").iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 2, 5]);
    }
}
