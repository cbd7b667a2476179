//! A model of hostile components, and rows for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, BooleanArray, DictionaryArray, Float64Array, RecordBatch, StringArray};
use stagewright_data::Task;
use stagewright_hostile::Workshop;
use stagewright_lifecycle::sandbox::{
    CallLimits, Cancel, Component, Level, Meter, ModelParts, Shelf, StageContext, Tracker,
};
use stagewright_manifest::World;
use stagewright_store::{Blob, DataType, Field, Schema};

/// A tracker for which nothing matters.
pub(crate) struct Nobody;

impl Tracker for Nobody {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: stagewright_lifecycle::sandbox::Figure) {}
}

/// The raw features of the suite's table.
pub(crate) fn schema() -> Schema {
    let field = |name: &str, data_type| Field::new(name, data_type).with_nullable(false);
    let fields = vec![
        field("x", DataType::Float64),
        field("y", DataType::Float64),
        field("plan", DataType::Categorical),
        field("note", DataType::Utf8),
        field("flag", DataType::Boolean),
    ];
    Schema::new(fields).expect("a schema")
}

/// Returns rows whose first number is a customer's secret.
pub(crate) fn rows(secret: f64, count: usize) -> RecordBatch {
    let numbers = || Arc::new(Float64Array::from(vec![secret; count]));
    let plans: DictionaryArray<Int32Type> = (0..count).map(|_| Some("basic")).collect();
    let columns: Vec<ArrayRef> = vec![
        numbers(),
        numbers(),
        Arc::new(plans),
        Arc::new(StringArray::from_iter_values((0..count).map(|_| "note"))),
        Arc::new(BooleanArray::from(vec![true; count])),
    ];
    RecordBatch::try_new(schema().to_arrow(), columns).expect("a batch")
}

/// Returns a model of a transformation and a training.
pub(crate) fn parts(
    workshop: &Workshop,
    [transformation, training]: [Arc<Component>; 2],
    tracker: Arc<dyn Tracker>,
) -> ModelParts {
    let blob = || -> Blob {
        let mut writer = workshop.home().artifacts.stage().create_blob().expect("a blob");
        writer.write(b"{}").expect("bytes");
        writer.finish().expect("a blob")
    };
    let context = |world: World, component: Arc<Component>| {
        Arc::new(StageContext {
            world,
            component,
            parameters: "{}".into(),
            seed: 7,
            roles: HashMap::new(),
            as_of: 0,
            limits: world.default_limits(),
            staging: None,
            meter: Arc::new(Meter::while_called()),
            tracker: tracker.clone(),
            workers: 1,
            cancel: Cancel::default(),
            shelf: Shelf::default(),
        })
    };
    ModelParts {
        transformation: context(World::Transformation, transformation),
        state: blob(),
        training: context(World::Training, training),
        model: blob(),
        features: schema(),
        task: Task::Regression,
        importance: Vec::new(),
    }
}

/// Times that no honest call reaches on a busy machine.
pub(crate) const GENEROUS: CallLimits = CallLimits { cpu: Duration::from_secs(20), wall: Duration::from_secs(60) };
