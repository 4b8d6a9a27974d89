//! How a listener takes connections while a crowd is turned away. Spec: 30-courier.md §2 (COU-14).
//!
//! Owns the pauses between them. Does not know who is turned away, or why.
//!
//! - While nobody is turned away, a connection is taken when it comes.
//! - Otherwise those that come within a pause are taken together: a flood wakes the server some hundred times a second, however
//!   many connections it has, and the processor is left to those who are in.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// The connections of one listener, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Rush {
    /// Since the last pause.
    turned_away: u32,
}

impl Rush {
    /// Waits for the next connection. May be dropped while it waits.
    ///
    /// # Errors
    /// What the operating system says: out of file descriptors, most likely.
    pub(crate) async fn accept(&mut self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        if (1..AT_ONCE_MAX).contains(&self.turned_away) {
            // Whoever waits already is taken now.
            tokio::select! {
                biased;
                accepted = listener.accept() => return accepted,
                () = std::future::ready(()) => {}
            }
        }
        if self.turned_away > 0 {
            tokio::time::sleep(PAUSE).await;
            self.turned_away = 0;
        }
        listener.accept().await
    }

    /// Counts a connection that was closed as soon as it was taken.
    pub(crate) fn turned_away(&mut self) {
        self.turned_away += 1;
    }
}

/// How long a listener rests when it has turned somebody away and nobody waits: far less than a handshake takes, and long enough for
/// many connections of a flood (COU-14).
const PAUSE: Duration = Duration::from_millis(5);
/// Connections that are turned away without a pause, so that a flood does not have a thread for itself. Tokio lets a task take 128
/// before it looks after others; this is less, and 20,000 a second.
const AT_ONCE_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A listener, and so many connections that wait to be taken.
    async fn crowd(size: usize) -> (TcpListener, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut crowd = Vec::new();
        for _ in 0..size {
            crowd.push(TcpStream::connect(address).await.unwrap());
        }
        // Not until the first is reported does `accept` look for the others without waiting.
        listener.accept().await.unwrap();
        (listener, crowd)
    }

    /// COU-14: who is not turned away makes nobody wait, and those who wait already are taken together.
    #[tokio::test]
    async fn a_crowd_is_taken_together() {
        let (listener, _crowd) = crowd(60).await;
        let mut rush = Rush::default();
        for number in 0..59 {
            rush.accept(&listener).await.unwrap();
            if number >= 30 {
                rush.turned_away();
            }
        }
        assert_eq!(rush.turned_away, 29, "there was a pause");
    }

    /// COU-14: after somebody was turned away, the next one waits for the pause, and the one after that for nothing.
    #[tokio::test]
    async fn the_next_one_waits() {
        let (listener, _crowd) = crowd(1).await;
        let address = listener.local_addr().unwrap();
        let mut rush = Rush::default();
        rush.turned_away();
        let begun = Instant::now();
        let late = tokio::spawn(async move {
            tokio::time::sleep(PAUSE / 5).await;
            TcpStream::connect(address).await.unwrap()
        });
        rush.accept(&listener).await.unwrap();
        assert!(begun.elapsed() >= PAUSE, "taken after {:?}", begun.elapsed());
        assert_eq!(rush.turned_away, 0);
        let _late = late.await.unwrap();
    }

    /// COU-14: a flood does not go on for ever without a pause.
    #[tokio::test]
    async fn a_flood_is_paused() {
        let (listener, _crowd) = crowd(3).await;
        let mut rush = Rush { turned_away: AT_ONCE_MAX };
        let begun = Instant::now();
        rush.accept(&listener).await.unwrap();
        assert!(begun.elapsed() >= PAUSE, "taken after {:?}", begun.elapsed());
        rush.accept(&listener).await.unwrap();
    }
}
