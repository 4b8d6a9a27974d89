//! The door of a public listener: who comes in, how many at a time are strangers, and TLS. Spec: 30-courier.md §2 (COU-14).
//!
//! Owns what a connection costs before it is known: its place among the strangers, the processor time of its handshake, its
//! rate of bytes. Does not know what is spoken inside.
//!
//! - Strangers are bounded in number and in time, so what they can hold is bounded whatever they send.
//! - When there is no room for one more, it waits in the kernel's queue; then the stranger that has been at the door
//!   longest, and longer than an honest one needs, is put out.
//! - The expensive step of TLS runs for a few connections at a time, and between two of them is a rest, so that a crowd at the door
//!   keeps nobody inside waiting.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use halcyon_courier::limits::Limits;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::courier::addresses::{Admission, SourceAddresses};
use crate::stream::Metered;

/// The door of one listener. Cheap to clone; all clones are the same door.
#[derive(Clone)]
pub struct Door {
    tls: Arc<ServerConfig>,
    addresses: SourceAddresses,
    strangers: Strangers,
    bytes_per_s: u32,
}

impl Door {
    /// Makes a door. `tls` names the protocols that are spoken behind it.
    #[must_use]
    pub fn new(tls: Arc<ServerConfig>, addresses: SourceAddresses, limits: &Limits) -> Self {
        Self { tls, addresses, strangers: Strangers::new(limits.handshakes_max), bytes_per_s: limits.bytes_per_s }
    }

    /// Counts one more connection of an address.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> Admission {
        self.addresses.admit(address)
    }

    /// Waits for room for one more stranger.
    pub async fn stranger(&self) -> Stranger {
        self.strangers.enter().await
    }

    /// Makes the TLS handshake, with a peer that names `alpn` if that is given.
    ///
    /// # Errors
    /// The peer does not speak TLS, names another protocol, or left.
    pub async fn accept(
        &self,
        stream: TcpStream,
        alpn: Option<&[u8]>,
    ) -> io::Result<Box<TlsStream<Metered<TcpStream>>>> {
        // What we write is whole, so there is nothing to gain from waiting for more.
        stream.set_nodelay(true)?;
        let stream = Metered::new(stream, self.bytes_per_s);
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let named = |wanted| hello.client_hello().alpn().is_some_and(|mut names| names.any(|name| name == wanted));
        if !alpn.is_none_or(named) {
            return Err(io::ErrorKind::InvalidInput.into()); // COU-1
        }
        let turn = self.strangers.turn().await;
        // The hello is answered here: key exchange and signature, the most of what a connection costs.
        let since = Instant::now();
        let handshake = hello.into_stream(self.tls.clone());
        rest(turn, since.elapsed());
        handshake.await.map(Box::new)
    }
}

/// Connections that are not known yet.
#[derive(Clone)]
struct Strangers {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
}

/// Strangers in the order in which they came.
#[derive(Default)]
struct Waiting {
    next: u64,
    present: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

/// One stranger, until it is known or gone, which is when this is dropped.
pub struct Stranger {
    strangers: Strangers,
    number: u64,
    put_out: Arc<Notify>,
    _place: OwnedSemaphorePermit,
}

impl Strangers {
    fn new(max: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            places: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))),
            turns: Arc::new(Semaphore::new(cores.div_ceil(TURN_CORES))),
            waiting: Arc::default(),
        }
    }

    async fn enter(&self) -> Stranger {
        let mut place = std::pin::pin!(self.places.clone().acquire_owned());
        let mut not_before = Instant::now();
        let place = loop {
            let oldest = lock(&self.waiting).present.first_key_value().map(|(_, (since, _))| *since);
            let patience = oldest.map_or(not_before, |since| not_before.max(since + PATIENCE_MIN));
            tokio::select! {
                biased;
                place = place.as_mut() => break place.expect("the semaphore is never closed"),
                () = tokio::time::sleep_until(patience), if oldest.is_some() => {
                    // It leaves the list now and its place when its task looks, which the next one is given time for.
                    if let Some((_, (_, put_out))) = lock(&self.waiting).present.pop_first() {
                        put_out.notify_one();
                    }
                    not_before = Instant::now() + LEAVING;
                }
            }
        };
        let put_out = Arc::new(Notify::new());
        let mut waiting = lock(&self.waiting);
        let number = waiting.next;
        waiting.next += 1;
        waiting.present.insert(number, (Instant::now(), put_out.clone()));
        drop(waiting);
        Stranger { strangers: self.clone(), number, put_out, _place: place }
    }

    async fn turn(&self) -> OwnedSemaphorePermit {
        self.turns.clone().acquire_owned().await.expect("the semaphore is never closed")
    }
}

impl Stranger {
    /// Returns when this one has to make room.
    pub async fn put_out(&self) {
        self.put_out.notified().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        lock(&self.strangers.waiting).present.remove(&self.number);
    }
}

/// Gives a turn back to the next one when this one's work was rested from.
fn rest(turn: OwnedSemaphorePermit, worked: Duration) {
    let until = Instant::now() + worked * TURN_REST;
    tokio::spawn(async move {
        tokio::time::sleep_until(until).await;
        drop(turn);
    });
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    // A panic while it was held left a whole value: every change is a single insert or remove.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a stranger is left in peace while others wait for its place: several round trips of a slow phone (COU-14).
const PATIENCE_MIN: Duration = Duration::from_secs(3);
/// What a stranger that was put out needs to leave, on a busy machine.
const LEAVING: Duration = Duration::from_millis(50);
/// Cores for each handshake that runs at a time: the other half of the machine is for those who are in.
const TURN_CORES: usize = 2;
/// How many times as long as a handshake's work the rest after it is: a crowd gets an eighth of what it could take, and as much
/// again for its sockets. A turn is half a millisecond of one core, and timers have milliseconds: that leaves some 350 handshakes
/// a second for each two cores.
const TURN_REST: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    /// COU-14: when the door is full, whoever has been there longest makes room, but not before it had its time.
    #[tokio::test(start_paused = true)]
    async fn the_oldest_stranger_makes_room() {
        let strangers = Strangers::new(2);
        let (first, second) = (strangers.enter().await, strangers.enter().await);
        let begun = Instant::now();
        let leaving = tokio::spawn(async move {
            first.put_out().await;
            begun.elapsed()
        });
        let _third = strangers.enter().await;
        assert_eq!(leaving.await.unwrap(), PATIENCE_MIN);
        assert!(tokio::time::timeout(Duration::ZERO, second.put_out()).await.is_err(), "only one had to leave");
    }

    /// COU-14: after each handshake is a rest, which nobody waits for who comes later.
    #[tokio::test(start_paused = true)]
    async fn handshakes_rest_between_turns() {
        let strangers = Strangers { turns: Arc::new(Semaphore::new(1)), ..Strangers::new(2) };
        let (work, begun) = (Duration::from_millis(2), Instant::now());
        for number in 0..5 {
            let turn = strangers.turn().await;
            assert_eq!(begun.elapsed(), work * TURN_REST * number, "handshake {number}");
            rest(turn, work);
        }
        tokio::time::advance(work * TURN_REST * 2).await;
        let late = Instant::now();
        let _turn = strangers.turn().await;
        assert_eq!(late.elapsed(), Duration::ZERO);
    }

    /// COU-14: a place that was given back is free at once, and who left is not put out again.
    #[tokio::test(start_paused = true)]
    async fn a_place_comes_back() {
        let strangers = Strangers::new(1);
        drop(strangers.enter().await);
        let begun = Instant::now();
        let _next = strangers.enter().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(lock(&strangers.waiting).present.len(), 1);
    }
}
