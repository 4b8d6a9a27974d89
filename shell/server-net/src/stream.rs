//! A connection's bytes, metered: what comes too fast waits, who takes nothing is left. Spec: 30-courier.md §2 (COU-16).
//!
//! Owns one rate of bytes a connection, below TLS, so that whatever a peer makes of its bytes (tiny records, empty
//! fragments, pings, requests) costs the processor a bounded share. Does not know what the bytes are.
//!
//! - Bytes that come too fast stay in the network: memory does not grow, and the peer's own writing slows down.
//! - An idle connection costs a few numbers; timers exist while they run.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A stream that is read no faster than allowed, and whose peer must take what is written.
pub struct Metered<S> {
    stream: S,
    bytes_per_s: u32,
    /// Bytes that may be read at once. Below zero by one read at most.
    allowance: i64,
    filled: Instant,
    pause: Option<Pin<Box<Sleep>>>,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Metered<S> {
    /// Meters `stream`: so many bytes a second, and [`BURST_S`] seconds' worth at once after a rest.
    pub fn new(stream: S, bytes_per_s: u32) -> Self {
        let allowance = i64::from(bytes_per_s) * BURST_S;
        Self { stream, bytes_per_s, allowance, filled: Instant::now(), pause: None, stalled: None }
    }

    fn refill(&mut self) {
        let now = Instant::now();
        let millis = i64::try_from((now - self.filled).as_millis()).unwrap_or(i64::MAX);
        let gained = millis.saturating_mul(i64::from(self.bytes_per_s)) / 1000;
        if gained > 0 {
            self.allowance = self.allowance.saturating_add(gained).min(i64::from(self.bytes_per_s) * BURST_S);
            self.filled = now;
        }
    }

    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_STALLED_MAX)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if self.allowance <= 0 {
            self.refill();
        }
        if self.allowance <= 0 {
            let mut pause = Box::pin(tokio::time::sleep(READ_PAUSE));
            // Registers the wake-up; a sleep that was just made is not over.
            let _ = pause.as_mut().poll(cx);
            self.pause = Some(pause);
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = i64::try_from(buffer.filled().len() - before).unwrap_or(i64::MAX);
        self.allowance = self.allowance.saturating_sub(read.max(READ_COST_MIN));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.poll_stalled(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.poll_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Seconds' worth of bytes that are read at once after a rest: several of the largest frames.
const BURST_S: i64 = 4;
/// What a read costs at least: bytes that come one by one cost a look each, which is worth about as much as this many.
const READ_COST_MIN: i64 = 128;
/// How long a connection that was too fast is left unread.
const READ_PAUSE: Duration = Duration::from_millis(20);
/// How long a peer may take none of what is written to it (COU-16). A network that carries nothing for so long is gone.
const WRITE_STALLED_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// COU-16: a burst at once, the rest at the rate.
    #[tokio::test(start_paused = true)]
    async fn bytes_come_no_faster_than_allowed() {
        let (mut rude, ours) = tokio::io::duplex(1 << 20);
        let writing = tokio::spawn(async move { while rude.write_all(&[7; 4096]).await.is_ok() {} });
        let mut metered = Metered::new(ours, 10_000);
        let begun = Instant::now();
        let (mut read, mut buffer) = (0, vec![0; 4096]);
        while read < 240_000 {
            read += metered.read(&mut buffer).await.unwrap();
        }
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(19) && took <= Duration::from_secs(21), "{took:?}");
        drop(metered);
        writing.await.unwrap();
    }

    /// COU-16: bytes that come one by one are no way around the rate.
    #[tokio::test(start_paused = true)]
    async fn single_bytes_cost_more_than_a_byte() {
        let (mut rude, ours) = tokio::io::duplex(1 << 20);
        rude.write_all(&[7; 10_000]).await.unwrap();
        let mut metered = Metered::new(ours, 12_800);
        let begun = Instant::now();
        for _ in 0..1_000 {
            metered.read_u8().await.unwrap();
        }
        assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    /// COU-16: a peer that takes nothing is left after half a minute.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_left() {
        let (_deaf, ours) = tokio::io::duplex(1024);
        let mut metered = Metered::new(ours, 1_000);
        let begun = Instant::now();
        let error = metered.write_all(&[7; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 30);
    }
}
