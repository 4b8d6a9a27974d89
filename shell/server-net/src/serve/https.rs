//! The accept loop of an HTTP listener, with TLS or (for the operator) without.
//!
//! Owns connections until they end or are upgraded. Does not know what is served.
//!
//! - A connection that says nothing costs 10 seconds of one task, and then nothing.
//! - Whoever asks faster than a client does waits; a connection has an end in requests and in time.
//! - On the public listener a source address has a number of places; a WebSocket counts among the courier's (COU-14).
//! - At the end, requests that were begun are answered and idle connections are closed (COU-56).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::StatusCode;
use http::header::{CONNECTION, HeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::courier::addresses::Admission;
use crate::door::{Door, Stranger};
use crate::rush::Rush;
use crate::stop::Stop;

/// A slow phone needs three round trips of a second each; more is not a client (COU-14 has the same).
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// From the end of one request to the end of the next one's head (ACC-6).
const HEAD_MAX: Duration = Duration::from_secs(30);
/// A head has a path of at most 800 bytes and a dozen headers.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Connections at once; about 40 KiB each while they are idle. More are closed at once.
pub(super) const CONNECTIONS_MAX: usize = 10_000;
/// Connections of the operator at once: a scraper, a prober, a person. More wait in the kernel's queue.
const PRIVATE_CONNECTIONS_MAX: usize = 64;
/// Time between two requests of one connection, on average: twenty a second are more than a client that starts makes, and
/// a hundred connections of them leave the processor to others.
const REQUEST_EVERY_MS: Duration = Duration::from_millis(50);
/// Requests of one connection that are answered at once, after a rest.
const REQUESTS_BURST: u32 = 100;
/// Requests of one connection; the answer to the last one closes it. A new one costs a client a handshake in a thousand.
const REQUESTS_MAX: usize = 1_000;
/// How long a connection lives before it is closed after the request that is under way, so that nobody keeps a place for good.
const LIFETIME_MAX: Duration = Duration::from_mins(10);
/// How long the last request of a connection may take, with its answer: more than any (`REQUEST_TIMEOUT`).
const ENDING_MAX: Duration = Duration::from_secs(60);
/// Pause after a failed accept: out of file descriptors, it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts and serves until the end is asked for and every connection has ended.
/// `public` is `None` on the operator's listener.
pub(super) async fn run(listener: TcpListener, public: Option<Door>, router: Router, mut stop: Stop) {
    let places = Arc::new(Semaphore::new(if public.is_some() { CONNECTIONS_MAX } else { PRIVATE_CONNECTIONS_MAX }));
    let mut connections = JoinSet::new();
    let mut rush = Rush::default();
    loop {
        let place = tokio::select! {
            () = stop.requested() => break,
            Some(_) = connections.join_next() => continue,
            place = Arc::clone(&places).acquire_owned() => match place { Ok(place) => place, Err(_) => break },
        };
        let accepted = tokio::select! {
            () = stop.requested() => break,
            accepted = rush.accept(&listener) => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let entry = match &public {
            None => None,
            Some(door) => match door.admit(peer.ip()) {
                Admission::Served(place) => {
                    // COU-14: no more are taken than there is room for.
                    let stranger = tokio::select! {
                        stranger = door.stranger() => stranger,
                        () = stop.requested() => break,
                    };
                    Some((door.clone(), stranger, place))
                }
                // COU-14: over HTTP there is no word for it before a request, and a handshake costs more than it is worth.
                Admission::Told(_) | Admission::Dropped | Admission::Full => {
                    rush.turn_away(stream);
                    continue;
                }
            },
        };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            match entry {
                Some((door, stranger, place_of_address)) => {
                    if let Some(stream) = let_in(stream, &door, stranger).await {
                        serve(stream, peer, router, stop).await;
                    }
                    drop(place_of_address);
                }
                None => serve(stream, peer, router, stop).await,
            }
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Makes the TLS handshake with a stranger.
async fn let_in(
    stream: TcpStream,
    door: &Door,
    stranger: Stranger,
) -> Option<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
    tokio::select! {
        accepted = tokio::time::timeout(HANDSHAKE_MAX, Box::pin(door.accept(stream, None))) => match accepted {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!("a TLS handshake took too long");
                None
            }
        },
        () = stranger.put_out() => None,
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    mut stop: Stop,
) {
    let turns = Arc::new(Mutex::new(Turns::new()));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let (router, turns) = (router.clone(), turns.clone());
        async move {
            let (wait, is_last) = turns.lock().unwrap_or_else(PoisonError::into_inner).next();
            // ACC-6: the next request is not read while this one waits: whoever asks too fast only slows itself down.
            tokio::time::sleep_until(wait).await;
            let mut answered = router.oneshot(request).await;
            if let (Ok(response), true) = (&mut answered, is_last)
                && response.status() != StatusCode::SWITCHING_PROTOCOLS
            {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            answered
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).max_buf_size(HEAD_BYTES_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { tokio::select! { () = stop.requested() => {}, () = tokio::time::sleep(LIFETIME_MAX) => {} } } => {
            connection.as_mut().graceful_shutdown();
            // A request that was begun is answered; who does not take the answer is left.
            match tokio::time::timeout(ENDING_MAX, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

/// When the requests of one connection are answered.
struct Turns {
    requests: usize,
    /// When the next one would be answered if there had been no burst.
    due: Instant,
}

impl Turns {
    fn new() -> Self {
        Self { requests: 0, due: rested(Instant::now()) }
    }

    /// Returns when the next request may be answered, and whether it is the connection's last.
    fn next(&mut self) -> (Instant, bool) {
        let now = Instant::now();
        self.requests += 1;
        // Rest counts for a burst and no more.
        self.due = self.due.max(rested(now)) + REQUEST_EVERY_MS;
        (self.due.max(now), self.requests >= REQUESTS_MAX)
    }
}

/// When the next request is due for somebody who has the whole burst.
fn rested(now: Instant) -> Instant {
    now.checked_sub(REQUEST_EVERY_MS * REQUESTS_BURST).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ACC-6: a hundred requests at once, then twenty a second; rest earns another burst and no more; the thousandth is the last.
    #[tokio::test(start_paused = true)]
    async fn requests_have_their_turns() {
        tokio::time::advance(Duration::from_secs(3_600)).await;
        let mut turns = Turns::new();
        let begun = Instant::now();
        for number in 1..=REQUESTS_MAX {
            let (wait, is_last) = turns.next();
            let late = u32::try_from(number).unwrap().saturating_sub(REQUESTS_BURST);
            assert_eq!(wait - begun, REQUEST_EVERY_MS * late, "request {number}");
            assert_eq!(is_last, number == REQUESTS_MAX);
        }
    }
}
