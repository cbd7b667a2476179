//! The names in a query of Prometheus: metrics, and the labels that it selects and groups by.
//!
//! This only reads names. `cargo xtask deploy` has promtool parse the queries, so that a query with
//! a mistake does not pass.

use std::collections::BTreeSet;

/// Words of the language that stand where a metric could.
const WORDS: [&str; 9] = ["and", "bool", "by", "ignoring", "offset", "on", "or", "unless", "without"];

/// Words before a list of labels in parentheses.
const BEFORE_LABELS: [&str; 6] = ["by", "group_left", "group_right", "ignoring", "on", "without"];

/// The names in a query.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) metrics: BTreeSet<String>,
    pub(crate) labels: BTreeSet<String>,
}

/// Reads the names in a query. Variables of Grafana count as text.
pub(crate) fn names(query: &str) -> Names {
    let tokens = tokens(query);
    let mut names = Names::default();
    let (mut in_braces, mut in_labels, mut before) = (false, false, String::new());
    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1).map_or("", String::as_str);
        match token.as_str() {
            "{" => in_braces = true,
            "}" => in_braces = false,
            "(" => in_labels = BEFORE_LABELS.contains(&before.as_str()),
            ")" => in_labels = false,
            word if word.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_') => {
                if in_braces || in_labels {
                    names.labels.insert(word.to_owned());
                } else if !["(", "by", "without"].contains(&next)
                    && !WORDS.contains(&word)
                    && !BEFORE_LABELS.contains(&word)
                {
                    names.metrics.insert(word.to_owned());
                }
            }
            _ => {}
        }
        before.clone_from(token);
    }
    names
}

/// Splits a query into words, numbers and signs. Leaves out quoted text and ranges (`[5m]`).
fn tokens(query: &str) -> Vec<String> {
    let letters: Vec<char> = query.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < letters.len() {
        let begin = at;
        match letters[at] {
            quote @ ('"' | '\'' | '`') => {
                at += 1;
                while at < letters.len() && letters[at] != quote {
                    at += if letters[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
                continue;
            }
            '[' => {
                at += letters[at..].iter().take_while(|letter| **letter != ']').count() + 1;
                continue;
            }
            letter if is_part(letter) => at += letters[at..].iter().take_while(|letter| is_part(**letter)).count(),
            letter => {
                at += 1;
                if letter.is_whitespace() {
                    continue;
                }
            }
        }
        tokens.push(letters[begin..at].iter().collect());
    }
    tokens
}

fn is_part(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || ['_', ':', '.', '$'].contains(&letter)
}

#[test]
fn metrics_and_labels_are_told_from_functions_words_and_text() {
    let of = |query: &str| {
        let Names { metrics, labels } = names(query);
        (metrics.into_iter().collect::<Vec<_>>().join(" "), labels.into_iter().collect::<Vec<_>>().join(" "))
    };
    for (query, metrics, labels) in [
        ("up", "up", ""),
        ("sum(rate(a_total{code=~\"5.. b{c\"}[5m])) > 0.01", "a_total", "code"),
        (
            "sum by (le, model) (rate(a_bucket[$__rate_interval])) / on (le) group_left (x) b",
            "a_bucket b",
            "le model x",
        ),
        ("histogram_quantile(0.99, sum by (le) (a)) and on () b unless c or d", "a b c d", "le"),
        ("time() - a{job='b'} offset 5m", "a", "job"),
        ("sum(a) by (b)", "a", "b"),
        ("label_values(a{b=\"$c\"}, d)", "a d", "b"),
    ] {
        assert_eq!(of(query), (metrics.to_owned(), labels.to_owned()), "{query}");
    }
}
