//! Native adapters of the client's network ports: TLS, HTTPS, the courier's two bindings, clock and randomness.
//!
//! Owns sockets, certificates and timeouts. Does not know what is asked or said: requests and frames are bytes here.
//!
//! - TLS 1.3 only, the hybrid key exchange first (COU-1); a certificate that is not trusted is its own kind of error.
//! - Whatever a server sends is bounded before it is kept.
//!
//! Next: [`Network::new`] gives everything that `halcyon_client::Parts` asks for, but the store. [`PageFetcher`] asks other servers, for
//! previews of links.

mod courier;
mod http;
mod pages;
mod tls;
mod websocket;
mod world;

use std::sync::Arc;

use halcyon_client::{
    ServerAddress,
    ports::{CourierConnector, Http},
};

pub use courier::Binding;
pub use pages::{Names, PageFetcher, is_outside};
pub use tls::{Trust, TrustError};
pub use world::{SystemClock, SystemRandom};

/// The way to one server.
#[derive(Clone)]
pub struct Network {
    http: Arc<http::HttpsClient>,
    courier: Arc<courier::Connector>,
}

impl Network {
    /// Prepares to reach a server. Nothing is sent yet.
    ///
    /// # Errors
    /// [`TrustError`] when the certificates to trust cannot be read.
    pub fn new(server: ServerAddress, trust: &Trust, binding: Binding) -> Result<Self, TrustError> {
        let roots = trust.roots()?;
        let http = Arc::new(http::HttpsClient::new(server.clone(), tls::Connector::new(&roots, tls::ALPN_HTTP)?));
        let courier = courier::Connector::new(server, http.clone(), &roots, binding)?;
        Ok(Self { http, courier: Arc::new(courier) })
    }

    /// Returns the adapter for requests.
    #[must_use]
    pub fn http(&self) -> Arc<dyn Http> {
        self.http.clone()
    }

    /// Returns the adapter for courier connections.
    #[must_use]
    pub fn courier(&self) -> Arc<dyn CourierConnector> {
        self.courier.clone()
    }
}
