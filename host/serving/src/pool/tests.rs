//! A pool over sessions that do what their rows say.

use std::sync::atomic::AtomicUsize;

use arrow_array::{Float64Array, RecordBatch};
use stagewright_store::{DataType, Field, Schema};

use super::*;

/// A row whose prediction fails, and ends its session.
const FAILS: f64 = -1.0;

/// A row whose prediction takes until the gate opens.
const WAITS: f64 = -2.0;

/// Directs the sessions of a pool and counts their calls.
#[derive(Default)]
struct World {
    opened: AtomicUsize,
    /// The rows of each call.
    calls: Mutex<Vec<usize>>,
    gate: Mutex<bool>,
    opens: Condvar,
}

impl World {
    fn open_gate(&self) {
        *self.gate.lock().unwrap() = true;
        self.opens.notify_all();
    }

    fn wait_for_gate(&self) {
        let mut is_open = self.gate.lock().unwrap();
        while !*is_open {
            is_open = self.opens.wait(is_open).unwrap();
        }
    }
}

/// A session that answers each number with its double.
struct Doubling(Arc<World>, bool);

impl ModelSession for Doubling {
    fn predict(&mut self, rows: &[RecordBatch]) -> Result<Vec<f64>, StageFault> {
        assert!(self.1, "a session that failed is not asked again");
        let all: Vec<f64> = rows.iter().flat_map(numbers_of).collect();
        self.0.calls.lock().unwrap().push(all.len());
        if all.contains(&WAITS) {
            self.0.wait_for_gate();
        }
        if all.contains(&FAILS) {
            self.1 = false;
            return Err(StageFault::host("a row fails"));
        }
        Ok(all.into_iter().map(|number| 2.0 * number).collect())
    }

    fn is_alive(&self) -> bool {
        self.1
    }
}

fn numbers_of(batch: &RecordBatch) -> Vec<f64> {
    let column = batch.column(0).as_any().downcast_ref::<Float64Array>().expect("a column of numbers");
    column.values().to_vec()
}

fn rows(numbers: &[f64]) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("x", DataType::Float64)]).expect("one name");
    RecordBatch::try_new(schema.to_arrow(), vec![Arc::new(Float64Array::from(numbers.to_vec()))]).expect("one column")
}

fn pool(world: &Arc<World>, options: PoolOptions) -> Arc<Pool> {
    let shared = world.clone();
    let open = move || -> Result<Box<dyn ModelSession>, StageFault> {
        shared.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Doubling(shared.clone(), true)))
    };
    Arc::new(Pool::start(Box::new(open), 1, options).expect("sessions open"))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime")
}

/// Predicts requests at once, and returns their results in order.
async fn at_once(pool: &Arc<Pool>, requests: Vec<Vec<f64>>) -> Vec<Result<Vec<f64>, String>> {
    let predict = |numbers: Vec<f64>| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.predict(rows(&numbers)).await.map_err(|fault| fault.to_string()) })
    };
    let asked: Vec<_> = requests.into_iter().map(predict).collect();
    let mut results = Vec::new();
    for result in asked {
        results.push(result.await.expect("no request panics"));
    }
    results
}

/// Waits until the rows that wait are this many.
async fn until_waiting(pool: &Pool, rows: usize) {
    while pool.waiting_rows() != rows {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn every_request_gets_the_values_of_its_own_rows() {
    let world = Arc::new(World::default());
    let pool = pool(&world, PoolOptions::default());
    let requests: Vec<Vec<f64>> = (0..200).map(|n| (0..n % 5).map(|k| f64::from(1000 * n + k)).collect()).collect();
    let results = runtime().block_on(at_once(&pool, requests.clone()));
    for (numbers, result) in requests.iter().zip(results) {
        let doubled: Vec<f64> = numbers.iter().map(|number| 2.0 * number).collect();
        assert_eq!(result.as_ref(), Ok(&doubled));
    }
}

#[test]
fn requests_that_wait_are_predicted_together_up_to_the_number_of_rows() {
    let world = Arc::new(World::default());
    let pool = pool(&world, PoolOptions { gathered_rows: 4, ..PoolOptions::default() });
    runtime().block_on(async {
        // Both threads are held up, so that the others gather behind them.
        let held = tokio::spawn({
            let pool = pool.clone();
            async move { at_once(&pool, vec![vec![WAITS]]).await }
        });
        while world.calls.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let second = tokio::spawn({
            let pool = pool.clone();
            async move { at_once(&pool, vec![vec![WAITS]]).await }
        });
        while world.calls.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let more = tokio::spawn({
            let pool = pool.clone();
            async move { at_once(&pool, vec![vec![1.0]; 10]).await }
        });
        until_waiting(&pool, 10).await;
        world.open_gate();
        assert!(more.await.unwrap().iter().all(|result| result == &Ok(vec![2.0])));
        held.await.unwrap();
        second.await.unwrap();
    });
    let calls = world.calls.lock().unwrap().clone();
    assert_eq!(calls.iter().sum::<usize>(), 12);
    assert_eq!(calls.iter().max(), Some(&4), "{calls:?}");
}

// invariant: A fault of a model costs its own request: requests that were predicted with it
// succeed.
#[test]
fn a_row_that_fails_costs_its_own_request_alone() {
    let world = Arc::new(World::default());
    let pool = pool(&world, PoolOptions::default());
    let requests: Vec<Vec<f64>> = (0..100).map(|n| vec![if n % 10 == 3 { FAILS } else { f64::from(n) }]).collect();
    let results = runtime().block_on(at_once(&pool, requests.clone()));
    for (numbers, result) in requests.iter().zip(results) {
        match numbers[0] {
            FAILS => assert!(result.as_ref().is_err_and(|fault| fault.contains("a row fails")), "{result:?}"),
            number => assert_eq!(result, Ok(vec![2.0 * number])),
        }
    }
    let faulted = pool.counts().faulted.load(Ordering::Relaxed);
    assert!(faulted >= 10, "each fault ends a session: {faulted}");
    assert!(world.opened.load(Ordering::Relaxed) as u64 > faulted, "and another takes its place");
}

#[test]
fn a_call_that_takes_long_holds_up_nobody_else() {
    let world = Arc::new(World::default());
    let pool = pool(&world, PoolOptions::default());
    runtime().block_on(async {
        let held = tokio::spawn({
            let pool = pool.clone();
            async move { at_once(&pool, vec![vec![WAITS]]).await }
        });
        while world.calls.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let others = at_once(&pool, (0..50).map(|n| vec![f64::from(n)]).collect()).await;
        assert!(others.iter().all(Result::is_ok), "the gate is still closed");
        world.open_gate();
        held.await.unwrap();
    });
}

#[test]
fn a_full_queue_refuses_and_says_how_full_it_is() {
    let world = Arc::new(World::default());
    let pool = pool(&world, PoolOptions { queued_rows: 5, gathered_rows: 1, ..PoolOptions::default() });
    runtime().block_on(async {
        let held: Vec<_> = (0..2)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { at_once(&pool, vec![vec![WAITS]]).await })
            })
            .collect();
        while world.calls.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { at_once(&pool, vec![vec![1.0; 5]]).await }
        });
        until_waiting(&pool, 5).await;
        let fault = pool.predict(rows(&[1.0])).await.expect_err("the queue is full");
        assert!(matches!(fault, PoolFault::Overloaded(Overloaded { waiting: 5, allowed: 5 })), "{fault}");
        world.open_gate();
        assert_eq!(waiting.await.unwrap(), [Ok(vec![2.0; 5])]);
        for held in held {
            held.await.unwrap();
        }
    });
}

#[test]
fn a_session_is_replaced_after_its_number_of_calls() {
    let world = Arc::new(World::default());
    let options = PoolOptions { calls_per_session: 3, gathered_rows: 1, ..PoolOptions::default() };
    let pool = pool(&world, options);
    runtime().block_on(async {
        // Another thread opens the successor, so that a few more calls may pass.
        while pool.counts().renewed.load(Ordering::Relaxed) == 0 {
            assert_eq!(pool.predict(rows(&[1.0])).await.expect("it answers"), [2.0]);
        }
    });
    assert!(pool.counts().calls.load(Ordering::Relaxed) >= 3);
}

#[test]
fn a_pool_that_is_dropped_answers_what_waits() {
    let world = Arc::new(World::default());
    let shared = pool(&world, PoolOptions::default());
    runtime().block_on(async {
        let held = tokio::spawn({
            let pool = shared.clone();
            async move { pool.predict(rows(&[WAITS])).await.map_err(|fault| fault.to_string()) }
        });
        while world.calls.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.open_gate();
        assert_eq!(held.await.unwrap(), Ok(vec![2.0 * WAITS]));
    });
    let pool = Arc::into_inner(shared).expect("nobody else uses it");
    drop(pool);
}
