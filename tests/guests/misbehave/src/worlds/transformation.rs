//! Transformation.

use stagewright_kit::bindings::exports::stagewright::stage::{rebalance, transform};
use stagewright_kit::bindings::stagewright::stage::{blobs, tables, types};
use stagewright_kit::{Batch, Categorical, Column, DataType, Failure, Field, Strings, Task, Values, packed};

use super::handles::{copy, end, look, orders_of, with_nans, with_table, write_orders};
use super::{Stage, Transformation};
use crate::deeds::act;
use crate::features::{long_features, long_rows, wide_features, wide_rows};
use crate::forgeries::forge;
use crate::impurities::taint;
use crate::values::float;
use crate::{Export, Misdeed, Orders};

/// A loaded transformation.
pub struct Transformer {
    orders: Orders,
    inputs: Vec<Field>,
    /// The state, if the handle is kept.
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

/// Returns the raw features of the suite's table, which pass unchanged.
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

/// Returns whether this instance works for an evaluation or a prediction, where it may make no
/// tables.
fn is_served() -> bool {
    // Looked up once, because an instance may begin only so many tables.
    static SERVED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *SERVED.get_or_init(|| {
        let writer = tables::TableWriter::new(&[float("x")]);
        writer.write(&packed::encode_numbers(0, &[])).is_err()
    })
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
