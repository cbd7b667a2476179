//! The least transformation: float64 features pass as they are. For `bench overhead`.

use stagewright_kit::{
    Batch, BlobReader, BlobWriter, DataType, Failure, Field, NoParameters, Role, Settings, Table, Task, Transformation,
};

/// The stage; knows the names of the features and which of them may be null.
pub struct Empty(Vec<(String, bool)>);

impl Transformation for Empty {
    type Parameters = NoParameters;

    fn fit(train: &dyn Table, _: &Task, _: &Settings<NoParameters>, state: &mut BlobWriter) -> Result<(), Failure> {
        let mut features = Vec::new();
        for (field, role) in train.fields().into_iter().zip(train.roles()) {
            if role != Role::Feature {
                continue;
            }
            if field.data_type != DataType::Float64 {
                return Err(Failure::data("only float64 features pass").in_column(field.name));
            }
            features.push((field.name, field.nullable));
        }
        state.write_json(&features)
    }

    fn load(state: &mut BlobReader<'_>) -> Result<Self, Failure> {
        state.read_json().map(Self)
    }

    fn fields(&self) -> Vec<Field> {
        let field = |(name, nullable): &(String, bool)| Field {
            name: name.clone(),
            data_type: DataType::Float64,
            nullable: *nullable,
        };
        self.0.iter().map(field).collect()
    }

    fn transform(&self, rows: Batch) -> Result<Batch, Failure> {
        Ok(rows)
    }
}

stagewright_kit::transformation!(Empty);
