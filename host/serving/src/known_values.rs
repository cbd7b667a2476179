//! Values of features that a model knows from its training: categories, and typical numbers.
//!
//! They are read from the state of the transformation if it has the format of `transform-table`
//! (`docs/formats/transform-state.md`). The interface describes features with them; no prediction
//! depends on them. A state in another format, or one that cannot be read, gives none.

use std::collections::HashMap;

use serde::Deserialize;
use stagewright_store::{ArtifactStore, Digest};

/// The format that is read.
const FORMAT: &str = "stagewright/transform-table";

/// The most bytes of a state that is read. States of a thousand columns have less.
const MOST_BYTES: u64 = 8 << 20;

/// The most categories of a feature that are kept.
const MOST_CATEGORIES: usize = 200;

/// The values that a model knows of one feature.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Known {
    /// Texts that occurred in training.
    Categories {
        /// The categories, sorted, or the first of them.
        values: Vec<String>,
        /// Whether the model refuses all other texts.
        is_closed: bool,
    },
    /// A number in the middle of those that occurred in training.
    Number(f64),
}

/// The values that a model knows, by feature.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct KnownValues(HashMap<String, Known>);

#[derive(Deserialize)]
struct State {
    format: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Numeric(Numeric),
    Categorical(Categorical),
}

#[derive(Deserialize)]
struct Numeric {
    source: HashMap<String, serde_json::Value>,
    missing: serde_json::Value,
    clip: Option<[f64; 2]>,
    center: f64,
    scale: f64,
}

#[derive(Deserialize)]
struct Categorical {
    column: String,
    unseen: String,
    categories: Vec<String>,
}

impl KnownValues {
    /// Reads the values that a state has.
    pub(crate) fn of_state(artifacts: &ArtifactStore, state: &Digest) -> Self {
        let Ok(blob) = artifacts.open_blob(state) else { return Self::default() };
        if blob.size() > MOST_BYTES {
            return Self::default();
        }
        blob.read_all().map(|bytes| Self::parse(&bytes)).unwrap_or_default()
    }

    /// Reads the text of a state.
    fn parse(text: &[u8]) -> Self {
        let Ok(State { format, steps }) = serde_json::from_slice(text) else { return Self::default() };
        if format != FORMAT {
            return Self::default();
        }
        Self(steps.into_iter().filter_map(Step::known).collect())
    }

    /// Returns the values of a feature.
    pub(crate) fn of(&self, feature: &str) -> Option<&Known> {
        self.0.get(feature)
    }
}

impl Step {
    fn known(self) -> Option<(String, Known)> {
        match self {
            Self::Numeric(step) => step.known(),
            Self::Categorical(Categorical { column, unseen, mut categories }) => {
                let is_closed = unseen == "error" && categories.len() <= MOST_CATEGORIES;
                categories.truncate(MOST_CATEGORIES);
                Some((column, Known::Categories { values: categories, is_closed }))
            }
        }
    }
}

impl Numeric {
    fn known(self) -> Option<(String, Known)> {
        // Other sources combine columns: their numbers say nothing about one of them.
        let column = self.source.get("column")?.get("column")?.as_str()?.to_owned();
        let is_scaled = self.center != 0.0 || self.scale != 1.0;
        let fill = self.missing.get("fill").and_then(serde_json::Value::as_f64);
        let typical = fill.or(is_scaled.then_some(self.center)).or(self.clip.map(|[low, high]| low.midpoint(high)))?;
        Some((column, Known::Number(typical)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = r#"{"format": "stagewright/transform-table", "version": 1, "inputs": [], "steps": [
        {"numeric": {"name": "tenure", "source": {"column": {"column": "tenure"}}, "missing": {"fill": 29.0},
            "clip": null, "center": 32.4, "scale": 24.6}},
        {"numeric": {"name": "charges", "source": {"column": {"column": "charges"}}, "missing": "error",
            "clip": null, "center": 64.8, "scale": 30.1}},
        {"numeric": {"name": "age", "source": {"column": {"column": "age"}}, "missing": "keep",
            "clip": [20.0, 40.0], "center": 0.0, "scale": 1.0}},
        {"numeric": {"name": "plain", "source": {"column": {"column": "plain"}}, "missing": "keep",
            "clip": null, "center": 0.0, "scale": 1.0}},
        {"numeric": {"name": "a / b", "source": {"ratio": {"numerator": "a", "denominator": "b",
            "zero_division": "zero"}}, "missing": {"fill": 3.0}, "clip": null, "center": 0.0, "scale": 1.0}},
        {"categorical": {"column": "Contract", "encoding": "one-hot", "unseen": "ignore", "missing": "unseen",
            "categories": ["Month-to-month", "One year"]}},
        {"categorical": {"column": "gender", "encoding": "one-hot", "unseen": "error", "missing": "error",
            "categories": ["Female", "Male"]}}]}"#;

    #[test]
    fn a_state_gives_categories_and_typical_numbers_of_its_columns() {
        let known = KnownValues::parse(STATE.as_bytes());
        assert_eq!(known.of("tenure"), Some(&Known::Number(29.0)), "the filled value, before the mean");
        assert_eq!(known.of("charges"), Some(&Known::Number(64.8)));
        assert_eq!(known.of("age"), Some(&Known::Number(30.0)));
        assert_eq!(known.of("plain"), None);
        assert_eq!((known.of("a"), known.of("b")), (None, None));
        let categories =
            |values: [&str; 2], is_closed| Known::Categories { values: values.map(str::to_owned).to_vec(), is_closed };
        assert_eq!(known.of("Contract"), Some(&categories(["Month-to-month", "One year"], false)));
        assert_eq!(known.of("gender"), Some(&categories(["Female", "Male"], true)));
    }

    #[test]
    fn a_list_of_categories_that_is_cut_is_not_closed() {
        let all: Vec<String> = (0..MOST_CATEGORIES + 1).map(|place| format!("c{place}")).collect();
        let step = Categorical { column: "city".to_owned(), unseen: "error".to_owned(), categories: all };
        let Some((_, Known::Categories { values, is_closed })) = Step::Categorical(step).known() else { panic!() };
        assert_eq!((values.len(), is_closed), (MOST_CATEGORIES, false));
    }

    #[test]
    fn any_other_state_gives_none() {
        let other = STATE.replace("stagewright/transform-table", "another");
        for text in [&other, "", "{}", "[1]", r#"{"format": "stagewright/transform-table", "steps": 3}"#] {
            assert_eq!(KnownValues::parse(text.as_bytes()), KnownValues::default(), "{text}");
        }
    }
}
