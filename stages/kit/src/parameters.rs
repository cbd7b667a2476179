//! Parameters of stages: parsed into a type of the stage, with a JSON Schema derived from the type.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::Failure;
use crate::bindings::stagewright::stage::types as imported;

/// Everything that a call may depend on besides its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings<P> {
    /// The parameters from the manifest, with defaults filled in.
    pub parameters: P,
    /// The seed of every random choice.
    pub seed: u64,
    /// The time that stands for "now", from the manifest, in microseconds since
    /// 1970-01-01T00:00:00Z.
    pub as_of: i64,
}

/// The parameters of a stage that has none. Refuses every key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}

impl<P: DeserializeOwned> Settings<P> {
    /// Parses the settings that the host passed.
    ///
    /// # Errors
    /// `parameter`, with the dotted name of the parameter, if the JSON does not fit the type.
    pub(crate) fn parse(settings: &imported::Settings) -> Result<Self, Failure> {
        Ok(Self { parameters: parse(&settings.parameters)?, seed: settings.seed, as_of: settings.as_of })
    }
}

/// Parses parameters from JSON.
///
/// # Errors
/// `parameter`, with the dotted name, if the JSON does not fit the type.
pub fn parse<P: DeserializeOwned>(json: &str) -> Result<P, Failure> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        Failure::parameter(path, error.into_inner().to_string())
    })
}

/// Returns the JSON Schema (2020-12) of a parameter type. Doc comments become descriptions, and
/// serde's defaults become defaults. With `#[serde(deny_unknown_fields)]`, a misspelt key is an
/// error before anything runs.
pub fn schema<P: JsonSchema>() -> String {
    schemars::generate::SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<P>()
        .as_value()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Parameters {
        /// How many.
        rounds: u32,
        inner: Inner,
    }

    #[derive(Debug, Default, serde::Deserialize, JsonSchema, serde::Serialize)]
    struct Inner {
        rate: f64,
    }

    impl Default for Parameters {
        fn default() -> Self {
            Self { rounds: 7, inner: Inner::default() }
        }
    }

    #[test]
    fn a_wrong_parameter_is_named_by_its_dotted_path() {
        let failure = parse::<Parameters>(r#"{"inner": {"rate": "fast"}}"#).unwrap_err();
        let Failure::Parameter(fault) = failure else { panic!("{failure:?}") };
        assert_eq!(fault.parameter, "inner.rate");
        assert!(fault.message.contains("expected f64"), "{}", fault.message);
    }

    #[test]
    fn defaults_are_filled_in() {
        assert_eq!(parse::<Parameters>("{}").unwrap().rounds, 7);
    }

    #[test]
    fn the_schema_shows_defaults_and_descriptions_and_refuses_other_keys() {
        let schema: serde_json::Value = serde_json::from_str(&schema::<Parameters>()).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["rounds"]["default"], 7);
        assert_eq!(schema["properties"]["rounds"]["description"], "How many.");
    }
}
