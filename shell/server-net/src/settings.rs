//! What an operator decides about a server, as plain values.
//!
//! Owns the settings and their defaults. Does not read files, environment or arguments: the app does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use halcyon_crypto::SecretBytes;
use halcyon_server::accounts::Limits;

/// Everything a server needs to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder with all state; made if it is not there. One server at a time.
    pub data: PathBuf,
    /// The host name under which clients reach the server: lower case, without port. It is the audience of every signed
    /// request and connect (ACC-1, COU-11).
    pub host: String,
    /// The start of the links in mails, for example `https://halcyon.example.org`. `None`: made of [`Self::host`] and the
    /// port that HTTPS listens on (ACC-22).
    pub public_url: Option<String>,
    /// Where the courier listens (COU-1). Port 0 picks a free one.
    pub courier_listen: SocketAddr,
    /// Where HTTPS listens: accounts, directory, courier over WebSocket.
    pub https_listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` listen, without TLS; `None` for nowhere. Never a public address.
    pub private_listen: Option<SocketAddr>,
    /// Where the certificate comes from.
    pub tls: TlsSource,
    /// Where verification mail goes.
    pub mail: MailSource,
    /// Limits of accounts and directory (ACC-4, DIR-23).
    pub limits: Limits,
    /// Limits of the courier and its mailboxes (COU-3 to COU-51).
    pub courier: halcyon_courier::limits::Limits,
}

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum TlsSource {
    /// A certificate chain and its key, PEM.
    Files {
        /// The chain, the server's own certificate first.
        chain: PathBuf,
        /// The private key: PKCS #8, SEC 1 or PKCS #1.
        key: PathBuf,
    },
    /// An authority made on the spot, for development and the quickstart. Clients are told to trust
    /// `<folder>/authority.pem`.
    DevelopmentAuthority {
        /// Where authority and certificate are kept.
        folder: PathBuf,
        /// Host names and addresses that the certificate is good for.
        names: Vec<String>,
    },
}

/// Where verification mail goes.
#[derive(Clone, Debug)]
pub enum MailSource {
    /// One `.eml` file a mail, for development and tests.
    Folder(PathBuf),
    /// A relay.
    Smtp(SmtpSettings),
}

/// How to reach a mail relay.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// Host name of the relay.
    pub relay: String,
    /// Its port: usually 465 for [`SmtpSecurity::Tls`], 587 for [`SmtpSecurity::StartTls`].
    pub port: u16,
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// User name and password, if the relay wants them.
    pub credentials: Option<(String, SecretBytes)>,
    /// The address that mails come from.
    pub from: String,
}

/// How the connection to a relay is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS from the first byte.
    Tls,
    /// TLS after STARTTLS, which is required.
    StartTls,
    /// Nothing: for a relay on the same machine only.
    DangerousPlaintext,
}

impl Settings {
    /// Returns settings for a server on loopback with free ports, its own authority, and mails in a folder: all of it
    /// below `data`.
    #[must_use]
    pub fn loopback(data: PathBuf) -> Self {
        let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self {
            host: "localhost".to_owned(),
            public_url: None,
            courier_listen: any_port,
            https_listen: any_port,
            private_listen: Some(any_port),
            tls: TlsSource::DevelopmentAuthority {
                folder: data.join("authority"),
                names: vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()],
            },
            mail: MailSource::Folder(data.join("mail")),
            limits: Limits::default(),
            courier: halcyon_courier::limits::Limits::default(),
            data,
        }
    }
}
