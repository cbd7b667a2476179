//! Implements the lifecycle's [`StageRunner`]: one function for each export of a stage.

use std::sync::Arc;

use stagewright_data::Task;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::{
    Check, ColumnSummary, DecisionInput, ModelParts, Sources, StageContext, StageDecision, StageRunner, View,
};
use stagewright_store::{Blob, Field, Table};

use crate::batch;
use crate::convert;
use crate::export_call::{self, ExportCall, Reply};
use crate::parallel::{SendPart, in_order, on_stack, permits};
use crate::predictor::LazyPipeline;
use crate::process::stage_process::Purpose;
use crate::runtime::Runtime;
use crate::stage_host::LentModel;
use crate::stage_host::contract_fault;
use crate::stage_instance::StageInstance;

/// The most shards of one training.
const MAX_SHARDS: u32 = 1024;

impl StageRunner for Runtime {
    fn ingest(
        &self,
        context: Arc<StageContext>,
        source: Option<&str>,
        sources: Arc<dyn Sources>,
    ) -> Result<Table, StageFault> {
        let mut instance = self.instance(&context, Some(sources))?;
        let (sources, settings) = (source.into_iter().map(str::to_owned).collect(), instance.settings());
        match instance.call(ExportCall::Ingest { sources, settings })? {
            Reply::Table(table) => instance.take_table(table, "ingest.ingest"),
            _ => Err(instance.unexpected_reply("ingest.ingest")),
        }
    }

    fn prepare(&self, context: Arc<StageContext>, inputs: &[(String, View)]) -> Result<Table, StageFault> {
        let mut instance = self.instance(&context, None)?;
        let lend = |(name, table): &(String, View)| Ok((name.clone(), instance.lend_table(table.clone())?));
        let inputs = inputs.iter().map(lend).collect::<Result<Vec<_>, StageFault>>()?;
        let settings = instance.settings();
        match instance.call(ExportCall::Prepare { inputs, settings })? {
            Reply::Table(table) => instance.take_table(table, "prepare.prepare"),
            _ => Err(instance.unexpected_reply("prepare.prepare")),
        }
    }

    fn validate(
        &self,
        context: Arc<StageContext>,
        table: &Table,
        references: &[(String, Table)],
        expected: &[Field],
    ) -> Result<(Vec<Check>, Vec<ColumnSummary>), StageFault> {
        refuse_references(&context, references)?;
        let mut instance = self.instance(&context, None)?;
        let table = instance.lend_table(View::whole(table.clone()))?;
        let lend =
            |(name, table): &(String, Table)| Ok((name.clone(), instance.lend_table(View::whole(table.clone()))?));
        let references = references.iter().map(lend).collect::<Result<Vec<_>, StageFault>>()?;
        let (expected, settings) = (batch::fields_out(expected), instance.settings());
        let call = match context.component.assesses {
            true => ExportCall::Assess { table, references, expected, settings },
            false => ExportCall::Validate { table, expected, settings },
        };
        let export = call.name();
        let (findings, warnings) = match (instance.call(call)?, context.component.assesses) {
            (Reply::Findings(findings), false) => (findings, Vec::new()),
            (Reply::Assessment(assessment), true) => (assessment.findings, assessment.warnings),
            _ => return Err(instance.unexpected_reply(export)),
        };
        context.on_behalf(|| {
            let (checks, columns) = convert::findings_in(findings, &warnings)
                .map_err(|message| instance.contract_fault(export, message))?;
            // Findings are written to a document, so they count as output.
            instance.host().account.charge_output(convert::findings_bytes(&checks, &columns))?;
            Ok((checks, columns))
        })
    }

    fn fit(&self, context: Arc<StageContext>, train: &View, task: &Task) -> Result<Blob, StageFault> {
        let mut instance = self.instance(&context, None)?;
        let (train, settings) = (instance.lend_table(train.clone())?, instance.settings());
        call_for_blob(instance, ExportCall::Fit { train, task: convert::task_out(task), settings })
    }

    fn rebalance(&self, context: Arc<StageContext>, train: &Table, task: &Task) -> Result<Option<Table>, StageFault> {
        if !context.component.rebalances {
            return Ok(None);
        }
        let mut instance = self.instance(&context, None)?;
        let (train, settings) = (instance.lend_table(View::whole(train.clone()))?, instance.settings());
        match instance.call(ExportCall::Rebalance { train, task: convert::task_out(task), settings })? {
            Reply::Rebalanced(table) => {
                table.map(|table| instance.take_table(table, "rebalance.rebalance")).transpose()
            }
            _ => Err(instance.unexpected_reply("rebalance.rebalance")),
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
            return Err(contract_fault(
                &context,
                "shards.plan-shards",
                format!("{shards} shards; at most {MAX_SHARDS}"),
            ));
        }
        let mut parts = Vec::with_capacity(shards as usize);
        let step = |(): &mut (), shard: usize, send: SendPart<'_, Blob>| {
            send(context.on_behalf(|| self.train_shard(&context, &inputs, &plan, shard as u32))?)
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
            let mut instance = self.instance(&context, None)?;
            let mut lend = |parts: ModelParts| {
                let (features, importance) = (parts.features.clone(), parts.importance.clone());
                let lent = LentModel::new(&features, importance, &test.schema, |inputs| {
                    Box::new(LazyPipeline::new(self.clone(), parts, inputs))
                })?;
                instance.host().lend_model(lent)
            };
            let candidate = lend(candidate)?;
            let champion = champion.map(lend).transpose()?;
            let test = instance.lend_table(test.clone())?;
            let (task, settings) = (convert::task_out(task), instance.settings());
            let Reply::Metrics(metrics) =
                instance.call(ExportCall::Evaluate { test, candidate, champion, task, settings })?
            else {
                return Err(instance.unexpected_reply("evaluate.evaluate"));
            };
            context.on_behalf(|| {
                convert::metrics_in(metrics).map_err(|message| instance.contract_fault("evaluate.evaluate", message))
            })
        })
    }

    fn decide(&self, context: Arc<StageContext>, input: &DecisionInput) -> Result<StageDecision, StageFault> {
        let mut instance = self.instance(&context, None)?;
        let (evaluation, settings) = (convert::evaluation_out(input), instance.settings());
        let Reply::Decision(decision) = instance.call(ExportCall::Decide { evaluation, settings })? else {
            return Err(instance.unexpected_reply("decide.decide"));
        };
        context.on_behalf(|| {
            convert::decision_in(decision).map_err(|message| instance.contract_fault("decide.decide", message))
        })
    }
}

impl Runtime {
    /// Trains one shard.
    fn train_shard(
        &self,
        context: &Arc<StageContext>,
        inputs: &TrainInputs<'_>,
        plan: &Plan,
        shard: u32,
    ) -> Result<Blob, StageFault> {
        let mut instance = self.instance_for(context, Purpose::Training)?;
        let inputs = inputs.lend(&mut instance)?;
        let (common, settings) = (instance.lend_blob(&plan.common)?, instance.settings());
        call_for_blob(instance, ExportCall::TrainShard { inputs, settings, common, shard, shards: plan.shards })
    }

    fn merge(&self, context: &Arc<StageContext>, plan: &Plan, parts: &[Blob]) -> Result<Blob, StageFault> {
        let mut instance = self.instance_for(context, Purpose::Training)?;
        let parts = parts.iter().map(|part| instance.lend_blob(part)).collect::<Result<Vec<_>, _>>()?;
        let (common, settings) = (instance.lend_blob(&plan.common)?, instance.settings());
        call_for_blob(instance, ExportCall::Merge { parts, settings, common })
    }

    fn train_whole(&self, context: &Arc<StageContext>, inputs: &TrainInputs<'_>) -> Result<Blob, StageFault> {
        let mut instance = self.instance_for(context, Purpose::Training)?;
        let (inputs, settings) = (inputs.lend(&mut instance)?, instance.settings());
        call_for_blob(instance, ExportCall::Train { inputs, settings })
    }

    fn plan_shards(&self, context: &Arc<StageContext>, inputs: &TrainInputs<'_>) -> Result<Plan, StageFault> {
        let mut instance = self.instance_for(context, Purpose::Training)?;
        let (inputs, settings) = (inputs.lend(&mut instance)?, instance.settings());
        match instance.call(ExportCall::PlanShards { inputs, settings })? {
            Reply::Plan { shards, common } => {
                let common = instance.take_blob(common)?;
                instance.mark_reusable();
                Ok(Plan { shards, common })
            }
            _ => Err(instance.unexpected_reply("shards.plan-shards")),
        }
    }
}

/// Refuses other tables for a component that checks one alone.
fn refuse_references(context: &StageContext, references: &[(String, Table)]) -> Result<(), StageFault> {
    let Some((name, _)) = references.first().filter(|_| !context.component.assesses) else { return Ok(()) };
    Err(StageFault::Parameter {
        stage: context.world.into(),
        parameter: format!("inputs.{name}"),
        message: "the component checks one table alone: it does not export `assess`".to_owned(),
        key: None,
    })
}

/// The plan of a sharded training: the number of shards and their common data.
struct Plan {
    shards: u32,
    common: Blob,
}

/// The inputs of a training, which all shards read.
struct TrainInputs<'a> {
    train: &'a Table,
    validation: Option<&'a Table>,
    task: &'a Task,
}

impl TrainInputs<'_> {
    fn lend(&self, instance: &mut StageInstance) -> Result<export_call::TrainInputs, StageFault> {
        let train = instance.lend_table(View::whole(self.train.clone()))?;
        let validation = self.validation.map(|table| instance.lend_table(View::whole(table.clone()))).transpose()?;
        Ok(export_call::TrainInputs { train, validation, task: convert::task_out(self.task) })
    }
}

/// Calls an export that returns a blob.
fn call_for_blob(mut instance: StageInstance, export: ExportCall) -> Result<Blob, StageFault> {
    let name = export.name();
    match instance.call(export)? {
        Reply::Blob(blob) => {
            let blob = instance.take_blob(blob)?;
            instance.mark_reusable();
            Ok(blob)
        }
        _ => Err(instance.unexpected_reply(name)),
    }
}
