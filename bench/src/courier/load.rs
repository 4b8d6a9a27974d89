//! What the devices do: wait, send, receive; and the same sizes through a bare echo.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use halcyon_courier::send::Expiry;
use halcyon_courier::{ClientFrame, Destination, Part, Sealed, SendRequest, ServerFrame, Status};
use halcyon_server::ports::Clock;
use halcyon_server_net::world::SystemClock;
use halcyon_types::{Duration as Span, EnvelopeId, Handle, SuiteId, Topic};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::Arguments;
use super::clients::{Clients, Device};
use super::people::{HANDLE, LIST_VERSION, Person, session_key};

/// What came out of a load.
pub(crate) struct Measured {
    pub(crate) accepted_per_s: f64,
    pub(crate) delivered_per_s: f64,
    /// Send to answer, in microseconds.
    pub(crate) latency: Histogram<u64>,
}

/// Who does what in a load, and since when it counts.
struct Course {
    counting: AtomicBool,
    over: AtomicBool,
    accepted: AtomicU64,
    delivered: AtomicU64,
}

/// Connects the silent devices.
pub(crate) async fn connect_idle(clients: &Clients, arguments: &Arguments) -> Result<Vec<Device>> {
    let first = arguments.senders + arguments.receivers;
    stream::iter(first..first + arguments.idle)
        .map(|number| clients.connect(Person::numbered(number)))
        .buffer_unordered(HANDSHAKES_AT_A_TIME)
        .try_collect()
        .await
        .context("a silent device could not connect")
}

/// Loads the courier: every sender keeps so many sends under way, receivers acknowledge what they get.
pub(crate) async fn courier(clients: &Clients, arguments: &Arguments, length: Duration) -> Result<Measured> {
    ensure!(arguments.senders > 0 && arguments.receivers > 0, "there must be somebody to send and somebody to receive");
    let course = Arc::new(Course::new());
    let mut receivers = JoinSet::new();
    for number in 0..arguments.receivers {
        let device = clients.connect(Person::numbered(number)).await?;
        receivers.spawn(receive(device, course.clone()));
    }
    let mut senders = JoinSet::new();
    for number in 0..arguments.senders {
        let (me, peer) =
            (Person::numbered(arguments.receivers + number), Person::numbered(number % arguments.receivers));
        let device = clients.connect(me).await?;
        senders.spawn(send(device, template(me, peer, arguments.payload)?, arguments.in_flight, course.clone()));
    }
    let seconds = course.run(length).await;
    let mut latency = histogram()?;
    while let Some(sender) = senders.join_next().await {
        latency.add(sender??)?;
    }
    receivers.shutdown().await;
    Ok(course.measured(seconds, latency))
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
            while !course.over.load(Ordering::Relaxed) {
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
    Ok(course.measured(seconds, latency))
}

async fn receive(mut device: Device, course: Arc<Course>) -> Result<()> {
    loop {
        let mut newest = None;
        while let Some(frame) = device.received()? {
            match frame {
                ServerFrame::Deliver(deliver) => {
                    newest = Some(deliver.seq);
                    course.count(&course.delivered);
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
    mut request: SendRequest,
    in_flight: usize,
    course: Arc<Course>,
) -> Result<Histogram<u64>> {
    let mut latency = histogram()?;
    let mut under_way = VecDeque::new();
    let mut id = 0;
    while !course.over.load(Ordering::Relaxed) || !under_way.is_empty() {
        while under_way.len() < in_flight && !course.over.load(Ordering::Relaxed) {
            id += 1;
            request.id = id;
            device.queue(ClientFrame::Send(request.clone().into_unchecked()));
            under_way.push_back((id, Instant::now()));
        }
        device.flush().await?;
        device.fill().await?;
        while let Some(frame) = device.received()? {
            let ServerFrame::Sent(sent) = frame else { bail!("unexpected: {frame:?}") };
            ensure!(sent.parts.iter().all(|part| part.status == Status::Accepted), "refused: {sent:?}");
            let (expected, begun) = under_way.pop_front().context("an answer to nothing")?;
            ensure!(sent.id == expected, "answers came out of order");
            course.note(begun, &mut latency);
        }
    }
    Ok(latency)
}

/// The send that one sender makes again and again.
fn template(me: Person, peer: Person, payload: usize) -> Result<SendRequest> {
    let now = SystemClock.now();
    let sealed = Sealed {
        id: EnvelopeId::from_bytes([1; 16]),
        push_token: peer.push_token,
        suite: SuiteId::from_u32(2),
        payload: vec![7; payload].into(),
    };
    let destination = Destination {
        session_token: session_key().mint(me.account, peer.account, now).token.as_bytes().to_vec().into(),
        list_version: LIST_VERSION,
        parts: vec![Part::new(sealed)],
    };
    Ok(SendRequest {
        id: 0,
        topic: Topic::message(),
        sender_handle: Handle::parse(HANDLE)?,
        sender_list_version: LIST_VERSION,
        expiry: Expiry::At(now.plus(Span::from_days(1))),
        epoch: 0,
        destinations: vec![destination],
    })
}

impl Course {
    fn new() -> Self {
        Self {
            counting: AtomicBool::new(false),
            over: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
        }
    }

    /// Lets it warm up, then counts; returns for how long.
    async fn run(&self, length: Duration) -> f64 {
        tokio::time::sleep((length / 6).clamp(WARM_UP_MIN, WARM_UP_MAX)).await;
        self.counting.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        tokio::time::sleep(length).await;
        self.counting.store(false, Ordering::SeqCst);
        let seconds = begun.elapsed().as_secs_f64();
        self.over.store(true, Ordering::SeqCst);
        seconds
    }

    /// Counts one answer to a send, and how long it took.
    fn note(&self, begun: Instant, latency: &mut Histogram<u64>) {
        if self.count(&self.accepted) {
            latency.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// Counts one event if it is time to; returns whether it is.
    fn count(&self, counter: &AtomicU64) -> bool {
        let counting = self.counting.load(Ordering::Relaxed);
        if counting {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        counting
    }

    fn measured(&self, seconds: f64, latency: Histogram<u64>) -> Measured {
        let rate = |counter: &AtomicU64| counter.load(Ordering::SeqCst) as f64 / seconds;
        Measured { accepted_per_s: rate(&self.accepted), delivered_per_s: rate(&self.delivered), latency }
    }
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// Handshakes under way while silent devices connect.
const HANDSHAKES_AT_A_TIME: usize = 64;
const WARM_UP_MIN: Duration = Duration::from_millis(300);
const WARM_UP_MAX: Duration = Duration::from_secs(5);
