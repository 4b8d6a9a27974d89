//! Writes frames to one connection, so that a network that does not take them never keeps frames from being read.
//!
//! - Frames leave in the order in which they were given.
//! - How many wait is bounded by the protocol: sends without an answer, a window of acknowledgements, a sign of life.

use bytes::Bytes;
use halcyon_failpoint::{Point, hit};
use halcyon_types::Duration;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::ports::{CourierSink, courier::ConnectionError};

/// One connection's writing half.
pub(super) struct Writer {
    frames: mpsc::UnboundedSender<Bytes>,
    /// `None` once its end was seen: a task's result can be taken only once.
    task: Option<JoinHandle<Result<(), ConnectionError>>>,
}

/// A network that takes no frame in this time is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// For a goodbye nobody waits longer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

impl Writer {
    pub(super) fn new(mut sink: Box<dyn CourierSink>) -> Self {
        let (frames, mut waiting) = mpsc::unbounded_channel::<Bytes>();
        let task = tokio::spawn(async move {
            while let Some(frame) = waiting.recv().await {
                let sent = tokio::time::timeout(WRITE_TIMEOUT.to_std(), sink.send(frame)).await;
                sent.unwrap_or_else(|_| Err(ConnectionError::Broken("the network takes no data".to_owned())))?;
                hit(Point::ClientWritten);
            }
            sink.close().await;
            Ok(())
        });
        Self { frames, task: Some(task) }
    }

    /// Gives a frame. If the connection broke, [`broken`](Self::broken) says so.
    pub(super) fn write(&self, frame: Bytes) {
        let _ = self.frames.send(frame);
    }

    /// Waits until the connection broke.
    pub(super) async fn broken(&mut self) -> ConnectionError {
        let ended = match &mut self.task {
            Some(task) => task.await,
            None => Ok(Ok(())),
        };
        self.task = None;
        match ended {
            Ok(Err(error)) => error,
            // It ends otherwise only when it is closed.
            Ok(Ok(())) | Err(_) => ConnectionError::Broken("writing ended".to_owned()),
        }
    }

    /// Writes what waits, and ends the connection.
    pub(super) async fn close(self) {
        drop(self.frames);
        let Some(mut task) = self.task else { return };
        if tokio::time::timeout(CLOSE_TIMEOUT.to_std(), &mut task).await.is_err() {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network that takes nothing.
    struct Severed;

    #[async_trait::async_trait]
    impl CourierSink for Severed {
        async fn send(&mut self, _frame: Bytes) -> Result<(), ConnectionError> {
            Err(ConnectionError::Broken("severed".to_owned()))
        }

        async fn close(&mut self) {}
    }

    /// SND-2: a connection that broke while writing is closed like any other, so that the client comes back and sends again.
    #[tokio::test]
    async fn a_broken_connection_is_closed_in_peace() {
        let mut writer = Writer::new(Box::new(Severed));
        writer.write(Bytes::from_static(b"hello?"));
        assert!(matches!(writer.broken().await, ConnectionError::Broken(_)));
        writer.close().await;
    }
}
