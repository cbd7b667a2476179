//! Evaluation and promotion.

use stagewright_kit::bindings::exports::stagewright::stage::{decide, evaluate};
use stagewright_kit::bindings::stagewright::stage::{models, tables, types};
use stagewright_kit::{Failure, Metric, Role, Task, packed};

use super::handles::{end, with_table};
use super::{Evaluation, Promotion, Stage};
use crate::calls::ask;
use crate::deeds::act;
use crate::forgeries::forge;
use crate::values::EVIL;
use crate::{Export, Misdeed, Orders};

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
