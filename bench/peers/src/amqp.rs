//! As much of AMQP 0-9-1 as it takes to publish with confirms and to consume with acknowledgements, on one channel.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, BytesMut};

use crate::load::{Client, Event, Stamp};
use crate::wire::{Door, Wire};

/// A connection with one open channel.
pub(crate) struct Amqp {
    wire: Wire,
    /// Where this one publishes to or consumes from.
    queue: String,
    /// A delivery whose content has not come yet, by its tag.
    delivery: Option<u64>,
    /// The newest delivery that is not acknowledged yet.
    unacknowledged: Option<u64>,
}

impl Amqp {
    /// Connects, opens a channel, and makes the queue if it is not there.
    pub(crate) async fn connect(door: &Door, queue: String) -> Result<Self> {
        let wire = door.open().await?;
        let mut amqp = Self { wire, queue, delivery: None, unacknowledged: None };
        amqp.wire.output.put_slice(b"AMQP\x00\x00\x09\x01");
        amqp.expect(CONNECTION_START).await?;
        amqp.call(0, CONNECTION_START_OK, |body| {
            body.put_u32(0);
            put_short(body, "PLAIN");
            let login = b"\0guest\0guest";
            body.put_u32(login.len() as u32);
            body.put_slice(login);
            put_short(body, "en_US");
        });
        amqp.expect(CONNECTION_TUNE).await?;
        amqp.call(0, CONNECTION_TUNE_OK, |body| {
            body.put_u16(1);
            body.put_u32(FRAME_BYTES_MAX);
            // No heartbeats: a load is short.
            body.put_u16(0);
        });
        amqp.call(0, CONNECTION_OPEN, |body| {
            put_short(body, "/");
            put_short(body, "");
            body.put_u8(0);
        });
        amqp.expect(CONNECTION_OPEN_OK).await?;
        amqp.call(CHANNEL, CHANNEL_OPEN, |body| put_short(body, ""));
        amqp.expect(CHANNEL_OPEN_OK).await?;
        let queue = amqp.queue.clone();
        amqp.call(CHANNEL, QUEUE_DECLARE, |body| {
            body.put_u16(0);
            put_short(body, &queue);
            body.put_u8(QUEUE_DURABLE);
            body.put_u32(0);
        });
        amqp.expect(QUEUE_DECLARE_OK).await?;
        Ok(amqp)
    }

    /// Asks for a confirm of each message that is published.
    pub(crate) async fn confirm(&mut self) -> Result<()> {
        self.call(CHANNEL, CONFIRM_SELECT, |body| body.put_u8(0));
        self.expect(CONFIRM_SELECT_OK).await
    }

    /// Begins to consume.
    pub(crate) async fn consume(&mut self) -> Result<()> {
        self.call(CHANNEL, BASIC_QOS, |body| {
            body.put_u32(0);
            body.put_u16(PREFETCH);
            body.put_u8(0);
        });
        self.expect(BASIC_QOS_OK).await?;
        let queue = self.queue.clone();
        self.call(CHANNEL, BASIC_CONSUME, |body| {
            body.put_u16(0);
            put_short(body, &queue);
            put_short(body, "reader");
            body.put_u8(0);
            body.put_u32(0);
        });
        self.expect(BASIC_CONSUME_OK).await
    }

    fn call(&mut self, channel: u16, method: Method, arguments: impl FnOnce(&mut BytesMut)) {
        let mut body = BytesMut::new();
        body.put_u16(method.0);
        body.put_u16(method.1);
        arguments(&mut body);
        put_frame(&mut self.wire.output, METHOD, channel, &body);
    }

    async fn expect(&mut self, method: Method) -> Result<()> {
        let frame =
            self.wire.until(|wire| take_frame(&mut wire.input)).await.with_context(|| format!("no {method:?}"))?;
        let said = (frame.kind == METHOD && frame.body.len() >= 4).then(|| method_of(&frame.body));
        ensure!(said == Some(method), "{said:?} instead of {method:?}: {:?}", frame.body);
        Ok(())
    }

    fn take_method(&mut self, mut body: BytesMut) -> Result<Option<Event>> {
        ensure!(body.len() >= 4, "a method without a name");
        let method = method_of(&body);
        body.advance(4);
        match method {
            BASIC_ACK if body.len() == 9 => {
                let (tag, is_multiple) = (body.get_u64(), body.get_u8() & 1 == 1);
                Ok(Some(if is_multiple { Event::AcceptedUpTo(tag) } else { Event::Accepted(tag) }))
            }
            BASIC_DELIVER => {
                let consumer_bytes = usize::from(*body.first().context("a delivery of nobody")?);
                ensure!(body.len() >= 1 + consumer_bytes + 8, "a delivery without a tag");
                body.advance(1 + consumer_bytes);
                self.delivery = Some(body.get_u64());
                Ok(None)
            }
            _ => bail!("unexpected: {method:?} {body:?}"),
        }
    }
}

impl Client for Amqp {
    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn queue_message(&mut self, _number: u64, payload: &[u8]) {
        // The broker counts, too: the number of a message is its tag.
        let mut publish = BytesMut::new();
        publish.put_u16(BASIC_PUBLISH.0);
        publish.put_u16(BASIC_PUBLISH.1);
        publish.put_u16(0);
        put_short(&mut publish, "");
        put_short(&mut publish, &self.queue);
        publish.put_u8(0);
        let mut header = BytesMut::new();
        header.put_u16(BASIC_PUBLISH.0);
        header.put_u16(0);
        header.put_u64(payload.len() as u64);
        header.put_u16(HAS_DELIVERY_MODE);
        header.put_u8(PERSISTENT);
        for (kind, body) in [(METHOD, &publish[..]), (HEADER, &header[..]), (BODY, payload)] {
            put_frame(&mut self.wire.output, kind, CHANNEL, body);
        }
    }

    fn take(&mut self) -> Result<Option<Event>> {
        while let Some(frame) = take_frame(&mut self.wire.input)? {
            match frame.kind {
                METHOD => {
                    if let Some(event) = self.take_method(frame.body)? {
                        return Ok(Some(event));
                    }
                }
                BODY => {
                    self.unacknowledged = Some(self.delivery.take().context("a content of nothing")?);
                    let stamp: Stamp = *frame.body.first_chunk().context("a message without a time in it")?;
                    return Ok(Some(Event::Delivered(stamp)));
                }
                HEADER => {}
                kind => bail!("a frame of kind {kind}"),
            }
        }
        Ok(None)
    }

    fn acknowledge(&mut self) {
        if let Some(tag) = self.unacknowledged.take() {
            self.call(CHANNEL, BASIC_ACK, |body| {
                body.put_u64(tag);
                body.put_u8(MULTIPLE);
            });
        }
    }
}

#[derive(Debug)]
struct Frame {
    kind: u8,
    body: BytesMut,
}

fn put_frame(out: &mut BytesMut, kind: u8, channel: u16, body: &[u8]) {
    out.put_u8(kind);
    out.put_u16(channel);
    out.put_u32(body.len() as u32);
    out.put_slice(body);
    out.put_u8(FRAME_END);
}

/// Takes one whole frame, if it is there.
fn take_frame(input: &mut BytesMut) -> Result<Option<Frame>> {
    let Some(head) = input.first_chunk::<7>() else { return Ok(None) };
    let [kind, _, _, length @ ..] = *head;
    let length = u32::from_be_bytes(length);
    ensure!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
    let length = length as usize;
    if input.len() < 7 + length + 1 {
        return Ok(None);
    }
    input.advance(7);
    let body = input.split_to(length);
    ensure!(input.get_u8() == FRAME_END, "a frame without an end");
    Ok(Some(Frame { kind, body }))
}

fn put_short(out: &mut BytesMut, text: &str) {
    out.put_u8(text.len() as u8);
    out.put_slice(text.as_bytes());
}

fn method_of(body: &[u8]) -> Method {
    Method(u16::from_be_bytes([body[0], body[1]]), u16::from_be_bytes([body[2], body[3]]))
}

/// A class and a method of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Method(u16, u16);

const CONNECTION_START: Method = Method(10, 10);
const CONNECTION_START_OK: Method = Method(10, 11);
const CONNECTION_TUNE: Method = Method(10, 30);
const CONNECTION_TUNE_OK: Method = Method(10, 31);
const CONNECTION_OPEN: Method = Method(10, 40);
const CONNECTION_OPEN_OK: Method = Method(10, 41);
const CHANNEL_OPEN: Method = Method(20, 10);
const CHANNEL_OPEN_OK: Method = Method(20, 11);
const QUEUE_DECLARE: Method = Method(50, 10);
const QUEUE_DECLARE_OK: Method = Method(50, 11);
const BASIC_QOS: Method = Method(60, 10);
const BASIC_QOS_OK: Method = Method(60, 11);
const BASIC_CONSUME: Method = Method(60, 20);
const BASIC_CONSUME_OK: Method = Method(60, 21);
const BASIC_PUBLISH: Method = Method(60, 40);
const BASIC_DELIVER: Method = Method(60, 60);
const BASIC_ACK: Method = Method(60, 80);
const CONFIRM_SELECT: Method = Method(85, 10);
const CONFIRM_SELECT_OK: Method = Method(85, 11);

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const FRAME_END: u8 = 0xce;
const FRAME_BYTES_MAX: u32 = 128 * 1024;
const CHANNEL: u16 = 1;
const QUEUE_DURABLE: u8 = 2;
const HAS_DELIVERY_MODE: u16 = 1 << 12;
const PERSISTENT: u8 = 2;
const MULTIPLE: u8 = 1;
/// Deliveries that a consumer may have unacknowledged; as many as the other brokers are told.
const PREFETCH: u16 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames are taken whole, and one that does not end where it says is refused.
    #[test]
    fn frames_come_back() {
        let mut bytes = BytesMut::new();
        put_frame(&mut bytes, BODY, CHANNEL, &[7; 1_024]);
        put_frame(&mut bytes, METHOD, CHANNEL, &[0, 60, 0, 80]);
        let mut cut = bytes.clone();
        cut.truncate(1_024);
        assert!(take_frame(&mut cut).unwrap().is_none());
        let body = take_frame(&mut bytes).unwrap().unwrap();
        assert_eq!((body.kind, body.body.len()), (BODY, 1_024));
        let method = take_frame(&mut bytes).unwrap().unwrap();
        assert_eq!(method_of(&method.body), BASIC_ACK);
        assert!(take_frame(&mut bytes).unwrap().is_none());
        take_frame(&mut BytesMut::from(&[1, 0, 1, 0, 0, 0, 1, 9, 9][..])).unwrap_err();
    }
}
