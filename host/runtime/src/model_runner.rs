//! The lifecycle's [`ModelRunner`]: transformers and predictors over many rows, in several
//! instances.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use stagewright_data::Task;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::{ModelParts, ModelRunner, StageContext, TransformSink, View};
use stagewright_store::{Blob, Schema, packed};

use crate::batch;
use crate::parallel::{SendPart, in_order, permits};
use crate::predictor::{Pipeline, Predictor, Transformer, rows_of_crossing};
use crate::runtime::Runtime;
use crate::stage_host::contract_fault;

/// The most ranges into which rows are divided for predictions. Each loads the model anew. They are
/// few enough that this costs little beside the rows, and enough for every worker to have its
/// share.
const MAX_RANGES: usize = 32;

impl ModelRunner for Runtime {
    fn transform(
        &self,
        context: Arc<StageContext>,
        state: &Blob,
        rows: &View,
        sink: TransformSink<'_>,
    ) -> Result<(), StageFault> {
        // The size of the transformed rows decides how many of them an instance gets: of those of a
        // usual width, what fits a crossing. However wide they are, a worker holds three parts at
        // most, each of one crossing. The instance that tells the size makes the first of them.
        let first = Transformer::new(self, &context, state, &rows.schema)?;
        let piece_rows = rows.table.schema().chunk_rows().min(rows_of_crossing(first.schema()));
        let first = Mutex::new(Some(first));
        // A new instance for each piece: what it made of other rows, and how many workers there
        // are, leaves no trace.
        let fresh = |piece: usize, before: Option<Transformer>| {
            // The lock is over before an instance starts: workers do not wait for each other.
            let first = first.lock().unwrap_or_else(PoisonError::into_inner).take_if(|_| piece == 0);
            match (first, before) {
                (Some(first), _) => Ok(first),
                (None, Some(before)) => before.renewed(state),
                (None, None) => Transformer::new(self, &context, state, &rows.schema),
            }
        };
        let step = |kept: &mut Kept<'_, _>, piece: usize, give: SendPart<'_, (Schema, Option<(u64, RecordBatch)>)>| {
            let transformer = kept.fresh(|before| fresh(piece, before))?;
            let schema = transformer.schema().clone();
            if rows.rows() == 0 {
                give((schema.clone(), None))?;
            }
            each_batch(rows, &context, piece, piece_rows, |start, batch| {
                transformer.transform(&batch, |place, features| {
                    give((schema.clone(), Some((start + place as u64, features))))?;
                    Ok(0)
                })
            })
        };
        let mut declared = None;
        let start = || Ok(Kept::nothing(&context));
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
                done.extend(pipeline.predict(&batch)?);
                Ok(())
            })?;
            Ok(done)
        };
        self.predict_pieces(model, &rows.schema, rows.rows(), pieces(rows, piece_rows), piece)
    }

    fn predict_batch(&self, model: &ModelParts, rows: &RecordBatch) -> Result<Vec<f64>, StageFault> {
        let most = model.features.chunk_rows();
        let piece = |pipeline: &mut Pipeline, piece: usize| {
            let start = piece * most;
            let mut done = Vec::new();
            let part = rows.slice(start, most.min(rows.num_rows() - start));
            each_within_cap(&part, &model.features, &model.transformation, start as u64, |batch| {
                done.extend(pipeline.predict(&batch)?);
                Ok(())
            })?;
            Ok(done)
        };
        self.predict_pieces(model, &model.features, rows.num_rows() as u64, rows.num_rows().div_ceil(most), piece)
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
                predictor.predict(&batch, |predictor, part| numbers.extend(predictor.by_row(&part)))
            })?;
        }
        Ok(numbers)
    }
}

impl Runtime {
    /// Predictions piece by piece, in order, each range of pieces by a new instance: so they hang
    /// neither on other ranges nor on the number of workers.
    fn predict_pieces(
        &self,
        model: &ModelParts,
        inputs: &Schema,
        rows: u64,
        pieces: usize,
        piece: impl Fn(&mut Pipeline, usize) -> Result<Vec<f64>, StageFault> + Sync,
    ) -> Result<Vec<f64>, StageFault> {
        // By the pieces alone, never by the workers.
        let range = pieces.div_ceil(MAX_RANGES).max(1);
        let mut scores = Vec::with_capacity(rows as usize * model.width());
        in_order(
            pieces.div_ceil(range),
            permits(self.budget(), &model.training, pieces.div_ceil(range))?,
            self.stack(),
            || Ok(Kept::nothing(&model.training)),
            |kept, number, give| {
                let pipeline = kept.fresh(|before| match before {
                    Some(pipeline) => Pipeline::renewed(pipeline, model),
                    None => Pipeline::new(self, model, inputs),
                })?;
                let mut done = Vec::new();
                for number in number * range..((number + 1) * range).min(pieces) {
                    done.extend(piece(pipeline, number)?);
                }
                give(done)
            },
            |_, done| {
                scores.extend(done);
                Ok(())
            },
        )?;
        Ok(scores)
    }
}

/// The instance that a worker keeps from one piece to the next. To give it back takes time, which
/// is the stage's.
struct Kept<'a, T> {
    context: &'a StageContext,
    kept: Option<T>,
}

impl<'a, T> Kept<'a, T> {
    fn nothing(context: &'a StageContext) -> Self {
        Self { context, kept: None }
    }

    /// Puts another in the place of the one that was kept.
    fn fresh(&mut self, make: impl FnOnce(Option<T>) -> Result<T, StageFault>) -> Result<&mut T, StageFault> {
        let made = make(self.kept.take())?;
        Ok(self.kept.insert(made))
    }
}

impl<T> Drop for Kept<'_, T> {
    fn drop(&mut self) {
        let kept = self.kept.take();
        // The stage is over, or another worker's fault ends it.
        let _ = self.context.on_behalf(|| {
            drop(kept);
            Ok(())
        });
    }
}

/// Into how many pieces of `rows` rows a view falls.
fn pieces(view: &View, rows: usize) -> usize {
    view.rows().div_ceil(rows as u64) as usize
}

/// The rows of one piece. Reads may end early, at a chunk or at the cap of a crossing; so a piece
/// may come as several batches.
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

/// A batch in as many as crossings take; its rows are counted from `first` on.
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
