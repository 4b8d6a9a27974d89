//! XMPP clients: a stream over TLS, an account made in band, one message after the other, acknowledged by streams (XEP-0198).
//!
//! A message counts as accepted when the server acknowledges its stanza, as delivered when it is with the receiver, who
//! acknowledges when it is asked to.

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::load::{Client, Event, Peer};
use crate::server::Server;
use crate::stanza::{self, Stanza};
use crate::text::{stamp_of, text_of};
use crate::wire::{Door, HOST, Wire};

/// A running XMPP server.
pub(crate) struct Xmpp {
    _server: Server,
    door: Door,
}

impl Xmpp {
    pub(crate) fn new(server: Server, door: Door) -> Self {
        Self { _server: server, door }
    }
}

impl Peer for Xmpp {
    type Client = Stream;

    async fn receiver(&self, number: u32) -> Result<Stream> {
        let mut stream = Stream::open(&self.door, &receiver(number), String::new()).await?;
        stream.say("<presence/>");
        stream.wire.flush().await?;
        // Its own presence comes back when it is available.
        stream.expect("presence").await?;
        stream.taken += 1;
        Ok(stream)
    }

    async fn sender(&self, number: u32, to: u32) -> Result<Stream> {
        Stream::open(&self.door, &format!("sender{number}"), format!("{}@{HOST}", receiver(to))).await
    }
}

fn receiver(number: u32) -> String {
    format!("receiver{number}")
}

/// A client's stream.
pub(crate) struct Stream {
    wire: Wire,
    /// Whom this one writes to.
    to: String,
    /// Stanzas taken since acknowledgements were enabled.
    taken: u32,
    /// Whether the server waits for an acknowledgement.
    is_asked: bool,
}

impl Stream {
    async fn open(door: &Door, user: &str, to: String) -> Result<Self> {
        // A stream in which an account was made may be at its end afterwards.
        let mut stream = Self::begin(door, to.clone()).await?;
        stream.register(user).await?;
        let mut stream = Self::begin(door, to).await?;
        stream.sign_in(user).await?;
        Ok(stream)
    }

    async fn begin(door: &Door, to: String) -> Result<Self> {
        let mut stream = Self { wire: door.open().await?, to, taken: 0, is_asked: false };
        stream.say(HEADER);
        stream.expect("stream:features").await?;
        Ok(stream)
    }

    /// Makes the account, unless a load before this one has.
    async fn register(&mut self, user: &str) -> Result<()> {
        self.say(&format!(
            "<iq type='set' id='register'><query xmlns='jabber:iq:register'><username>{user}</username><password>{PASSWORD}</password></query></iq>"
        ));
        let answer = self.expect("iq").await?;
        let is_there = answer.attribute("type") == Some("result") || answer.text.contains("<conflict");
        ensure!(is_there, "no account: {}", answer.text);
        Ok(())
    }

    async fn sign_in(&mut self, user: &str) -> Result<()> {
        let login = BASE64_STANDARD.encode(format!("\0{user}\0{PASSWORD}"));
        self.say(&format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{login}</auth>"));
        self.expect("success").await?;
        self.say(HEADER);
        self.expect("stream:features").await?;
        self.say("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>bench</resource></bind></iq>");
        self.expect("iq").await?;
        self.say("<enable xmlns='urn:xmpp:sm:3'/>");
        self.expect("enabled").await?;
        Ok(())
    }

    fn say(&mut self, text: &str) {
        self.wire.output.extend_from_slice(text.as_bytes());
    }

    /// Returns the next stanza of this name; what comes before it is of no interest, unless it says that it went wrong.
    async fn expect(&mut self, name: &str) -> Result<Stanza> {
        let take = |wire: &mut Wire| {
            while let Some(stanza) = stanza::take(&mut wire.input)? {
                if stanza.name == name {
                    return Ok(Some(stanza));
                }
                ensure!(!FAILURES.contains(&stanza.name.as_str()), "{}", stanza.text);
            }
            Ok(None)
        };
        self.wire.until(take).await.with_context(|| format!("no {name}"))
    }
}

impl Client for Stream {
    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn queue_message(&mut self, number: u64, payload: &[u8]) {
        // The server counts stanzas, too: the number of a message is its count.
        let (to, text) = (&self.to, text_of(payload));
        let message = format!("<message type='chat' to='{to}' id='m{number}'><body>{text}</body></message>{REQUEST}");
        self.say(&message);
    }

    fn take(&mut self) -> Result<Option<Event>> {
        while let Some(stanza) = stanza::take(&mut self.wire.input)? {
            match stanza.name.as_str() {
                "a" => {
                    let count = stanza.attribute("h").and_then(|count| count.parse().ok());
                    return Ok(Some(Event::AcceptedUpTo(count.context("an acknowledgement of nothing")?)));
                }
                "r" => self.is_asked = true,
                "message" => {
                    self.taken = self.taken.wrapping_add(1);
                    ensure!(stanza.attribute("type") != Some("error"), "refused: {}", stanza.text);
                    if let Some(stamp) = stanza.child_text("body").and_then(stamp_of) {
                        return Ok(Some(Event::Delivered(stamp)));
                    }
                }
                "presence" | "iq" => self.taken = self.taken.wrapping_add(1),
                _ => bail!("unexpected: {}", stanza.text),
            }
        }
        Ok(None)
    }

    fn acknowledge(&mut self) {
        if std::mem::take(&mut self.is_asked) {
            self.say(&format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.taken));
        }
    }
}

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const FAILURES: &[&str] = &["failure", "failed", "stream:error"];
const PASSWORD: &str = "bench";
