//! The load, the same for every peer and as `halcyon-bench courier` makes it: each sender keeps so many messages under way,
//! each receiver acknowledges what it gets.
//!
//! Owns when a message counts as accepted and as delivered. Does not know how either is said: that is a [`Client`]'s.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::course::{Course, Delivery, Measured, Receivers, histogram, stamped};
use crate::wire::Wire;

/// A connection that sends or receives.
pub(crate) trait Client: Send + 'static {
    fn wire(&mut self) -> &mut Wire;

    /// Queues the message with this number, counted from 1, to the receiver that this sender writes to.
    fn queue_message(&mut self, number: u64, payload: &[u8]);

    /// Returns what happened next, of what is read already.
    fn take(&mut self) -> Result<Option<Event>>;

    /// Queues the acknowledgement of all that was taken.
    fn acknowledge(&mut self);
}

/// What a connection tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The peer has taken responsibility for this message.
    Accepted(u64),
    /// The same, for all messages up to this one.
    AcceptedUpTo(u64),
    /// A message came; it was sent at the time that its first bytes say.
    Delivered(Stamp),
}

/// The first bytes of a payload, which say when it was sent.
pub(crate) type Stamp = [u8; 8];

/// A running peer that can be connected to.
pub(crate) trait Peer: Sync {
    type Client: Client;

    /// Connects who receives what is sent to this number.
    fn receiver(&self, number: u32) -> impl Future<Output = Result<Self::Client>> + Send;

    /// Connects one who sends to this number.
    fn sender(&self, number: u32, to: u32) -> impl Future<Output = Result<Self::Client>> + Send;

    /// Returns whether a connection takes one request at a time, so that a sender needs as many as it has messages under way.
    fn is_one_at_a_time(&self) -> bool {
        false
    }
}

/// How much to send.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) senders: u32,
    pub(crate) receivers: u32,
    pub(crate) in_flight: usize,
    pub(crate) payload: usize,
    pub(crate) length: Duration,
}

impl Load {
    /// Loads a peer.
    pub(crate) async fn run(&self, peer: &impl Peer) -> Result<Measured> {
        ensure!(self.senders > 0 && self.receivers > 0, "there must be somebody to send and somebody to receive");
        let course = Arc::new(Course::new());
        let (receivers, received) = receivers(self, peer, &course).await?;
        let (connections, in_flight) = if peer.is_one_at_a_time() { (self.in_flight, 1) } else { (1, self.in_flight) };
        let mut clients = Vec::new();
        for number in 0..self.senders {
            for _ in 0..connections {
                clients.push(peer.sender(number, number % self.receivers).await.context("a sender does not connect")?);
            }
        }
        let mut senders = JoinSet::new();
        for client in clients {
            senders.spawn(send(client, self.payload, in_flight, course.clone()));
        }
        let seconds = course.run(self.length).await;
        let mut latency = histogram()?;
        while let Some(sender) =
            tokio::time::timeout(STRAGGLERS, senders.join_next()).await.context("no last answer")?
        {
            latency.add(sender??)?;
        }
        drain(&received).await;
        Ok(course.measured(seconds, latency, receivers.end().await?))
    }
}

/// Connects those who receive, and acknowledge what they get; they count what that is.
async fn receivers(load: &Load, peer: &impl Peer, course: &Arc<Course>) -> Result<(Receivers, Arc<AtomicU64>)> {
    let (mut receivers, received) = (Receivers::default(), Arc::new(AtomicU64::new(0)));
    for number in 0..load.receivers {
        let client = peer.receiver(number).await.context("a receiver does not connect")?;
        receivers.spawn(|delivery| receive(client, course.clone(), delivery, received.clone()))?;
    }
    Ok((receivers, received))
}

/// Waits until nothing comes any more, so that the next load does not begin with the rest of this one.
async fn drain(received: &AtomicU64) {
    let begun = Instant::now();
    let mut before = received.load(Ordering::Relaxed);
    while begun.elapsed() < STRAGGLERS {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = received.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

async fn receive(
    mut client: impl Client,
    course: Arc<Course>,
    delivery: Delivery,
    received: Arc<AtomicU64>,
) -> Result<()> {
    loop {
        let mut count = 0;
        while let Some(event) = client.take()? {
            let Event::Delivered(stamp) = event else { bail!("a receiver was told {event:?}") };
            course.note_delivery(&stamp, &mut delivery.lock().unwrap_or_else(PoisonError::into_inner));
            count += 1;
        }
        received.fetch_add(count, Ordering::Relaxed);
        client.acknowledge();
        client.wire().flush().await?;
        client.wire().fill().await?;
    }
}

async fn send(
    mut client: impl Client,
    payload: usize,
    in_flight: usize,
    course: Arc<Course>,
) -> Result<Histogram<u64>> {
    let mut latency = histogram()?;
    let mut under_way = UnderWay::default();
    while !course.is_over() || !under_way.is_empty() {
        while under_way.len() < in_flight && !course.is_over() {
            let now = Instant::now();
            let number = under_way.begin(now);
            client.queue_message(number, &stamped(now, payload));
        }
        client.wire().flush().await?;
        client.wire().fill().await?;
        while let Some(event) = client.take()? {
            for begun in under_way.answered(event)? {
                course.note(begun, &mut latency);
            }
        }
        client.acknowledge();
    }
    client.wire().flush().await?;
    Ok(latency)
}

/// Messages that wait for their answer, and when they were sent.
#[derive(Default)]
struct UnderWay {
    messages: VecDeque<(u64, Instant)>,
    newest: u64,
}

impl UnderWay {
    fn len(&self) -> usize {
        self.messages.len()
    }

    fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn begin(&mut self, now: Instant) -> u64 {
        self.newest += 1;
        self.messages.push_back((self.newest, now));
        self.newest
    }

    /// Takes off what an event answers, and returns when that was sent.
    fn answered(&mut self, event: Event) -> Result<Vec<Instant>> {
        match event {
            Event::Accepted(number) => {
                let found = self.messages.iter().position(|(waiting, _)| *waiting == number);
                let message = found.and_then(|index| self.messages.remove(index)).context("an answer to nothing")?;
                Ok(vec![message.1])
            }
            Event::AcceptedUpTo(number) => {
                ensure!(number <= self.newest, "an answer to a message that was not sent");
                let count = self.messages.partition_point(|(waiting, _)| *waiting <= number);
                Ok(self.messages.drain(..count).map(|(_, begun)| begun).collect())
            }
            Event::Delivered(_) => bail!("a sender was sent something"),
        }
    }
}

/// What is under way when a load ends is answered, and what is stored is delivered, in this time; or the peer is broken.
const STRAGGLERS: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    /// One answer may be for one message or for many, and none is counted twice.
    #[test]
    fn every_message_is_answered_once() {
        let mut under_way = UnderWay::default();
        for _ in 0..5 {
            under_way.begin(Instant::now());
        }
        assert_eq!(under_way.answered(Event::Accepted(2)).unwrap().len(), 1);
        assert_eq!(under_way.answered(Event::AcceptedUpTo(4)).unwrap().len(), 3);
        assert_eq!(under_way.answered(Event::AcceptedUpTo(4)).unwrap().len(), 0);
        assert_eq!(under_way.len(), 1);
        under_way.answered(Event::Accepted(2)).unwrap_err();
        under_way.answered(Event::AcceptedUpTo(6)).unwrap_err();
        under_way.answered(Event::Delivered([0; 8])).unwrap_err();
    }
}
