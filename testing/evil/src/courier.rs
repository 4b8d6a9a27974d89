//! A courier that relabels what it carries and loses what it is told, and a record of what was given to it. Spec: 30-courier.md.
//!
//! Owns the frames on their way between a client and its server. Does not know what they mean to either.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use halcyon_client::ports::{CourierChannel, CourierConnector, CourierSink, CourierSource, courier::ConnectionError};
use halcyon_courier::{ClientFrame, ServerFrame, wire};
use prost::Message;

/// One envelope that left the client.
#[derive(Clone, Debug, PartialEq)]
pub struct SentEnvelope {
    /// Drawn by the client.
    pub envelope_id: Bytes,
    /// Whom it was addressed to.
    pub push_token: Bytes,
    /// Which suite sealed it.
    pub suite: u32,
    /// What was sealed.
    pub payload: Bytes,
    /// The version of the list that it was sealed for.
    pub list_version: u64,
}

type Relabel = Box<dyn FnMut(&mut wire::Envelope) + Send>;

/// A courier between a client and the server, as the client's port.
pub struct EvilCourier {
    inner: Arc<dyn CourierConnector>,
    loses_acks: AtomicBool,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    relabel: Mutex<Option<Relabel>>,
    sent: Mutex<Vec<SentEnvelope>>,
}

impl EvilCourier {
    /// Puts a courier in between, which behaves until it is told otherwise.
    #[must_use]
    pub fn wrap(inner: Arc<dyn CourierConnector>) -> Arc<Self> {
        Arc::new(Self { inner, loses_acks: AtomicBool::new(false), shared: Arc::default() })
    }

    /// Changes every envelope that is delivered.
    pub fn relabel(&self, with: impl FnMut(&mut wire::Envelope) + Send + 'static) {
        *lock(&self.shared.relabel) = Some(Box::new(with));
    }

    /// Loses the acknowledgements of every connection that is made from now on, or of none.
    pub fn lose_acks(&self, loses: bool) {
        self.loses_acks.store(loses, Ordering::Relaxed);
    }

    /// Behaves from now on.
    pub fn leave_alone(&self) {
        *lock(&self.shared.relabel) = None;
        self.lose_acks(false);
    }

    /// Returns every envelope that the client sent so far, each as often as it was sent.
    #[must_use]
    pub fn sent(&self) -> Vec<SentEnvelope> {
        lock(&self.shared.sent).clone()
    }
}

#[async_trait::async_trait]
impl CourierConnector for EvilCourier {
    async fn connect(&self) -> Result<CourierChannel, ConnectionError> {
        let channel = self.inner.connect().await?;
        let loses_acks = self.loses_acks.load(Ordering::Relaxed);
        let sink = Box::new(WatchedSink { inner: channel.sink, loses_acks, shared: self.shared.clone() });
        let source = Box::new(LyingSource { inner: channel.source, shared: self.shared.clone() });
        Ok(CourierChannel { binding: channel.binding, sink, source })
    }
}

struct LyingSource {
    inner: Box<dyn CourierSource>,
    shared: Arc<Shared>,
}

#[async_trait::async_trait]
impl CourierSource for LyingSource {
    async fn receive(&mut self) -> Result<Option<Bytes>, ConnectionError> {
        let Some(frame) = self.inner.receive().await? else { return Ok(None) };
        let mut relabel = lock(&self.shared.relabel);
        if let (Ok(ServerFrame::Deliver(mut deliver)), Some(relabel)) =
            (ServerFrame::decode(frame.clone()), &mut *relabel)
            && let Ok(mut envelope) = wire::Envelope::decode(deliver.envelope.clone())
        {
            relabel(&mut envelope);
            deliver.envelope = envelope.encode_to_vec().into();
            return Ok(Some(ServerFrame::Deliver(deliver).encode()));
        }
        Ok(Some(frame))
    }
}

struct WatchedSink {
    inner: Box<dyn CourierSink>,
    loses_acks: bool,
    shared: Arc<Shared>,
}

#[async_trait::async_trait]
impl CourierSink for WatchedSink {
    async fn send(&mut self, frame: Bytes) -> Result<(), ConnectionError> {
        if self.loses_acks && matches!(ClientFrame::decode(frame.clone()), Ok(ClientFrame::Ack { .. })) {
            return Ok(());
        }
        // Read as it is on the wire: a send that its own side would not take is on record, too.
        if let Ok(wire::Frame { body: Some(wire::frame::Body::Send(send)) }) = wire::Frame::decode(frame.clone()) {
            lock(&self.shared.sent).extend(send.destinations.into_iter().flat_map(|destination| {
                let list_version = destination.list_version;
                destination.sealed.into_iter().map(move |sealed| SentEnvelope {
                    envelope_id: sealed.envelope_id,
                    push_token: sealed.push_token,
                    suite: sealed.suite,
                    payload: sealed.payload,
                    list_version,
                })
            }));
        }
        self.inner.send(frame).await
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
