//! Filters: clauses that all have to hold.
//!
//! Parsing determines what a key may be compared with, by the type of its value: a [`Comparison`]
//! carries its value in the type that it is compared in. So whoever translates a clause meets no
//! comparison without a meaning.

use std::fmt;

use super::cursor::{Cursor, is_sign, is_word};
use super::error::SearchError;
use super::key::{Entity, Key, Kind};
use super::{MAX_CLAUSES, MAX_PATTERN_BYTES, MAX_VALUES};

/// The clauses that a record has to satisfy. With none, every record does.
///
/// Its text form parses to the same filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter(Vec<Clause>);

/// A comparison of one key with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Clause {
    /// The key.
    pub key: Key,
    /// The comparison, which the [kind](Key::kind) of the key allows.
    pub comparison: Comparison,
}

/// An operator and its operand.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparison {
    /// Compares with a finite number.
    Number(Relation, f64),
    /// Compares with an integer.
    Integer(Relation, i64),
    /// Equals this text.
    Equal(String),
    /// Differs from this text.
    NotEqual(String),
    /// Matches this [pattern](super::like()).
    Like(String),
    /// Matches this pattern, ignoring the case of ASCII letters.
    Ilike(String),
    /// Equals one of these, at least one.
    In(Vec<String>),
    /// Equals none of these, at least one.
    NotIn(Vec<String>),
    /// Does not exist.
    Null,
    /// Exists.
    NotNull,
}

/// A comparison of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Relation {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Equal, Self::NotEqual, Self::Less, Self::LessOrEqual, Self::Greater, Self::GreaterOrEqual];

    /// Returns its sign, in filters as in SQL.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// An operator, between key and value.
#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Relation(Relation),
    Like,
    Ilike,
    In,
    NotIn,
    Null,
    NotNull,
}

impl Filter {
    /// Parses a filter of records of this kind.
    ///
    /// # Errors
    /// [`SearchError`] at the first position where the text is wrong.
    pub fn parse(entity: Entity, text: &str) -> Result<Self, SearchError> {
        let mut cursor = Cursor::new("filter", text)?;
        let mut clauses = Vec::new();
        if cursor.is_done() {
            return Ok(Self(clauses));
        }
        loop {
            if clauses.len() == MAX_CLAUSES {
                let problem = format!("a filter may have {MAX_CLAUSES} clauses, and here is another");
                return Err(cursor.refuse(cursor.at(), problem, "ask for less at once"));
            }
            clauses.push(Clause::read(&mut cursor, entity)?);
            if cursor.is_done() {
                return Ok(Self(clauses));
            }
            if !cursor.keyword("AND") {
                let problem = format!("`AND` is expected after a clause, not {}", cursor.found());
                return Err(cursor.refuse(cursor.at(), problem, "`AND` alone joins clauses; for `OR`, search twice"));
            }
        }
    }

    /// Returns the clauses, in the order of the text.
    pub fn clauses(&self) -> &[Clause] {
        &self.0
    }
}

impl Clause {
    /// Returns whether this is the clause by which MLflow's clients exclude prompts, which they
    /// keep as registered models: ``tags.`mlflow.prompt.is_prompt` != 'true'``, or `= 'false'`.
    ///
    /// It is the only clause that a record *without* the tag satisfies too. In SQL it is an
    /// anti-join with the records whose tag has the value `true`. Clients add it to every search of
    /// models.
    pub fn is_prompt_exclusion(&self) -> bool {
        let excludes = match &self.comparison {
            Comparison::NotEqual(value) => value == "true",
            Comparison::Equal(value) => value == "false",
            _ => false,
        };
        excludes && matches!(&self.key, Key::Tag(name) if name == "mlflow.prompt.is_prompt")
    }

    fn read(cursor: &mut Cursor<'_>, entity: Entity) -> Result<Self, SearchError> {
        let key = Key::read(cursor, entity)?;
        cursor.space();
        let start = cursor.at();
        let operator = operator(cursor);
        let wrong = |cursor: &mut Cursor<'_>, problem: String| {
            cursor.back(start);
            let problem = format!("{problem}{}", cursor.found());
            cursor.refuse(start, problem, format!("{} takes {}", key.subject(), key.kind().operators()))
        };
        let Some(operator) = operator else {
            return Err(wrong(cursor, format!("an operator is expected after `{}`, not ", shown(&key))));
        };
        let unfit = |cursor: &mut Cursor<'_>| Err(wrong(cursor, format!("{} is not compared by ", key.subject())));
        let comparison = match (key.kind(), operator) {
            (Kind::Number, Operator::Relation(relation)) => Comparison::Number(relation, number(cursor, &key)?),
            (Kind::Integer, Operator::Relation(relation)) => Comparison::Integer(relation, integer(cursor, &key)?),
            (Kind::Number | Kind::Integer, _) => return unfit(cursor),
            (_, Operator::Relation(Relation::Equal)) => Comparison::Equal(text(cursor, &key)?),
            (_, Operator::Relation(Relation::NotEqual)) => Comparison::NotEqual(text(cursor, &key)?),
            (_, Operator::Like) => Comparison::Like(pattern(cursor, &key)?),
            (_, Operator::Ilike) => Comparison::Ilike(pattern(cursor, &key)?),
            (Kind::Text | Kind::OptionalText, Operator::In) => Comparison::In(list(cursor)?),
            (Kind::Text | Kind::OptionalText, Operator::NotIn) => Comparison::NotIn(list(cursor)?),
            (Kind::OptionalText | Kind::Entry, Operator::Null) => Comparison::Null,
            (Kind::OptionalText | Kind::Entry, Operator::NotNull) => Comparison::NotNull,
            _ => return unfit(cursor),
        };
        Ok(Self { key, comparison })
    }
}

/// Returns a key for a message, cut.
fn shown(key: &Key) -> String {
    super::error::visible(&key.to_string()).chars().take(60).collect()
}

/// Parses an operator.
fn operator(cursor: &mut Cursor<'_>) -> Option<Operator> {
    let sign = cursor.run(is_sign);
    if !sign.is_empty() {
        return Relation::ALL.into_iter().find(|relation| relation.sign() == sign).map(Operator::Relation);
    }
    if cursor.keyword("LIKE") {
        Some(Operator::Like)
    } else if cursor.keyword("ILIKE") {
        Some(Operator::Ilike)
    } else if cursor.keyword("IN") {
        Some(Operator::In)
    } else if cursor.keyword("NOT") {
        cursor.keyword("IN").then_some(Operator::NotIn)
    } else if cursor.keyword("IS") {
        let operator = if cursor.keyword("NOT") { Operator::NotNull } else { Operator::Null };
        cursor.keyword("NULL").then_some(operator)
    } else {
        None
    }
}

fn number(cursor: &mut Cursor<'_>, key: &Key) -> Result<f64, SearchError> {
    let problem = format!("{} is compared with a number", key.subject());
    let finite = |word: &str| {
        // Rust's parser also accepts words: `inf`, `nan`.
        let is_word = word.contains(|character: char| character.is_alphabetic() && !matches!(character, 'e' | 'E'));
        word.parse().ok().filter(|value: &f64| !is_word && value.is_finite())
    };
    word(cursor, finite, &problem, "write it without quotes, as in `0.8` or `1e-3`")
}

fn integer(cursor: &mut Cursor<'_>, key: &Key) -> Result<i64, SearchError> {
    let hint = match key {
        Key::Attribute(super::Attribute::VersionNumber) => "write it without quotes, as in `3`",
        _ => "a time is in milliseconds since 1970, as in `1767225600000`, without quotes",
    };
    word(cursor, |word| word.parse().ok(), &format!("{} is compared with a whole number", key.subject()), hint)
}

/// Parses a word that `value` accepts.
fn word<T>(
    cursor: &mut Cursor<'_>,
    value: impl Fn(&str) -> Option<T>,
    problem: &str,
    hint: &str,
) -> Result<T, SearchError> {
    cursor.space();
    let start = cursor.at();
    value(cursor.run(is_word)).ok_or_else(|| {
        cursor.back(start);
        cursor.refuse(start, format!("{problem}, not with {}", cursor.found()), hint)
    })
}

fn text(cursor: &mut Cursor<'_>, key: &Key) -> Result<String, SearchError> {
    cursor.space();
    cursor.quoted(&['\'', '"'])?.ok_or_else(|| {
        let problem = format!("{} is compared with a text, not with {}", key.subject(), cursor.found());
        cursor.refuse(cursor.at(), problem, "put a text in single or double quotes, as in `'telco'`")
    })
}

fn pattern(cursor: &mut Cursor<'_>, key: &Key) -> Result<String, SearchError> {
    cursor.space();
    let start = cursor.at();
    let pattern = text(cursor, key)?;
    if pattern.len() > MAX_PATTERN_BYTES {
        let problem = format!("{} bytes are more than the {MAX_PATTERN_BYTES} that a pattern may have", pattern.len());
        return Err(cursor.refuse(start, problem, "shorten it with `%`, or compare by `=`"));
    }
    Ok(pattern)
}

fn list(cursor: &mut Cursor<'_>) -> Result<Vec<String>, SearchError> {
    const HINT: &str = "a list is like `('a', 'b')`, with at least one text";
    cursor.space();
    if !cursor.eat('(') {
        return Err(cursor.refuse(cursor.at(), format!("a list is expected, not {}", cursor.found()), HINT));
    }
    let mut values = Vec::new();
    loop {
        cursor.space();
        let start = cursor.at();
        let Some(value) = cursor.quoted(&['\'', '"'])? else {
            return Err(cursor.refuse(start, format!("a list holds texts in quotes, not {}", cursor.found()), HINT));
        };
        if values.len() == MAX_VALUES {
            let problem = format!("a list may have {MAX_VALUES} texts, and here is another");
            return Err(cursor.refuse(start, problem, "ask for less at once"));
        }
        values.push(value);
        cursor.space();
        if cursor.eat(')') {
            return Ok(values);
        }
        // MLflow reads lists as Python does, where `('a',)` is a list of one text.
        let comma = cursor.eat(',');
        cursor.space();
        if comma && cursor.eat(')') {
            return Ok(values);
        }
        if !comma {
            let problem = format!("`,` or `)` is expected in a list, not {}", cursor.found());
            return Err(cursor.refuse(cursor.at(), problem, HINT));
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, clause) in self.0.iter().enumerate() {
            write!(f, "{}{clause}", if index == 0 { "" } else { " AND " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.comparison)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = |text: &String| format!("'{}'", text.replace('\'', "''"));
        let list = |texts: &[String]| texts.iter().map(quote).collect::<Vec<_>>().join(", ");
        match self {
            // `{:?}` writes large and small numbers with an exponent.
            Self::Number(relation, value) => write!(f, "{} {value:?}", relation.sign()),
            Self::Integer(relation, value) => write!(f, "{} {value}", relation.sign()),
            Self::Equal(text) => write!(f, "= {}", quote(text)),
            Self::NotEqual(text) => write!(f, "!= {}", quote(text)),
            Self::Like(pattern) => write!(f, "LIKE {}", quote(pattern)),
            Self::Ilike(pattern) => write!(f, "ILIKE {}", quote(pattern)),
            Self::In(texts) => write!(f, "IN ({})", list(texts)),
            Self::NotIn(texts) => write!(f, "NOT IN ({})", list(texts)),
            Self::Null => f.write_str("IS NULL"),
            Self::NotNull => f.write_str("IS NOT NULL"),
        }
    }
}
