//! Rows that a stage may see, and models that are asked.

use std::sync::Arc;

use stagewright_data::Task;
use stagewright_store::{Blob, Field, Schema, Table};

use super::context::StageContext;

/// Rows and columns of a table, chosen by the host: a stage that gets a view sees nothing else.
#[derive(Debug, Clone)]
pub struct View {
    /// The table.
    pub table: Table,
    /// The columns, as indices into the table's schema.
    pub columns: Vec<usize>,
    /// The columns' fields.
    pub schema: Schema,
}

impl View {
    /// All of a table.
    pub fn whole(table: Table) -> Self {
        let schema = table.schema().clone();
        let columns = (0..schema.fields().len()).collect();
        Self { table, columns, schema }
    }

    /// The columns whose fields `keep` wants.
    pub fn of(table: Table, keep: impl Fn(&Field) -> bool) -> Self {
        let (columns, fields): (Vec<_>, Vec<_>) = table
            .schema()
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| keep(field))
            .map(|(index, field)| (index, field.clone()))
            .unzip();
        let schema = Schema::new(fields).expect("a subset of a valid schema is valid");
        Self { table, columns, schema }
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.table.rows()
    }
}

/// A transformation and a predictor, ready to be instantiated.
#[derive(Clone)]
pub struct ModelParts {
    /// Runs the transformation component.
    pub transformation: Arc<StageContext>,
    /// Its fitted state.
    pub state: Blob,
    /// Runs the training component.
    pub training: Arc<StageContext>,
    /// Its model.
    pub model: Blob,
    /// The raw features that the transformation reads, in order.
    pub features: Schema,
    /// The task: the target and its kind.
    pub task: Task,
    /// The transformed features' importance; sums to 1 or is empty.
    pub importance: Vec<(String, f64)>,
}

impl ModelParts {
    /// Numbers per row: 1, or one per class.
    pub fn width(&self) -> usize {
        crate::model::width(&self.task)
    }
}
