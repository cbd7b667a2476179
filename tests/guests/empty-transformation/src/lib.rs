//! A minimal transformation that passes features through. For `bench overhead` and `bench
//! boundary`.

use stagewright_kit::{
    Batch, BlobReader, BlobWriter, DataType, Failure, Field, NoParameters, Role, Settings, Table, Task, Transformation,
};

/// The stage. It knows each feature's name, the index of its type in [`TYPES`], and whether it is
/// nullable.
pub struct Empty(Vec<(String, usize, bool)>);

/// The types by index.
const TYPES: [DataType; 6] =
    [DataType::Boolean, DataType::Int64, DataType::Float64, DataType::Utf8, DataType::Categorical, DataType::Timestamp];

impl Transformation for Empty {
    type Parameters = NoParameters;

    fn fit(train: &dyn Table, _: &Task, _: &Settings<NoParameters>, state: &mut BlobWriter) -> Result<(), Failure> {
        let features = train.fields().into_iter().zip(train.roles()).filter(|(_, role)| *role == Role::Feature);
        let number = |data_type| TYPES.iter().position(|known| *known == data_type).unwrap_or_default();
        let features = features.map(|(field, _)| (field.name, number(field.data_type), field.nullable));
        state.write_json(&features.collect::<Vec<_>>())
    }

    fn load(state: &mut BlobReader<'_>, _: &[Field]) -> Result<Self, Failure> {
        state.read_json().map(Self)
    }

    fn fields(&self) -> Vec<Field> {
        let field = |(name, data_type, nullable): &(String, usize, bool)| Field {
            name: name.clone(),
            data_type: TYPES.get(*data_type).copied().unwrap_or(DataType::Float64),
            nullable: *nullable,
        };
        self.0.iter().map(field).collect()
    }

    fn transform(&self, rows: Batch) -> Result<Batch, Failure> {
        Ok(rows)
    }
}

stagewright_kit::transformation!(Empty);
