//! Plans the features: applies the parameters of the manifest to the fields of the table.
//!
//! This makes all decisions that need no data, and reports all errors of parameters that their JSON
//! Schema cannot.

use std::collections::BTreeSet;

use stagewright_kit::{DataType, Failure, Field};

use crate::parameters::{
    CategoricalMissing, Encoding, Missing, NumericMissing, Outliers, Override, Parameters, ReadAs, Scale, Unseen,
};
use crate::state::Source;

/// One or more features that must be fitted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plan {
    /// A number.
    Numeric(NumericPlan),
    /// Categories.
    Categorical(CategoricalPlan),
}

impl Plan {
    /// The same feature, with another name.
    fn named(mut self, name: String) -> Self {
        if let Self::Numeric(plan) = &mut self {
            plan.name = name;
        }
        self
    }
}

/// A feature that is a number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NumericPlan {
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) missing: NumericMissing,
    pub(crate) outliers: Outliers,
    pub(crate) scale: Scale,
}

/// A column of text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CategoricalPlan {
    pub(crate) column: String,
    pub(crate) encoding: Encoding,
    pub(crate) unseen: Unseen,
    pub(crate) missing: CategoricalMissing,
    pub(crate) max_categories: usize,
}

/// Plans the features of a table with the feature columns `inputs`: those of the columns in order,
/// then ratios, then interactions.
///
/// # Errors
/// `parameter` if the parameters do not fit the columns.
pub(crate) fn plan(inputs: &[Field], parameters: &Parameters) -> Result<Vec<Plan>, Failure> {
    let planner = Planner { inputs, parameters };
    planner.check_names()?;
    let mut plans = Vec::new();
    for field in inputs {
        plans.append(&mut planner.column(field)?);
    }
    for (index, ratio) in parameters.ratios.iter().enumerate() {
        for (part, column) in [("numerator", &ratio.numerator), ("denominator", &ratio.denominator)] {
            planner.check_operand(column, &format!("ratios[{index}].{part}"))?;
        }
        let (numerator, denominator) = (ratio.numerator.clone(), ratio.denominator.clone());
        let source = Source::Ratio { numerator, denominator, zero_division: ratio.zero_division };
        plans.extend(planner.numeric(&ratio.name, source)?);
    }
    for (index, interaction) in parameters.interactions.iter().enumerate() {
        for (part, column) in [("left", &interaction.left), ("right", &interaction.right)] {
            planner.check_operand(column, &format!("interactions[{index}].{part}"))?;
        }
        let (left, right) = (interaction.left.clone(), interaction.right.clone());
        plans.extend(planner.numeric(&interaction.name, Source::Interaction { left, right, kind: interaction.kind })?);
    }
    Ok(plans)
}

/// Returns whether a column of this type holds text.
pub(crate) fn is_text(data_type: DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Categorical)
}

struct Planner<'a> {
    inputs: &'a [Field],
    parameters: &'a Parameters,
}

impl Planner<'_> {
    fn derived_names(&self) -> impl Iterator<Item = (String, &str)> {
        let ratios = self
            .parameters
            .ratios
            .iter()
            .enumerate()
            .map(|(index, ratio)| (format!("ratios[{index}].name"), ratio.name.as_str()));
        let interactions = self.parameters.interactions.iter().enumerate();
        ratios.chain(
            interactions.map(|(index, interaction)| (format!("interactions[{index}].name"), interaction.name.as_str())),
        )
    }

    /// Checks that names are unique, and that every override names a column, ratio or interaction.
    fn check_names(&self) -> Result<(), Failure> {
        let mut names: BTreeSet<&str> = self.inputs.iter().map(|field| field.name.as_str()).collect();
        for (parameter, name) in self.derived_names() {
            if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
                return Err(Failure::parameter(
                    parameter,
                    "a feature's name has 1 to 256 bytes and no control characters",
                ));
            }
            if !names.insert(name) {
                return Err(Failure::parameter(parameter, format!("`{name}` is taken by another column or feature")));
            }
        }
        for name in self.parameters.columns.keys() {
            if !names.contains(name.as_str()) {
                let known: Vec<&str> = names.iter().copied().take(50).collect();
                let message = format!("there is no feature column `{name}`; there are: {}", known.join(", "));
                return Err(Failure::parameter(format!("columns.{name}"), message));
            }
        }
        Ok(())
    }

    fn column(&self, field: &Field) -> Result<Vec<Plan>, Failure> {
        let own = self.override_of(&field.name);
        let of_parts = field.data_type == DataType::Timestamp && own.read_as.is_none();
        if own.parts.is_some() && !of_parts {
            let message = "`parts` are for timestamps that are not read as another type";
            return Err(Failure::parameter(format!("columns.{}.parts", field.name), message));
        }
        if of_parts {
            return self.parts(field);
        }
        let as_text = match own.read_as {
            Some(read_as) => read_as == ReadAs::Categorical,
            None => is_text(field.data_type),
        };
        let plan = if as_text { self.categorical(field) } else { self.numeric_column(field) };
        Ok(plan?.into_iter().collect())
    }

    /// Plans a feature for each part of a timestamp.
    fn parts(&self, field: &Field) -> Result<Vec<Plan>, Failure> {
        let parts = self.override_of(&field.name).parts.as_ref().unwrap_or(&self.parameters.timestamp.parts);
        let mut plans: Vec<Plan> = Vec::new();
        for (_, &part) in parts.iter().enumerate().filter(|(place, part)| !parts[..*place].contains(part)) {
            let source = Source::Part { column: field.name.clone(), part };
            let plan = self.numeric(&field.name, source)?;
            plans.extend(plan.map(|plan| plan.named(format!("{}.{}", field.name, part.name()))));
        }
        Ok(plans)
    }

    fn numeric_column(&self, field: &Field) -> Result<Option<Plan>, Failure> {
        let mut plan = self.numeric(&field.name, Source::Column { column: field.name.clone() })?;
        if let Some(Plan::Numeric(numeric)) = &mut plan
            && field.data_type == DataType::Boolean
            && self.override_of(&field.name).scale.is_none()
        {
            // A flag is 0 or 1, like a one-hot feature, and is not scaled.
            numeric.scale = Scale::None;
        }
        Ok(plan)
    }

    fn numeric(&self, name: &str, source: Source) -> Result<Option<Plan>, Failure> {
        let (own, general) = (self.override_of(name), &self.parameters.numeric);
        if own.drop {
            return Ok(None);
        }
        let of_text = own.encoding.is_some() || own.unseen.is_some() || own.max_categories.is_some();
        let derived = !matches!(source, Source::Column { .. } | Source::Part { .. });
        if of_text || (derived && own.read_as.is_some()) {
            let message =
                "`encoding`, `unseen` and `max_categories` are for text, and `as` is for columns of the table";
            return Err(Failure::parameter(format!("columns.{name}"), message));
        }
        let missing = match own.missing {
            None => general.missing,
            Some(Missing::Mean) => NumericMissing::Mean,
            Some(Missing::Median) => NumericMissing::Median,
            Some(Missing::Zero) => NumericMissing::Zero,
            Some(Missing::Constant(value)) => NumericMissing::Constant(value),
            Some(Missing::Keep) => NumericMissing::Keep,
            Some(Missing::Error) => NumericMissing::Error,
            Some(Missing::Category | Missing::MostFrequent) => {
                let message = "for numbers, one of `mean`, `median`, `zero`, `constant`, `keep`, `error`";
                return Err(Failure::parameter(format!("columns.{name}.missing"), message));
            }
        };
        let outliers = own.outliers.unwrap_or(general.outliers);
        let place =
            if own.outliers.is_some() { format!("columns.{name}.outliers") } else { "numeric.outliers".to_owned() };
        check_outliers(outliers, &place)?;
        let scale = own.scale.unwrap_or(general.scale);
        Ok(Some(Plan::Numeric(NumericPlan { name: name.to_owned(), source, missing, outliers, scale })))
    }

    fn categorical(&self, field: &Field) -> Result<Option<Plan>, Failure> {
        let (own, general) = (self.override_of(&field.name), &self.parameters.categorical);
        if own.drop {
            return Ok(None);
        }
        if own.outliers.is_some() || own.scale.is_some() {
            let message = "`outliers` and `scale` are for numbers, and this column is text: `as = \"float64\"` reads it as numbers";
            return Err(Failure::parameter(format!("columns.{}", field.name), message));
        }
        let missing = match own.missing {
            None => general.missing,
            Some(Missing::Category) => CategoricalMissing::Category,
            Some(Missing::MostFrequent) => CategoricalMissing::MostFrequent,
            Some(Missing::Error) => CategoricalMissing::Error,
            Some(_) => {
                let message = "for text, one of `category`, `most_frequent`, `error`";
                return Err(Failure::parameter(format!("columns.{}.missing", field.name), message));
            }
        };
        Ok(Some(Plan::Categorical(CategoricalPlan {
            column: field.name.clone(),
            encoding: own.encoding.unwrap_or(general.encoding),
            unseen: own.unseen.unwrap_or(general.unseen),
            missing,
            max_categories: own.max_categories.unwrap_or(general.max_categories).max(1) as usize,
        })))
    }

    /// Checks that the operand of a ratio or interaction is a number.
    fn check_operand(&self, column: &str, parameter: &str) -> Result<(), Failure> {
        let Some(field) = self.inputs.iter().find(|field| field.name == column) else {
            return Err(Failure::parameter(parameter, format!("there is no feature column `{column}`")));
        };
        if is_text(field.data_type) && self.override_of(column).read_as != Some(ReadAs::Float64) {
            let message = format!("column `{column}` is text: `columns.{column}.as = \"float64\"` reads it as numbers");
            return Err(Failure::parameter(parameter, message));
        }
        Ok(())
    }

    fn override_of(&self, name: &str) -> &Override {
        static NONE: Override = Override {
            drop: false,
            read_as: None,
            missing: None,
            outliers: None,
            scale: None,
            encoding: None,
            unseen: None,
            max_categories: None,
            parts: None,
        };
        self.parameters.columns.get(name).unwrap_or(&NONE)
    }
}

fn check_outliers(outliers: Outliers, place: &str) -> Result<(), Failure> {
    match outliers {
        Outliers::Clip(bounds) if !(0.0 <= bounds.lower && bounds.lower < bounds.upper && bounds.upper <= 1.0) => {
            let message =
                format!("`lower` = {} and `upper` = {} are not quantiles in order", bounds.lower, bounds.upper);
            Err(Failure::parameter(format!("{place}.clip"), message))
        }
        Outliers::Iqr(fences) if !(fences.factor >= 0.0 && fences.factor.is_finite()) => {
            Err(Failure::parameter(format!("{place}.iqr.factor"), format!("`{}` is not 0 or greater", fences.factor)))
        }
        _ => Ok(()),
    }
}
