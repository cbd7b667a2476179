//! The work of the stages on the same inputs, natively and in the sandbox.
//!
//! Both sides count the CPU time of the working thread: natively around the call, in the sandbox by
//! the stage's meter from entering the guest to leaving it. So instantiation, crossings and checks
//! count. Both sides must make the same bytes of trees and states.

use std::hint::black_box;
use std::time::Duration;

use evaluate_classifier::EvaluateClassifier;
use stagewright_data::Task;
use stagewright_kit::bindings::stagewright::stage::types;
use stagewright_kit::{
    Batch, BinaryClasses, BlobReader, BlobWriter, Evaluation, Failure, FeatureImportance, LoadedModel,
    LoadedTransformation, Model, Output, Rebalancing as _, Settings, Table as _, Training, Transformation, Validation,
    parameters,
};
use stagewright_lifecycle::sandbox::{ModelParts, ModelRunner as _, StageRunner as _, View};
use stagewright_manifest::World;
use stagewright_store::{Blob, Role, Schema, Table};
use train_boosted::TrainBoosted;
use train_forest::TrainForest;
use train_logistic::TrainLogistic;
use transform_table::Features;
use validate_table::Checks;

use crate::native::{NativeTable, fields};
use crate::rig::{SEED, Used};
use crate::{Result, Rig, SetUp, cpu, tables};

/// The components that the work needs, for [`SetUp::rig`].
pub const COMPONENTS: [(World, &str); 7] = [
    (World::Ingestion, "ingest-synthetic"),
    (World::Validation, "validate-table"),
    (World::Transformation, "transform-table"),
    (World::Training, "train-logistic"),
    (World::Training, "train-forest"),
    (World::Training, "train-boosted"),
    (World::Evaluation, "evaluate-classifier"),
];

/// The parameters of config/churn-smote.toml.
const TRANSFORMATION: &str = r#"{"numeric": {"missing": "median", "scale": "standard"}, "smote": {"k_neighbors": 5}}"#;

/// A trainer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trainer {
    /// `train-logistic`.
    Logistic,
    /// `train-forest`.
    Forest,
    /// `train-boosted`.
    Boosted,
}

impl Trainer {
    /// All trainers.
    pub const ALL: [Self; 3] = [Self::Logistic, Self::Forest, Self::Boosted];

    fn component(self) -> &'static str {
        match self {
            Self::Logistic => "train-logistic",
            Self::Forest => "train-forest",
            Self::Boosted => "train-boosted",
        }
    }

    /// The hyperparameters of the Python peers with a third of their trees. A forest of fewer than
    /// 100 trees is one shard, so the native side grows the whole forest too.
    fn parameters(self) -> &'static str {
        match self {
            Self::Logistic => "{}",
            Self::Forest => r#"{"n_estimators": 200, "max_depth": 12}"#,
            Self::Boosted => r#"{"n_estimators": 300, "max_depth": 4, "early_stopping_rounds": 0}"#,
        }
    }
}

impl Trainer {
    /// The hyperparameters of a model that is served.
    fn served(self) -> &'static str {
        match self {
            Self::Logistic => "{}",
            Self::Forest => r#"{"n_estimators": 200, "max_depth": 12}"#,
            Self::Boosted => r#"{"n_estimators": 300, "max_depth": 4, "early_stopping_rounds": 0}"#,
        }
    }
}

/// A call of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// `validate-table` on the customers.
    Validate,
    /// `transform-table` learns from the customers.
    Fit,
    /// `transform-table` transforms the customers.
    Transform,
    /// `transform-table` adds rows by SMOTE.
    Rebalance,
    /// A trainer learns from the rebalanced features.
    Train(Trainer),
    /// A trainer's model predicts the customers' features.
    Predict(Trainer),
    /// `evaluate-classifier` evaluates a boosted model. The predictor's time is not counted.
    Evaluate,
}

impl Work {
    /// Returns all work in the order of the lifecycle.
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Validate, Self::Fit, Self::Transform, Self::Rebalance];
        all.extend(Trainer::ALL.map(Self::Train));
        all.extend(Trainer::ALL.map(Self::Predict));
        all.push(Self::Evaluate);
        all
    }

    /// Returns all work whose name contains the text of `STAGEWRIGHT_BENCH_ONLY`.
    pub fn chosen() -> Vec<Self> {
        let only = std::env::var("STAGEWRIGHT_BENCH_ONLY").unwrap_or_default();
        Self::all().into_iter().filter(|work| work.name().contains(&only)).collect()
    }

    /// Returns the names of component and function.
    pub fn name(self) -> String {
        match self {
            Self::Validate => "validate-table".to_owned(),
            Self::Fit => "transform-table fit".to_owned(),
            Self::Transform => "transform-table transform".to_owned(),
            Self::Rebalance => "transform-table rebalance".to_owned(),
            Self::Train(trainer) => trainer.component().to_owned(),
            Self::Predict(trainer) => format!("{} predict", trainer.component()),
            Self::Evaluate => "evaluate-classifier".to_owned(),
        }
    }

    /// Returns whether this grows trees. docs/benchmarks.md has a target for that.
    pub fn grows_trees(self) -> bool {
        matches!(self, Self::Train(Trainer::Forest | Trainer::Boosted))
    }

    /// Does the work in the sandbox and returns what the stage was charged.
    ///
    /// # Errors
    ///
    /// The stage fails.
    pub fn sandboxed(self, inputs: &Inputs, rig: &Rig) -> Result<Used> {
        let runtime = &rig.runtime;
        match self {
            Self::Validate => {
                let context = rig.context("validate-table", "{}");
                runtime.validate(context.clone(), &inputs.customers.table, &[], inputs.customers.schema.fields())?;
                Ok(Used::of(&context))
            }
            Self::Fit => {
                let context = rig.context("transform-table", TRANSFORMATION);
                runtime.fit(context.clone(), &inputs.customers, &task())?;
                Ok(Used::of(&context))
            }
            Self::Transform => {
                let context = rig.context("transform-table", TRANSFORMATION);
                runtime.transform(context.clone(), &inputs.state, &inputs.raw, &mut |_, _, _| Ok(()))?;
                Ok(Used::of(&context))
            }
            Self::Rebalance => {
                let context = rig.context("transform-table", TRANSFORMATION);
                runtime.rebalance(context.clone(), &inputs.features, &task())?;
                Ok(Used::of(&context))
            }
            Self::Train(trainer) => Ok(train(rig, trainer, trainer.parameters(), &inputs.rebalanced)?.1),
            Self::Predict(trainer) => {
                let parts = inputs.parts(rig, trainer);
                runtime.predict(&parts, &inputs.raw)?;
                Ok(Used::of(&parts.training))
            }
            Self::Evaluate => {
                let context = rig.context("evaluate-classifier", "{}");
                let candidate = inputs.parts(rig, Trainer::Boosted);
                runtime.evaluate(context.clone(), &inputs.customers, candidate, None, &task())?;
                Ok(Used::of(&context))
            }
        }
    }

    /// Does the work natively and returns its CPU time.
    ///
    /// # Errors
    ///
    /// The stage fails, or makes other bytes than in the sandbox.
    pub fn native(self, inputs: &Inputs) -> Result<Duration> {
        match self {
            Self::Validate => {
                let (table, settings) = (NativeTable(inputs.customers.clone()), settings("{}")?);
                timed(|| Checks::validate(&table, &fields(&inputs.customers), &settings))
            }
            Self::Fit => {
                let (table, settings) = (NativeTable(inputs.customers.clone()), settings(TRANSFORMATION)?);
                let mut state = BlobWriter::new();
                let took = timed(|| Features::fit(&table, &kit_task(), &settings, &mut state))?;
                same(&state.into_bytes(), &inputs.state, "states").map(|()| took)
            }
            Self::Transform => {
                let table = NativeTable(inputs.raw.clone());
                timed(|| {
                    let features = Features::load(&mut BlobReader::new(&inputs.state_bytes), &[])?;
                    for batch in (&table as &dyn stagewright_kit::Table).batches(None) {
                        black_box(features.transform(batch?.1)?);
                    }
                    Ok(())
                })
            }
            Self::Rebalance => {
                let (table, settings) = (whole(&inputs.features), settings(TRANSFORMATION)?);
                timed(|| Features::rebalance(&table, &kit_task(), &settings))
            }
            Self::Train(Trainer::Logistic) => inputs.train_natively::<TrainLogistic>(Trainer::Logistic),
            Self::Train(Trainer::Forest) => inputs.train_natively::<TrainForest>(Trainer::Forest),
            Self::Train(Trainer::Boosted) => inputs.train_natively::<TrainBoosted>(Trainer::Boosted),
            Self::Predict(Trainer::Logistic) => inputs.predict_natively::<TrainLogistic>(Trainer::Logistic),
            Self::Predict(Trainer::Forest) => inputs.predict_natively::<TrainForest>(Trainer::Forest),
            Self::Predict(Trainer::Boosted) => inputs.predict_natively::<TrainBoosted>(Trainer::Boosted),
            Self::Evaluate => {
                let (table, settings) = (NativeTable(inputs.customers.clone()), settings("{}")?);
                let candidate = Foreseen::of(inputs)?;
                timed(|| EvaluateClassifier::evaluate(&table, &candidate, None, &kit_task(), &settings))
            }
        }
    }
}

/// The inputs of all work.
pub struct Inputs {
    /// Customers with their target.
    customers: View,
    /// Customers without their target.
    raw: View,
    state: Blob,
    state_bytes: Vec<u8>,
    /// Features and target of the customers.
    features: Table,
    /// The same after SMOTE.
    rebalanced: Table,
    /// A model of each trainer, in the order of [`Trainer::ALL`].
    models: Vec<Blob>,
}

impl Inputs {
    /// Makes `rows` customers and everything that depends on them, in the sandbox.
    ///
    /// # Errors
    ///
    /// A stage fails.
    pub fn new(set_up: &SetUp, rig: &Rig, rows: u64) -> Result<Self> {
        Self::with(set_up, rig, rows, Trainer::parameters)
    }

    /// Makes the same with models as they are served, which have more trees.
    ///
    /// # Errors
    ///
    /// A stage fails.
    pub fn served(set_up: &SetUp, rig: &Rig, rows: u64) -> Result<Self> {
        Self::with(set_up, rig, rows, Trainer::served)
    }

    fn with(set_up: &SetUp, rig: &Rig, rows: u64, parameters: fn(Trainer) -> &'static str) -> Result<Self> {
        let (runtime, staging) = (&rig.runtime, &set_up.staging);
        let customers = View::whole(tables::customers(rig, staging, rows)?);
        let raw = View::of(customers.table.clone(), |field| field.role != Role::Target);
        let target = View::of(customers.table.clone(), |field| field.role == Role::Target);
        let context = || rig.context("transform-table", TRANSFORMATION);
        let state = runtime.fit(context(), &customers, &task())?;
        let (mut schema, mut batches) = (None::<Schema>, Vec::new());
        runtime.transform(context(), &state, &raw, &mut |found, _, batch| {
            schema.get_or_insert_with(|| found.clone());
            batches.push(batch);
            Ok(())
        })?;
        let features = tables::with_target(staging, &schema.ok_or("no rows")?, &batches, &target)?;
        let rebalanced = runtime.rebalance(context(), &features, &task())?.ok_or("nothing to rebalance")?;
        let model = |trainer| train(rig, trainer, parameters(trainer), &rebalanced).map(|(model, _)| model);
        let models = Trainer::ALL.into_iter().map(model).collect::<Result<_>>()?;
        Ok(Self { customers, raw, state_bytes: state.read_all()?, state, features, rebalanced, models })
    }

    /// Returns the first raw rows.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub fn first_raw(&self, rows: usize) -> Result<arrow_array::RecordBatch> {
        Ok(self.raw.table.read(0, rows, Some(&self.raw.columns))?)
    }

    /// Returns the customers' features without the target.
    pub fn features(&self) -> View {
        View::of(self.features.clone(), |field| field.role == Role::Feature)
    }

    /// Returns the parts of a trainer's model.
    pub fn parts(&self, rig: &Rig, trainer: Trainer) -> ModelParts {
        ModelParts {
            transformation: rig.context("transform-table", TRANSFORMATION),
            state: self.state.clone(),
            training: rig.context(trainer.component(), trainer.parameters()),
            model: self.model(trainer).clone(),
            features: self.raw.schema.clone(),
            task: task(),
            importance: Vec::new(),
        }
    }

    fn model(&self, trainer: Trainer) -> &Blob {
        &self.models[trainer as usize]
    }

    fn train_natively<T: Training>(&self, trainer: Trainer) -> Result<Duration> {
        let (table, settings) = (whole(&self.rebalanced), settings(trainer.parameters())?);
        let mut model = BlobWriter::new();
        let took = timed(|| T::train(&table, None, &kit_task(), &settings, &mut model))?;
        if trainer != Trainer::Logistic {
            // Trees use basic operations only and give equal bytes. The logistic solver uses the
            // platform's logarithm natively, so its bytes may differ.
            same(&model.into_bytes(), self.model(trainer), trainer.component())?;
        }
        Ok(took)
    }

    fn predict_natively<T: Training>(&self, trainer: Trainer) -> Result<Duration> {
        let table = NativeTable(self.features());
        let bytes = self.model(trainer).read_all()?;
        let start = cpu();
        let model = T::load(&mut BlobReader::new(&bytes), &[])?;
        let mut took = cpu() - start;
        for batch in (&table as &dyn stagewright_kit::Table).batches(None) {
            // The sandbox copies the batch into the guest, and that time counts. So does the copy
            // here.
            let batch = batch?.1;
            took += timed(|| model.predict(black_box(&batch).clone()))?;
        }
        Ok(took)
    }
}

/// A served model as native code, which takes and returns batches as its components do.
pub struct NativeModel {
    transformation: LoadedTransformation<Features>,
    predict: Predict,
}

impl NativeModel {
    /// Loads a trainer's model.
    ///
    /// # Errors
    ///
    /// The bytes are no state or model.
    pub fn new(inputs: &Inputs, trainer: Trainer) -> Result<Self> {
        let state = Features::load(&mut BlobReader::new(&inputs.state_bytes), &[])?;
        let features = state.fields();
        let bytes = inputs.model(trainer).read_all()?;
        let predict = match trainer {
            Trainer::Logistic => loaded::<TrainLogistic>(&bytes, features)?,
            Trainer::Forest => loaded::<TrainForest>(&bytes, features)?,
            Trainer::Boosted => loaded::<TrainBoosted>(&bytes, features)?,
        };
        Ok(Self { transformation: LoadedTransformation::new(state, fields(&inputs.raw)), predict })
    }

    /// Returns bytes as a batch.
    pub fn batch(&self, rows: usize, bytes: Vec<u8>) -> types::Batch {
        types::Batch { rows: rows as u32, bytes }
    }

    /// Transforms raw rows.
    ///
    /// # Errors
    ///
    /// The stage fails.
    pub fn transform(&self, rows: &types::Batch) -> Result<types::Batch> {
        Ok(self.transformation.transform(rows)?)
    }

    /// Predicts transformed rows.
    ///
    /// # Errors
    ///
    /// The stage fails.
    pub fn predict(&self, rows: &types::Batch) -> Result<types::Batch> {
        Ok((self.predict)(rows)?)
    }
}

type Predict = Box<dyn Fn(&types::Batch) -> std::result::Result<types::Batch, Failure>>;

/// Loads a model.
fn loaded<T: Training>(bytes: &Vec<u8>, features: Vec<stagewright_kit::Field>) -> Result<Predict> {
    let model = LoadedModel::new(T::load(&mut BlobReader::new(bytes), &features)?, features);
    Ok(Box::new(move |rows| model.predict(rows)))
}

/// A model that returns predictions made beforehand.
struct Foreseen(Vec<f64>);

impl Foreseen {
    fn of(inputs: &Inputs) -> Result<Self> {
        let model = inputs.model(Trainer::Boosted).read_all()?;
        let model = TrainBoosted::load(&mut BlobReader::new(&model), &[])?;
        let table = NativeTable(inputs.features());
        let rows = table.read(0, u32::MAX, None)?;
        Ok(Self(model.predict(rows)?))
    }
}

impl Model for Foreseen {
    fn outputs(&self) -> Vec<Output> {
        vec![Output::Probability(1)]
    }

    fn predict(&self, rows: &Batch) -> std::result::Result<Vec<f64>, Failure> {
        // The time of the evaluation does not depend on which predictions it gets.
        Ok((0..rows.len()).map(|row| self.0[row % self.0.len()]).collect())
    }

    fn importance(&self) -> Vec<FeatureImportance> {
        Vec::new()
    }
}

/// Returns the CPU time of a call.
fn timed<T>(call: impl FnOnce() -> std::result::Result<T, Failure>) -> Result<Duration> {
    let start = cpu();
    black_box(call()?);
    Ok(cpu() - start)
}

fn train(rig: &Rig, trainer: Trainer, parameters: &str, table: &Table) -> Result<(Blob, Used)> {
    let context = rig.context(trainer.component(), parameters);
    let model = rig.runtime.train(context.clone(), table, None, &task())?;
    Ok((model, Used::of(&context)))
}

fn whole(table: &Table) -> NativeTable {
    NativeTable(View::whole(table.clone()))
}

fn same(native: &[u8], sandboxed: &Blob, what: &str) -> Result<()> {
    let equal = sandboxed.read_all()? == native;
    if equal { Ok(()) } else { Err(format!("{what}: native code and the sandbox made different bytes").into()) }
}

fn settings<P: stagewright_kit::serde::de::DeserializeOwned>(json: &str) -> Result<Settings<P>> {
    Ok(Settings { parameters: parameters::parse(json)?, seed: SEED, as_of: 0 })
}

fn task() -> Task {
    Task::Binary { negative: "No".to_owned(), positive: "Yes".to_owned() }
}

fn kit_task() -> stagewright_kit::Task {
    stagewright_kit::Task::Binary(BinaryClasses { negative: "No".to_owned(), positive: "Yes".to_owned() })
}
