//! The native binding: TLS 1.3 with an ALPN name of its own. Spec: 30-courier.md §1, §2 (COU-1, COU-11, COU-14).
//!
//! Owns the listener. Does not know what is spoken in a connection.
//!
//! - A peer that does not name the courier's protocol is refused before the handshake is finished.
//! - From the first byte the handshakes of TLS and of the courier share one time limit.

use std::io;
use std::time::Duration;

use halcyon_courier::connect::{ChannelBinding, EXPORTER_LABEL};
use halcyon_courier::{Close, ServerFrame};
use halcyon_server::courier::{ByteFrames, Courier, Frames};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::addresses::Admission;
use crate::door::{Door, Stranger};
use crate::rush::Rush;
use crate::stop::Stop;

/// The courier's ALPN name (COU-1).
pub const ALPN_COURIER: &[u8] = b"halcyon-courier/1";

/// Serves devices until it is told to stop; then ends their connections in order (COU-56).
///
/// The TLS of `door` must name [`ALPN_COURIER`] and nothing else; its addresses are shared with the WebSocket binding.
pub async fn run(listener: TcpListener, door: Door, courier: Courier, mut stop: Stop) {
    let mut rush = Rush::default();
    loop {
        let accepted = tokio::select! {
            accepted = rush.accept(&listener) => accepted,
            () = stop.requested() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let admission = door.admit(peer.ip());
                if let Admission::Dropped | Admission::Full = admission {
                    rush.turn_away(stream);
                    continue;
                }
                // COU-14: no more are taken than there is room for.
                let stranger = tokio::select! {
                    stranger = door.stranger() => stranger,
                    () = stop.requested() => break,
                };
                let (door, courier) = (door.clone(), courier.clone());
                match admission {
                    Admission::Served(place) => tokio::spawn(async move {
                        serve(stream, &door, stranger, courier).await;
                        drop(place);
                    }),
                    Admission::Told(place) => tokio::spawn(async move {
                        let limit = courier.limits().handshake_timeout.to_std();
                        tokio::select! {
                            _ = tokio::time::timeout(limit, refuse(stream, &door)) => {}
                            () = stranger.put_out() => {}
                        }
                        drop(place);
                    }),
                    Admission::Dropped | Admission::Full => continue,
                };
            }
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

async fn serve(stream: TcpStream, door: &Door, stranger: Stranger, courier: Courier) {
    // Boxed: the state of a handshake is several times that of a connection that waits.
    let connection = tokio::select! {
        connection = Box::pin(let_in(stream, door, courier)) => connection,
        () = stranger.put_out() => return, // COU-14
    };
    drop(stranger);
    if let Some(connection) = connection {
        connection.await;
    }
}

/// Makes both handshakes, and returns the rest of the connection.
async fn let_in(stream: TcpStream, door: &Door, courier: Courier) -> Option<impl Future<Output = ()> + use<>> {
    let since = Instant::now();
    let limit = courier.limits().handshake_timeout.to_std();
    let stream = tokio::time::timeout(limit, door.accept(stream, Some(ALPN_COURIER))).await.ok()?.ok()?;
    let exported = stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None).ok()?;
    courier.connect(ByteFrames::new(stream), ChannelBinding::Exporter(exported), since).await
}

/// Tells a peer that its address has too many connections (COU-14).
async fn refuse(stream: TcpStream, door: &Door) -> io::Result<()> {
    let mut frames = ByteFrames::new(door.accept(stream, Some(ALPN_COURIER)).await?);
    frames.queue(ServerFrame::Close(Close::too_many_connections(RETRY_AFTER)));
    std::future::poll_fn(|cx| frames.poll_flush(cx)).await?;
    std::future::poll_fn(|cx| frames.poll_shutdown(cx)).await
}

/// How long to leave accepting alone after it failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// When a device behind a crowded address may try again: connections of phones that left are found dead within minutes.
const RETRY_AFTER: halcyon_types::Duration = halcyon_types::Duration::from_secs(60);
