//! The native binding: TLS 1.3 with an ALPN name of its own. Spec: 30-courier.md §1, §2 (COU-1, COU-11, COU-14).
//!
//! Owns the listener. Does not know what is spoken in a connection.
//!
//! - A peer that does not name the courier's protocol is refused before the handshake is finished.
//! - From the first byte the handshakes of TLS and of the courier share one time limit.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use halcyon_courier::connect::{ChannelBinding, EXPORTER_LABEL};
use halcyon_courier::{Close, ServerFrame};
use halcyon_server::courier::{ByteFrames, Courier, Frames};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::addresses::{Admission, SourceAddresses};
use crate::stop::Stop;

/// The courier's ALPN name (COU-1).
pub const ALPN_COURIER: &[u8] = b"halcyon-courier/1";

/// Serves devices until it is told to stop; then ends their connections in order (COU-56).
///
/// `tls` must name [`ALPN_COURIER`] and nothing else; `addresses` is shared with the WebSocket binding.
pub async fn run(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    courier: Courier,
    addresses: SourceAddresses,
    mut stop: Stop,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.requested() => break,
        };
        match accepted {
            Ok((stream, peer)) => match addresses.admit(peer.ip()) {
                Admission::Served(place) => {
                    let (tls, courier) = (tls.clone(), courier.clone());
                    tokio::spawn(async move {
                        serve(stream, tls, courier).await;
                        drop(place);
                    });
                }
                Admission::Told(place) => {
                    let (tls, limit) = (tls.clone(), courier.limits().handshake_timeout.to_std());
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(limit, refuse(stream, tls)).await;
                        drop(place);
                    });
                }
                Admission::Dropped => {}
            },
            // Out of file descriptors, most likely: connections that end give some back.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    courier.shut_down().await;
}

async fn serve(stream: TcpStream, tls: Arc<ServerConfig>, courier: Courier) {
    let since = Instant::now();
    let limit = courier.limits().handshake_timeout.to_std();
    // Boxed: the state of a handshake is several times that of a connection that waits.
    let Ok(Ok(stream)) = tokio::time::timeout(limit, Box::pin(accept(stream, tls))).await else { return };
    let exported = stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None);
    let Ok(exported) = exported else { return };
    courier.serve(ByteFrames::new(stream), ChannelBinding::Exporter(exported), since).await;
}

/// Makes the TLS handshake with a peer that names our protocol.
async fn accept(stream: TcpStream, tls: Arc<ServerConfig>) -> io::Result<Box<TlsStream<TcpStream>>> {
    // Frames are written whole, so there is nothing to gain from waiting for more.
    stream.set_nodelay(true)?;
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let names_us = hello.client_hello().alpn().is_some_and(|mut names| names.any(|name| name == ALPN_COURIER));
    if !names_us {
        return Err(io::ErrorKind::InvalidInput.into()); // COU-1
    }
    hello.into_stream(tls).await.map(Box::new)
}

/// Tells a peer that its address has too many connections (COU-14).
async fn refuse(stream: TcpStream, tls: Arc<ServerConfig>) -> io::Result<()> {
    let mut frames = ByteFrames::new(accept(stream, tls).await?);
    frames.queue(ServerFrame::Close(Close::too_many_connections(RETRY_AFTER)));
    std::future::poll_fn(|cx| frames.poll_flush(cx)).await?;
    std::future::poll_fn(|cx| frames.poll_shutdown(cx)).await
}

/// How long to leave accepting alone after it failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// When a device behind a crowded address may try again: connections of phones that left are found dead within minutes.
const RETRY_AFTER: halcyon_types::Duration = halcyon_types::Duration::from_secs(60);
