//! When a command that goes on by itself is to end.
//!
//! Owns who may say so: the clock, and for a command of this process the person or the service manager by a signal, for a call to the
//! agent whoever called. Does not end anything.

use std::time::Duration;

use tokio::sync::watch;

/// Says when it is enough.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// Signals to this process.
    Signals,
    /// Whoever called, by setting this, or by going.
    Caller(watch::Receiver<bool>),
}

impl Stop {
    /// Returns when it is enough, after `limit` at the latest.
    pub(crate) async fn asked(&self, limit: Option<Duration>) {
        let over = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => {}
            () = self.said() => {}
        }
    }

    async fn said(&self) {
        match self {
            Self::Signals => signals().await,
            Self::Caller(said) => {
                // A caller that is gone has seen enough, too.
                let _ = said.clone().wait_for(|is_said| *is_said).await;
            }
        }
    }
}

/// Returns what waits for a signal to end. Signals count from this call on, and not only once it is waited.
#[cfg(unix)]
pub(crate) fn signals() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        // Where the system takes no handler, the signal ends the process.
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// Returns what waits for a signal to end.
#[cfg(not(unix))]
pub(crate) async fn signals() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
