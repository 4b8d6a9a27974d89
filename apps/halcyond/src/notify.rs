//! Tells a service manager how far we are: systemd's `sd_notify` protocol, one datagram a state.
//!
//! Owns nothing. Without a service manager (`NOTIFY_SOCKET` unset) it does nothing.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What the service manager is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Progress {
    /// All listeners are open.
    Ready,
    /// No new connection is accepted any more.
    Stopping,
}

/// Tells the service manager. A manager that does not listen is its own problem.
pub(crate) fn tell(progress: Progress) {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match address.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&address),
    };
    let text: &[u8] = match progress {
        Progress::Ready => b"READY=1",
        Progress::Stopping => b"STOPPING=1",
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(text, &address));
    if let Err(error) = sent {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
