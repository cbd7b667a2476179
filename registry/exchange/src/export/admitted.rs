//! Names and values within what MLflow admits, and what had to be changed for that.
//!
//! The limits are those of MLflow 2.9 and later (`mlflow/utils/validation.py`).

use std::collections::BTreeMap;

use serde_json::json;
use stagewright_mlflow_client::records::Pair;

/// The most bytes of a name.
const MOST_NAME: usize = 250;
/// The most bytes of a parameter's value. MLflow counts characters.
const MOST_PARAMETER: usize = 6_000;
/// The most bytes of a tag's value.
const MOST_TAG: usize = 5_000;

/// Names and values that were changed, as they were.
#[derive(Debug, Default)]
pub(super) struct Changed {
    names: BTreeMap<String, String>,
    values: BTreeMap<String, String>,
}

impl Changed {
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.values.is_empty()
    }

    /// Describes the changes in a sentence.
    pub(super) fn sentence(&self) -> String {
        let (names, values) = (self.names.len(), self.values.len());
        format!("{names} names and {values} values were changed to what MLflow admits")
    }

    /// Returns everything that was changed as it was.
    pub(super) fn whole(&self) -> String {
        json!({ "names": self.names, "values": self.values }).to_string()
    }

    /// Returns a name that MLflow admits: letters, digits, `_`, `-`, `.`, spaces and slashes, and
    /// no path that leads elsewhere.
    pub(super) fn name(&mut self, name: &str) -> String {
        let is_admitted = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | ' ' | '/');
        let is_path = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let letter = |letter| if is_admitted(letter) && (is_path || letter != '/') { letter } else { '_' };
        let admitted: String = cut(&name.chars().map(letter).collect::<String>(), MOST_NAME).to_owned();
        if admitted != name {
            self.names.insert(admitted.clone(), name.to_owned());
        }
        admitted
    }

    pub(super) fn parameters(&mut self, pairs: &[(String, String)]) -> Vec<Pair> {
        self.pairs(pairs, MOST_PARAMETER)
    }

    pub(super) fn tags(&mut self, pairs: &[(String, String)]) -> Vec<Pair> {
        self.pairs(pairs, MOST_TAG)
    }

    fn pairs(&mut self, pairs: &[(String, String)], most: usize) -> Vec<Pair> {
        let mut admitted: Vec<Pair> = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let (key, short) = (self.name(name), cut(value, most));
            if short.len() < value.len() {
                self.values.insert(name.clone(), value.clone());
            }
            // Of two names that became the same, the first one counts; the other is in the file.
            if admitted.iter().any(|pair| pair.key == key) {
                self.values.insert(name.clone(), value.clone());
            } else {
                admitted.push(Pair::new(key, short));
            }
        }
        admitted
    }
}

/// Cuts a text after at most `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_become_what_mlflow_admits_and_what_they_were_is_kept() {
        let mut changed = Changed::default();
        assert_eq!(changed.name("train/loss - 0.1"), "train/loss - 0.1");
        assert!(changed.is_empty());
        for (name, admitted) in [("precision@5", "precision_5"), ("../a", ".._a"), ("/a", "_a"), ("a//b", "a__b")] {
            assert_eq!(changed.name(name), admitted);
        }
        let long = "é".repeat(3_001);
        let pairs =
            changed.parameters(&[("a".into(), long.clone()), ("b@".into(), "1".into()), ("b_".into(), "2".into())]);
        assert_eq!(pairs.len(), 2);
        assert_eq!(pairs[0].value.len(), 6_000);
        assert_eq!(pairs[1], Pair::new("b_", "1"));
        let whole: serde_json::Value = serde_json::from_str(&changed.whole()).expect("JSON");
        assert_eq!((whole["values"]["a"].as_str(), &whole["values"]["b_"]), (Some(long.as_str()), &json!("2")));
        assert_eq!(whole["names"]["precision_5"], "precision@5");
    }
}
