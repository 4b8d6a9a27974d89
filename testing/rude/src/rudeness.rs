//! The rudenesses that the bench goes through: each goes on until it is dropped.
//!
//! Owns the list. Does not know what they do to others: the bench measures it, the tests look at the answers.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use halcyon_courier::{ClientFrame, Topics};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::citizen::{Binding, Citizen, Online, Recipient};
use crate::wire::{Line, Way, message, tcp};

/// Something that a client should not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rudeness {
    /// Sends to itself and reads nothing.
    SlowReader,
    /// A TLS hello, byte by byte, on many connections.
    SlowTls,
    /// The head of a request, byte by byte, on many connections.
    SlowHead,
    /// A body, byte by byte, on many connections.
    SlowBody,
    /// A frame, byte by byte.
    SlowFrame,
    /// Frames that are said to have 4 GiB, again and again.
    LongPrefix,
    /// Frames with 100,000 groups in one another.
    DeepFrame,
    /// JSON with 60,000 lists in one another.
    DeepJson,
    /// Signs of life as fast as the network takes them.
    FrameFlood,
    /// Other topics as fast as the network takes them; each is a read of the mailbox.
    FilterFlood,
    /// Requests as fast as the network takes them, without waiting for answers.
    RequestFlood,
    /// WebSocket pings as fast as the network takes them, whose pongs nobody reads.
    PingFlood,
    /// Empty fragments of a WebSocket message that never ends.
    FragmentFlood,
    /// TCP connections that are opened and closed.
    ConnectionFlood,
    /// TLS handshakes as fast as they come.
    TlsFlood,
    /// The same from 200 addresses.
    TlsFloodFromEverywhere,
    /// Connections that say nothing, from 200 addresses, more than there are places for strangers.
    SilentFlood,
    /// Bytes that are no TLS.
    Garbage,
    /// Connections that ended on one side.
    HalfClosed,
    /// Every device connects anew at the same moment, again and again.
    ReconnectStorm,
}

/// Who is rude, and to which server.
pub struct Rude {
    way: Way,
    devices: Vec<Citizen>,
    itself: Recipient,
}

/// One address of a client that has one.
pub const RUDE_HOME: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Connections of a rudeness that is many: below what one address may have.
const CONNECTIONS: usize = 80;
/// Addresses of a rudeness that comes from everywhere.
const EVERYWHERE: u32 = 200;
/// Connections in the making at a time.
const HANDS: usize = 8;
const BYTE_EVERY: Duration = Duration::from_millis(500);

impl Rudeness {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::SlowReader,
        Self::SlowTls,
        Self::SlowHead,
        Self::SlowBody,
        Self::SlowFrame,
        Self::LongPrefix,
        Self::DeepFrame,
        Self::DeepJson,
        Self::FrameFlood,
        Self::FilterFlood,
        Self::RequestFlood,
        Self::PingFlood,
        Self::FragmentFlood,
        Self::ConnectionFlood,
        Self::TlsFlood,
        Self::TlsFloodFromEverywhere,
        Self::SilentFlood,
        Self::Garbage,
        Self::HalfClosed,
        Self::ReconnectStorm,
    ];

    /// Returns its name, in lower case with underscores.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

impl Rude {
    /// Registers so many devices that will be rude.
    ///
    /// # Errors
    /// The server refuses, or cannot be reached.
    pub async fn register(way: Way, mails: &Path, devices: usize) -> anyhow::Result<Self> {
        let mut registered = Vec::new();
        for number in 0..devices.max(1) {
            registered.push(Citizen::register(&way, mails, &format!("mallory{number}")).await?);
        }
        let mallory = &registered[0];
        let push_token = mallory.online(&way).await?.push_token;
        let itself = mallory.look_up(&way, &mallory.handle, push_token).await?;
        Ok(Self { way, devices: registered, itself })
    }

    /// Is rude until this is dropped. What the server refuses is tried again.
    pub async fn be(&self, rudeness: Rudeness) {
        use Rudeness as R;
        match rudeness {
            R::SlowReader => self.again(1, async || self.send_and_never_read().await).await,
            R::SlowTls => self.again(CONNECTIONS, async || self.slow_tls().await).await,
            R::SlowHead => {
                let head = b"GET /v1/server HTTP/1.1\r\nhost: localhost\r\nx-a: ".as_slice();
                self.again(CONNECTIONS, async || self.slow_https(head).await).await;
            }
            R::SlowBody => {
                let head = b"POST /v1/verifications HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n".as_slice();
                self.again(CONNECTIONS, async || self.slow_https(head).await).await;
            }
            R::SlowFrame => self.again(1, async || self.slow_frame().await).await,
            R::LongPrefix => {
                self.again(HANDS, async || {
                    let mut line = self.way.courier(RUDE_HOME).await?;
                    line.write(&[0xff; 4]).await?;
                    line.end().await.map(drop)
                })
                .await;
            }
            R::DeepFrame => self.again(1, async || self.deep_frames().await).await,
            R::DeepJson => self.again(HANDS, async || self.deep_json().await).await,
            R::FrameFlood => {
                let mut frames = BytesMut::new();
                (0..1_000).for_each(|id| ClientFrame::KeepAlive { id }.write_to(&mut frames));
                self.again(1, async || self.flood(Binding::Native, &frames).await).await;
            }
            R::FilterFlood => {
                let mut frames = BytesMut::new();
                (0..1_000).for_each(|_| ClientFrame::Filter(Topics::messages_and_alerts()).write_to(&mut frames));
                self.again(1, async || self.flood(Binding::Native, &frames).await).await;
            }
            R::RequestFlood => {
                let requests = b"GET /v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
                self.again(HANDS, async || {
                    let mut line = self.way.https(RUDE_HOME).await?;
                    both_ways(&mut line, &requests).await
                })
                .await;
            }
            R::PingFlood => {
                let pings = message(0x89, &[7; 125]).repeat(200);
                self.again(1, async || {
                    let mut online = self.online(Binding::WebSocket).await?;
                    loop {
                        online.line.write(&pings).await?;
                    }
                })
                .await;
            }
            R::FragmentFlood => {
                let fragments = message(0x00, &[]).repeat(2_000);
                self.again(1, async || {
                    let mut online = self.online(Binding::WebSocket).await?;
                    online.line.write(&message(0x02, &[])).await?;
                    loop {
                        online.line.write(&fragments).await?;
                    }
                })
                .await;
            }
            R::ConnectionFlood => {
                self.again(HANDS, async || {
                    tcp(RUDE_HOME, self.way.addresses.courier).await?.shutdown().await?;
                    Ok(())
                })
                .await;
            }
            R::TlsFlood => self.again(HANDS, async || self.way.courier(RUDE_HOME).await.map(drop)).await,
            R::TlsFloodFromEverywhere => {
                let next = std::sync::atomic::AtomicU32::new(0);
                self.again(HANDS, async || {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    self.way.courier(somewhere(number)).await.map(drop)
                })
                .await;
            }
            R::SilentFlood => {
                let next = std::sync::atomic::AtomicU32::new(0);
                self.again(1_500, async || {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let mut stream = tcp(somewhere(number), self.way.addresses.courier).await?;
                    stream.read(&mut [0]).await?;
                    Ok(())
                })
                .await;
            }
            R::Garbage => {
                let garbage: Vec<u8> = (0..65_536_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
                self.again(HANDS, async || {
                    let mut stream = tcp(RUDE_HOME, self.way.addresses.courier).await?;
                    stream.write_all(&garbage).await?;
                    stream.read(&mut [0]).await?;
                    Ok(())
                })
                .await;
            }
            R::HalfClosed => {
                self.again(CONNECTIONS, async || {
                    let mut line = self.way.courier(RUDE_HOME).await?;
                    line.stream.get_mut().0.shutdown().await?;
                    line.end().await.map(drop)
                })
                .await;
            }
            R::ReconnectStorm => self.reconnect().await,
        }
    }

    /// Does something on so many connections, again and again.
    async fn again(&self, hands: usize, rude: impl AsyncFn() -> anyhow::Result<()>) {
        let hand = async || {
            loop {
                if rude().await.is_err() {
                    // Refused: a rude client comes back, but it cannot be faster than its own machine.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        futures_util::future::join_all((0..hands).map(|_| hand())).await;
    }

    async fn online(&self, binding: Binding) -> anyhow::Result<Online> {
        self.devices[0].online_from(&self.way, RUDE_HOME, binding).await
    }

    async fn send_and_never_read(&self) -> anyhow::Result<()> {
        let mut online = self.online(Binding::Native).await?;
        let payload = Bytes::from(vec![7; 16_000]);
        for id in 0.. {
            online.line.say(self.devices[0].send(&self.itself, id, payload.clone())).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn slow_tls(&self) -> anyhow::Result<()> {
        let mut stream = tcp(RUDE_HOME, self.way.addresses.courier).await?;
        let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 512]].concat();
        for byte in hello {
            stream.write_all(&[byte]).await?;
            tokio::time::sleep(BYTE_EVERY).await;
        }
        Ok(())
    }

    async fn slow_https(&self, head: &[u8]) -> anyhow::Result<()> {
        let mut line = self.way.https(RUDE_HOME).await?;
        line.write(head).await?;
        loop {
            line.write(b"a").await?;
            tokio::time::sleep(BYTE_EVERY).await;
        }
    }

    async fn slow_frame(&self) -> anyhow::Result<()> {
        let mut online = self.online(Binding::Native).await?;
        online.line.write(&[0, 3, 0, 0]).await?;
        loop {
            online.line.write(&[0x0a]).await?;
            tokio::time::sleep(BYTE_EVERY).await;
        }
    }

    async fn deep_frames(&self) -> anyhow::Result<()> {
        let mut online = self.online(Binding::Native).await?;
        online.line.write(&deep_frame()).await?;
        online.line.end().await.map(drop)
    }

    async fn deep_json(&self) -> anyhow::Result<()> {
        let mut line = self.way.https(RUDE_HOME).await?;
        loop {
            line.write(&deep_json_request()).await?;
            line.answer().await?;
        }
    }

    async fn flood(&self, binding: Binding, frames: &[u8]) -> anyhow::Result<()> {
        let mut online = self.online(binding).await?;
        both_ways(&mut online.line, frames).await
    }

    async fn reconnect(&self) {
        loop {
            let mut storm = JoinSet::new();
            for device in &self.devices {
                let (device, way) = (device.clone(), self.way.clone());
                storm.spawn(async move { device.online_from(&way, RUDE_HOME, Binding::Native).await });
            }
            let connected = storm.join_all().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(connected);
        }
    }
}

/// Writes without end, and reads what comes.
async fn both_ways(line: &mut Line, bytes: &[u8]) -> anyhow::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(&mut line.stream);
    let reading = async {
        let mut sink = vec![0; 65_536];
        while reader.read(&mut sink).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    let writing = async {
        loop {
            writer.write_all(bytes).await?;
        }
    };
    tokio::select! {
        read = reading => Ok(read?),
        written = writing => written,
    }
}

/// A frame of 100,000 groups in one another, behind its length: an unknown field, as far as the schema goes.
#[must_use]
pub fn deep_frame() -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_u32(200_000);
    for _ in 0..100_000 {
        bytes.put_slice(&[0x9b, 0x06]);
    }
    bytes.to_vec()
}

/// A request whose body is 60,000 lists in one another.
#[must_use]
pub fn deep_json_request() -> Vec<u8> {
    let head = "POST /v1/verifications HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n";
    [head.as_bytes(), &[b'['; 60_000]].concat()
}

/// One of many addresses of this machine.
#[must_use]
pub fn somewhere(number: u32) -> Ipv4Addr {
    let number = number % EVERYWHERE;
    Ipv4Addr::new(127, 0, 1, u8::try_from(number + 1).unwrap_or(1))
}
