//! Training, whole and in shards, and prediction.

use std::marker::PhantomData;

use stagewright_kit::bindings::exports::stagewright::stage::{predict, shards, train};
use stagewright_kit::bindings::stagewright::stage::{blobs, tables, types};
use stagewright_kit::{Column, Failure, Field, Output, Task, Values, packed};

use super::handles::{end, look, orders_of, with_table, write_orders};
use super::{ShardedTraining, Stage, World};
use crate::deeds::act;
use crate::impurities::taint;
use crate::values::EVIL;
use crate::{Export, Misdeed, Orders};

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
    /// The model's bytes, if the handle is kept.
    kept: Option<blobs::Blob>,
    world: PhantomData<W>,
}

impl<W: World> predict::Guest for Stage<W> {
    type Predictor = Predictor<W>;
}

/// Returns outputs that no model can have.
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

/// Returns importance that no model of `inputs` inputs can have.
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
