//! Parts of tables that a stage may see, and models to be called.

use std::collections::BTreeMap;
use std::sync::Arc;

use stagewright_data::Task;
use stagewright_store::{Blob, Field, Role, Schema, Table};

use super::context::StageContext;

/// The columns of a table that a stage may see. A stage that gets a view sees nothing else of the
/// table.
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
    /// Returns a view of all columns.
    pub fn whole(table: Table) -> Self {
        let schema = table.schema().clone();
        let columns = (0..schema.fields().len()).collect();
        Self { table, columns, schema }
    }

    /// Returns a view of the columns for whose fields `keep` holds.
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

    /// Returns the view with these roles, by the names of columns. Other columns keep theirs.
    pub fn with_roles(mut self, roles: &BTreeMap<String, Role>) -> Self {
        let told = |field: &Field| match roles.get(&field.name) {
            Some(role) => field.clone().with_role(*role),
            None => field.clone(),
        };
        let fields = self.schema.fields().iter().map(told).collect();
        self.schema = Schema::new(fields).expect("the same columns in other roles are valid");
        self
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.table.rows()
    }
}

/// A transformation and a predictor, ready to be instantiated.
#[derive(Clone)]
pub struct ModelParts {
    /// The context of the transformation component.
    pub transformation: Arc<StageContext>,
    /// Its fitted state.
    pub state: Blob,
    /// The context of the training component.
    pub training: Arc<StageContext>,
    /// Its model.
    pub model: Blob,
    /// The raw features that the transformation reads, in order.
    pub features: Schema,
    /// The task.
    pub task: Task,
    /// The importance of the transformed features; sums to 1 or is empty.
    pub importance: Vec<(String, f64)>,
}

impl ModelParts {
    /// Returns the number of values for each row: 1, or one for each class.
    pub fn width(&self) -> usize {
        crate::model::width(&self.task)
    }
}
