//! Models that keep state: with `Isolation::Pooled` a request reaches the answer to a later one,
//! and with `Isolation::Fresh` it does not, wherever the state is.

mod model;

use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow_array::RecordBatch;
use model::{GENEROUS, Nobody, parts, rows, schema};
use stagewright_hostile::{Place, Workshop};
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::isolation_check::check_isolation;
use stagewright_lifecycle::sandbox::{
    Component, Isolation, Level, ModelParts, ModelSession, ModelSessions as _, Tracker,
};
use stagewright_manifest::World;
use stagewright_runtime::StubGrants;

/// The models that keep something.
const KEEPERS: [&str; 9] =
    ["memory", "grown-memory", "memory-size", "global", "table", "table-size", "handles", "blob", "figure"];

fn keeper(workshop: &Workshop, name: &str) -> Arc<Component> {
    let file = Path::new(env!("OUT_DIR")).join("shapes").join(format!("keeps-{name}.wasm"));
    let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    workshop.resolve(World::Training, name, &bytes, StubGrants::default()).unwrap_or_else(|error| panic!("{error}"))
}

struct Model<'a> {
    workshop: &'a Workshop,
    parts: ModelParts,
}

impl<'a> Model<'a> {
    fn new(workshop: &'a Workshop, name: &str) -> Self {
        Self::heard_by(workshop, name, Arc::new(Nobody))
    }

    fn heard_by(workshop: &'a Workshop, name: &str, tracker: Arc<dyn Tracker>) -> Self {
        let components = [workshop.component(World::Transformation), keeper(workshop, name)];
        Self { workshop, parts: parts(workshop, components, tracker) }
    }

    fn open(&self, isolation: Isolation) -> Box<dyn ModelSession> {
        let session = self.workshop.runtime().open(&self.parts, GENEROUS, isolation);
        session.unwrap_or_else(|fault| panic!("{fault}"))
    }
}

/// The bits of an answer, or its fault.
fn answer(session: &mut dyn ModelSession, secret: f64) -> Result<Vec<u64>, String> {
    let numbers = session.predict(&[rows(secret, 1)]).map_err(|fault| fault.to_string())?;
    Ok(numbers.into_iter().map(f64::to_bits).collect())
}

/// Returns the answers to the same request after two other ones.
fn probed(model: &Model<'_>, isolation: Isolation) -> [Result<Vec<u64>, String>; 2] {
    [0.1, 0.9].map(|secret| {
        let mut session = model.open(isolation);
        answer(&mut *session, secret).unwrap_or_else(|fault| panic!("the first request: {fault}"));
        answer(&mut *session, 0.3)
    })
}

// invariant: With fresh instances, no request reaches the answer to a later one, wherever a
// component keeps it: linear memory, globals, tables, handles, or what the host holds for it.
#[test]
fn what_a_model_keeps_of_a_request_is_in_no_later_answer_of_fresh_instances() {
    for place in [Place::Processes, Place::Here] {
        let workshop = Workshop::open(place);
        for name in KEEPERS {
            let model = Model::new(&workshop, name);
            let [low, high] = probed(&model, Isolation::Pooled);
            assert_ne!(low, high, "`{name}` shows nothing in pooled instances");

            let alone = answer(&mut *model.open(Isolation::Fresh), 0.3).expect("an answer");
            let mut session = model.open(Isolation::Fresh);
            for secret in [0.1, 0.9, 0.9, 0.4, 0.1, 0.9] {
                answer(&mut *session, secret).unwrap_or_else(|fault| panic!("`{name}`: {fault}"));
                assert_eq!(answer(&mut *session, 0.3).as_ref(), Ok(&alone), "`{name}` after {secret}");
            }
            // Requests that are predicted together.
            let together = session.predict(&[rows(0.1, 3), rows(0.3, 1), rows(0.9, 1), rows(0.3, 1)]);
            let together: Vec<_> = together.expect("answers").into_iter().map(f64::to_bits).collect();
            assert_eq!([together[3], together[5]], [alone[0]; 2], "`{name}` beside others");
            assert!(session.is_alive());
        }
    }
}

/// A model that keeps state is found by its answers, and one that keeps none is not accused.
#[test]
fn a_model_that_keeps_state_is_found_by_its_answers() {
    let workshop = Workshop::open(Place::Processes);
    let secrets: Vec<_> = (0..90).map(|row| rows(f64::from(row % 9) / 10.0, 1)).collect();
    let together =
        |rows: &[RecordBatch]| arrow_select::concat::concat_batches(&schema().to_arrow(), rows).expect("one schema");
    for name in KEEPERS {
        let model = Model::new(&workshop, name);
        let found = check_isolation(&model.parts, workshop.runtime(), &together(&secrets), GENEROUS);
        let fault = found.expect_err(name).to_string();
        // Without its blob, the component fails before it answers.
        assert!(name == "blob" || fault.contains("keeps something of a request"), "`{name}`: {fault}");
    }
    // Of these rows, none is above a half.
    let model = Model::new(&workshop, "traps");
    let low: Vec<_> = (0..40).map(|row| rows(f64::from(row) / 100.0, 1)).collect();
    let answers = check_isolation(&model.parts, workshop.runtime(), &together(&low), GENEROUS);
    let answers = answers.expect("it keeps nothing");
    assert_eq!(answers, 5 * 40);
}

// invariant: as `what_a_model_keeps_of_a_request_is_in_no_later_answer_of_fresh_instances`
#[test]
fn a_trap_costs_its_request_and_no_other_one_of_a_fresh_session() {
    let workshop = Workshop::open(Place::Processes);
    let model = Model::new(&workshop, "traps");
    let mut session = model.open(Isolation::Fresh);
    let expected = Ok(vec![0.2_f64.to_bits()]);
    for _ in 0..50 {
        assert_eq!(answer(&mut *session, 0.2), expected);
        let fault = session.predict(&[rows(0.9, 1)]).expect_err("it traps");
        assert!(matches!(fault, StageFault::Trap { .. }), "{fault}");
        assert!(session.is_alive(), "the instances are as they were after loading");
    }
    // The fault is one of several requests, and the others are asked again.
    let fault = session.predict(&[rows(0.2, 1), rows(0.9, 1), rows(0.2, 1), rows(0.2, 1)]);
    assert!(matches!(fault, Err(StageFault::Trap { .. })));
    assert_eq!(answer(&mut *session, 0.2), expected);
    // In a pooled session, nobody knows what a trap has left.
    let mut pooled = model.open(Isolation::Pooled);
    assert_eq!(answer(&mut *pooled, 0.2), expected);
    pooled.predict(&[rows(0.9, 1)]).expect_err("it traps");
    assert!(!pooled.is_alive());
}

/// Remembers the lines of a model.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Tracker for Lines {
    fn log(&self, _: Level, line: &str) {
        self.0.lock().expect("no panic holds this lock").push(line.to_owned());
    }
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: stagewright_lifecycle::sandbox::Figure) {}
}

/// Requests that are sent to the process together, and must be sent again if the model asks for
/// something or logs more than can be held back.
#[test]
fn each_line_of_a_model_is_logged_once_however_its_requests_are_sent() {
    let workshop = Workshop::open(Place::Processes);
    for (name, count) in [("logs", 1), ("logs", 1500), ("logs-and-asks", 1)] {
        let lines = Arc::new(Lines::default());
        let model = Model::heard_by(&workshop, name, lines.clone());
        let request = rows(0.3, count);
        model.open(Isolation::Fresh).predict(&[request.clone(), request]).expect("answers");
        let lines = lines.0.lock().expect("no panic holds this lock");
        assert_eq!(*lines, vec!["a"; 2 * count], "`{name}` of {count} rows");
    }
}

#[test]
fn thousands_of_requests_of_any_size_get_the_same_answers_from_fresh_and_pooled_instances() {
    let workshop = Workshop::open(Place::Processes);
    let model = Model::new(&workshop, "traps");
    let (mut fresh, mut pooled) = (model.open(Isolation::Fresh), model.open(Isolation::Pooled));
    for number in 0..3000_usize {
        let count = [1, 2, 64, 700, 7000][if number % 300 == 0 { number / 300 % 5 } else { number % 3 }];
        let rows = rows(number as f64 / 6000.0, count);
        let one = fresh.predict(std::slice::from_ref(&rows)).expect("an answer");
        assert_eq!(one.len(), count);
        assert_eq!(one, pooled.predict(&[rows]).expect("an answer"));
    }
    // More than is sent ahead.
    let many: Vec<_> = (0..200).map(|number| rows(number as f64 / 1000.0, 400)).collect();
    let one_by_one = many.iter().flat_map(|rows| pooled.predict(std::slice::from_ref(rows)).expect("an answer"));
    assert_eq!(fresh.predict(&many).expect("answers"), one_by_one.collect::<Vec<_>>());
}
