//! The lifecycle's [`StageRunner`]: one function per export of a stage.

use std::sync::Arc;

use stagewright_data::Task;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::{
    Check, ColumnSummary, DecisionInput, ModelParts, Sources, StageContext, StageDecision, StageRunner, View,
};
use stagewright_store::{Blob, Field, Table};

use crate::batch;
use crate::call::{self, Export, Reply};
use crate::convert;
use crate::desk::LentModel;
use crate::far::process::Purpose;
use crate::parallel::{Give, in_order, on_stack, permits};
use crate::predictor::LazyPipeline;
use crate::runtime::Runtime;
use crate::seat::{Seat, contract};

/// Parts that one training may fall into, at most.
const MAX_SHARDS: u32 = 1024;

impl StageRunner for Runtime {
    fn ingest(
        &self,
        context: Arc<StageContext>,
        source: Option<&str>,
        sources: Arc<dyn Sources>,
    ) -> Result<Table, StageFault> {
        let mut seat = self.seat(&context, Some(sources))?;
        let (sources, settings) = (source.into_iter().map(str::to_owned).collect(), seat.settings());
        match seat.call(Export::Ingest { sources, settings })? {
            Reply::Table(table) => seat.take_table(table, "ingest.ingest"),
            _ => Err(seat.other("ingest.ingest")),
        }
    }

    fn prepare(&self, context: Arc<StageContext>, inputs: &[(String, Table)]) -> Result<Table, StageFault> {
        let mut seat = self.seat(&context, None)?;
        let lend = |(name, table): &(String, Table)| Ok((name.clone(), seat.lend_table(View::whole(table.clone()))?));
        let inputs = inputs.iter().map(lend).collect::<Result<Vec<_>, StageFault>>()?;
        let settings = seat.settings();
        match seat.call(Export::Prepare { inputs, settings })? {
            Reply::Table(table) => seat.take_table(table, "prepare.prepare"),
            _ => Err(seat.other("prepare.prepare")),
        }
    }

    fn validate(
        &self,
        context: Arc<StageContext>,
        table: &Table,
        expected: &[Field],
    ) -> Result<(Vec<Check>, Vec<ColumnSummary>), StageFault> {
        let mut seat = self.seat(&context, None)?;
        let table = seat.lend_table(View::whole(table.clone()))?;
        let (expected, settings) = (batch::fields_out(expected), seat.settings());
        let Reply::Findings(findings) = seat.call(Export::Validate { table, expected, settings })? else {
            return Err(seat.other("validate.validate"));
        };
        context.on_behalf(|| {
            let (checks, columns) =
                convert::findings_in(findings).map_err(|message| seat.broke("validate.validate", message))?;
            // Findings become a document.
            seat.desk().account.charge_output(convert::findings_bytes(&checks, &columns))?;
            Ok((checks, columns))
        })
    }

    fn fit(&self, context: Arc<StageContext>, train: &View, task: &Task) -> Result<Blob, StageFault> {
        let mut seat = self.seat(&context, None)?;
        let (train, settings) = (seat.lend_table(train.clone())?, seat.settings());
        made(seat, Export::Fit { train, task: convert::task_out(task), settings })
    }

    fn rebalance(&self, context: Arc<StageContext>, train: &Table, task: &Task) -> Result<Option<Table>, StageFault> {
        if !context.component.rebalances {
            return Ok(None);
        }
        let mut seat = self.seat(&context, None)?;
        let (train, settings) = (seat.lend_table(View::whole(train.clone()))?, seat.settings());
        match seat.call(Export::Rebalance { train, task: convert::task_out(task), settings })? {
            Reply::Rebalanced(table) => table.map(|table| seat.take_table(table, "rebalance.rebalance")).transpose(),
            _ => Err(seat.other("rebalance.rebalance")),
        }
    }

    fn train(
        &self,
        context: Arc<StageContext>,
        train: &Table,
        validation: Option<&Table>,
        task: &Task,
    ) -> Result<Blob, StageFault> {
        let inputs = TrainInputs { train, validation, task };
        if !context.component.sharded {
            return self.train_whole(&context, &inputs);
        }
        let plan = self.plan_shards(&context, &inputs)?;
        let shards = plan.shards;
        if shards <= 1 {
            return self.train_whole(&context, &inputs);
        }
        if shards > MAX_SHARDS {
            return Err(contract(&context, "shards.plan-shards", format!("{shards} shards; at most {MAX_SHARDS}")));
        }
        let mut parts = Vec::with_capacity(shards as usize);
        let step = |(): &mut (), shard: usize, give: Give<'_, Blob>| {
            give(context.on_behalf(|| self.train_shard(&context, &inputs, &plan, shard as u32))?)
        };
        in_order(
            shards as usize,
            permits(self.budget(), &context, shards as usize)?,
            self.stack(),
            || Ok(()),
            step,
            |_, part| {
                parts.push(part);
                Ok(())
            },
        )?;
        self.merge(&context, &plan, &parts)
    }

    fn evaluate(
        &self,
        context: Arc<StageContext>,
        test: &View,
        candidate: ModelParts,
        champion: Option<ModelParts>,
        task: &Task,
    ) -> Result<Vec<(String, f64)>, StageFault> {
        on_stack(self.stack(), || {
            let mut seat = self.seat(&context, None)?;
            let mut lend = |parts: ModelParts| {
                let (features, importance) = (parts.features.clone(), parts.importance.clone());
                let lent = LentModel::new(&features, importance, &test.schema, |inputs| {
                    Box::new(LazyPipeline::new(self.clone(), parts, inputs))
                })?;
                seat.desk().lend_model(lent)
            };
            let candidate = lend(candidate)?;
            let champion = champion.map(lend).transpose()?;
            let test = seat.lend_table(test.clone())?;
            let (task, settings) = (convert::task_out(task), seat.settings());
            let Reply::Metrics(metrics) = seat.call(Export::Evaluate { test, candidate, champion, task, settings })?
            else {
                return Err(seat.other("evaluate.evaluate"));
            };
            context
                .on_behalf(|| convert::metrics_in(metrics).map_err(|message| seat.broke("evaluate.evaluate", message)))
        })
    }

    fn decide(&self, context: Arc<StageContext>, input: &DecisionInput) -> Result<StageDecision, StageFault> {
        let mut seat = self.seat(&context, None)?;
        let (evaluation, settings) = (convert::evaluation_out(input), seat.settings());
        let Reply::Decision(decision) = seat.call(Export::Decide { evaluation, settings })? else {
            return Err(seat.other("decide.decide"));
        };
        context.on_behalf(|| convert::decision_in(decision).map_err(|message| seat.broke("decide.decide", message)))
    }
}

impl Runtime {
    /// One part of a sharded training, as a blob.
    fn train_shard(
        &self,
        context: &Arc<StageContext>,
        inputs: &TrainInputs<'_>,
        plan: &Plan,
        shard: u32,
    ) -> Result<Blob, StageFault> {
        let mut seat = self.seat_for(context, Purpose::Training)?;
        let inputs = inputs.lend(&mut seat)?;
        let (common, settings) = (seat.lend_blob(&plan.common)?, seat.settings());
        made(seat, Export::TrainShard { inputs, settings, common, shard, shards: plan.shards })
    }

    fn merge(&self, context: &Arc<StageContext>, plan: &Plan, parts: &[Blob]) -> Result<Blob, StageFault> {
        let mut seat = self.seat_for(context, Purpose::Training)?;
        let parts = parts.iter().map(|part| seat.lend_blob(part)).collect::<Result<Vec<_>, _>>()?;
        let (common, settings) = (seat.lend_blob(&plan.common)?, seat.settings());
        made(seat, Export::Merge { parts, settings, common })
    }

    fn train_whole(&self, context: &Arc<StageContext>, inputs: &TrainInputs<'_>) -> Result<Blob, StageFault> {
        let mut seat = self.seat_for(context, Purpose::Training)?;
        let (inputs, settings) = (inputs.lend(&mut seat)?, seat.settings());
        made(seat, Export::Train { inputs, settings })
    }

    fn plan_shards(&self, context: &Arc<StageContext>, inputs: &TrainInputs<'_>) -> Result<Plan, StageFault> {
        let mut seat = self.seat_for(context, Purpose::Training)?;
        let (inputs, settings) = (inputs.lend(&mut seat)?, seat.settings());
        match seat.call(Export::PlanShards { inputs, settings })? {
            Reply::Plan { shards, common } => {
                let common = seat.take_blob(common)?;
                seat.is_well();
                Ok(Plan { shards, common })
            }
            _ => Err(seat.other("shards.plan-shards")),
        }
    }
}

/// How a training falls into parts, and what they have in common.
struct Plan {
    shards: u32,
    common: Blob,
}

/// The tables that every part of a training reads.
struct TrainInputs<'a> {
    train: &'a Table,
    validation: Option<&'a Table>,
    task: &'a Task,
}

impl TrainInputs<'_> {
    fn lend(&self, seat: &mut Seat) -> Result<call::TrainInputs, StageFault> {
        let train = seat.lend_table(View::whole(self.train.clone()))?;
        let validation = self.validation.map(|table| seat.lend_table(View::whole(table.clone()))).transpose()?;
        Ok(call::TrainInputs { train, validation, task: convert::task_out(self.task) })
    }
}

/// The blob that a call makes.
fn made(mut seat: Seat, export: Export) -> Result<Blob, StageFault> {
    let name = export.name();
    match seat.call(export)? {
        Reply::Blob(blob) => {
            let blob = seat.take_blob(blob)?;
            seat.is_well();
            Ok(blob)
        }
        _ => Err(seat.other(name)),
    }
}
