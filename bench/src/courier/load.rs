//! What the devices do: wait, send, receive; and the same sizes through a bare echo.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use halcyon_courier::send::Expiry;
use halcyon_courier::{ClientFrame, Destination, Envelope, Part, Sealed, SendRequest, ServerFrame, Status};
use halcyon_server::ports::Clock;
use halcyon_server_net::world::SystemClock;
use halcyon_types::{Duration as Span, EnvelopeId, Handle, SuiteId, Topic};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::Arguments;
use super::clients::{Clients, Device};
use super::course::{Course, Delivery, Measured, Receivers, histogram, stamped};
use super::people::{HANDLE, LIST_VERSION, Person, session_key};

/// Connects the silent devices.
pub(crate) async fn connect_idle(clients: &Clients, arguments: &Arguments) -> Result<Vec<Device>> {
    let first = arguments.senders + arguments.receivers;
    stream::iter(first..first + arguments.idle)
        .map(|number| {
            let source = Ipv4Addr::new(127, 0, 0, 1 + u8::try_from(number % SOURCES).unwrap_or(0));
            clients.connect_from(source, Person::numbered(number))
        })
        .buffer_unordered(HANDSHAKES_AT_A_TIME)
        .try_collect()
        .await
        .context("a silent device could not connect")
}

/// Loads the courier: every sender keeps so many sends under way, receivers acknowledge what they get.
pub(crate) async fn courier(clients: &Clients, arguments: &Arguments, length: Duration) -> Result<Measured> {
    ensure!(arguments.senders > 0 && arguments.receivers > 0, "there must be somebody to send and somebody to receive");
    let course = Arc::new(Course::new());
    let receivers = receivers(clients, arguments, &course).await?;
    let mut senders = JoinSet::new();
    for number in 0..arguments.senders {
        let (me, peer) =
            (Person::numbered(arguments.receivers + number), Person::numbered(number % arguments.receivers));
        let device = clients.connect(me).await?;
        senders.spawn(send(device, Template::new(me, peer, arguments.payload)?, arguments.in_flight, course.clone()));
    }
    let seconds = course.run(length).await;
    let mut latency = histogram()?;
    while let Some(sender) = senders.join_next().await {
        latency.add(sender??)?;
    }
    Ok(course.measured(seconds, latency, receivers.end().await?))
}

/// Sends one message and waits until it is accepted.
pub(crate) async fn one_accepted(clients: &Clients, arguments: &Arguments) -> Result<()> {
    let (me, peer) = (Person::numbered(arguments.receivers), Person::numbered(0));
    let mut device = clients.connect(me).await?;
    let now = Instant::now();
    device.queue(Template::new(me, peer, arguments.payload)?.send(1, now));
    device.flush().await?;
    let frame = device.receive().await?;
    answered(frame, &mut VecDeque::from([(1, now)])).map(drop)
}

/// Loads the bare echo with as many connections and messages under way as senders have.
pub(crate) async fn echo(clients: &Clients, arguments: &Arguments, length: Duration) -> Result<Measured> {
    let course = Arc::new(Course::new());
    let mut senders = JoinSet::new();
    for _ in 0..arguments.senders {
        let (clients, course, bytes, in_flight) =
            (clients.clone(), course.clone(), arguments.payload, arguments.in_flight);
        senders.spawn(async move {
            let mut stream = clients.echo().await?;
            let (message, mut buffer) = (vec![7; bytes], vec![0; 16 * bytes]);
            let mut under_way = VecDeque::new();
            let (mut latency, mut received) = (histogram()?, 0);
            while !course.is_over() {
                let free = in_flight - under_way.len();
                stream.write_all(&message.repeat(free)).await?;
                stream.flush().await?;
                under_way.extend(std::iter::repeat_n(Instant::now(), free));
                let read = stream.read(&mut buffer).await?;
                ensure!(read > 0, "the echo hung up");
                received += read;
                while received >= bytes {
                    received -= bytes;
                    let begun = under_way.pop_front().context("an echo of nothing")?;
                    course.note(begun, &mut latency);
                }
            }
            Ok(latency)
        });
    }
    let seconds = course.run(length).await;
    let mut latency = histogram()?;
    while let Some(sender) = senders.join_next().await {
        latency.add(sender??)?;
    }
    Ok(course.measured(seconds, latency, histogram()?))
}

/// Connects the devices that receive, and acknowledge what they get.
pub(super) async fn receivers(clients: &Clients, arguments: &Arguments, course: &Arc<Course>) -> Result<Receivers> {
    let mut receivers = Receivers::default();
    for number in 0..arguments.receivers {
        let device = clients.connect(Person::numbered(number)).await?;
        receivers.spawn(|delivery| receive(device, course.clone(), delivery))?;
    }
    Ok(receivers)
}

async fn receive(mut device: Device, course: Arc<Course>, delivery: Delivery) -> Result<()> {
    loop {
        let mut newest = None;
        while let Some(frame) = device.received()? {
            match frame {
                ServerFrame::Deliver(deliver) => {
                    newest = Some(deliver.seq);
                    let envelope = Envelope::decode(deliver.envelope)?;
                    let mut delivery = delivery.lock().unwrap_or_else(PoisonError::into_inner);
                    course.note_delivery(&envelope.payload, &mut delivery);
                }
                other => bail!("unexpected: {other:?}"),
            }
        }
        if let Some(seq) = newest {
            device.queue(ClientFrame::Ack { seq });
            device.flush().await?;
        }
        device.fill().await?;
    }
}

async fn send(
    mut device: Device,
    mut request: Template,
    in_flight: usize,
    course: Arc<Course>,
) -> Result<Histogram<u64>> {
    let mut latency = histogram()?;
    let mut under_way = VecDeque::new();
    let mut id = 0;
    while !course.is_over() || !under_way.is_empty() {
        while under_way.len() < in_flight && !course.is_over() {
            id += 1;
            let now = Instant::now();
            device.queue(request.send(id, now));
            under_way.push_back((id, now));
        }
        device.flush().await?;
        device.fill().await?;
        while let Some(frame) = device.received()? {
            course.note(answered(frame, &mut under_way)?, &mut latency);
        }
    }
    Ok(latency)
}

/// Takes what a frame answers off the sends under way; returns when that was sent.
pub(super) fn answered(frame: ServerFrame, under_way: &mut VecDeque<(u64, Instant)>) -> Result<Instant> {
    let ServerFrame::Sent(sent) = frame else { bail!("unexpected: {frame:?}") };
    ensure!(sent.parts.iter().all(|part| part.status == Status::Accepted), "refused: {sent:?}");
    let (expected, begun) = under_way.pop_front().context("an answer to nothing")?;
    ensure!(sent.id == expected, "answers came out of order");
    Ok(begun)
}

/// The send that one sender makes again and again.
pub(super) struct Template {
    request: SendRequest,
    sealed: Sealed,
    payload: usize,
}

impl Template {
    pub(super) fn new(me: Person, peer: Person, payload: usize) -> Result<Self> {
        let now = SystemClock.now();
        let sealed = Sealed {
            id: EnvelopeId::from_bytes([1; 16]),
            push_token: peer.push_token,
            suite: SuiteId::from_u32(2),
            payload: Bytes::new(),
        };
        let destination = Destination {
            session_token: session_key().mint(me.account, peer.account, now).token.as_bytes().to_vec().into(),
            list_version: LIST_VERSION,
            parts: Vec::new(),
        };
        let request = SendRequest {
            id: 0,
            topic: Topic::message(),
            sender_handle: Handle::parse(HANDLE)?,
            sender_list_version: LIST_VERSION,
            expiry: Expiry::At(now.plus(Span::from_days(1))),
            epoch: 0,
            destinations: vec![destination],
        };
        Ok(Self { request, sealed, payload })
    }

    /// Returns the frame of one send, which says when it is sent.
    pub(super) fn send(&mut self, id: u64, at: Instant) -> ClientFrame {
        let sealed = Sealed { payload: stamped(at, self.payload).into(), ..self.sealed.clone() };
        self.request.id = id;
        for destination in &mut self.request.destinations {
            destination.parts = vec![Part::new(sealed.clone())];
        }
        ClientFrame::Send(self.request.clone().into_unchecked())
    }
}

/// Addresses of this machine that silent devices connect from.
const SOURCES: u32 = 8;
/// Handshakes under way while silent devices connect.
const HANDSHAKES_AT_A_TIME: usize = 64;
