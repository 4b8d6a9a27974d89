//! Connections to the courier. Spec: 30-courier.md §1 (COU-1, COU-2).
//!
//! Owns the shape of a connection: frames in, frames out, and what binds a connect to it. Does not know what frames say.

use bytes::Bytes;
use halcyon_courier::connect::ChannelBinding;

/// Opens connections to one server's courier, in whichever binding works.
#[async_trait::async_trait]
pub trait CourierConnector: Send + Sync {
    /// Opens a connection on which nothing was said yet.
    ///
    /// # Errors
    /// [`ConnectionError`]
    async fn connect(&self) -> Result<CourierChannel, ConnectionError>;
}

/// An open connection.
pub struct CourierChannel {
    /// What binds a connect to it (COU-11).
    pub binding: ChannelBinding,
    /// Where frames go.
    pub sink: Box<dyn CourierSink>,
    /// Where frames come from.
    pub source: Box<dyn CourierSource>,
}

/// Takes encoded frames, without the native binding's length.
#[async_trait::async_trait]
pub trait CourierSink: Send {
    /// Hands a frame to the network. Not safe to cancel: a cancelled send ends the connection.
    ///
    /// # Errors
    /// [`ConnectionError`]; the connection is over.
    async fn send(&mut self, frame: Bytes) -> Result<(), ConnectionError>;

    /// Ends the connection in good order, as far as possible.
    async fn close(&mut self);
}

/// Gives encoded frames, without the native binding's length.
#[async_trait::async_trait]
pub trait CourierSource: Send {
    /// Waits for the next frame; nothing when the server ended the connection. Safe to cancel: no byte is lost.
    ///
    /// # Errors
    /// [`ConnectionError`]; the connection is over.
    async fn receive(&mut self) -> Result<Option<Bytes>, ConnectionError>;
}

/// Why there is no connection, or none any more. Trying again later may help, except for [`ConnectionError::Untrusted`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// Name, network, port.
    #[error("the courier cannot be reached: {0}")]
    Unreachable(String),
    /// The server's certificate is not one that this client trusts.
    #[error("the server's certificate is not trusted: {0}")]
    Untrusted(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// A frame that is larger than any may be (COU-3).
    #[error("the server sent a frame that is too large")]
    FrameTooLarge,
}
