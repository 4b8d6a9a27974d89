//! A courier on loopback with a folder of its own, and phones that dial it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use halcyon_courier::Topics;
use halcyon_courier::connect::{ChannelBinding, EXPORTER_LABEL};
use halcyon_server::courier::{Courier, Ports, Settings};
use halcyon_server::ports::Clock;
use halcyon_server_net::courier::addresses::{AddressLimits, Loopback, SourceAddresses};
use halcyon_server_net::courier::native::{self, ALPN_COURIER};
use halcyon_server_net::courier::websocket;
use halcyon_server_net::door::Door;
use halcyon_server_net::stop::{self, StopSender};
use halcyon_server_net::tls::Identity;
use halcyon_server_net::world::{SystemClock, SystemRandom};
use halcyon_server_store::{MailboxOptions, MailboxStore};
use halcyon_testkit::courier::{Phone, TestDevice, Town};
use halcyon_testkit::holds::MemoryHolds;
use halcyon_types::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const HOST: &str = "localhost";

/// A running courier.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) http: SocketAddr,
    certificate: CertificateDer<'static>,
    stop: StopSender,
    native: JoinHandle<()>,
    web: JoinHandle<()>,
}

impl Server {
    /// Starts a courier on a data folder.
    pub(crate) async fn start(folder: &Path, town: &Town) -> Self {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let identity = Identity::new(vec![certificate.clone()], key);
        let options = MailboxOptions { reserve_bytes: 1 << 16, ..MailboxOptions::default() };
        let ports = Ports {
            mailboxes: Arc::new(MailboxStore::open(folder, options).unwrap()),
            holds: Arc::new(MemoryHolds::default()),
            recipients: Arc::new(town.clone()),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        let courier = Courier::start(ports, Settings::new(HOST));
        let (stop, stopped) = stop::channel();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        // HTTP alone: TLS below the upgrade is the HTTPS listener's, tested with it.
        let web = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let http = web.local_addr().unwrap();
        let limits = courier.limits().clone();
        let sources = SourceAddresses::new(AddressLimits::new(&limits, limits.connections_max, Loopback::Trusted));
        let router: Router = websocket::routes(courier.clone(), sources.clone());
        let web = tokio::spawn(async move { axum::serve(web, router).await.unwrap() });
        let native = tokio::spawn(native::run(
            listener,
            Door::new(identity.server_config(ALPN_COURIER).unwrap(), sources, &limits),
            courier,
            stopped,
        ));
        Self { address, http, certificate, stop, native, web }
    }

    /// Ends it in order.
    pub(crate) async fn shut_down(self) {
        self.stop.stop();
        self.web.abort();
        self.native.await.unwrap();
    }

    /// Makes a TLS connection that names these protocols.
    pub(crate) async fn tls(&self, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(HOST).unwrap(), stream).await
    }

    /// Connects a device that shows this epoch from now on, and returns which one the server remembers of it.
    pub(crate) async fn online_at(&self, owner: &TestDevice, epoch: u64) -> (Phone<TlsStream<TcpStream>>, u64) {
        let stream = self.tls(&[ALPN_COURIER]).await.unwrap();
        let binding = exporter(&stream);
        let mut phone = Phone::new(owner, stream);
        phone.epoch = epoch;
        let hello = phone.hello().await;
        let connected = phone.connect(HOST, &hello, &binding, Topics::messages_and_alerts(), now()).await.unwrap();
        (phone, connected.epoch)
    }

    /// Connects a device.
    pub(crate) async fn online(&self, owner: &TestDevice) -> Phone<TlsStream<TcpStream>> {
        let stream = self.tls(&[ALPN_COURIER]).await.unwrap();
        let binding = exporter(&stream);
        Phone::dial(owner, stream, HOST, &binding, now()).await
    }
}

/// What binds a connect to its TLS connection (COU-11).
pub(crate) fn exporter(stream: &TlsStream<TcpStream>) -> ChannelBinding {
    ChannelBinding::Exporter(stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None).unwrap())
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}
