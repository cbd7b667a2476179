//! One run for each of several values or segments.
//!
//! The requested run becomes the parent: it does the steps that are done once, and its record has
//! only these. Each child is a run with its own model, which is registered and judged like any
//! other, and is tagged with its parent as in MLflow. Children run at the same time within the
//! budget of the process. No child reads artifacts of another one, so neither results nor records
//! depend on their order.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use stagewright_manifest::{ForeachSection, Input, Manifest, OnFailure, Over, Step, World};
use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{Home, Page, Registry, Run as RunRecord, RunId, StoreError, ViewType};

use tracing::Span;

use crate::artifact::{SEGMENT_LIST, Segments, TABLE};
use crate::fault::{StageFault, guest_name};
use crate::plan::{self, PlannedStep};
use crate::run::artifacts::RunArtifacts;
use crate::run::base_run::{self, narrowed, segments_id};
use crate::run::config::BASE_RUN;
use crate::run::context::Run;
use crate::run::{Request, Reuse};
use crate::run::{outputs, spans};
use crate::run_error::RunError;
use crate::summary::Summary;

pub use crate::run::config::{ChildOf, PARENT_TAG};

/// A run with its children.
#[derive(Debug)]
pub struct Family {
    /// The steps that were done once.
    pub summary: Summary,
    /// The children, in the order of their values.
    pub children: Vec<ChildRun>,
}

impl Family {
    /// Returns the numbers of executed and of cached steps, of the parent and the children.
    pub fn counts(&self) -> (usize, usize) {
        let all = self.children.iter().filter_map(ChildRun::summary).chain([&self.summary]);
        all.fold((0, 0), |(executed, cached), it| (executed + it.executed, cached + it.cached))
    }
}

/// A child that was run, or was to be run.
#[derive(Debug)]
pub struct ChildRun {
    /// Its name.
    pub name: String,
    /// The value of the key or of the column.
    pub value: Value,
    /// The name of its model.
    pub model: String,
    /// The number of rows of its segment; `None` if it reads the whole table.
    pub rows: Option<u64>,
    /// The way it ended.
    pub end: ChildEnd,
}

/// The way a child ended.
#[derive(Debug)]
pub enum ChildEnd {
    /// It was run. Holds the error that ended it, if any.
    Ran(Box<Summary>, Option<Arc<RunError>>),
    /// It was not run, because its segment has too few rows. Holds the number of rows that it
    /// needs.
    TooFewRows(u64),
    /// It was not run, because another child failed or the run was cancelled.
    NotRun,
}

impl ChildRun {
    /// Returns the summary of its run, if it was run.
    pub fn summary(&self) -> Option<&Summary> {
        if let ChildEnd::Ran(summary, _) = &self.end { Some(summary) } else { None }
    }

    /// Returns the error that ended it, if any.
    pub fn error(&self) -> Option<&Arc<RunError>> {
        if let ChildEnd::Ran(_, Some(error)) = &self.end { Some(error) } else { None }
    }
}

/// The plan of a run with its children.
#[derive(Debug)]
pub struct PlannedFamily {
    /// The steps that are done once.
    pub steps: Vec<PlannedStep>,
    /// The children; `None` if they are not known, because the table is not divided yet.
    pub children: Option<Vec<PlannedChild>>,
}

/// The plan of a child.
#[derive(Debug)]
pub struct PlannedChild {
    /// Its name.
    pub name: String,
    /// The value of the key or of the column.
    pub value: Value,
    /// The name of its model.
    pub model: String,
    /// The number of rows of its segment; `None` if it reads the whole table.
    pub rows: Option<u64>,
    /// Its steps; none if its segment has too few rows.
    pub steps: Vec<PlannedStep>,
}

/// A child that is to be run.
struct ChildRequest {
    name: String,
    value: Value,
    manifest: Arc<Manifest>,
    rows: Option<u64>,
    /// The number of rows that it needs, if it has fewer.
    too_few: Option<u64>,
}

/// Runs a pipeline for each of its values or segments. A pipeline without any is a single run.
///
/// # Errors
/// The error of a step that is done once, or else [`RunError::Children`] if a child failed. The
/// other children are still run.
pub fn execute(request: Request) -> (Family, Result<(), RunError>) {
    let Some(foreach) = request.manifest.foreach.clone() else {
        let (summary, result) = Run::execute(request);
        return (Family { summary, children: Vec::new() }, result);
    };
    let span = spans::run(&request);
    let (family, result) = span.in_scope(|| execute_in(&span, &request, &foreach));
    spans::end_run(&span, &family.summary, &result);
    (family, result)
}

fn execute_in(span: &Span, request: &Request, foreach: &ForeachSection) -> (Family, Result<(), RunError>) {
    let mut run = match Run::begin(request.clone(), span) {
        Ok(run) => run,
        Err(error) => return (Family { summary: Summary::of(String::new()), children: Vec::new() }, Err(error)),
    };
    run.request.manifest = Arc::new(run.request.manifest.before_segments());
    run.request.observer.run_started(&run.id);
    let mut artifacts = RunArtifacts::new(request.home.artifacts.clone());
    let mut children = Vec::new();
    let may_be_written = outputs::check(&request.manifest, &request.home);
    let result = may_be_written.and_then(|()| do_shared_steps(&run, foreach, &mut artifacts)).and_then(|()| {
        let wanted = child_requests(&run, &request.manifest, foreach, &artifacts)?;
        let once = if over_segments(foreach) { &run.request.manifest.outputs[..] } else { &[] };
        let manifests = wanted.iter().map(|child| &*child.manifest);
        outputs::check_children(&request.manifest, once, manifests, &request.home)?;
        children = run_children(&run, request, foreach, wanted)?;
        result_of(request, &children)
    });
    let result = run.end(result);
    (Family { summary: Summary::of_run(&run, &artifacts, None), children }, result)
}

/// Plans the steps of a parent and its children.
///
/// # Errors
/// As for [`plan::plan`].
pub fn plan(request: Request) -> Result<PlannedFamily, RunError> {
    let Some(foreach) = request.manifest.foreach.clone() else {
        return Ok(PlannedFamily { steps: plan::plan(request)?, children: Some(Vec::new()) });
    };
    // Nothing is recorded under this id.
    let run = Run::of(request.clone(), "0".repeat(32).parse()?, Span::none());
    let (steps, artifacts) =
        plan::steps(&run, RunArtifacts::new(request.home.artifacts.clone()), &shared_steps(&run, &foreach))?;
    let is_known = !over_segments(&foreach) || artifacts.record(&segments_id()?).is_some();
    if !is_known {
        return Ok(PlannedFamily { steps, children: None });
    }
    let mut children = Vec::new();
    for child in child_requests(&run, &request.manifest, &foreach, &artifacts)? {
        let request_of_child = request_of(&request, &run.id, &foreach, &child, None);
        let of_child = Run::of(request_of_child, run.id.clone(), Span::none());
        let artifacts = if over_segments(&foreach) {
            narrowed(&of_child, artifacts.clone(), &child.name)?
        } else {
            RunArtifacts::new(request.home.artifacts.clone())
        };
        let asked = of_child.request.manifest.graph.steps().iter();
        let asked: Vec<Step> = asked.filter(|step| of_child.is_requested(step)).cloned().collect();
        let steps = if child.too_few.is_some() { Vec::new() } else { plan::steps(&of_child, artifacts, &asked)?.0 };
        let ChildRequest { name, value, manifest, rows, .. } = child;
        children.push(PlannedChild { name, value, model: manifest.model.to_string(), rows, steps });
    }
    Ok(PlannedFamily { steps, children: Some(children) })
}

/// Returns the children of a run in the order of their names, and children with one name in the
/// order in which they began.
///
/// # Errors
/// The registry cannot be read.
pub fn children_of(registry: &Registry, parent: &RunId) -> Result<Vec<RunRecord>, StoreError> {
    let filter = Filter::parse(Entity::Runs, &format!("tags.`{PARENT_TAG}` = '{parent}'"))?;
    let order = OrderBy::parse::<&str>(Entity::Runs, &[])?;
    let page = Page { limit: usize::try_from(stagewright_manifest::MAX_CHILDREN).unwrap_or(usize::MAX), offset: 0 };
    let mut children = registry.search_runs(None, &filter, &order, ViewType::Active, page)?;
    // Children begin at the same time, so their order depends on the machine.
    let name = |run: &RunRecord| ChildOf::of(&run.config).map(|child| child.name);
    // A stage that was run alone on a child has the same tag, but is not a child itself.
    let is_child =
        |run: &RunRecord| run.config.get(BASE_RUN).and_then(Value::as_str).is_none_or(|it| it == parent.as_str());
    children.retain(is_child);
    children.sort_by_cached_key(|run| (name(run), run.started_ms));
    Ok(children)
}

fn over_segments(foreach: &ForeachSection) -> bool {
    matches!(foreach.over, Over::Column { .. })
}

/// Returns the steps that are done once: those that make the table, and the division into segments.
fn shared_steps(run: &Run, foreach: &ForeachSection) -> Vec<Step> {
    let Request { manifest, stages, .. } = &run.request;
    let steps = manifest.graph.steps().iter();
    let mut steps: Vec<Step> =
        steps.filter(|step| foreach.is_before(step.world) && run.is_requested(step)).cloned().collect();
    let maker = steps.iter().find(|step| step.id == *manifest.table_step()).cloned();
    // A run that ends with its table has no segments.
    if let (Some(maker), Ok(id)) = (maker.filter(|_| *stages.end() >= World::Validation), segments_id()) {
        let mut line = maker.line;
        line.insert(World::Ingestion, maker.id.clone());
        let table = Input { name: TABLE.name.name.to_owned(), step: maker.id, artifact: TABLE.name.name };
        steps.push(Step { id, stage: maker.stage, world: maker.world, inputs: vec![table], after: Vec::new(), line });
    }
    steps
}

/// Does the steps that are done once.
fn do_shared_steps(run: &Run, foreach: &ForeachSection, artifacts: &mut RunArtifacts) -> Result<(), RunError> {
    let steps = shared_steps(run, foreach);
    run.do_steps(steps.iter().collect(), artifacts, &BTreeMap::new())?;
    if over_segments(foreach) { outputs::write(run, artifacts, true) } else { Ok(()) }
}

/// Returns the children to run; none if the run ends before them.
fn child_requests(
    run: &Run,
    manifest: &Manifest,
    foreach: &ForeachSection,
    artifacts: &RunArtifacts,
) -> Result<Vec<ChildRequest>, RunError> {
    let Over::Column { column, min_rows, max_children, .. } = &foreach.over else {
        let children = manifest.children.iter().map(|child| ChildRequest {
            name: child.name.clone(),
            value: child.value.clone(),
            manifest: child.manifest.clone(),
            rows: None,
            too_few: None,
        });
        return Ok(children.collect());
    };
    if *run.request.stages.end() < World::Validation {
        return Ok(Vec::new());
    }
    let wrong = |message: String, value: Option<String>| StageFault::Data {
        stage: manifest.table_step().clone(),
        message,
        column: Some(guest_name(column)),
        row: None,
        value,
    };
    let mut wanted = Vec::new();
    let list: Segments = artifacts.of_step(&segments_id()?, &SEGMENT_LIST)?;
    // An earlier run may have divided the table with a larger `max-children`.
    if list.segments.len() as u64 > *max_children {
        let message =
            format!("it has {} segments, more than {max_children} (`max-children` of [foreach])", list.segments.len());
        return Err(wrong(message, None).into());
    }
    for segment in list.segments {
        let child = manifest.of_child(foreach, &segment.name).map_err(|(model, rule)| {
            let message = format!("its model would be `{}`, which cannot be a name: {rule}", guest_name(&model));
            wrong(message, Some(guest_name(&segment.value.to_string())))
        })?;
        wanted.push(ChildRequest {
            name: segment.name,
            value: segment.value,
            manifest: Arc::new(child),
            rows: Some(segment.rows),
            too_few: (segment.rows < *min_rows).then_some(*min_rows),
        });
    }
    if wanted.iter().all(|child| child.too_few.is_some()) {
        let message = format!("none of its {} segments has {min_rows} rows (`min-rows` of [foreach])", wanted.len());
        return Err(wrong(message, None).into());
    }
    Ok(wanted)
}

/// Returns the request for a child.
fn request_of(
    request: &Request,
    parent: &RunId,
    foreach: &ForeachSection,
    child: &ChildRequest,
    resumed: Option<RunId>,
) -> Request {
    let is_segment = over_segments(foreach);
    let first = if is_segment { World::Validation } else { *request.stages.start() };
    Request {
        manifest: child.manifest.clone(),
        stages: first..=*request.stages.end(),
        base_run: is_segment.then(|| parent.clone()),
        child: Some(ChildOf {
            parent: parent.clone(),
            name: child.name.clone(),
            value: child.value.clone(),
            is_segment,
        }),
        reuse: Reuse { resumed, ..request.reuse.clone() },
        observer: request.observer.of_child(&child.name),
        ..request.clone()
    }
}

/// Returns the runs that the children resume, by name: the children of the run that the parent
/// resumes, or of one that that run resumed.
fn resumed_children(home: &Home, parent: Option<RunId>) -> Result<BTreeMap<String, RunId>, StoreError> {
    let mut found = BTreeMap::new();
    for parent in base_run::resumed(home, parent)? {
        // Of one parent, the latest child with a name counts.
        for child in children_of(&home.registry, &parent)?.into_iter().rev() {
            let Some(ChildOf { name, .. }) = ChildOf::of(&child.config) else { continue };
            found.entry(name).or_insert(child.run_id);
        }
    }
    Ok(found)
}

/// Runs the children: at the same time, or one after the other if the first failure ends the run.
fn run_children(
    run: &Run,
    request: &Request,
    foreach: &ForeachSection,
    wanted: Vec<ChildRequest>,
) -> Result<Vec<ChildRun>, RunError> {
    let parent = &run.id;
    let earlier = resumed_children(&request.home, request.reuse.resumed.clone())?;
    let at_once = if foreach.on_failure == OnFailure::Stop { 1 } else { request.workers.min(wanted.len()) };
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let ends: Vec<Mutex<ChildEnd>> = wanted.iter().map(|_| Mutex::new(ChildEnd::NotRun)).collect();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(child) = wanted.get(at) else { break };
                    if is_over.load(Ordering::Relaxed) || request.cancel.is_cancelled() {
                        break;
                    }
                    let resumed = earlier.get(&child.name).cloned();
                    let of_child = request_of(request, parent, foreach, child, resumed);
                    // The child's spans are children of its parent's span, on whichever thread it
                    // runs.
                    let end = run.span.in_scope(|| run_child(of_child, child.too_few));
                    if foreach.on_failure == OnFailure::Stop && matches!(end, ChildEnd::Ran(_, Some(_))) {
                        is_over.store(true, Ordering::Relaxed);
                    }
                    // The only change under this lock is one assignment.
                    *ends[at].lock().unwrap_or_else(PoisonError::into_inner) = end;
                }
            });
        }
    });
    let ends = ends.into_iter().map(|end| end.into_inner().unwrap_or_else(PoisonError::into_inner));
    let children = wanted.into_iter().zip(ends).map(|(child, end)| {
        let ChildRequest { name, value, manifest, rows, .. } = child;
        ChildRun { name, value, model: manifest.model.to_string(), rows, end }
    });
    Ok(children.collect())
}

/// Runs a child.
fn run_child(request: Request, too_few: Option<u64>) -> ChildEnd {
    if let Some(asked) = too_few {
        return ChildEnd::TooFewRows(asked);
    }
    let observer = request.observer.clone();
    let work = AssertUnwindSafe(|| Run::execute(request));
    let (summary, result) = std::panic::catch_unwind(work).unwrap_or_else(|_| {
        let fault = StageFault::host("a thread of the host panicked: please report it");
        (Summary::of(String::new()), Err(fault.into()))
    });
    observer.run_ended(&summary, result.as_ref().err());
    ChildEnd::Ran(Box::new(summary), result.err().map(Arc::new))
}

/// Returns the result of the parent, which depends on its children's.
fn result_of(request: &Request, children: &[ChildRun]) -> Result<(), RunError> {
    if request.cancel.is_cancelled() {
        return Err(StageFault::Cancelled { stage: segments_id()? }.into());
    }
    let failed: Vec<&ChildRun> = children.iter().filter(|child| child.error().is_some()).collect();
    let Some((first, error)) = failed.first().and_then(|first| Some((first, first.error()?))) else { return Ok(()) };
    Err(RunError::Children {
        failed: failed.len(),
        children: children.len(),
        first: first.name.clone(),
        why: error.clone(),
    })
}
