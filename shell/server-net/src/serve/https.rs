//! The accept loop of an HTTP listener, with TLS or (for the operator) without.
//!
//! Owns connections until they end or are upgraded. Does not know what is served.
//!
//! - A connection that says nothing costs 10 seconds of one task, and then nothing.
//! - On the public listener a source address has a number of places; a WebSocket counts among the courier's (COU-14).
//! - At the end, requests that were begun are answered and idle connections are closed (COU-56).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::courier::addresses::{Admission, SourceAddresses};
use crate::stop::Stop;

/// A slow phone needs three round trips of a second each; more is not a client (COU-14 has the same).
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// From the end of one request to the end of the next one's head.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// A head has a path of at most 800 bytes and a dozen headers.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Connections at once; about 40 KiB each while they are idle. More wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 10_000;
/// Pause after a failed accept: out of file descriptors, it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts and serves until the end is asked for and every connection has ended.
/// `public` is `None` on the operator's listener.
pub(super) async fn run(
    listener: TcpListener,
    public: Option<(Arc<ServerConfig>, SourceAddresses)>,
    router: Router,
    mut stop: Stop,
) {
    let public = public.map(|(tls, addresses)| (TlsAcceptor::from(tls), addresses));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            () = stop.requested() => break,
            Some(_) = connections.join_next() => continue,
            place = Arc::clone(&places).acquire_owned() => match place { Ok(place) => place, Err(_) => break },
        };
        let accepted = tokio::select! {
            () = stop.requested() => break,
            accepted = listener.accept() => accepted,
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
            Some((acceptor, addresses)) => match addresses.admit(peer.ip()) {
                Admission::Served(place) => Some((acceptor.clone(), place)),
                // COU-14: over HTTP there is no word for it before a request, and a handshake costs more than it is worth.
                Admission::Told(_) | Admission::Dropped => continue,
            },
        };
        let (acceptor, place_of_address) = entry.unzip();
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            connection(stream, peer, acceptor, router, stop).await;
            drop((place, place_of_address));
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, peer: SocketAddr, acceptor: Option<TlsAcceptor>, router: Router, stop: Stop) {
    // Answers are small and whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else { return serve(stream, peer, router, stop).await };
    match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve(stream, peer, router, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    mut stop: Stop,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).max_buf_size(HEAD_BYTES_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}
