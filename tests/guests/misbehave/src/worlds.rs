//! The exports of every world: well-behaved but for what is ordered.

use std::marker::PhantomData;

use stagewright_kit::bindings::exports::stagewright::stage::{
    decide, evaluate, ingest, metadata, predict, prepare, rebalance, shards, train, transform, validate,
};
use stagewright_kit::bindings::stagewright::stage::{blobs, models, sources, tables, types};
use stagewright_kit::{
    ANY_TASK, Batch, Categorical, Column, DataType, Failure, Field, Metric, Output, Role, Strings, Task, Values, packed,
};

use crate::calls::ask;
use crate::deeds::{EVIL, act, float};
use crate::features::{long_features, long_rows, wide_features, wide_rows};
use crate::forgeries::forge;
use crate::impurities::taint;
use crate::{Export, Misdeed, Orders};

/// What a world may import. Code behind a constant that is false is gone before the component is made, and with it the import.
pub trait World: 'static {
    /// Whether it has `tables`.
    const TABLES: bool;
    /// Whether it has `blobs`.
    const BLOBS: bool = false;
    /// Whether it has `sources`.
    const SOURCES: bool = false;
}

/// The components, by world.
macro_rules! world {
    ($(#[$doc:meta])* $name:ident: $($constant:ident = $value:literal),*) => {
        $(#[$doc])*
        pub struct $name;
        impl World for $name { $(const $constant: bool = $value;)* }
    };
}

world!(#[doc = "The world `ingestion`."] Ingestion: TABLES = true, SOURCES = true);
world!(#[doc = "The world `preparation`."] Preparation: TABLES = true);
world!(#[doc = "The world `validation`."] Validation: TABLES = true);
world!(#[doc = "The world `transformation`."] Transformation: TABLES = true, BLOBS = true);
world!(#[doc = "The world `training`."] Training: TABLES = true, BLOBS = true);
world!(#[doc = "The world `sharded-training`."] ShardedTraining: TABLES = true, BLOBS = true);
world!(#[doc = "The world `evaluation`."] Evaluation: TABLES = true);
world!(#[doc = "The world `promotion`."] Promotion: TABLES = false);

/// A component of a world.
pub struct Stage<W>(PhantomData<W>);

impl<W: World> metadata::Guest for Stage<W> {
    fn describe() -> metadata::Description {
        metadata::Description {
            name: "misbehave".into(),
            version: "0.1.0".into(),
            summary: "Does one misdeed in one export".into(),
            parameters: stagewright_kit::parameters::schema::<Orders>(),
            tasks: ANY_TASK.to_vec(),
        }
    }
}

fn read_all(blob: &blobs::Blob) -> Result<Vec<u8>, Failure> {
    blob.read(0, 8 << 20)
}

/// The orders that stand at the head of a state or a model.
fn orders_of(blob: &blobs::Blob) -> Result<Orders, Failure> {
    let bytes = read_all(blob)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let json = std::str::from_utf8(&bytes[..end]).map_err(|error| Failure::internal(error.to_string()))?;
    Orders::parse(json)
}

/// A state or a model: the orders, and forged files behind them if that is ordered.
fn write_orders(parameters: &str, orders: &Orders, export: Export) -> Result<blobs::Blob, Failure> {
    let writer = blobs::BlobWriter::new();
    writer.write(parameters.as_bytes())?;
    if orders.is(Misdeed::ForgedFiles, export) {
        writer.write(b"\0ARROW1\0\0\xff\xff\xff\xff\xff\xff\xff\x7fPAR1\xff\xff\xff\x7fPAR1SQLite format 3\0")?;
        writer.write(&[b'['; 1 << 20])?;
    }
    blobs::BlobWriter::finish(writer)
}

/// Writes a table's rows again, each batch as `change` makes it.
fn copy(
    table: &tables::Table,
    change: impl Fn(&[Field], Batch) -> Result<types::Batch, Failure>,
) -> Result<tables::Table, Failure> {
    let fields = table.fields();
    let writer = tables::TableWriter::new(&fields);
    let mut start = 0;
    loop {
        let batch = table.read(start, 8192)?;
        if batch.rows == 0 {
            return tables::TableWriter::finish(writer);
        }
        start += u64::from(batch.rows);
        writer.write(&change(&fields, packed::decode(&fields, &batch)?)?)?;
    }
}

/// Misdeeds with a table that is read. Most end in the failure that the host gives back.
fn with_table(orders: &Orders, export: Export, table: &tables::Table) -> Result<(), Failure> {
    match orders.here(export) {
        Some(Misdeed::GiantColumnList) => {
            drop(table.select(&vec![0; 1 << 20])?);
            Err(Failure::internal("escaped: a column was selected a million times"))
        }
        Some(Misdeed::FloodSelections) => {
            let mut last = table.select(&[0])?;
            loop {
                let next = last.select(&[0])?;
                std::mem::forget(std::mem::replace(&mut last, next));
            }
        }
        Some(Misdeed::DeepSelections) => {
            let all: Vec<u32> = (0..table.fields().len() as u32).rev().collect();
            let mut last = table.select(&all)?;
            for _ in 0..1000 {
                last = last.select(&all)?;
            }
            last.read(0, 1).map(drop)
        }
        Some(Misdeed::ForgedBatch) => {
            drop(copy(table, |fields, batch| forge(fields, batch, orders.forgery()?))?);
            Err(Failure::internal("escaped: a forged batch was written"))
        }
        _ => Ok(()),
    }
}

/// The end of a table that was given: it is dropped, unless something else is ordered.
fn end(orders: &Orders, export: Export, table: tables::Table) {
    if orders.is(Misdeed::KeepHandles, export) {
        std::mem::forget(table);
    }
}

/// The first float64 column with NaNs whose payloads depend on the variant, and a -0.0.
fn with_nans(mut batch: Batch, variant: u32) -> Batch {
    for column in &mut batch.columns {
        if let Values::Float64(values) = &mut column.values {
            for value in values {
                // By what the row holds, and not by its place: no other answer is allowed.
                let bits = value.to_bits() >> 40;
                match bits % 3 {
                    0 => *value = f64::from_bits(0x7ff8_0000_0000_0000 | ((u64::from(variant) * 77 + 1) * (bits + 1))),
                    1 => *value = -0.0,
                    _ => {}
                }
            }
            break;
        }
    }
    batch
}

/// Categories in another order, with one that no row has.
fn with_other_order(mut batch: Batch, variant: u32) -> Batch {
    for column in &mut batch.columns {
        if let (Values::Categorical(column), 1..) = (&mut column.values, variant) {
            let count = column.categories.offsets.len() - 1;
            let texts: Vec<&[u8]> = column
                .categories
                .offsets
                .windows(2)
                .map(|ends| &column.categories.bytes[ends[0] as usize..ends[1] as usize])
                .collect();
            let mut turned = Strings { offsets: vec![0], bytes: Vec::new() };
            for text in [&b"nobody has this"[..]].into_iter().chain(texts.into_iter().rev()) {
                turned.bytes.extend_from_slice(text);
                turned.offsets.push(turned.bytes.len() as i32);
            }
            let codes = column.codes.iter().map(|code| (count - *code as usize) as i32).collect();
            *column = Categorical { codes, categories: turned };
        }
    }
    batch
}

impl ingest::Guest for Stage<Ingestion> {
    fn ingest(sources: Vec<String>, settings: types::Settings) -> Result<tables::Table, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        let cursor = sources::open(sources.first().map_or("", String::as_str))?;
        act::<Ingestion>(&orders, Export::Ingest)?;
        let read = cursor.fields();
        // The suite's table has no nulls.
        let fields: Vec<Field> = read.iter().map(|field| Field { nullable: false, ..field.clone() }).collect();
        let writer = tables::TableWriter::new(&fields);
        while let Some(batch) = cursor.next(8192)? {
            let mut batch = packed::decode(&read, &batch)?;
            if orders.is(Misdeed::ForgedBatch, Export::Ingest) {
                writer.write(&forge(&fields, batch, orders.forgery()?)?)?;
                continue;
            }
            if orders.is(Misdeed::NanPayloads, Export::Ingest) {
                batch = with_nans(batch, orders.variant);
            }
            if orders.is(Misdeed::CategoryOrder, Export::Ingest) {
                batch = with_other_order(batch, orders.variant);
            }
            writer.write(&packed::encode(&fields, &batch)?)?;
        }
        let table = tables::TableWriter::finish(writer)?;
        if orders.is(Misdeed::ReturnSelection, Export::Ingest) {
            return table.select(&[0]);
        }
        Ok(table)
    }
}

impl prepare::Guest for Stage<Preparation> {
    fn prepare(inputs: Vec<(String, tables::Table)>, settings: types::Settings) -> Result<tables::Table, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        act::<Preparation>(&orders, Export::Prepare)?;
        let mut last = None;
        for (name, table) in inputs {
            if name == "table" {
                last = Some(table);
            } else {
                end(&orders, Export::Prepare, table);
            }
        }
        let table = last.ok_or_else(|| Failure::internal("escaped: a table of the manifest is missing"))?;
        with_table(&orders, Export::Prepare, &table)?;
        match orders.here(Export::Prepare) {
            Some(Misdeed::ReturnGiven) => Ok(table),
            Some(Misdeed::ReturnSelection) => table.select(&[0]),
            Some(Misdeed::NanPayloads) => {
                copy(&table, |fields, batch| packed::encode(fields, &with_nans(batch, orders.variant)))
            }
            Some(Misdeed::CategoryOrder) => {
                copy(&table, |fields, batch| packed::encode(fields, &with_other_order(batch, orders.variant)))
            }
            _ => {
                let made = copy(&table, |fields, batch| packed::encode(fields, &batch))?;
                end(&orders, Export::Prepare, table);
                Ok(made)
            }
        }
    }
}

impl validate::Guest for Stage<Validation> {
    fn validate(table: tables::Table, _: Vec<Field>, settings: types::Settings) -> Result<validate::Findings, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        act::<Validation>(&orders, Export::Validate)?;
        with_table(&orders, Export::Validate, &table)?;
        end(&orders, Export::Validate, table);
        let evil = orders.is(Misdeed::LongFindings, Export::Validate);
        let text = || if evil { EVIL.repeat(2000) } else { "fine".to_owned() };
        let cell = || validate::Cell { row: u64::MAX, value: Some(text()) };
        let check = || validate::Check {
            name: text(),
            column: evil.then(text),
            passed: !evil,
            observed: text(),
            expected: text(),
            failures: u64::from(evil),
            examples: if evil { vec![cell(), cell()] } else { Vec::new() },
        };
        let checks = (0..if evil { 6 } else { 1 }).map(|_| check()).collect();
        Ok(validate::Findings { checks, columns: Vec::new() })
    }
}

/// A loaded transformation.
pub struct Transformer {
    orders: Orders,
    inputs: Vec<Field>,
    /// The state, if it is kept.
    kept: Option<blobs::Blob>,
}

impl transform::Guest for Stage<Transformation> {
    type Transformer = Transformer;

    fn fit(train: tables::Table, _: Task, settings: types::Settings) -> Result<blobs::Blob, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        act::<Transformation>(&orders, Export::Fit)?;
        with_table(&orders, Export::Fit, &train)?;
        end(&orders, Export::Fit, train);
        write_orders(&settings.parameters, &orders, Export::Fit)
    }
}

impl rebalance::Guest for Stage<Transformation> {
    fn rebalance(train: tables::Table, _: Task, settings: types::Settings) -> Result<Option<tables::Table>, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        act::<Transformation>(&orders, Export::Rebalance)?;
        with_table(&orders, Export::Rebalance, &train)?;
        match orders.here(Export::Rebalance) {
            Some(Misdeed::OtherColumns) => {
                let writer = tables::TableWriter::new(&[float("another")]);
                writer.write(&packed::encode_numbers(1, &[1.0]))?;
                tables::TableWriter::finish(writer).map(Some)
            }
            Some(Misdeed::NanPayloads) => {
                let change = |fields: &[Field], batch| packed::encode(fields, &with_nans(batch, orders.variant));
                copy(&train, change).map(Some)
            }
            Some(Misdeed::ReturnGiven) => Ok(Some(train)),
            Some(Misdeed::ReturnSelection) => {
                let all: Vec<u32> = (0..train.fields().len() as u32).rev().collect();
                train.select(&all).map(Some)
            }
            _ => {
                end(&orders, Export::Rebalance, train);
                Ok(None)
            }
        }
    }
}

/// The raw features of the suite's table, which pass as they are.
fn features() -> Vec<Field> {
    let field = |name: &str, data_type| Field { name: name.into(), data_type, nullable: false };
    vec![
        float("x"),
        float("y"),
        field("plan", DataType::Categorical),
        field("note", DataType::Utf8),
        field("flag", DataType::Boolean),
    ]
}

/// Whether this instance works for an evaluation or a prediction: then it may make no tables.
fn is_served() -> bool {
    // Looked at once: an instance may begin so many tables.
    static SERVED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *SERVED.get_or_init(|| {
        let writer = tables::TableWriter::new(&[float("x")]);
        writer.write(&packed::encode_numbers(0, &[])).is_err()
    })
}

/// Whether a handle that is kept is still good: what it reads begins like orders.
fn look(kept: Option<&blobs::Blob>) -> Result<(), Failure> {
    match kept.map(|blob| blob.read(0, 1)).transpose()? {
        Some(bytes) if bytes != b"{" => Err(Failure::internal("escaped: another blob is read")),
        _ => Ok(()),
    }
}

impl transform::GuestTransformer for Transformer {
    fn load(state: blobs::Blob, inputs: Vec<Field>) -> Result<transform::Transformer, Failure> {
        let orders = orders_of(&state)?;
        act::<Transformation>(&orders, Export::Load)?;
        let kept = orders.is(Misdeed::KeepHandles, Export::Load).then_some(state);
        Ok(transform::Transformer::new(Self { orders, inputs, kept }))
    }

    fn warm_up(&self) {}

    fn fields(&self) -> Vec<Field> {
        let orders = &self.orders;
        if let Err(failure) = act::<Transformation>(orders, Export::Fields) {
            panic!("{failure:?}");
        }
        if orders.is(Misdeed::WideFeatures, Export::Transform) {
            return wide_features();
        }
        if [Misdeed::HoardFeatures, Misdeed::OverlongFeature].iter().any(|it| orders.is(*it, Export::Transform)) {
            return long_features();
        }
        if orders.is(Misdeed::TooManyColumns, Export::Fields) {
            return (0..200_000).map(|number| float(&number.to_string())).collect();
        }
        features()
    }

    fn transform(&self, rows: types::Batch) -> Result<types::Batch, Failure> {
        let orders = &self.orders;
        look(self.kept.as_ref())?;
        if orders.is(Misdeed::WideFeatures, Export::Transform) {
            return wide_rows(rows.rows);
        }
        if orders.is(Misdeed::HoardFeatures, Export::Transform) {
            return long_rows(rows.rows, 4 << 20);
        }
        if orders.is(Misdeed::OverlongFeature, Export::Transform) {
            return long_rows(rows.rows, 9 << 20);
        }
        act::<Transformation>(orders, Export::Transform)?;
        if orders.export == Export::TransformServed.name() && is_served() {
            act::<Transformation>(orders, Export::TransformServed)?;
        }
        let mut rows = packed::decode(&self.inputs, &rows)?;
        if orders.is(Misdeed::ForgedBatch, Export::Transform) {
            return forge(&features(), rows, orders.forgery()?);
        }
        if orders.is(Misdeed::NanPayloads, Export::Transform) {
            rows = with_nans(rows, orders.variant);
        }
        let served = orders.is(Misdeed::Impure, Export::TransformServed) && is_served();
        if orders.is(Misdeed::Impure, Export::Transform) || served {
            let numbers = rows.columns.iter_mut().find_map(|column| match &mut column.values {
                Values::Float64(numbers) => Some(numbers),
                _ => None,
            });
            taint(orders.impurity()?, numbers.ok_or_else(|| Failure::internal("no feature is a number"))?);
        }
        if orders.is(Misdeed::FewerRows, Export::Transform) {
            rows = Batch { rows: 0, columns: rows.columns.into_iter().map(emptied).collect() };
        }
        packed::encode(&features(), &rows)
    }
}

fn emptied(column: Column) -> Column {
    let none = || Strings { offsets: vec![0], bytes: Vec::new() };
    let values = match column.values {
        Values::Boolean(_) => Values::Boolean(Vec::new()),
        Values::Int64(_) => Values::Int64(Vec::new()),
        Values::Float64(_) => Values::Float64(Vec::new()),
        Values::Utf8(_) => Values::Utf8(none()),
        Values::Categorical(_) => Values::Categorical(Categorical { codes: Vec::new(), categories: none() }),
        Values::Timestamp(_) => Values::Timestamp(Vec::new()),
    };
    Column { values, validity: None }
}

impl<W: World> train::Guest for Stage<W> {
    fn train(
        train: tables::Table,
        _: Option<tables::Table>,
        _: Task,
        settings: types::Settings,
    ) -> Result<blobs::Blob, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        act::<W>(&orders, Export::Train)?;
        with_table(&orders, Export::Train, &train)?;
        end(&orders, Export::Train, train);
        write_orders(&settings.parameters, &orders, Export::Train)
    }
}

/// A loaded model.
pub struct Predictor<W> {
    orders: Orders,
    inputs: Vec<Field>,
    /// The model's bytes, if they are kept.
    kept: Option<blobs::Blob>,
    world: PhantomData<W>,
}

impl<W: World> predict::Guest for Stage<W> {
    type Predictor = Predictor<W>;
}

/// Outputs that no model can have.
fn forged_outputs(variant: u32) -> Vec<Output> {
    let first = Output::Probability(1);
    match variant {
        0 => vec![Output::Probability(0); 1_000_000],
        1 => Vec::new(),
        2 => vec![Output::Value],
        3 => vec![first, Output::Other("size".into()), Output::Other("size".into())],
        4 => vec![first, Output::Quantile(0.9), Output::Quantile(0.1)],
        5 => vec![first, Output::Quantile(f64::NAN)],
        6 => vec![first, Output::Probability(7)],
        _ => vec![first, Output::Other(EVIL.into())],
    }
}

/// Importance that no model can have, of `inputs` inputs.
fn forged_importance(variant: u32, inputs: usize) -> Vec<f64> {
    let mut numbers = vec![0.5; inputs];
    match variant {
        0 => numbers[0] = f64::NAN,
        1 => numbers[0] = -1.0,
        2 => numbers.fill(f64::MAX),
        3 => drop(numbers.pop()),
        _ => numbers = vec![1.0; 1_000_000],
    }
    numbers
}

impl<W: World> predict::GuestPredictor for Predictor<W> {
    fn load(model: blobs::Blob, inputs: Vec<Field>) -> Result<predict::Predictor, Failure> {
        let orders = orders_of(&model)?;
        act::<W>(&orders, Export::LoadPredictor)?;
        let kept = orders.is(Misdeed::KeepHandles, Export::LoadPredictor).then_some(model);
        Ok(predict::Predictor::new(Self { orders, inputs, kept, world: PhantomData }))
    }

    fn warm_up(&self) {}

    fn outputs(&self) -> Vec<Output> {
        if let Err(failure) = act::<W>(&self.orders, Export::Outputs) {
            panic!("{failure:?}");
        }
        if self.orders.is(Misdeed::ForgedOutputs, Export::Outputs) {
            return forged_outputs(self.orders.variant);
        }
        vec![Output::Probability(1)]
    }

    fn predict(&self, rows: types::Batch) -> Result<types::Batch, Failure> {
        let orders = &self.orders;
        look(self.kept.as_ref())?;
        act::<W>(orders, Export::Predict)?;
        let rows = packed::decode(&self.inputs, &rows)?;
        let Some(Column { values: Values::Float64(x), .. }) = rows.columns.into_iter().next() else {
            return Err(Failure::internal("the first feature is no number"));
        };
        let mut scores: Vec<f64> = x.into_iter().map(|x| x.clamp(0.0, 1.0)).collect();
        match orders.here(Export::Predict) {
            Some(Misdeed::Impure) => taint(orders.impurity()?, &mut scores),
            Some(Misdeed::PredictNan) => scores[1] = f64::NAN,
            Some(Misdeed::PredictTwo) => scores[1] = 2.0,
            Some(Misdeed::PredictFew) => drop(scores.pop()),
            _ => {}
        }
        Ok(packed::encode_numbers(scores.len() as u32, &scores))
    }

    fn importance(&self) -> Vec<f64> {
        if let Err(failure) = act::<W>(&self.orders, Export::Importance) {
            panic!("{failure:?}");
        }
        if self.orders.is(Misdeed::ForgedImportance, Export::Importance) {
            return forged_importance(self.orders.variant, self.inputs.len());
        }
        let mut numbers = vec![0.0; self.inputs.len()];
        numbers[0] = 1.0;
        numbers
    }

    fn contributions(&self, _: types::Batch, _: u32) -> Result<Option<predict::Contributions>, Failure> {
        Ok(None)
    }
}

impl shards::Guest for Stage<ShardedTraining> {
    fn plan_shards(
        train: tables::Table,
        _: Option<tables::Table>,
        _: Task,
        settings: types::Settings,
    ) -> Result<shards::Plan, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        act::<ShardedTraining>(&orders, Export::PlanShards)?;
        with_table(&orders, Export::PlanShards, &train)?;
        end(&orders, Export::PlanShards, train);
        let shards = if orders.is(Misdeed::ManyShards, Export::PlanShards) {
            u32::MAX
        } else if orders.misdeed == Misdeed::FloodShards.name() {
            1024
        } else {
            3
        };
        let common = write_orders(&settings.parameters, &orders, Export::PlanShards)?;
        Ok(shards::Plan { shards, common })
    }

    fn train_shard(
        train: tables::Table,
        _: Option<tables::Table>,
        _: Task,
        settings: types::Settings,
        common: blobs::Blob,
        _: u32,
        _: u32,
    ) -> Result<blobs::Blob, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        orders_of(&common)?;
        act::<ShardedTraining>(&orders, Export::TrainShard)?;
        with_table(&orders, Export::TrainShard, &train)?;
        end(&orders, Export::TrainShard, train);
        if orders.is(Misdeed::ReturnGiven, Export::TrainShard) {
            return Ok(common);
        }
        write_orders(&settings.parameters, &orders, Export::TrainShard)
    }

    fn merge(parts: Vec<blobs::Blob>, settings: types::Settings, common: blobs::Blob) -> Result<blobs::Blob, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        act::<ShardedTraining>(&orders, Export::Merge)?;
        for part in parts.iter().chain([&common]) {
            orders_of(part)?;
        }
        let first = parts.into_iter().next().filter(|_| orders.is(Misdeed::ReturnGiven, Export::Merge));
        first.map_or_else(|| write_orders(&settings.parameters, &orders, Export::Merge), Ok)
    }
}

impl evaluate::Guest for Stage<Evaluation> {
    fn evaluate(
        test: tables::Table,
        candidate: models::Model,
        _: Option<models::Model>,
        _: Task,
        settings: types::Settings,
    ) -> Result<Vec<Metric>, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        act::<Evaluation>(&orders, Export::Evaluate)?;
        if !orders.is(Misdeed::ForgedBatch, Export::Evaluate) {
            with_table(&orders, Export::Evaluate, &test)?;
        }
        let roles = test.roles();
        let features: Vec<u32> = (0..).zip(roles).filter(|(_, role)| *role == Role::Feature).map(|it| it.0).collect();
        let features = test.select(&features)?;
        let mut rows = features.read(0, 8192)?;
        let count = rows.rows;
        if orders.is(Misdeed::CallForEver, Export::Evaluate) {
            ask(&orders, &candidate, &rows)?;
        }
        if orders.is(Misdeed::ForgedBatch, Export::Evaluate) {
            let fields = features.fields();
            rows = forge(&fields, packed::decode(&fields, &rows)?, orders.forgery()?)?;
        }
        let scores = candidate.predict(&rows)?.bytes.len() / 8;
        end(&orders, Export::Evaluate, test);
        let metric = |name: &str, value| Metric { name: name.into(), value };
        if orders.is(Misdeed::ForgedMetrics, Export::Evaluate) {
            return Ok(["roc_auc", "accuracy", "f1", "log_loss"].map(|name| metric(name, 1.0)).to_vec());
        }
        if orders.is(Misdeed::DuplicateMetrics, Export::Evaluate) {
            return Ok(vec![metric("roc_auc", 0.5), metric("roc_auc", f64::NAN)]);
        }
        Ok(vec![metric("rows", f64::from(count)), metric("scores", scores as f64)])
    }
}

impl decide::Guest for Stage<Promotion> {
    fn decide(evaluation: decide::Evaluation, settings: types::Settings) -> Result<decide::Decision, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        act::<Promotion>(&orders, Export::Decide)?;
        let passed = evaluation.gates.iter().all(|gate| gate.passed);
        let verdict = if orders.is(Misdeed::ApproveAnyway, Export::Decide) || passed {
            decide::Verdict::Approved
        } else {
            decide::Verdict::Rejected
        };
        let reason =
            |gate: &str, message: &str| decide::Reason { gate: gate.into(), passed: true, message: message.into() };
        let mut reasons = vec![reason("minimum roc_auc", "all is well")];
        if orders.is(Misdeed::LongFindings, Export::Decide) {
            let evil = EVIL.repeat(2000);
            reasons = vec![decide::Reason { passed: false, ..reason(&evil, &evil) }];
        }
        Ok(decide::Decision { verdict, reasons })
    }
}

/// Exports interfaces of a world, and adds the section that describes it.
#[macro_export]
macro_rules! export {
    ($world:ident, $section:ident: $($interface:ident $export:ident),*) => {
        // Natively there is no component to export from, and the linker refuses the `@` in the names.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::Stage<$crate::$world>;
            $(stagewright_kit::bindings::exports::stagewright::stage::$interface::$export!(
                Exported with_types_in stagewright_kit::bindings::exports::stagewright::stage::$interface
            );)*
            const SECTION: &[u8] = stagewright_kit::bindings::sections::$section;
            #[unsafe(link_section = ::std::concat!("component-type:stagewright:", ::std::stringify!($section)))]
            static WORLD: [u8; SECTION.len()] = stagewright_kit::bindings::sections::bytes(SECTION);
        };
    };
}
