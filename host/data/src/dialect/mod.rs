//! Dialects of CSV, which deviate from plain CSV: quotes, encoding, numbers, dates and words.
//!
//! Everything here is told by an address or a manifest, never guessed by a reader.

mod date_format;
mod encoding;
mod style;

use serde::{Deserialize, Serialize};

use crate::error::shown;
pub use encoding::Encoding;
pub(crate) use style::{NOT_IN_STYLE, Style};

/// The most words or formats of a kind.
const MAX_WORDS: usize = 64;
/// The longest of them, in bytes.
const MAX_WORD: usize = 256;

/// Characters by name, since most of them have a meaning in a shell.
const NAMES: [(&str, char); 10] = [
    ("tab", '\t'),
    ("comma", ','),
    ("semicolon", ';'),
    ("pipe", '|'),
    ("space", ' '),
    ("point", '.'),
    ("apostrophe", '\''),
    ("double-quote", '"'),
    ("hash", '#'),
    ("percent", '%'),
];

/// How the text of a file deviates from plain CSV.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Dialect {
    /// The character around cells; `None` for `"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
    /// The encoding; `None` for UTF-8, or UTF-16 where a byte order mark tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// The character in front of the fraction of a number, `.` or `,`; `None` for `.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<char>,
    /// The character between groups of three digits; `None` for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thousands: Option<char>,
    /// The ASCII character that begins a line which is no row; `None` for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<char>,
    /// Cells that mean null, beside the null tokens of the signature.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub null_words: Vec<String>,
    /// Formats of timestamps beside the usual ones, as `strftime` has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub date_formats: Vec<String>,
    /// Words for true beside the usual ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub true_words: Vec<String>,
    /// Words for false beside the usual ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub false_words: Vec<String>,
}

/// The character around cells that hold delimiters or line breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Quote {
    /// A quote is an ordinary character.
    None,
    /// An ASCII character.
    Character(u8),
}

impl TryFrom<String> for Quote {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::named(&text)
    }
}

impl From<Quote> for String {
    fn from(quote: Quote) -> Self {
        match quote {
            Quote::None => "none".to_owned(),
            Quote::Character(byte) => char::from(byte).to_string(),
        }
    }
}

impl Quote {
    /// Parses a character, its name, or `none`.
    ///
    /// # Errors
    /// The reason for which it is none.
    pub fn named(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            _ => ascii(text).map(Self::Character).map_err(|it| format!("{it}, or `none`")),
        }
    }
}

impl Dialect {
    /// The names of the options.
    pub const OPTIONS: [&'static str; 9] = [
        "quote",
        "encoding",
        "decimal",
        "thousands",
        "comment",
        "null-words",
        "date-formats",
        "true-words",
        "false-words",
    ];

    /// Returns whether nothing deviates.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Sets an option. Those of words and formats add one.
    ///
    /// # Errors
    /// The reason for which the text is no value of it, or there is no such option.
    pub fn set(&mut self, option: &str, text: &str) -> Result<(), String> {
        match option {
            "quote" => self.quote = Some(Quote::named(text)?),
            "encoding" => {
                let names = Encoding::NAMES.map(|(name, _)| name).join(", ");
                let problem = || format!("`{}` is not an encoding: it is one of {names}", shown(text));
                self.encoding = Some(Encoding::named(text).ok_or_else(problem)?);
            }
            "decimal" => match character(text) {
                Some(mark @ ('.' | ',')) => self.decimal = Some(mark),
                _ => return Err(format!("`{}` is not a decimal mark: it is point or comma", shown(text))),
            },
            "thousands" => match character(text) {
                Some(mark @ ('.' | ',' | ' ' | '\'' | '_')) => self.thousands = Some(mark),
                _ => {
                    let known = "it is point, comma, space, apostrophe or _";
                    return Err(format!("`{}` does not part thousands: {known}", shown(text)));
                }
            },
            "comment" => self.comment = Some(char::from(ascii(text)?)),
            "null-words" => add(&mut self.null_words, text)?,
            "date-formats" => {
                date_format::check(text)?;
                add(&mut self.date_formats, text)?;
            }
            "true-words" => add(&mut self.true_words, text)?,
            "false-words" => add(&mut self.false_words, text)?,
            _ => return Err(format!("`{}` is not an option", shown(option))),
        }
        Ok(())
    }

    /// Checks that the characters of the dialect can be told apart.
    ///
    /// # Errors
    /// Those that cannot.
    pub fn check(&self, delimiter: u8) -> Result<(), String> {
        let quote = match self.quote {
            None => Some('"'),
            Some(Quote::None) => None,
            Some(Quote::Character(byte)) => Some(char::from(byte)),
        };
        let delimiter = Some(char::from(delimiter));
        let decimal = Some(self.decimal.unwrap_or('.'));
        let pairs = [
            ("delimiter", delimiter, "quote", quote),
            ("delimiter", delimiter, "comment", self.comment),
            ("quote", quote, "comment", self.comment),
            ("decimal", decimal, "thousands", self.thousands),
        ];
        match pairs.into_iter().find(|(_, one, _, other)| one.is_some() && one == other) {
            Some((one, _, other, _)) => Err(format!("`{one}` and `{other}` are the same character")),
            None if self.true_words.iter().any(|word| has(&self.false_words, word)) => {
                Err("a word is among `true-words` and `false-words`".to_owned())
            }
            None => Ok(()),
        }
    }

    /// Returns the options as an address has them.
    pub(crate) fn written(&self) -> Vec<String> {
        let mut written = Vec::new();
        let mut push = |option: &str, value: &str| written.push(format!("{option}={value}"));
        if let Some(quote) = self.quote {
            push("quote", &String::from(quote));
        }
        if let Some(encoding) = self.encoding {
            push("encoding", encoding.name());
        }
        for (option, mark) in [("decimal", self.decimal), ("thousands", self.thousands), ("comment", self.comment)] {
            if let Some(mark) = mark {
                push(option, &mark.to_string());
            }
        }
        let words = [
            ("null-words", &self.null_words),
            ("date-formats", &self.date_formats),
            ("true-words", &self.true_words),
            ("false-words", &self.false_words),
        ];
        for (option, words) in words {
            words.iter().for_each(|word| push(option, word));
        }
        written
    }
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

fn add(words: &mut Vec<String>, text: &str) -> Result<(), String> {
    if words.len() == MAX_WORDS || text.len() > MAX_WORD {
        return Err(format!("there are more than {MAX_WORDS} words, or one has more than {MAX_WORD} bytes"));
    }
    if !words.iter().any(|known| known == text) {
        words.push(text.to_owned());
    }
    Ok(())
}

/// Returns the character of a name or of itself.
fn character(text: &str) -> Option<char> {
    let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, mark)| *mark);
    let mut letters = text.chars();
    named.or_else(|| letters.next().filter(|_| letters.next().is_none()))
}

fn ascii(text: &str) -> Result<u8, String> {
    let byte = character(text).and_then(|mark| u8::try_from(mark).ok());
    let is_fit = |byte: &u8| byte.is_ascii() && !byte.is_ascii_alphanumeric() && !matches!(byte, b'\r' | b'\n' | b'\0');
    byte.filter(is_fit).ok_or_else(|| format!("`{}` is not a mark: it takes one ASCII character", shown(text)))
}
