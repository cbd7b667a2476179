//! Rules about two values of a row: `end >= start`, `amount > 0`, `kind != 'test'`.
//!
//! This is a comparison and not a language: two operands and an operator. What needs more is a
//! column that a preparation derives.
//!
//! ```text
//! rule     = operand operator operand
//! operator = "=" | "!=" | "<" | "<=" | ">" | ">="
//! operand  = column | number | text | "true" | "false"
//! column   = letter-or-underscore { letter-or-digit-or-underscore } | "`" any "`"
//! text     = "'" any "'", with '' for a quote
//! ```

use std::cmp::Ordering;

use stagewright_kit::{Column, DataType, Failure, TextView, Values, bitmap};

use crate::keys::KeyClass;

/// The longest rule, in bytes.
const LONGEST: usize = 1000;

/// A parsed rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) left: Operand,
    pub(crate) operator: Operator,
    pub(crate) right: Operand,
}

/// One side of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Column(String),
    Number(f64),
    Text(String),
    Flag(bool),
}

/// How the sides are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    Different,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Operator {
    const ALL: [(&str, Self); 6] = [
        // The longer ones first: `<=` begins as `<` does.
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("!=", Self::Different),
        ("=", Self::Equal),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    /// Returns whether sides in this order fit.
    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Different => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }

    /// Returns whether the operator needs an order, which flags do not have.
    fn is_ordering(self) -> bool {
        !matches!(self, Self::Equal | Self::Different)
    }
}

impl Rule {
    /// Parses a rule.
    ///
    /// # Errors
    /// `parameter`, of this name, if the text is none.
    pub(crate) fn parse(text: &str, parameter: &str) -> Result<Self, Failure> {
        let wrong = |message: String| Failure::parameter(parameter, format!("`{text}` is no rule: {message}"));
        if text.len() > LONGEST {
            return Err(Failure::parameter(parameter, format!("a rule has at most {LONGEST} bytes")));
        }
        let (left, rest) = operand(text).map_err(wrong)?;
        let rest = rest.trim_start();
        let Some((symbol, operator)) = Operator::ALL.into_iter().find(|(symbol, _)| rest.starts_with(symbol)) else {
            return Err(wrong("after the first operand comes =, !=, <, <=, > or >=".to_owned()));
        };
        let (right, rest) = operand(&rest[symbol.len()..]).map_err(wrong)?;
        if !rest.trim().is_empty() {
            return Err(wrong(format!("nothing follows the second operand, but `{}` does", rest.trim())));
        }
        if !matches!((&left, &right), (Operand::Column(_), _) | (_, Operand::Column(_))) {
            return Err(wrong("one of its operands is a column".to_owned()));
        }
        Ok(Self { left, operator, right })
    }

    /// Returns the columns that the rule names.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        [&self.left, &self.right].into_iter().filter_map(|operand| match operand {
            Operand::Column(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Returns why values of these types cannot be compared, or `None` if they can. `type_of` has
    /// the types of the columns.
    pub(crate) fn unfit(&self, type_of: impl Fn(&str) -> Option<DataType>) -> Option<String> {
        let class = |operand: &Operand| match operand {
            Operand::Column(name) => type_of(name).map(KeyClass::of),
            Operand::Number(_) => Some(KeyClass::Number),
            Operand::Text(_) => Some(KeyClass::Text),
            Operand::Flag(_) => Some(KeyClass::Flag),
        };
        let is_number = |operand: &Operand| matches!(operand, Operand::Number(_));
        let (left, right) = (class(&self.left)?, class(&self.right)?);
        // A time is compared with a number of microseconds.
        let is_moment = |class, other| class == KeyClass::Time && is_number(other);
        if left != right && !is_moment(left, &self.right) && !is_moment(right, &self.left) {
            return Some("its operands are of different types".to_owned());
        }
        let is_flag = left == KeyClass::Flag;
        (is_flag && self.operator.is_ordering()).then(|| "flags have no order".to_owned())
    }
}

/// Parses an operand at the beginning of a text, and returns it with the rest.
fn operand(text: &str) -> Result<(Operand, &str), String> {
    let text = text.trim_start();
    let first = text.chars().next().ok_or("an operand is missing")?;
    if first == '`' {
        let (name, rest) = text[1..].split_once('`').ok_or("a backquote is not closed")?;
        return Ok((Operand::Column(name.to_owned()), rest));
    }
    if first == '\'' {
        return quoted(&text[1..]);
    }
    if first.is_alphabetic() || first == '_' {
        let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        let operand = match word {
            "true" => Operand::Flag(true),
            "false" => Operand::Flag(false),
            name => Operand::Column(name.to_owned()),
        };
        return Ok((operand, rest));
    }
    let is_of_number = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '+' | '-');
    let end = text.find(|letter| !is_of_number(letter)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    match word.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Operand::Number(number), rest)),
        _ => Err(format!(
            "`{}` begins no operand: a column, a number, or a text in ' '",
            &text[..end.max(first.len_utf8())]
        )),
    }
}

/// Parses the rest of a quoted text.
fn quoted(text: &str) -> Result<(Operand, &str), String> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('\'').ok_or("a quote is not closed")?;
        value.push_str(part);
        match after.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Ok((Operand::Text(value), after)),
        }
    }
}

/// One side of a rule in a batch.
#[derive(Clone, Copy)]
pub(crate) enum Side<'a> {
    Whole(&'a Column, &'a [i64]),
    Double(&'a Column, &'a [f64]),
    Text(&'a Column, TextView<'a>),
    Flags(&'a Column, &'a [u8]),
    Number(f64),
    Word(&'a str),
    Flag(bool),
}

impl<'a> Side<'a> {
    /// Returns the side for an operand; `None` for text that is no UTF-8, which the host refuses.
    pub(crate) fn of(
        operand: &'a Operand,
        columns: impl FnOnce(&str) -> Option<(&'a Column, Option<TextView<'a>>)>,
    ) -> Option<Self> {
        Some(match operand {
            Operand::Number(number) => Self::Number(*number),
            Operand::Text(text) => Self::Word(text),
            Operand::Flag(flag) => Self::Flag(*flag),
            Operand::Column(name) => {
                let (column, text) = columns(name)?;
                match &column.values {
                    Values::Int64(values) | Values::Timestamp(values) => Self::Whole(column, values),
                    Values::Float64(values) => Self::Double(column, values),
                    Values::Boolean(bits) => Self::Flags(column, bits),
                    Values::Utf8(_) | Values::Categorical(_) => Self::Text(column, text?),
                }
            }
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Whole(column, _) | Self::Double(column, _) | Self::Text(column, _) | Self::Flags(column, _) => {
                column.is_null(row)
            }
            Self::Number(_) | Self::Word(_) | Self::Flag(_) => false,
        }
    }

    fn number(&self, row: usize) -> Option<f64> {
        match self {
            Self::Whole(_, values) => Some(values[row] as f64),
            Self::Double(_, values) => Some(values[row]),
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn text(&self, row: usize) -> Option<&'a [u8]> {
        match self {
            Self::Text(_, text) => text.bytes(row),
            Self::Word(word) => Some(word.as_bytes()),
            _ => None,
        }
    }

    fn flag(&self, row: usize) -> Option<bool> {
        match self {
            Self::Flags(_, bits) => Some(bitmap::get(bits, row)),
            Self::Flag(flag) => Some(*flag),
            _ => None,
        }
    }
}

/// Returns whether a row fits a rule: also if one of its sides is null. NaN fits no rule.
#[inline]
pub(crate) fn fits(left: &Side<'_>, operator: Operator, right: &Side<'_>, row: usize) -> bool {
    if left.is_null(row) || right.is_null(row) {
        return true;
    }
    let order = match (left, right) {
        (Side::Whole(_, left), Side::Whole(_, right)) => Some(left[row].cmp(&right[row])),
        // Integers beyond 2^53 are compared as integers with a whole number.
        (Side::Whole(_, left), Side::Number(right)) if is_whole(*right) => Some(left[row].cmp(&(*right as i64))),
        (Side::Number(left), Side::Whole(_, right)) if is_whole(*left) => Some((*left as i64).cmp(&right[row])),
        (Side::Text(..) | Side::Word(_), _) => left.text(row).zip(right.text(row)).map(|(left, right)| left.cmp(right)),
        (Side::Flags(..) | Side::Flag(_), _) => {
            left.flag(row).zip(right.flag(row)).map(|(left, right)| left.cmp(&right))
        }
        _ => left.number(row).zip(right.number(row)).and_then(|(left, right)| left.partial_cmp(&right)),
    };
    order.is_some_and(|order| operator.accepts(order))
}

/// Returns whether a double is an int64, exactly.
fn is_whole(number: f64) -> bool {
    number.trunc() == number && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(name: &str) -> Operand {
        Operand::Column(name.to_owned())
    }

    #[test]
    fn rules_are_two_operands_and_an_operator() {
        for (text, left, operator, right) in [
            ("end >= start", column("end"), Operator::AtLeast, column("start")),
            ("a<b", column("a"), Operator::Less, column("b")),
            ("`Monthly Charges` <= 1e3", column("Monthly Charges"), Operator::AtMost, Operand::Number(1000.0)),
            ("-1.5 < größe", Operand::Number(-1.5), Operator::Less, column("größe")),
            ("kind != 'it''s'", column("kind"), Operator::Different, Operand::Text("it's".to_owned())),
            ("active = true", column("active"), Operator::Equal, Operand::Flag(true)),
            ("`true` > 0", column("true"), Operator::Greater, Operand::Number(0.0)),
        ] {
            assert_eq!(Rule::parse(text, "rules[0]").unwrap(), Rule { left, operator, right }, "{text}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_the_reason() {
        for (text, part) in [
            ("", "an operand is missing"),
            ("a", "after the first operand"),
            ("a == b", "begins no operand"),
            ("a < ", "an operand is missing"),
            ("a < b < c", "nothing follows"),
            ("1 < 2", "a column"),
            ("a = 'x", "quote is not closed"),
            ("`a < 1", "backquote is not closed"),
            ("a < inf", "a column"),
            ("a < 1e999", "begins no operand"),
            ("a + b > c", "after the first operand"),
            ("a < ;", "begins no operand"),
            ("ä < é'", "nothing follows"),
        ] {
            match Rule::parse(text, "rules[0]") {
                Err(Failure::Parameter(fault)) => {
                    assert!(fault.message.contains(part) || part == "a column", "{text}: {}", fault.message);
                }
                // `inf` is a name as any other.
                Ok(rule) => assert_eq!((text, rule.right), ("a < inf", column("inf"))),
                Err(other) => panic!("{text}: {other:?}"),
            }
        }
        assert!(Rule::parse(&format!("{} > 1", "a".repeat(LONGEST)), "rules[0]").is_err());
    }

    #[test]
    fn operands_of_different_types_are_not_compared() {
        let types = |name: &str| {
            Some(match name {
                "i" => DataType::Int64,
                "f" => DataType::Float64,
                "t" => DataType::Utf8,
                "c" => DataType::Categorical,
                "b" => DataType::Boolean,
                "m" => DataType::Timestamp,
                _ => return None,
            })
        };
        for (text, fits) in [
            ("i < f", true),
            ("t = c", true),
            ("m > 0", true),
            ("0 < m", true),
            ("m > i", false),
            ("t > 1", false),
            ("b = true", true),
            ("b < true", false),
            ("b = 1", false),
        ] {
            assert_eq!(Rule::parse(text, "rules").unwrap().unfit(types).is_none(), fits, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}|[`' <>=!a-z0-9.+-]{0,20}") {
            let _ = Rule::parse(&text, "rules");
        }

        #[test]
        fn a_column_of_any_name_can_be_quoted(name in "[^`\\p{Cc}]{1,30}") {
            let rule = Rule::parse(&format!("`{name}` > 1"), "rules").unwrap();
            prop_assert_eq!(rule.left, Operand::Column(name));
        }
    }
}
