//! Server and models as the protocol describes them.

use serde_json::{Value, json};
use stagewright_data::Task;
use stagewright_store::DataType;

use crate::served_version::ServedVersion;

/// Describes the server.
pub(super) fn server() -> Value {
    json!({ "name": "stagewright", "version": env!("CARGO_PKG_VERSION"), "extensions": ["binary_tensor_data"] })
}

/// Describes a model: a tensor for each feature, in the signature's order, and the outputs.
pub(super) fn model(version: &ServedVersion) -> Value {
    let input = |name: &str, data_type| json!({ "name": name, "datatype": datatype(data_type), "shape": [-1] });
    let fields = version.decoder.features().fields();
    let inputs: Vec<Value> = fields.iter().map(|field| input(&field.name, field.data_type)).collect();
    let outputs = outputs(version.task());
    let outputs = outputs.iter().map(|output| match output.columns {
        None => json!({ "name": output.name, "datatype": output.datatype, "shape": [-1] }),
        Some(columns) => json!({ "name": output.name, "datatype": output.datatype, "shape": [-1, columns] }),
    });
    json!({
        "name": version.model,
        "versions": [version.version.to_string()],
        "platform": "stagewright",
        "inputs": inputs,
        "outputs": outputs.collect::<Vec<_>>(),
    })
}

/// An output of a model.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub(super) name: &'static str,
    pub(super) datatype: &'static str,
    /// The second dimension, if there is one; the first is that of rows.
    pub(super) columns: Option<usize>,
}

/// Returns the outputs of a task.
pub(super) fn outputs(task: &Task) -> Vec<Output> {
    let output = |name, datatype, columns| Output { name, datatype, columns };
    match task {
        Task::Regression => vec![output("value", "FP64", None)],
        Task::Binary { .. } => vec![output("label", "BYTES", None), output("probability", "FP64", None)],
        Task::MultiClass { classes } => {
            vec![output("label", "BYTES", None), output("probabilities", "FP64", Some(classes.len()))]
        }
    }
}

fn datatype(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "BOOL",
        DataType::Int64 => "INT64",
        DataType::Float64 => "FP64",
        DataType::Utf8 | DataType::Categorical | DataType::Timestamp => "BYTES",
    }
}
