//! A pool over sessions that do what their rows say.

mod memory;

use std::sync::atomic::AtomicBool;
use std::sync::{Condvar, Mutex};

use arrow_array::{Float64Array, RecordBatch};
use stagewright_store::{DataType, Field, Schema};
use tokio::task::JoinHandle as Task;

use super::*;

/// A row whose prediction fails, and ends its session.
const FAILS: f64 = -1.0;

/// A row whose prediction takes until the gate opens.
const WAITS: f64 = -2.0;

/// A row whose prediction fails: with other rows at once, by itself when the hang ends.
const HANGS: f64 = -3.0;

/// The most time that a test waits for what should come at once.
const SOON: Duration = Duration::from_secs(10);

/// Directs the sessions of a pool and counts their calls.
#[derive(Default)]
struct World {
    /// The attempts to open a session.
    opened: AtomicUsize,
    cannot_open: AtomicBool,
    /// The number of sessions, those that were opened first, which are dead.
    killed: AtomicUsize,
    /// The rows of each call.
    calls: Mutex<Vec<usize>>,
    gate: Gate,
    hang: Gate,
}

impl World {
    fn calls(&self) -> Vec<usize> {
        self.calls.lock().unwrap().clone()
    }
}

/// Closed until it is opened.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opens: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opens.notify_all();
    }

    fn wait(&self) {
        // Not for ever: the threads of a test that failed have to end.
        let patience = 3 * SOON;
        drop(self.opens.wait_timeout_while(self.is_open.lock().unwrap(), patience, |is_open| !*is_open).unwrap());
    }
}

/// A session that answers each number with its double.
struct Doubling {
    world: Arc<World>,
    /// The attempts to open a session before this one.
    number: usize,
    has_failed: bool,
}

impl ModelSession for Doubling {
    fn predict(&mut self, rows: &[RecordBatch]) -> Result<Vec<f64>, StageFault> {
        assert!(self.is_alive(), "a session that failed or died is not asked again");
        let all: Vec<f64> = rows.iter().flat_map(numbers_of).collect();
        self.world.calls.lock().unwrap().push(all.len());
        if all.contains(&WAITS) {
            self.world.gate.wait();
        }
        if all == [HANGS] {
            self.world.hang.wait();
        }
        if all.contains(&FAILS) || all.contains(&HANGS) {
            self.has_failed = true;
            return Err(StageFault::host("a row fails"));
        }
        Ok(all.into_iter().map(|number| 2.0 * number).collect())
    }

    fn is_alive(&self) -> bool {
        !self.has_failed && self.number >= self.world.killed.load(Ordering::Relaxed)
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

fn opener(world: &Arc<World>) -> Box<OpenSession> {
    let world = world.clone();
    Box::new(move || {
        let number = world.opened.fetch_add(1, Ordering::Relaxed);
        if world.cannot_open.load(Ordering::Relaxed) {
            return Err(StageFault::host("no session opens"));
        }
        Ok(Box::new(Doubling { world: world.clone(), number, has_failed: false }))
    })
}

fn pool(world: &Arc<World>, options: PoolOptions) -> Arc<Pool> {
    Arc::new(Pool::start(opener(world), 1, options).expect("sessions open"))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime")
}

/// Begins to predict a request.
fn ask(pool: &Arc<Pool>, numbers: Vec<f64>) -> Task<Result<Vec<f64>, String>> {
    let pool = pool.clone();
    tokio::spawn(async move { pool.predict(rows(&numbers)).await.map_err(|fault| fault.to_string()) })
}

/// Waits for the results of requests, in their order.
async fn results(asked: Vec<Task<Result<Vec<f64>, String>>>) -> Vec<Result<Vec<f64>, String>> {
    let mut results = Vec::new();
    for result in asked {
        results.push(result.await.expect("no request panics"));
    }
    results
}

/// Predicts requests at once, and returns their results in order.
async fn at_once(pool: &Arc<Pool>, requests: Vec<Vec<f64>>) -> Vec<Result<Vec<f64>, String>> {
    results(requests.into_iter().map(|numbers| ask(pool, numbers)).collect()).await
}

/// Ends requests as clients do that leave.
async fn leave(asked: Vec<Task<Result<Vec<f64>, String>>>) {
    for request in asked {
        request.abort();
        assert!(request.await.is_err_and(|error| error.is_cancelled()), "it was not answered");
    }
}

/// Holds up both threads of a pool until the gate opens.
async fn hold_up(pool: &Arc<Pool>, world: &World) -> Vec<Task<Result<Vec<f64>, String>>> {
    let mut held = Vec::new();
    for calls in 1..=2 {
        held.push(ask(pool, vec![WAITS]));
        while world.calls().len() < calls {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    held
}

/// Lets requests wait, one after the other.
async fn ask_in_order(pool: &Arc<Pool>, requests: &[f64]) -> Vec<Task<Result<Vec<f64>, String>>> {
    let mut asked = Vec::new();
    for number in requests {
        asked.push(ask(pool, vec![*number]));
        until_waiting(pool, asked.len()).await;
    }
    asked
}

/// Waits until the rows that wait are this many.
async fn until_waiting(pool: &Pool, rows: usize) {
    let waits = async {
        while pool.waiting_rows() != rows {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, waits).await.expect("so many rows wait");
}

/// Asks for a prediction that is refused at once.
async fn refusal(pool: &Pool) -> PoolFault {
    let answer = tokio::time::timeout(SOON, pool.predict(rows(&[1.0]))).await;
    answer.expect("it does not wait").expect_err("the queue is full")
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
        let held = hold_up(&pool, &world).await;
        let more = tokio::spawn({
            let pool = pool.clone();
            async move { at_once(&pool, vec![vec![1.0]; 10]).await }
        });
        until_waiting(&pool, 10).await;
        world.gate.open();
        assert!(more.await.unwrap().iter().all(|result| result == &Ok(vec![2.0])));
        results(held).await;
    });
    let calls = world.calls();
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
        let held = ask(&pool, vec![WAITS]);
        while world.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let others = at_once(&pool, (0..50).map(|n| vec![f64::from(n)]).collect()).await;
        assert!(others.iter().all(Result::is_ok), "the gate is still closed");
        world.gate.open();
        assert_eq!(held.await.unwrap(), Ok(vec![2.0 * WAITS]));
    });
}

#[test]
fn a_full_queue_refuses_and_says_how_full_it_is() {
    let world = Arc::new(World::default());
    let pool = pool(&world, PoolOptions { queued_rows: 5, gathered_rows: 1, ..PoolOptions::default() });
    runtime().block_on(async {
        let held = hold_up(&pool, &world).await;
        let waiting = ask(&pool, vec![1.0; 5]);
        until_waiting(&pool, 5).await;
        let fault = refusal(&pool).await;
        assert!(matches!(fault, PoolFault::Overloaded(Overloaded::Rows { waiting: 5, allowed: 5 })), "{fault}");
        world.gate.open();
        assert_eq!(waiting.await.unwrap(), Ok(vec![2.0; 5]));
        results(held).await;
    });
}

#[test]
fn the_rows_that_wait_are_bounded_in_bytes() {
    let world = Arc::new(World::default());
    let bytes = rows(&[1.0; 1000]).get_array_memory_size();
    let pool = pool(&world, PoolOptions { queued_bytes: bytes, ..PoolOptions::default() });
    runtime().block_on(async {
        let held = hold_up(&pool, &world).await;
        // A request that alone is too large is accepted by an empty queue.
        let waiting = ask(&pool, vec![1.0; 2000]);
        until_waiting(&pool, 2000).await;
        let fault = refusal(&pool).await;
        assert!(
            matches!(&fault, PoolFault::Overloaded(Overloaded::Bytes { waiting, allowed })
                if *waiting > bytes && *allowed == bytes),
            "{fault}"
        );
        leave(vec![waiting]).await;
        let others = [ask(&pool, vec![1.0; 10]), ask(&pool, vec![1.0; 10])];
        until_waiting(&pool, 20).await;
        world.gate.open();
        assert_eq!(results(others.into()).await, vec![Ok(vec![2.0; 10]); 2]);
        results(held).await;
    });
}

#[test]
fn a_request_whose_client_leaves_is_withdrawn() {
    let world = Arc::new(World::default());
    let pool = pool(&world, PoolOptions { queued_rows: 5, ..PoolOptions::default() });
    runtime().block_on(async {
        let held = hold_up(&pool, &world).await;
        let mut waiting = ask_in_order(&pool, &[1.0, 2.0, 3.0, 4.0, 5.0]).await;
        assert!(matches!(refusal(&pool).await, PoolFault::Overloaded(_)));
        let stays = waiting.remove(2);
        leave(waiting).await;
        assert_eq!(pool.waiting_rows(), 1);
        let comes = ask(&pool, vec![6.0; 4]);
        until_waiting(&pool, 5).await;
        world.gate.open();
        assert_eq!(stays.await.unwrap(), Ok(vec![6.0]));
        assert_eq!(comes.await.unwrap(), Ok(vec![12.0; 4]));
        results(held).await;
    });
    assert_eq!(world.calls(), [1, 1, 5]);
}

#[test]
fn companions_of_a_request_that_hangs_are_answered_before_it_ends() {
    let world = Arc::new(World::default());
    let pool = pool(&world, PoolOptions::default());
    runtime().block_on(async {
        let held = hold_up(&pool, &world).await;
        let mut companions = ask_in_order(&pool, &[HANGS, 1.0, 2.0, 3.0]).await;
        let hanging = companions.remove(0);
        world.gate.open();
        let answered = tokio::time::timeout(SOON, results(companions)).await;
        let hangs = !hanging.is_finished();
        world.hang.open();
        assert_eq!(answered.expect("they are answered"), [Ok(vec![2.0]), Ok(vec![4.0]), Ok(vec![6.0])]);
        assert!(hangs, "it has not ended before");
        assert!(hanging.await.unwrap().is_err_and(|fault| fault.contains("a row fails")));
        results(held).await;
    });
    assert_eq!(world.calls(), [1, 1, 4, 1, 1, 1, 1]);
}

#[test]
fn companions_are_answered_while_no_session_can_be_opened() {
    let world = Arc::new(World::default());
    let pool = pool(&world, PoolOptions::default());
    runtime().block_on(async {
        let held = hold_up(&pool, &world).await;
        world.cannot_open.store(true, Ordering::Relaxed);
        let asked = ask_in_order(&pool, &[1.0, 2.0, FAILS]).await;
        world.gate.open();
        let answered = tokio::time::timeout(SOON, results(asked)).await;
        // Lets a thread answer that waits for a session.
        world.cannot_open.store(false, Ordering::Relaxed);
        let answered = answered.expect("they are answered by the other session");
        assert_eq!(answered[..2], [Ok(vec![2.0]), Ok(vec![4.0])]);
        assert!(answered[2].is_err());
        results(held).await;
    });
}

#[test]
fn requests_that_are_put_back_keep_their_order_and_are_taken_one_by_one() {
    let queue = Queue::new(Bounds { gathered_rows: 3, queued_rows: 4, queued_bytes: usize::MAX });
    let push = |number: f64| queue.push(rows(&[number])).expect("the queue has room");
    let take = || -> Vec<f64> { queue.take(false).expect("it is open").rows.iter().flat_map(numbers_of).collect() };
    let [_first, leaves, _third] = [1.0, 2.0, 3.0].map(push);
    let earlier = queue.take(false).expect("it is open");
    let _fourth = push(4.0);
    let later = queue.take(false).expect("it is open");
    let _others = [5.0, 6.0, 7.0, 8.0].map(push);
    drop(leaves);
    assert_eq!((earlier.rows.len(), later.rows.len(), queue.rows()), (3, 1, 4));
    queue.put_back(later);
    queue.put_back(earlier);
    assert_eq!(queue.rows(), 7, "no bound refuses them, and the one whose client left is gone");
    let taken: Vec<_> = (0..5).map(|_| take()).collect();
    assert_eq!(taken, [vec![1.0], vec![3.0], vec![4.0], vec![5.0, 6.0, 7.0], vec![8.0]]);
    assert_eq!(queue.rows(), 0);
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
fn a_successor_of_a_session_that_failed_is_counted() {
    let world = Arc::new(World::default());
    let shared = Arc::new(Shared::new(opener(&world), 1, PoolOptions::default(), 1));
    let (sender, successor) = sync_channel(1);
    sender.send((shared.open)()).expect("it has room");
    let session = Some((shared.open)().expect("it opens"));
    let mut worker = Worker { shared: shared.clone(), session, calls: 0, successor: Some(successor), stands_by: false };
    let _waiting = shared.queue.push(rows(&[FAILS])).expect("the queue has room");
    worker.answer(shared.queue.take(false).expect("it is open"));
    assert_eq!(shared.ready.load(Ordering::Relaxed), 0);
    worker.renew_when_old();
    assert_eq!(shared.ready.load(Ordering::Relaxed), 1);
    assert!(worker.has_session());
    assert_eq!(shared.ready.load(Ordering::Relaxed), 1);
}

#[test]
fn a_pool_that_is_dropped_waits_for_the_calls_that_run_and_predicts_nothing_more() {
    let world = Arc::new(World::default());
    let pool = pool(&world, PoolOptions::default());
    let shared = pool.shared.clone();
    runtime().block_on(async {
        let held = hold_up(&pool, &world).await;
        let waiting: Vec<_> = (0..3).map(|_| shared.queue.push(rows(&[1.0])).expect("it has room")).collect();
        leave(held).await;
        let pool = Arc::into_inner(pool).expect("nobody else uses it");
        let dropping = std::thread::spawn(move || drop(pool));
        while !shared.queue.is_closed() {
            std::thread::sleep(Duration::from_millis(1));
        }
        world.gate.open();
        dropping.join().expect("the threads end");
        for waiting in waiting {
            assert!(matches!(waiting.values().await, Err(PoolFault::Unavailable)));
        }
        assert!(matches!(shared.queue.push(rows(&[1.0])), Err(PoolFault::Unavailable)));
    });
    assert_eq!(world.calls(), [1, 1]);
}

// invariant: A session that dies while nobody asks it costs no request.
#[test]
fn a_session_that_died_while_idle_is_replaced_before_it_is_asked() {
    let world = Arc::new(World::default());
    let pool = pool(&world, PoolOptions::default());
    runtime().block_on(async {
        assert_eq!(pool.predict(rows(&[1.0])).await.expect("it answers"), [2.0]);
        for round in 1..=3 {
            let opened = world.opened.load(Ordering::Relaxed);
            world.killed.store(opened, Ordering::Relaxed);
            assert_eq!(pool.predict(rows(&[3.0])).await.expect("it answers"), [6.0]);
            let all = at_once(&pool, (0..20).map(|number| vec![f64::from(number)]).collect()).await;
            assert!(all.iter().all(Result::is_ok), "{all:?}");
            assert!(world.opened.load(Ordering::Relaxed) > opened);
            assert!(pool.counts().faulted.load(Ordering::Relaxed) >= round);
        }
    });
    assert_eq!(world.calls().iter().sum::<usize>(), 1 + 3 * 21, "each row is predicted once");
}

#[test]
fn a_pool_that_is_closed_ends_the_pause_between_attempts_to_open_a_session() {
    const LONG: Duration = Duration::from_secs(3600);
    let world = Arc::new(World::default());
    let shared = Arc::new(Shared::new(opener(&world), 1, PoolOptions::default(), 0));
    world.cannot_open.store(true, Ordering::Relaxed);
    let mut worker = Worker { shared: shared.clone(), session: None, calls: 0, successor: None, stands_by: false };
    let opening = std::thread::spawn(move || worker.has_session());
    let (paused, ended) = sync_channel(1);
    let queue = shared.clone();
    std::thread::spawn(move || {
        queue.queue.pause(LONG);
        let _ = paused.send(());
    });
    while world.opened.load(Ordering::Relaxed) < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(matches!(ended.try_recv(), Err(TryRecvError::Empty)), "it pauses");
    shared.queue.close();
    ended.recv_timeout(SOON).expect("the pause ends");
    assert!(!opening.join().expect("no panic"), "there is no session");
}
