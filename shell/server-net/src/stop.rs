//! The wish to end, told to every task of a server at once.
//!
//! Owns one flag that goes from false to true and never back. Does not know what the tasks do about it.

use tokio::sync::watch;

/// The half that asks. Dropping it asks, too, so that a lost server does not leave tasks behind.
#[derive(Debug)]
pub struct StopSender(watch::Sender<bool>);

/// The half that is asked; clone one for each task.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Returns both halves of a new flag.
#[must_use]
pub fn channel() -> (StopSender, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopSender(sender), Stop(receiver))
}

impl StopSender {
    /// Asks every task to end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Returns once the end was asked for; at once if it already was.
    pub async fn requested(&mut self) {
        // An error means that the sender is gone, which asks as well.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }

    /// Returns whether the end was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// COU-56: a task learns of the end, whether it looked before or after.
    #[tokio::test]
    async fn everybody_hears_of_the_end() {
        let (sender, stop) = channel();
        let mut early = stop.clone();
        let waiting = tokio::spawn(async move { early.requested().await });
        assert!(!stop.is_requested());
        sender.stop();
        waiting.await.unwrap();
        let mut late = stop.clone();
        late.requested().await;
        assert!(late.is_requested());
    }

    #[tokio::test]
    async fn a_dropped_sender_asks_too() {
        let (sender, mut stop) = channel();
        drop(sender);
        stop.requested().await;
        assert!(stop.is_requested());
    }
}
