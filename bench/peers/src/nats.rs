//! NATS JetStream: what is published is stored in a stream and acknowledged, what is delivered is acknowledged by its receiver
//! and then deleted from the stream.
//!
//! A receiver has a stream of its own, as a mailbox would be, and a consumer that stays.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use serde_json::json;

use crate::load::{Client, Event, Peer};
use crate::server::{self, Server};
use crate::wire::{Door, Wire};
use crate::{About, Running};

/// When a message is synced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Before it is acknowledged.
    Always,
    /// Every two minutes.
    Default,
}

/// A running server.
pub(crate) struct Nats {
    _server: Server,
    door: Door,
}

pub(crate) async fn start(home: &Path, sync: Sync) -> Result<Running<Nats>> {
    // The newer of two: the distribution's older one cannot be told to sync always.
    let program = server::find(&[&server::cache("nats/usr/sbin/nats-server")?, "/usr/sbin/nats-server"])?;
    let said = Command::new(&program).arg("--version").output()?;
    let version = String::from_utf8_lossy(&said.stdout).trim().trim_start_matches("nats-server: v").to_owned();
    let port = server::free_port()?;
    let mut server = Server::new(home)?;
    let (interval, configuration) = match sync {
        Sync::Always => {
            ("always", "JetStream in files, each message synced, a stream and a durable consumer a receiver")
        }
        Sync::Default => (
            "2m",
            "JetStream in files, synced every two minutes (its default), a stream and a durable consumer a receiver",
        ),
    };
    let values = [("port", port.to_string()), ("sync", interval.to_owned())];
    let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
    let config = server.write_config("nats.conf", include_str!("../config/nats.conf"), &values)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(config);
    server.spawn(command)?;
    let door = Door::new(server.folder(), port)?;
    let tls = server.opens(&door).await?;
    let about = About { version, configuration, tls };
    Ok(Running { about, peer: Nats { _server: server, door } })
}

impl Peer for Nats {
    type Client = Connection;

    async fn receiver(&self, number: u32) -> Result<Connection> {
        let mut connection = Connection::open(&self.door, String::new(), String::new()).await?;
        let stream = format!("mail-{number}");
        connection
            .ask(
                &format!("$JS.API.STREAM.CREATE.{stream}"),
                &json!({
                    "name": stream, "subjects": [subject(number)], "storage": "file", "retention": "workqueue",
                    "num_replicas": 1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_consumers": -1, "discard": "old",
                }),
            )
            .await?;
        let deliver = format!("deliver.{number}");
        connection.wire.output.extend_from_slice(format!("SUB {deliver} 2\r\n").as_bytes());
        connection
            .ask(
                &format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.reader"),
                &json!({
                    "stream_name": stream,
                    "config": {
                        "durable_name": "reader", "deliver_subject": deliver, "deliver_policy": "all", "ack_policy": "explicit",
                        "ack_wait": 30_000_000_000_u64, "max_ack_pending": 1_000, "replay_policy": "instant",
                    },
                }),
            )
            .await?;
        Ok(connection)
    }

    async fn sender(&self, number: u32, to: u32) -> Result<Connection> {
        let inbox = format!("_INBOX.sender-{number}");
        let mut connection = Connection::open(&self.door, subject(to), inbox.clone()).await?;
        connection.wire.output.extend_from_slice(format!("SUB {inbox}.* 1\r\n").as_bytes());
        connection.wire.flush().await?;
        Ok(connection)
    }
}

fn subject(receiver: u32) -> String {
    format!("mail.{receiver}")
}

/// A connection that speaks the protocol of NATS clients.
pub(crate) struct Connection {
    wire: Wire,
    /// Where this one publishes, and is told that it did.
    subject: String,
    inbox: String,
}

impl Connection {
    async fn open(door: &Door, subject: String, inbox: String) -> Result<Self> {
        let mut wire = door.open().await?;
        wire.output.extend_from_slice(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1,\"lang\":\"rust\",\"version\":\"1\",\"tls_required\":true}\r\nPING\r\n");
        wire.until(|wire| {
            while let Some(said) = take_said(&mut wire.input)? {
                if said == Said::Pong {
                    return Ok(Some(()));
                }
            }
            Ok(None)
        })
        .await
        .context("not connected")?;
        Ok(Self { wire, subject, inbox })
    }

    /// Makes a request of JetStream and waits until it is done.
    async fn ask(&mut self, subject: &str, request: &serde_json::Value) -> Result<()> {
        let request = request.to_string();
        // Told apart by what is asked, which is a receiver's own.
        let reply = format!("_INBOX.{subject}").replace('$', "");
        let publish = format!("SUB {reply} 9\r\nUNSUB 9 1\r\nPUB {subject} {reply} {}\r\n{request}\r\n", request.len());
        self.wire.output.extend_from_slice(publish.as_bytes());
        let answer = self
            .wire
            .until(|wire| {
                while let Some(said) = take_said(&mut wire.input)? {
                    match said {
                        Said::Message { subject, payload, .. } if subject == reply => return Ok(Some(payload)),
                        Said::Ping => wire.output.extend_from_slice(b"PONG\r\n"),
                        _ => {}
                    }
                }
                Ok(None)
            })
            .await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        ensure!(!answer.contains("\"error\""), "{subject}: {answer}");
        Ok(())
    }
}

impl Client for Connection {
    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn queue_message(&mut self, number: u64, payload: &[u8]) {
        let head = format!("PUB {} {}.{number} {}\r\n", self.subject, self.inbox, payload.len());
        for part in [head.as_bytes(), payload, b"\r\n"] {
            self.wire.output.extend_from_slice(part);
        }
    }

    fn take(&mut self) -> Result<Option<Event>> {
        while let Some(said) = take_said(&mut self.wire.input)? {
            match said {
                Said::Message { subject, reply: None, payload } => {
                    ensure!(!contains(&payload, b"\"error\""), "refused: {}", String::from_utf8_lossy(&payload));
                    let number = subject.rsplit('.').next().and_then(|number| number.parse().ok());
                    return Ok(Some(Event::Accepted(number.context("an answer to nothing")?)));
                }
                Said::Message { reply: Some(reply), payload, .. } => {
                    self.wire.output.extend_from_slice(format!("PUB {reply} 0\r\n\r\n").as_bytes());
                    let stamp = payload.first_chunk().context("a message without a time in it")?;
                    return Ok(Some(Event::Delivered(*stamp)));
                }
                Said::Ping => self.wire.output.extend_from_slice(b"PONG\r\n"),
                Said::Pong | Said::Other => {}
            }
        }
        Ok(None)
    }

    /// Each was, when it was taken, as JetStream's clients do with explicit acknowledgements.
    fn acknowledge(&mut self) {}
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Message {
        subject: String,
        reply: Option<String>,
        payload: BytesMut,
    },
    Ping,
    Pong,
    /// Of no interest here.
    Other,
}

/// Takes one whole thing that was said, if it is there.
fn take_said(input: &mut BytesMut) -> Result<Option<Said>> {
    let Some(end) = input.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = std::str::from_utf8(&input[..end])?;
    if line.starts_with("-ERR") {
        bail!("{line}");
    }
    let mut words = line.split_ascii_whitespace();
    let said = match words.next() {
        Some("MSG") => {
            let words: Vec<&str> = words.collect();
            let (subject, reply, length) = match *words.as_slice() {
                [subject, _, length] => (subject, None, length),
                [subject, _, reply, length] => (subject, Some(reply), length),
                _ => bail!("{line}"),
            };
            let length: usize = length.parse().context("no length of a message")?;
            if input.len() < end + 2 + length + 2 {
                return Ok(None);
            }
            let (subject, reply) = (subject.to_owned(), reply.map(str::to_owned));
            input.advance(end + 2);
            let payload = input.split_to(length);
            input.advance(2);
            return Ok(Some(Said::Message { subject, reply, payload }));
        }
        Some("PING") => Said::Ping,
        Some("PONG") => Said::Pong,
        _ => Said::Other,
    };
    input.advance(end + 2);
    Ok(Some(said))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages are taken whole, with and without somebody to answer, and what they hold may look like a line.
    #[test]
    fn what_is_said_is_taken_whole() {
        let mut input =
            BytesMut::from(&b"PING\r\nMSG mail.1 2 $JS.ACK.x 4\r\nab\r\n\r\nMSG a.7 1 0\r\n\r\nMSG a.8 1 5\r\nab"[..]);
        assert_eq!(take_said(&mut input).unwrap(), Some(Said::Ping));
        let message = |subject: &str, reply: Option<&str>, payload: &[u8]| {
            let (subject, reply) = (subject.to_owned(), reply.map(str::to_owned));
            Some(Said::Message { subject, reply, payload: BytesMut::from(payload) })
        };
        assert_eq!(take_said(&mut input).unwrap(), message("mail.1", Some("$JS.ACK.x"), b"ab\r\n"));
        assert_eq!(take_said(&mut input).unwrap(), message("a.7", None, b""));
        assert_eq!(take_said(&mut input).unwrap(), None);
        input.extend_from_slice(b"cde\r\n");
        assert_eq!(take_said(&mut input).unwrap(), message("a.8", None, b"abcde"));
        take_said(&mut BytesMut::from(&b"-ERR 'Authorization Violation'\r\n"[..])).unwrap_err();
    }
}
