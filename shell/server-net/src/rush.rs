//! How a listener takes connections while a crowd is turned away. Spec: 30-courier.md §2 (COU-14).
//!
//! Owns the pauses between them, and those who were turned away, until they may go. Does not know who is turned away, or why.
//!
//! - While nobody is turned away, a connection is taken when it comes.
//! - Otherwise those that come within a pause are taken together: a flood wakes the server some hundred times a second, however
//!   many connections it has, and the processor is left to those who are in.
//! - Whoever is turned away is kept waiting before the connection is closed: a program that comes back at once, as one without pauses
//!   does, comes once a second. Taking and closing a connection is what a crowd costs.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// The connections of one listener, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Rush {
    /// Since the last pause.
    turned_away: u32,
    /// Who was turned away and is not closed yet, with since when; the longest there first.
    held: VecDeque<(Instant, std::net::TcpStream)>,
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
        loop {
            self.let_go();
            let Some((since, _)) = self.held.front() else { return listener.accept().await };
            tokio::select! {
                accepted = listener.accept() => return accepted,
                () = tokio::time::sleep_until(*since + HELD_FOR) => {}
            }
        }
    }

    /// Takes a connection that is to be closed. Nothing is read of it, and nothing written.
    pub(crate) fn turn_away(&mut self, stream: TcpStream) {
        self.turned_away += 1;
        // It is to wake nobody any more; one that cannot be told so is closed here.
        if let Ok(stream) = stream.into_std() {
            self.held.push_back((Instant::now(), stream));
        }
        self.let_go();
    }

    /// Closes those who were held for long, and the oldest when there are too many.
    fn let_go(&mut self) {
        let is_over = |(since, _): &(Instant, _)| since.elapsed() >= HELD_FOR;
        while self.held.len() > HELD_MAX || self.held.front().is_some_and(is_over) {
            self.held.pop_front();
        }
    }
}

/// How long a connection that is turned away is kept waiting (COU-14): no longer than an honest client waits before it comes again.
const HELD_FOR: Duration = Duration::from_secs(1);
/// Connections that a listener keeps waiting: each is an open file.
pub(crate) const HELD_MAX: usize = 64;

/// How long a listener rests when it has turned somebody away and nobody waits: far less than a handshake takes, and long enough for
/// many connections of a flood (COU-14).
const PAUSE: Duration = Duration::from_millis(5);
/// Connections that are turned away without a pause, so that a flood does not have a thread for itself. Tokio lets a task take 128
/// before it looks after others; this is less, and 20,000 a second.
const AT_ONCE_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

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
            let (stream, _) = rush.accept(&listener).await.unwrap();
            if number >= 30 {
                rush.turn_away(stream);
            }
        }
        assert_eq!(rush.turned_away, 29, "there was a pause");
    }

    /// COU-14: after somebody was turned away, the next one waits for the pause, and the one after that for nothing.
    #[tokio::test]
    async fn the_next_one_waits() {
        let (listener, _crowd) = crowd(1).await;
        let address = listener.local_addr().unwrap();
        let mut rush = Rush { turned_away: 1, ..Rush::default() };
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
        let mut rush = Rush { turned_away: AT_ONCE_MAX, ..Rush::default() };
        let begun = Instant::now();
        rush.accept(&listener).await.unwrap();
        assert!(begun.elapsed() >= PAUSE, "taken after {:?}", begun.elapsed());
        rush.accept(&listener).await.unwrap();
    }

    /// COU-14: who is turned away waits for a second, whether others come or not.
    #[tokio::test]
    async fn who_is_turned_away_is_kept_waiting() {
        let (listener, mut crowd) = crowd(2).await;
        let mut rush = Rush::default();
        let begun = Instant::now();
        rush.turn_away(rush_in(&listener).await);
        let waiting = tokio::spawn(async move { rush.accept(&listener).await.map(|_| rush.held.len()) });
        let late = TcpStream::connect(crowd[1].peer_addr().unwrap());
        let end = crowd[1].read(&mut [0]).await;
        assert!(matches!(end, Ok(0)), "{end:?}");
        assert!(begun.elapsed() >= HELD_FOR, "closed after {:?}", begun.elapsed());
        let _late = late.await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), 0);
    }

    /// COU-14: they are not many.
    #[tokio::test]
    async fn a_crowd_is_not_kept() {
        let (listener, mut first) = crowd(2).await;
        let mut rush = Rush::default();
        rush.turn_away(rush_in(&listener).await);
        let mut others = Vec::new();
        for _ in 0..HELD_MAX {
            others.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            rush.turn_away(rush_in(&listener).await);
        }
        assert_eq!(rush.held.len(), HELD_MAX);
        assert!(matches!(first[1].read(&mut [0]).await, Ok(0)), "the oldest made room");
    }

    async fn rush_in(listener: &TcpListener) -> TcpStream {
        listener.accept().await.unwrap().0
    }
}
