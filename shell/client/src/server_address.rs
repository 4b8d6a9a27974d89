//! The address of a server as people write it, and what follows from it. Spec: 20-accounts.md §1 (ACC-1).
//!
//! Owns the parsing. Does not know how a name is resolved.

use std::fmt;
use std::str::FromStr;

/// Where a server is: `https://host` or `https://host:port`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

/// The text is not a server's address. The fault is the person's who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a server's address is written https://host or https://host:port")]
pub struct ServerAddressError;

/// The port of HTTPS.
const HTTPS_PORT: u16 = 443;
/// RFC 1035 §2.3.4.
const HOST_BYTES_MAX: usize = 253;

impl ServerAddress {
    /// Returns the host name or IP address, lower case. It is also the audience of everything that is signed for the server (ACC-1).
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the HTTPS port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the value of a `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == HTTPS_PORT { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl FromStr for ServerAddress {
    type Err = ServerAddressError;

    fn from_str(text: &str) -> Result<Self, ServerAddressError> {
        let text = text.trim().to_ascii_lowercase();
        let rest = match text.split_once("://") {
            Some(("https", rest)) => rest,
            Some(_) => return Err(ServerAddressError),
            None => &text,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| ServerAddressError)?),
            None => (rest, HTTPS_PORT),
        };
        let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        if host.is_empty() || host.len() > HOST_BYTES_MAX || !plain || port == 0 {
            return Err(ServerAddressError);
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ACC-1: the audience is the host in lower case, without port.
    #[test]
    fn an_address_gives_host_and_port() {
        let address: ServerAddress = "https://Chat.Example.org:8443/".parse().unwrap();
        assert_eq!((address.host(), address.port()), ("chat.example.org", 8443));
        assert_eq!(address.to_string(), "https://chat.example.org:8443");
        let short: ServerAddress = "example.org".parse().unwrap();
        assert_eq!((short.port(), short.to_string()), (443, "https://example.org".to_owned()));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "http://example.org",
            "https://",
            "https://a b",
            "https://x:0",
            "https://x:99999",
            "https://x/path",
            "https://u@x",
        ] {
            assert_eq!(text.parse::<ServerAddress>(), Err(ServerAddressError), "{text}");
        }
    }
}
