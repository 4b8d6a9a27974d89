//! An honest person with one device: registers by mail, connects, sends, receives.
//!
//! Owns just enough of a client to be on the server beside the rude ones. What is sent is not sealed: the server cannot
//! tell.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use halcyon_courier::connect::{ChannelBinding, Connect, EXPORTER_LABEL, Hello, Introduction};
use halcyon_courier::send::Expiry;
use halcyon_courier::{
    ClientFrame, Destination, Part, Sealed, SendRequest, ServerFrame, Status, Topics, frame::Connected,
};
use halcyon_crypto::opaque::ClientRegistration;
use halcyon_crypto::password::PasswordParams;
use halcyon_crypto::{AgreementKey, SigningKey};
use halcyon_directory::lookup::LookupRequest;
use halcyon_directory::request::{RequestTarget, SignedRequest};
use halcyon_directory::resolver::{self, Known};
use halcyon_directory::{CountersignedEntry, DeviceEntry, SignedList, account_id, device_id};
use halcyon_types::{DeviceId, EnvelopeId, Handle, PushToken, SessionToken, SuiteId, Timestamp, Topic};
use rand::RngCore as _;
use rand::rngs::OsRng;
use serde_json::{Value, json};

use crate::wire::{HOME, Line, Way};

const HOST: &str = "localhost";
const PASSWORD: &[u8] = b"correct horse battery staple";
const MAIL_MAX: Duration = Duration::from_secs(10);

/// A person with an account and one device.
#[derive(Clone)]
pub struct Citizen {
    /// Whom others write to.
    pub handle: Handle,
    device: DeviceId,
    key: SigningKey,
}

/// A device that is connected.
pub struct Online {
    /// The connection.
    pub line: Line,
    /// Where it is delivered to.
    pub push_token: PushToken,
}

/// What a send to somebody needs.
#[derive(Clone)]
pub struct Recipient {
    session: SessionToken,
    push_token: PushToken,
}

/// What one courier connection shows its device about itself (COU-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// TLS on a port of its own.
    Native,
    /// A WebSocket.
    WebSocket,
}

impl Citizen {
    /// Makes an account, from the first mail to the last request.
    ///
    /// # Errors
    /// The server refuses something, or cannot be reached.
    pub async fn register(way: &Way, mails: &Path, name: &str) -> anyhow::Result<Self> {
        let handle = Handle::parse(&format!("{name}@example.org"))?;
        let begun = post(way, "/v1/verifications", &json!({ "handle": handle.address() }), 202).await?;
        let verification = text(&begun, "verification_id")?;
        let code = code(mails, handle.address()).await?;
        post(way, &format!("/v1/verifications/{verification}/code"), &json!({ "code": code }), 200).await?;

        let account_key = SigningKey::generate_compact(&mut OsRng);
        let account = account_id(account_key.verifying_key().compact());
        let key = SigningKey::generate_compact(&mut OsRng);
        let citizen = Self { handle, device: device_id(key.verifying_key().compact()), key };
        let entry = DeviceEntry::new(citizen.key.verifying_key(), "phone", &[SuiteId::PAIR_EC], None, now())?;
        let list = SignedList::first(&account_key, CountersignedEntry::sign(entry, account, &citizen.key)?, now())?;
        let (opaque, request) = ClientRegistration::start(&mut OsRng, PASSWORD)?;
        let body = json!({
            "verification_id": verification, "account_id": account.to_hex(), "request": STANDARD.encode(request),
        });
        let started = post(way, "/v1/registrations/start", &body, 200).await?;
        let response = STANDARD.decode(text(&started, "response")?)?;
        let upload = opaque.finish(&mut OsRng, &response, PasswordParams::dangerous_cheap())?.upload;
        let body = json!({
            "verification_id": verification,
            "upload": STANDARD.encode(upload),
            "device_list": STANDARD.encode(list.encode()),
            "prekeys": [{ "suite": 2, "record": STANDARD.encode(citizen.prekey()) }],
        });
        let (status, answer) = citizen
            .signed(way, "POST", "/v1/registrations/finish", "application/json", body.to_string().as_bytes())
            .await?;
        ensure!(status == 201, "{status}: {}", String::from_utf8_lossy(&answer));
        Ok(citizen)
    }

    /// A fresh prekey of suite `pair-ec` (PEC-3).
    fn prekey(&self) -> Vec<u8> {
        let key = AgreementKey::generate(&mut OsRng);
        let time = 1_700_000_000f64.to_le_bytes();
        let signature = self.key.sign_raw(&[b"NGMPrekeySignature", key.compact().as_bytes(), &time]);
        [&[0x0a, 32], &key.compact().as_bytes()[..], &[0x12, 64], &signature.as_bytes()[..], &[0x19], &time].concat()
    }

    /// Makes a signed request on a connection of its own, and returns status and body.
    ///
    /// # Errors
    /// No answer comes.
    pub async fn signed(
        &self,
        way: &Way,
        method: &str,
        path: &str,
        media: &str,
        body: &[u8],
    ) -> anyhow::Result<(u16, Vec<u8>)> {
        let target = RequestTarget { method, path_and_query: path, body };
        let signed = SignedRequest::sign(self.device, &self.key, HOST, target, now(), &mut OsRng);
        let more: String = signed.headers().into_iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        request(way, method, path, &format!("content-type: {media}\r\n{more}"), body).await
    }

    /// Looks somebody up whose device's push token is known.
    ///
    /// # Errors
    /// The server refuses, or does not tell the truth.
    pub async fn look_up(&self, way: &Way, somebody: &Handle, push_token: PushToken) -> anyhow::Result<Recipient> {
        let question = LookupRequest::new(vec![somebody.clone()])?;
        let (status, answer) =
            self.signed(way, "POST", "/v1/lookup", "application/x-protobuf", &question.encode()).await?;
        ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&answer));
        let answers = question.read_response(answer.into())?;
        let account = answers[0].account.as_ref().context("the person is known")?;
        let accepted = resolver::accept(Known::default(), somebody, account, now())?;
        Ok(Recipient { session: accepted.addresses.session().token, push_token })
    }

    /// Connects over the native binding.
    ///
    /// # Errors
    /// The server refuses; the error says how.
    pub async fn online(&self, way: &Way) -> anyhow::Result<Online> {
        self.online_from(way, HOME, Binding::Native).await
    }

    /// Connects from an address of this machine.
    ///
    /// # Errors
    /// The server refuses; the error says how.
    pub async fn online_from(&self, way: &Way, from: Ipv4Addr, binding: Binding) -> anyhow::Result<Online> {
        let mut line = match binding {
            Binding::Native => way.courier(from).await?,
            Binding::WebSocket => way.websocket(from).await?,
        };
        let hello = match binding {
            Binding::Native => line.frame().await?,
            Binding::WebSocket => line.message().await?,
        };
        let Some(ServerFrame::Hello(hello)) = hello else { bail!("no hello: {hello:?}") };
        let connect = self.connect(&line, binding, &hello)?;
        let connected = match binding {
            Binding::Native => {
                line.say(connect).await?;
                line.frame().await?
            }
            Binding::WebSocket => {
                line.say_message(connect).await?;
                line.message().await?
            }
        };
        let Some(ServerFrame::Connected(Connected { push_token, .. })) = connected else {
            bail!("not connected: {connected:?}")
        };
        Ok(Online { line, push_token })
    }

    /// Returns the answer to a hello.
    ///
    /// # Errors
    /// The TLS connection is not up.
    pub fn connect(&self, line: &Line, binding: Binding, hello: &Hello) -> anyhow::Result<ClientFrame> {
        let bound = match binding {
            Binding::Native => ChannelBinding::Exporter(line.stream.get_ref().1.export_keying_material(
                [0; 32],
                EXPORTER_LABEL,
                None,
            )?),
            Binding::WebSocket => ChannelBinding::None,
        };
        let introduction = Introduction { device: self.device, epoch: 0, topics: Topics::messages_and_alerts() };
        Ok(ClientFrame::Connect(Connect::sign(introduction, &self.key, HOST, hello, &bound, now())))
    }

    /// Makes a send of one envelope.
    #[must_use]
    pub fn send(&self, to: &Recipient, id: u64, payload: Bytes) -> ClientFrame {
        let mut envelope = [0; EnvelopeId::LEN];
        OsRng.fill_bytes(&mut envelope);
        let sealed = Sealed {
            id: EnvelopeId::from_bytes(envelope),
            push_token: to.push_token,
            suite: SuiteId::PAIR_EC,
            payload,
        };
        let request = SendRequest {
            id,
            topic: Topic::message(),
            sender_handle: self.handle.clone(),
            sender_list_version: 1,
            expiry: Expiry::At(now().plus(halcyon_types::Duration::from_days(1))),
            epoch: 0,
            destinations: vec![Destination {
                session_token: Bytes::copy_from_slice(to.session.as_bytes()),
                list_version: 1,
                parts: vec![Part::new(sealed)],
            }],
        };
        ClientFrame::Send(request.into_unchecked())
    }
}

impl Online {
    /// Sends one envelope, and returns its status and how long the answer took.
    ///
    /// # Errors
    /// No answer comes.
    pub async fn send(
        &mut self,
        me: &Citizen,
        to: &Recipient,
        id: u64,
        payload: Bytes,
    ) -> anyhow::Result<(Status, Duration)> {
        let begun = Instant::now();
        self.line.say(me.send(to, id, payload)).await?;
        loop {
            match self.line.frame().await?.context("the server hung up")? {
                ServerFrame::Sent(sent) if sent.id == id => return Ok((sent.parts[0].status, begun.elapsed())),
                ServerFrame::Deliver(deliver) => self.line.say(ClientFrame::Ack { seq: deliver.seq }).await?,
                other => bail!("unexpected: {other:?}"),
            }
        }
    }

    /// Waits for a delivery, and acknowledges it.
    ///
    /// # Errors
    /// None comes.
    pub async fn delivery(&mut self) -> anyhow::Result<Bytes> {
        match self.line.frame().await?.context("the server hung up")? {
            ServerFrame::Deliver(deliver) => {
                self.line.say(ClientFrame::Ack { seq: deliver.seq }).await?;
                Ok(deliver.envelope)
            }
            other => bail!("unexpected: {other:?}"),
        }
    }
}

async fn post(way: &Way, path: &str, body: &Value, expected: u16) -> anyhow::Result<Value> {
    let (status, answer) =
        request(way, "POST", path, "content-type: application/json\r\n", body.to_string().as_bytes()).await?;
    ensure!(status == expected, "{path}: {status}: {}", String::from_utf8_lossy(&answer));
    Ok(serde_json::from_slice(&answer).unwrap_or_default())
}

/// Makes one request on a connection of its own, and returns status and body.
///
/// # Errors
/// No answer comes.
pub async fn request(way: &Way, method: &str, path: &str, more: &str, body: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut line = way.https(HOME).await?;
    let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{more}content-length: {}\r\n\r\n", body.len());
    line.write(&[head.as_bytes(), body].concat()).await?;
    line.answer().await
}

/// Waits for the code that was mailed to somebody.
async fn code(mails: &Path, address: &str) -> anyhow::Result<String> {
    let (begun, to) = (Instant::now(), format!("To: {address}"));
    loop {
        for file in std::fs::read_dir(mails)? {
            let mail = std::fs::read_to_string(file?.path()).unwrap_or_default();
            let code = mail.lines().find_map(|line| line.strip_prefix("Code: "));
            if let Some(code) = code.filter(|_| mail.lines().any(|line| line == to)) {
                return Ok(code.to_owned());
            }
        }
        ensure!(begun.elapsed() < MAIL_MAX, "no mail came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn text(json: &Value, member: &str) -> anyhow::Result<String> {
    Ok(json[member].as_str().with_context(|| format!("no {member}"))?.to_owned())
}

/// The time.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
