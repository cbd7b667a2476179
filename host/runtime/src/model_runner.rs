//! Implements the lifecycle's [`ModelRunner`]: transforms and predicts many rows in several
//! instances.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use stagewright_data::Task;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::{
    ModelParts, ModelRunner, PredictionSink, RowStream, StageContext, TransformSink, View,
};
use stagewright_store::{Blob, Schema, packed};

use crate::batch;
use crate::fed::{Fed, in_order_fed};
use crate::parallel::{SendPart, in_order, permits};
use crate::predictor::{Pipeline, Predictor, Transformer, rows_per_batch};
use crate::runtime::Runtime;
use crate::stage_host::contract_fault;

/// The most ranges into which rows are divided for predictions. Each range loads the model again,
/// so there are few enough that this costs little, and enough to occupy every worker.
const MAX_RANGES: usize = 32;

impl ModelRunner for Runtime {
    fn transform(
        &self,
        context: Arc<StageContext>,
        state: &Blob,
        rows: &View,
        sink: TransformSink<'_>,
    ) -> Result<(), StageFault> {
        // The size of the transformed rows decides how many rows an instance gets: at usual widths,
        // those that fit one batch. However wide they are, a worker holds at most three batches.
        // The instance that declares the columns processes the first piece.
        let first = Transformer::new(self, &context, state, &rows.schema)?;
        let piece_rows = rows.table.schema().chunk_rows().min(rows_per_batch(first.schema()));
        let first = Mutex::new(Some(first));
        // A fresh instance for each piece: results depend neither on other rows nor on the number
        // of workers.
        let fresh = |piece: usize, before: Option<Transformer>| {
            // The lock is released before an instance starts, so workers do not wait for each
            // other.
            let first = first.lock().unwrap_or_else(PoisonError::into_inner).take_if(|_| piece == 0);
            match (first, before) {
                (Some(first), _) => Ok(first),
                (None, Some(before)) => before.renewed(state),
                (None, None) => Transformer::new(self, &context, state, &rows.schema),
            }
        };
        let step = |worker: &mut WorkerInstance<'_, _>,
                    piece: usize,
                    send: SendPart<'_, (Schema, Option<(u64, RecordBatch)>)>| {
            let transformer = worker.replace(|before| fresh(piece, before))?;
            let schema = transformer.schema().clone();
            if rows.rows() == 0 {
                send((schema.clone(), None))?;
            }
            each_batch(rows, &context, piece, piece_rows, |start, batch| {
                transformer.transform(&batch, |place, features| {
                    send((schema.clone(), Some((start + place as u64, features))))?;
                    Ok(0)
                })
            })
        };
        let mut declared = None;
        let start = || Ok(WorkerInstance::none(&context));
        let pieces = pieces(rows, piece_rows).max(1);
        let permits = permits(self.budget(), &context, pieces)?;
        in_order(pieces, permits, self.stack(), start, step, |_, (schema, part)| {
            if declared.get_or_insert_with(|| schema.clone()) != &schema {
                return Err(contract_fault(&context, "transformer.fields", "two instances declare different columns"));
            }
            match part {
                Some((start, batch)) => sink(&schema, start, batch),
                None => sink(&schema, 0, RecordBatch::new_empty(schema.to_arrow())),
            }
        })
    }

    fn importance(
        &self,
        context: Arc<StageContext>,
        model: &Blob,
        inputs: &Schema,
        task: &Task,
    ) -> Result<Vec<(String, f64)>, StageFault> {
        Predictor::new(self, &context, model, inputs, task)?.importance()
    }

    fn predict(&self, model: &ModelParts, rows: &View) -> Result<Vec<f64>, StageFault> {
        let piece_rows = rows.table.schema().chunk_rows();
        let piece = |pipeline: &mut Pipeline, piece: usize| {
            let mut done = Vec::new();
            each_batch(rows, &model.transformation, piece, piece_rows, |_, batch| {
                pipeline.predict(&[batch], &mut done)
            })?;
            Ok(done)
        };
        self.predict_pieces(model, &rows.schema, rows.rows(), pieces(rows, piece_rows), piece)
    }

    fn predict_stream(
        &self,
        model: &ModelParts,
        rows: &mut dyn RowStream,
        take: PredictionSink<'_>,
    ) -> Result<(), StageFault> {
        let (stop, mut given) = (rows.stopper(), 0);
        let next = || {
            let batch = rows.next()?;
            Ok(batch.map(|batch| {
                let first = given;
                given += batch.num_rows() as u64;
                (first, batch)
            }))
        };
        let step = |worker: &mut WorkerInstance<'_, Pipeline>, fed: Fed<(u64, RecordBatch)>| {
            let (first, batch) = fed.piece;
            let pipeline = worker.of_range(fed.is_first, |before| match before {
                Some(pipeline) => Pipeline::renewed(pipeline, model),
                None => Pipeline::new(self, model, &model.features),
            })?;
            let mut done = Vec::with_capacity(batch.num_rows() * model.width());
            each_within_cap(&batch, &model.features, &model.transformation, first, |batch| {
                pipeline.predict(&[batch], &mut done)
            })?;
            Ok(done)
        };
        let permits = permits(self.budget(), &model.training, usize::MAX)?;
        let start = || WorkerInstance::none(&model.training);
        in_order_fed(permits, self.stack(), next, &*stop, start, step, take)
    }

    fn transform_again(
        &self,
        context: &Arc<StageContext>,
        state: &Blob,
        inputs: &Schema,
        batches: &[RecordBatch],
    ) -> Result<(Schema, Vec<RecordBatch>), StageFault> {
        let mut transformer = Transformer::new(self, context, state, inputs)?;
        let mut transformed = Vec::with_capacity(batches.len());
        for batch in batches {
            each_within_cap(batch, inputs, context, 0, |batch| {
                transformer.transform(&batch, |_, features| {
                    let kept = packed::held_bytes(&features);
                    transformed.push(features);
                    Ok(kept as u64)
                })
            })?;
        }
        Ok((transformer.schema().clone(), transformed))
    }

    fn predict_again(
        &self,
        context: &Arc<StageContext>,
        model: &Blob,
        inputs: &Schema,
        task: &Task,
        batches: &[RecordBatch],
    ) -> Result<Vec<f64>, StageFault> {
        let mut predictor = Predictor::new(self, context, model, inputs, task)?;
        let mut numbers = Vec::new();
        for batch in batches {
            each_within_cap(batch, inputs, context, 0, |batch| {
                predictor.predict(&batch, |outputs, part| outputs.by_row(part, &mut numbers))
            })?;
        }
        Ok(numbers)
    }
}

impl Runtime {
    /// Predicts piece by piece, in order, with a fresh instance for each range of pieces. So
    /// predictions depend neither on other ranges nor on the number of workers.
    fn predict_pieces(
        &self,
        model: &ModelParts,
        inputs: &Schema,
        rows: u64,
        pieces: usize,
        piece: impl Fn(&mut Pipeline, usize) -> Result<Vec<f64>, StageFault> + Sync,
    ) -> Result<Vec<f64>, StageFault> {
        // Depends on the number of pieces only, never on the number of workers.
        let range = pieces.div_ceil(MAX_RANGES).max(1);
        let mut scores = Vec::with_capacity(rows as usize * model.width());
        in_order(
            pieces.div_ceil(range),
            permits(self.budget(), &model.training, pieces.div_ceil(range))?,
            self.stack(),
            || Ok(WorkerInstance::none(&model.training)),
            |worker, number, send| {
                let pipeline = worker.replace(|before| match before {
                    Some(pipeline) => Pipeline::renewed(pipeline, model),
                    None => Pipeline::new(self, model, inputs),
                })?;
                let mut done = Vec::new();
                for number in number * range..((number + 1) * range).min(pieces) {
                    done.extend(piece(pipeline, number)?);
                }
                send(done)
            },
            |_, done| {
                scores.extend(done);
                Ok(())
            },
        )?;
        Ok(scores)
    }
}

/// The instance that a worker reuses from one piece to the next. Dropping it takes time, which is
/// charged to the stage.
struct WorkerInstance<'a, T> {
    context: &'a StageContext,
    instance: Option<T>,
}

impl<'a, T> WorkerInstance<'a, T> {
    fn none(context: &'a StageContext) -> Self {
        Self { context, instance: None }
    }

    /// Returns the instance of a range, and replaces it if the range begins.
    fn of_range(
        &mut self,
        begins: bool,
        make: impl FnOnce(Option<T>) -> Result<T, StageFault>,
    ) -> Result<&mut T, StageFault> {
        match self.instance.take() {
            Some(instance) if !begins => Ok(self.instance.insert(instance)),
            instance => Ok(self.instance.insert(make(instance)?)),
        }
    }

    /// Replaces the instance by one that `make` makes from it.
    fn replace(&mut self, make: impl FnOnce(Option<T>) -> Result<T, StageFault>) -> Result<&mut T, StageFault> {
        let instance = make(self.instance.take())?;
        Ok(self.instance.insert(instance))
    }
}

impl<T> Drop for WorkerInstance<'_, T> {
    fn drop(&mut self) {
        let instance = self.instance.take();
        // An error is ignored: the stage has ended, or the fault of another worker ends it.
        let _ = self.context.on_behalf(|| {
            drop(instance);
            Ok(())
        });
    }
}

/// Returns the number of pieces of `rows` rows in a view.
fn pieces(view: &View, rows: usize) -> usize {
    view.rows().div_ceil(rows as u64) as usize
}

/// Passes the rows of one piece to `take`. Reads may end early, at the end of a chunk or at the
/// size limit of a batch, so a piece may come in several batches.
fn each_batch(
    view: &View,
    context: &StageContext,
    piece: usize,
    piece_rows: usize,
    mut take: impl FnMut(u64, RecordBatch) -> Result<(), StageFault>,
) -> Result<(), StageFault> {
    let mut start = (piece * piece_rows) as u64;
    let end = (start + piece_rows as u64).min(view.rows());
    while start < end {
        let rows = context.on_behalf(|| {
            let rows = view.table.read(start, (end - start) as usize, Some(&view.columns)).map_err(StageFault::host)?;
            batch::within_cap(&rows, &view.schema, context.world, start)
        })?;
        let count = rows.num_rows() as u64;
        take(start, rows).map_err(|fault| fault.counted_from(start))?;
        start += count;
    }
    Ok(())
}

/// Passes a batch to `take` in parts that meet the size limit. The number of its first row is
/// `first`.
fn each_within_cap(
    batch: &RecordBatch,
    schema: &Schema,
    context: &StageContext,
    first: u64,
    mut take: impl FnMut(RecordBatch) -> Result<(), StageFault>,
) -> Result<(), StageFault> {
    let mut done = 0;
    while done < batch.num_rows() {
        let start = first + done as u64;
        let part = context.on_behalf(|| {
            batch::within_cap(&batch.slice(done, batch.num_rows() - done), schema, context.world, start)
        })?;
        done += part.num_rows();
        take(part).map_err(|fault| fault.counted_from(start))?;
    }
    Ok(())
}
