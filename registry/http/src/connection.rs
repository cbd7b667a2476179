//! Connections: what each is doing and since when, and which of them are closed for it.
//!
//! One task looks at all connections some times a second. A timer for each phase of each connection
//! would cost every request, and would have to tell a slow client from an idle one all the same.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::AbortHandle;

/// A phase in the life of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No byte of the next request has arrived.
    Idle,
    /// A handshake or the head of a request arrives.
    Head,
    /// A request is read, or its answer is made.
    Request,
    /// The end of an answer is sent.
    Answer,
    /// A piece of an answer is sent, and more of it comes.
    Piece,
}

const PHASES: [Phase; 5] = [Phase::Idle, Phase::Head, Phase::Request, Phase::Answer, Phase::Piece];

/// The bits of a state that hold its phase.
const PHASE_BITS: u32 = 3;

/// The time in milliseconds, as it was when connections were looked at last.
#[derive(Debug)]
struct Clock {
    start: Instant,
    now: AtomicU64,
}

/// The phase of one connection, and its beginning.
#[derive(Debug)]
pub(crate) struct Activity {
    clock: Arc<Clock>,
    /// Milliseconds, and the phase in the lowest bits.
    state: AtomicU64,
}

impl Activity {
    /// Begins a phase.
    pub(crate) fn enter(&self, phase: Phase) {
        let now = self.clock.now.load(Ordering::Relaxed);
        self.state.store(now << PHASE_BITS | phase as u64, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        self.read().0
    }

    /// Returns the phase, and the milliseconds at which it began.
    fn read(&self) -> (Phase, u64) {
        let state = self.state.load(Ordering::Relaxed);
        let phase = state & ((1 << PHASE_BITS) - 1);
        (PHASES[phase as usize], state >> PHASE_BITS)
    }
}

/// Bounds on what clients take of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The most bytes of a head; at least 8 KiB.
    pub header_bytes: usize,
    /// The time for the head of a request, from its first byte, and for the handshake of TLS.
    pub head: Duration,
    /// The time for sending an answer, or a piece of it that is known before the rest.
    pub answer: AnswerTime,
    /// The time that a connection may be without a request.
    pub idle: Duration,
    /// The most connections at once.
    pub connections: usize,
    /// The descriptors that a connection takes: its socket, and files that are sent over it.
    pub descriptors_each: usize,
}

/// The time for sending an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerTime {
    /// For all that is known of it.
    Whole(Duration),
    /// For each piece that its client takes: answers may be long.
    Piece(Duration),
}

impl AnswerTime {
    fn duration(self) -> Duration {
        match self {
            Self::Whole(time) | Self::Piece(time) => time,
        }
    }

    pub(crate) fn is_renewed(self) -> bool {
        matches!(self, Self::Piece(_))
    }
}

impl ConnectionLimits {
    fn of(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Idle => Some(self.idle),
            Phase::Head => Some(self.head),
            Phase::Answer | Phase::Piece => Some(self.answer.duration()),
            // The reading of bodies and the making of answers have limits of their own.
            Phase::Request => None,
        }
    }

    /// Returns how often connections are looked at.
    pub(crate) fn look(&self) -> Duration {
        let least = self.idle.min(self.head).min(self.answer.duration());
        (least / 8).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }
}

/// All open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    clock: Arc<Clock>,
    open: Mutex<HashMap<u64, (Arc<Activity>, AbortHandle)>>,
    next: AtomicU64,
}

impl Default for Connections {
    fn default() -> Self {
        let clock = Arc::new(Clock { start: Instant::now(), now: AtomicU64::new(0) });
        Self { clock, open: Mutex::default(), next: AtomicU64::new(0) }
    }
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, (Arc<Activity>, AbortHandle)>> {
        // Each critical section leaves the map consistent.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the task of a connection.
    pub(crate) fn spawn<F>(self: &Arc<Self>, task: impl FnOnce(Arc<Activity>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let activity = Arc::new(Activity { clock: self.clock.clone(), state: AtomicU64::new(0) });
        activity.enter(Phase::Idle);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { connections: self.clone(), id };
        let task = task(activity.clone());
        // The task cannot remove its entry before it is there.
        let mut open = self.open();
        let handle = tokio::spawn(async move {
            let _entry = entry;
            task.await;
        });
        open.insert(id, (activity, handle.abort_handle()));
    }

    /// Returns the number of open connections.
    pub(crate) fn len(&self) -> usize {
        self.open().len()
    }

    /// Closes connections that have been in a phase for too long.
    pub(crate) fn close_overdue(&self, limits: &ConnectionLimits) {
        let now = self.clock.start.elapsed().as_millis() as u64;
        self.clock.now.store(now, Ordering::Relaxed);
        for (activity, task) in self.open().values() {
            let (phase, since) = activity.read();
            if limits.of(phase).is_some_and(|limit| u128::from(now.saturating_sub(since)) > limit.as_millis()) {
                task.abort();
            }
        }
    }

    /// Closes a hundredth of all connections, at least one: those that have been idle for longest.
    /// Returns how many there were.
    pub(crate) fn evict_idle(&self) -> usize {
        let open = self.open();
        let idle = open.values().filter_map(|(activity, task)| match activity.read() {
            (Phase::Idle, since) => Some((since, task)),
            _ => None,
        });
        let mut idle: Vec<_> = idle.collect();
        let most = (open.len() / 100).max(1);
        idle.sort_unstable_by_key(|(since, _)| *since);
        idle.truncate(most);
        idle.iter().for_each(|(_, task)| task.abort());
        idle.len()
    }

    /// Closes all idle connections.
    pub(crate) fn close_idle(&self) {
        for (activity, task) in self.open().values() {
            if activity.phase() == Phase::Idle {
                task.abort();
            }
        }
    }

    /// Closes all connections.
    pub(crate) fn close_all(&self) {
        self.open().values().for_each(|(_, task)| task.abort());
    }
}

/// Removes a connection when its task ends, in whatever way.
struct Entry {
    connections: Arc<Connections>,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.open().remove(&self.id);
    }
}

/// A stream that notes what it is used for.
pub(crate) struct Watched<S> {
    pub(crate) stream: S,
    pub(crate) activity: Arc<Activity>,
    /// Whether each piece of an answer has its own time.
    pub(crate) renews: bool,
}

impl<S> Watched<S> {
    /// Notes that a piece of an answer was sent.
    fn renew(&self) {
        let phase = self.activity.phase();
        if self.renews && matches!(phase, Phase::Answer | Phase::Piece) {
            self.activity.enter(phase);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before && matches!(self.activity.phase(), Phase::Idle | Phase::Answer) {
            self.activity.enter(Phase::Head);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.renew();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if self.activity.phase() == Phase::Answer {
            self.activity.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes))?;
        self.renew();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ConnectionLimits = ConnectionLimits {
        header_bytes: 0,
        head: Duration::from_millis(40),
        answer: AnswerTime::Whole(Duration::from_secs(60)),
        idle: Duration::from_secs(60),
        connections: 100,
        descriptors_each: 1,
    };

    fn spawn(connections: &Arc<Connections>, phase: Phase) {
        connections.spawn(|activity| {
            activity.enter(phase);
            std::future::pending()
        });
    }

    async fn settle(connections: &Connections, expected: usize) {
        for _ in 0..200 {
            if connections.len() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} connections and not {expected}", connections.len());
    }

    #[tokio::test]
    async fn a_connection_is_closed_when_its_phase_takes_too_long() {
        let connections = Arc::new(Connections::default());
        for phase in PHASES {
            spawn(&connections, phase);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        connections.close_overdue(&LIMITS);
        settle(&connections, 5).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        connections.close_overdue(&LIMITS);
        settle(&connections, 4).await;
        connections.close_idle();
        settle(&connections, 3).await;
        connections.close_all();
        settle(&connections, 0).await;
    }

    #[tokio::test]
    async fn who_has_been_idle_for_longest_makes_room_and_who_asks_does_not() {
        let connections = Arc::new(Connections::default());
        spawn(&connections, Phase::Request);
        assert_eq!(connections.evict_idle(), 0);
        spawn(&connections, Phase::Idle);
        tokio::time::sleep(Duration::from_millis(20)).await;
        connections.close_overdue(&LIMITS);
        spawn(&connections, Phase::Idle);
        let oldest = connections
            .open()
            .iter()
            .min_by_key(|(id, (activity, _))| (activity.phase() != Phase::Idle, **id))
            .map(|(id, _)| *id);
        assert_eq!(connections.evict_idle(), 1);
        settle(&connections, 2).await;
        assert!(!connections.open().contains_key(&oldest.expect("an idle one")));
    }
}
