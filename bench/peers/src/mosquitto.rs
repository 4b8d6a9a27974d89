//! Mosquitto: MQTT at quality of service 1, where each side answers for what it took.
//!
//! A receiver has a session that stays (its messages wait for it) and a topic of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail, ensure};
use bytes::{Buf, BufMut, BytesMut};

use crate::load::{Client, Event, Peer};
use crate::server::{self, Server};
use crate::wire::{Door, Wire};
use crate::{About, Running};

/// A running broker.
pub(crate) struct Mosquitto {
    _server: Server,
    door: Door,
}

pub(crate) async fn start(home: &Path) -> Result<Running<Mosquitto>> {
    let program = server::find(&["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"])?;
    let port = server::free_port()?;
    let mut server = Server::new(home)?;
    let template = include_str!("../config/mosquitto.conf");
    let config = server.write_config("mosquitto.conf", template, &[("port", &port.to_string())])?;
    let mut command = Command::new(program);
    command.arg("-c").arg(config);
    server.spawn(command)?;
    let door = Door::new(server.folder(), port)?;
    let tls = server.opens(&door).await?;
    let about = About {
        version: server::package_version("mosquitto"),
        configuration: "QoS 1, sessions that stay, persistence saved each half an hour (its default): nothing synced a message",
        tls,
    };
    Ok(Running { about, peer: Mosquitto { _server: server, door } })
}

impl Peer for Mosquitto {
    type Client = Mqtt;

    async fn receiver(&self, number: u32) -> Result<Mqtt> {
        let mut mqtt = Mqtt::connect(&self.door, &format!("receiver-{number}"), Session::Stays, String::new()).await?;
        mqtt.subscribe(&topic(number)).await?;
        Ok(mqtt)
    }

    async fn sender(&self, number: u32, to: u32) -> Result<Mqtt> {
        Mqtt::connect(&self.door, &format!("sender-{number}"), Session::Clean, topic(to)).await
    }
}

fn topic(receiver: u32) -> String {
    format!("mail/{receiver}")
}

#[derive(PartialEq)]
enum Session {
    Clean,
    Stays,
}

/// A connection that speaks MQTT 3.1.1.
pub(crate) struct Mqtt {
    wire: Wire,
    /// Where this one publishes.
    topic: String,
    newest: u64,
}

impl Mqtt {
    async fn connect(door: &Door, client: &str, session: Session, topic: String) -> Result<Self> {
        let mut wire = door.open().await?;
        let mut body = BytesMut::new();
        put_text(&mut body, "MQTT");
        body.put_u8(4);
        body.put_u8(if session == Session::Clean { CLEAN_SESSION } else { 0 });
        body.put_u16(0);
        put_text(&mut body, client);
        put_packet(&mut wire.output, CONNECT, &[&body]);
        let answer = wire.until(|wire| take_packet(&mut wire.input)).await?;
        ensure!(answer.header == CONNACK && answer.body.get(1) == Some(&0), "not connected: {answer:?}");
        Ok(Self { wire, topic, newest: 0 })
    }

    async fn subscribe(&mut self, topic: &str) -> Result<()> {
        let mut body = BytesMut::new();
        body.put_u16(1);
        put_text(&mut body, topic);
        body.put_u8(1);
        put_packet(&mut self.wire.output, SUBSCRIBE, &[&body]);
        let answer = self.wire.until(|wire| take_packet(&mut wire.input)).await?;
        ensure!(answer.header == SUBACK && answer.body.get(2) == Some(&1), "not subscribed: {answer:?}");
        Ok(())
    }
}

impl Client for Mqtt {
    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn queue_message(&mut self, number: u64, payload: &[u8]) {
        self.newest = number;
        let mut head = BytesMut::new();
        put_text(&mut head, &self.topic);
        head.put_u16(packet_id(number));
        put_packet(&mut self.wire.output, PUBLISH_QOS_1, &[&head, payload]);
    }

    fn take(&mut self) -> Result<Option<Event>> {
        let Some(Packet { header, mut body }) = take_packet(&mut self.wire.input)? else { return Ok(None) };
        match header {
            PUBACK if body.len() == 2 => Ok(Some(Event::Accepted(number_of(body.get_u16(), self.newest)))),
            _ if header & 0xf6 == PUBLISH_QOS_1 & 0xf6 => {
                ensure!(body.len() >= 2, "a publish without a topic");
                let topic_bytes = usize::from(body.get_u16());
                ensure!(body.len() >= topic_bytes + 2 + 8, "a publish without a time in it");
                body.advance(topic_bytes);
                let id = body.get_u16();
                put_packet(&mut self.wire.output, PUBACK, &[&id.to_be_bytes()]);
                Ok(Some(Event::Delivered(body.get_u64().to_be_bytes())))
            }
            _ => bail!("an unexpected packet, {header:#x}"),
        }
    }

    /// Each was, when it was taken: MQTT has no acknowledgement of several.
    fn acknowledge(&mut self) {}
}

#[derive(Debug)]
struct Packet {
    header: u8,
    body: BytesMut,
}

fn put_packet(out: &mut BytesMut, header: u8, parts: &[&[u8]]) {
    out.put_u8(header);
    let mut length: usize = parts.iter().map(|part| part.len()).sum();
    while length >= 0x80 {
        out.put_u8((length % 0x80) as u8 | 0x80);
        length /= 0x80;
    }
    out.put_u8(length as u8);
    parts.iter().for_each(|part| out.put_slice(part));
}

/// Takes one whole packet, if it is there.
fn take_packet(input: &mut BytesMut) -> Result<Option<Packet>> {
    let Some(header) = input.first().copied() else { return Ok(None) };
    let mut length = 0;
    for (index, byte) in input.iter().skip(1).enumerate() {
        ensure!(index < 4, "a length of more than four bytes");
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let start = index + 2;
            if input.len() < start + length {
                return Ok(None);
            }
            input.advance(start);
            return Ok(Some(Packet { header, body: input.split_to(length) }));
        }
    }
    Ok(None)
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}

/// Packet ids are from 1 to 65,535.
fn packet_id(number: u64) -> u16 {
    ((number - 1) % u64::from(u16::MAX)) as u16 + 1
}

/// Returns the newest number with a packet id.
fn number_of(id: u16, newest: u64) -> u64 {
    let behind = (i32::from(packet_id(newest.max(1))) - i32::from(id)).rem_euclid(i32::from(u16::MAX));
    newest.saturating_sub(behind.unsigned_abs().into())
}

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH_QOS_1: u8 = 0x32;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const CLEAN_SESSION: u8 = 0x02;

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets are taken whole, with lengths of one byte and of two.
    #[test]
    fn packets_come_back() {
        for length in [0, 2, 127, 128, 1_040] {
            let mut bytes = BytesMut::new();
            put_packet(&mut bytes, PUBACK, &[&vec![7; length]]);
            let mut cut = bytes.clone();
            cut.truncate(bytes.len() - 1);
            assert!(take_packet(&mut cut).unwrap().is_none());
            bytes.put_u8(PUBACK);
            let packet = take_packet(&mut bytes).unwrap().unwrap();
            assert_eq!((packet.header, packet.body.len(), bytes.len()), (PUBACK, length, 1));
        }
        assert!(take_packet(&mut BytesMut::from(&[PUBACK, 0xff, 0xff, 0xff, 0xff, 0x01][..])).is_err());
    }

    /// Packet ids begin again, numbers do not.
    #[test]
    fn numbers_survive_the_end_of_ids() {
        for newest in [1_u64, 8, 65_535, 65_536, 65_540, 200_000] {
            for number in newest.saturating_sub(7).max(1)..=newest {
                assert_ne!(packet_id(number), 0);
                assert_eq!(number_of(packet_id(number), newest), number);
            }
        }
    }
}
