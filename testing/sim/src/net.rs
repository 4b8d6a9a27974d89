//! The network of a world: requests and courier connections between devices and the server, and everything that can go wrong with them.
//!
//! Owns what is under way. Below it are streams, as TLS makes them: what is lost, late, doubled or out of order within one shows as a
//! delay or as the end of the connection. Requests get lost before or after they took effect, which doubles them when they are
//! repeated, and requests and connections overtake one another.
//!
//! - A process without power sends and receives nothing, whatever of it still runs.
//! - Every frame and request that leaves a client is shown to the watcher and the ledger first (I1, I2, I4).

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use halcyon_client::ports::courier::ConnectionError;
use halcyon_client::ports::{
    CourierChannel, CourierConnector, CourierSink, CourierSource, Http, HttpError, HttpRequest, HttpResponse,
};
use halcyon_courier::connect::ChannelBinding;
use halcyon_courier::limits::Limits;
use halcyon_courier::send::{Sealed, UncheckedSend};
use halcyon_courier::{ClientFrame, Envelope, ServerFrame};
use halcyon_server::courier::{Frames, Received};
use halcyon_types::{EnvelopeId, Timestamp};
use http_body_util::BodyExt;
use rand::rngs::StdRng;
use rand::{Rng, RngCore};
use tokio::time::{Instant, Sleep};
use tower::ServiceExt;

use crate::disk::SimDisk;
use crate::ledger::Ledger;
use crate::sabotage::Sabotage;
use crate::server::Process;
use crate::watch::{TEXT_MARK, Watcher};

/// The network. Cloning shares it.
#[derive(Clone)]
pub struct Net {
    state: Arc<Mutex<State>>,
    ledger: Ledger,
    watcher: Watcher,
    sabotage: Sabotage,
}

struct State {
    rng: StdRng,
    /// The server, while it runs.
    server: Option<Arc<Process>>,
    /// By device.
    weather: Vec<Weather>,
    connections: Vec<(usize, Arc<Mutex<Wire>>)>,
    opened: u64,
}

/// How it is with one device's network.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Nothing gets through.
    pub cut: bool,
    /// Requests that get lost, in a hundred.
    pub loss: u32,
    /// A frame or request takes this long at most, in milliseconds.
    pub latency_ms: u64,
}

impl Weather {
    /// A network as one wishes it.
    pub const FAIR: Self = Self { cut: false, loss: 0, latency_ms: 40 };
}

/// One connection.
struct Wire {
    up: Pipe,
    down: Pipe,
    /// What was delivered on it, by number.
    delivered: Vec<EnvelopeId>,
    acknowledged: u64,
    /// Nothing arrives any more, and nobody is told.
    stalled: bool,
    /// It ended.
    broken: bool,
}

#[derive(Default)]
struct Pipe {
    frames: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// No more comes after what is there.
    closed: bool,
    last: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Bytes that a stalled or slow connection takes before a writer has to wait.
const PIPE_BYTES_MAX: usize = 128 * 1024;
/// How long a connection that cannot be made is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Net {
    /// Returns a network in which all is well.
    #[must_use]
    pub fn new(rng: StdRng, ledger: Ledger, watcher: Watcher, sabotage: Sabotage) -> Self {
        let state = State { rng, server: None, weather: Vec::new(), connections: Vec::new(), opened: 0 };
        Self { state: Arc::new(Mutex::new(state)), ledger, watcher, sabotage }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Connects one more device.
    pub fn add_device(&self) {
        self.state().weather.push(Weather::FAIR);
    }

    /// Says which server is reached from now on.
    pub fn serve(&self, server: Option<Arc<Process>>) {
        self.state().server = server;
    }

    /// Changes a device's weather.
    pub fn set_weather(&self, device: usize, weather: Weather) {
        self.state().weather[device] = weather;
    }

    /// Breaks the connections of a device; both ends learn of it.
    pub fn reset(&self, device: usize) -> usize {
        self.end_connections(|of| of == device, |wire| wire.broken = true)
    }

    /// Lets the connections of a device go silent; nobody learns of it.
    pub fn stall(&self, device: usize) -> usize {
        self.end_connections(|of| of == device, |wire| wire.stalled = true)
    }

    /// Breaks every connection: the server's process died.
    pub fn reset_all(&self) -> usize {
        self.end_connections(|_| true, |wire| wire.broken = true)
    }

    /// Lets every connection go silent: the server's machine lost power.
    pub fn stall_all(&self) -> usize {
        self.end_connections(|_| true, |wire| wire.stalled = true)
    }

    fn end_connections(&self, which: impl Fn(usize) -> bool, end: impl Fn(&mut Wire)) -> usize {
        let mut ended = 0;
        let connections: Vec<_> = {
            let mut state = self.state();
            state.connections.retain(|(_, wire)| Arc::strong_count(wire) > 1);
            state.connections.iter().filter(|(of, _)| which(*of)).map(|(_, wire)| wire.clone()).collect()
        };
        for wire in connections {
            let mut wire = lock(&wire);
            if !wire.broken {
                ended += 1;
            }
            end(&mut wire);
            wire.wake();
        }
        ended
    }

    /// Returns a device's way to the server.
    #[must_use]
    pub fn of(&self, device: usize, disk: SimDisk) -> Way {
        Way { net: self.clone(), device, disk }
    }

    fn latency(&self, device: usize) -> Duration {
        let mut state = self.state();
        let most = state.weather[device].latency_ms.max(2);
        Duration::from_millis(state.rng.gen_range(1..most))
    }

    fn is_cut(&self, device: usize) -> bool {
        self.state().weather[device].cut
    }

    fn is_lost(&self, device: usize) -> bool {
        let mut state = self.state();
        let loss = state.weather[device].loss;
        state.rng.gen_range(0..100) < loss
    }

    fn coin(&self) -> bool {
        self.state().rng.r#gen()
    }

    fn server(&self) -> Option<Arc<Process>> {
        self.state().server.clone().filter(|server| !server.disk.is_dark())
    }
}

/// One device's way to the server, for the life of one process.
#[derive(Clone)]
pub struct Way {
    net: Net,
    device: usize,
    /// Of the process: dark when it is dead.
    disk: SimDisk,
}

impl Way {
    /// A process that is dead waits for ever.
    async fn alive(&self) {
        if self.disk.is_dark() {
            std::future::pending::<()>().await;
        }
    }

    async fn request(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let net = &self.net;
        self.alive().await;
        net.watcher.left(&request.body);
        net.watcher.left(request.path.as_bytes());
        if net.sabotage == Sabotage::TextLeaks {
            net.watcher.left(format!("x-last-text: {TEXT_MARK}").as_bytes());
        }
        tokio::time::sleep(net.latency(self.device)).await;
        if net.is_cut(self.device) {
            return Err(HttpError::Unreachable("no route".to_owned()));
        }
        if net.is_lost(self.device) {
            return self.lost().await;
        }
        let Some(server) = net.server() else {
            return Err(HttpError::Unreachable("connection refused".to_owned()));
        };
        let bytes_max = request.answer_bytes_max;
        let answered = server.answer(self.device, request).await;
        if server.disk.is_dark() {
            return Err(HttpError::Broken("the server is gone".to_owned()));
        }
        tokio::time::sleep(net.latency(self.device)).await;
        self.alive().await;
        if net.is_cut(self.device) || net.is_lost(self.device) {
            return self.lost().await;
        }
        match answered {
            Some(answer) if answer.body.len() > bytes_max => Err(HttpError::TooLarge),
            Some(answer) => Ok(answer),
            None => Err(HttpError::Broken("the server hung up".to_owned())),
        }
    }

    async fn lost<T>(&self) -> Result<T, HttpError> {
        if self.net.coin() {
            return Err(HttpError::Broken("reset".to_owned()));
        }
        std::future::pending().await
    }
}

#[async_trait::async_trait]
impl Http for Way {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let timeout = request.timeout.to_std();
        let called = tokio::time::timeout(timeout, self.request(request)).await;
        self.alive().await;
        called.unwrap_or(Err(HttpError::TimedOut))
    }
}

#[async_trait::async_trait]
impl CourierConnector for Way {
    async fn connect(&self) -> Result<CourierChannel, ConnectionError> {
        let net = &self.net;
        self.alive().await;
        tokio::time::sleep(net.latency(self.device)).await;
        self.alive().await;
        if net.is_cut(self.device) {
            if net.coin() {
                tokio::time::sleep(CONNECT_TIMEOUT).await;
            }
            return Err(ConnectionError::Unreachable("no route".to_owned()));
        }
        let Some(server) = net.server() else {
            return Err(ConnectionError::Unreachable("connection refused".to_owned()));
        };
        let mut exported = [0; 32];
        let wire = Arc::new(Mutex::new(Wire::new()));
        {
            let mut state = net.state();
            state.rng.fill_bytes(&mut exported);
            state.opened += 1;
            if state.opened.is_multiple_of(64) {
                state.connections.retain(|(_, wire)| Arc::strong_count(wire) > 1);
            }
            state.connections.push((self.device, wire.clone()));
        }
        let binding = ChannelBinding::Exporter(exported);
        let end = |side| End { way: self.clone(), wire: wire.clone(), side, timer: None };
        let frames = ServerEnd { end: end(Side::Server), server: server.clone(), output: VecDeque::new(), queued: 0 };
        server.accept(frames, binding);
        Ok(CourierChannel {
            binding,
            sink: Box::new(ClientSink(end(Side::Client))),
            source: Box::new(ClientSource(end(Side::Client))),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// One end of a connection, or half of one.
struct End {
    way: Way,
    wire: Arc<Mutex<Wire>>,
    side: Side,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    fn new() -> Self {
        Self {
            up: Pipe::default(),
            down: Pipe::default(),
            delivered: Vec::new(),
            acknowledged: 0,
            stalled: false,
            broken: false,
        }
    }

    fn wake(&mut self) {
        for pipe in [&mut self.up, &mut self.down] {
            for waker in [pipe.reader.take(), pipe.writer.take()].into_iter().flatten() {
                waker.wake();
            }
        }
    }
}

impl End {
    /// Waits for the next frame. `None`: the other side closed; an error: it broke.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ()>> {
        loop {
            let at = {
                let mut wire = lock(&self.wire);
                let (broken, stalled) = (wire.broken, wire.stalled);
                let pipe = if self.side == Side::Client { &mut wire.down } else { &mut wire.up };
                if broken {
                    return Poll::Ready(Err(()));
                }
                pipe.reader = Some(cx.waker().clone());
                if stalled {
                    return Poll::Pending;
                }
                match pipe.frames.front() {
                    Some((at, _)) if *at <= Instant::now() => {
                        let frame = pipe.frames.pop_front().map(|(_, frame)| frame).unwrap_or_default();
                        pipe.bytes -= frame.len();
                        if let Some(writer) = pipe.writer.take() {
                            writer.wake();
                        }
                        return Poll::Ready(Ok(Some(frame)));
                    }
                    Some((at, _)) => *at,
                    None if pipe.closed => return Poll::Ready(Ok(None)),
                    None => return Poll::Pending,
                }
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            timer.as_mut().reset(at);
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Puts a frame on its way.
    fn poll_send(&self, cx: &mut Context<'_>, frame: &Bytes) -> Poll<Result<(), ()>> {
        let latency = self.way.net.latency(self.way.device);
        let mut wire = lock(&self.wire);
        if wire.broken {
            return Poll::Ready(Err(()));
        }
        let pipe = if self.side == Side::Client { &mut wire.up } else { &mut wire.down };
        if pipe.bytes > 0 && pipe.bytes + frame.len() > PIPE_BYTES_MAX {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // In order, whatever its latency.
        let at = (Instant::now() + latency).max(pipe.last.unwrap_or_else(Instant::now));
        pipe.last = Some(at);
        pipe.bytes += frame.len();
        pipe.frames.push_back((at, frame.clone()));
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(()))
    }

    fn close(&self) {
        let mut wire = lock(&self.wire);
        let pipe = if self.side == Side::Client { &mut wire.up } else { &mut wire.down };
        pipe.closed = true;
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
    }
}

struct ClientSink(End);

#[async_trait::async_trait]
impl CourierSink for ClientSink {
    async fn send(&mut self, frame: Bytes) -> Result<(), ConnectionError> {
        let end = &self.0;
        end.way.alive().await;
        end.way.see_leaving(&end.wire, &frame);
        let sent = std::future::poll_fn(|cx| end.poll_send(cx, &frame)).await;
        sent.map_err(|()| ConnectionError::Broken("reset".to_owned()))
    }

    async fn close(&mut self) {
        if !self.0.way.disk.is_dark() {
            self.0.close();
        }
    }
}

impl Drop for ClientSink {
    fn drop(&mut self) {
        if !self.0.way.disk.is_dark() {
            self.0.close();
        }
    }
}

struct ClientSource(End);

#[async_trait::async_trait]
impl CourierSource for ClientSource {
    async fn receive(&mut self) -> Result<Option<Bytes>, ConnectionError> {
        let received = std::future::poll_fn(|cx| self.0.poll_receive(cx)).await;
        self.0.way.alive().await;
        if self.0.way.net.sabotage == Sabotage::EarlyAcknowledgement
            && let Ok(Some(frame)) = &received
            && let Ok(ServerFrame::Deliver(deliver)) = ServerFrame::decode(frame.clone())
        {
            let early = ClientFrame::Ack { seq: deliver.seq }.encode();
            self.0.way.see_leaving(&self.0.wire, &early);
            let _ = std::future::poll_fn(|cx| self.0.poll_send(cx, &early)).await;
        }
        received.map_err(|()| ConnectionError::Broken("reset".to_owned()))
    }
}

impl Way {
    /// I1, I2, I4: looks at a frame that leaves the client.
    fn see_leaving(&self, wire: &Arc<Mutex<Wire>>, frame: &Bytes) {
        let net = &self.net;
        net.watcher.left(frame);
        match ClientFrame::decode(frame.clone()) {
            Ok(ClientFrame::Send(send)) => {
                for sealed in sealed_in(send) {
                    net.ledger.leaves(self.device, sealed.id, &sealed.payload, sealed.suite);
                }
            }
            Ok(ClientFrame::Ack { seq }) => {
                let mut wire = lock(wire);
                let from = usize::try_from(wire.acknowledged).unwrap_or(usize::MAX);
                let to = usize::try_from(seq).unwrap_or(usize::MAX).min(wire.delivered.len());
                let acknowledged: Vec<EnvelopeId> = wire.delivered.get(from..to).unwrap_or_default().to_vec();
                wire.acknowledged = wire.acknowledged.max(seq);
                drop(wire);
                for envelope in acknowledged {
                    net.ledger.acknowledged(self.device, envelope);
                }
            }
            _ => {}
        }
    }
}

/// What a send carries, whatever the time.
fn sealed_in(send: UncheckedSend) -> impl Iterator<Item = Sealed> {
    let request = send.check(&Limits::default(), Timestamp::from_millis(0)).ok();
    let destinations = request.into_iter().flat_map(|request| request.destinations);
    destinations.flat_map(|destination| destination.parts).filter_map(|part| part.sealed.ok())
}

/// The server's end.
pub struct ServerEnd {
    end: End,
    server: Arc<Process>,
    output: VecDeque<Bytes>,
    queued: usize,
}

impl Frames for ServerEnd {
    fn poll_receive(&mut self, cx: &mut Context<'_>, _frame_bytes_max: usize) -> Poll<Received> {
        if self.server.disk.is_dark() {
            return Poll::Ready(Received::Gone);
        }
        self.end.poll_receive(cx).map(|received| match received {
            Ok(Some(frame)) => Received::Frame(frame),
            Ok(None) | Err(()) => Received::Gone,
        })
    }

    fn is_midway(&self) -> bool {
        // Frames come whole here.
        false
    }

    fn queue(&mut self, frame: ServerFrame) {
        if let ServerFrame::Deliver(deliver) = &frame {
            let mut wire = lock(&self.end.wire);
            let id = Envelope::decode(deliver.envelope.clone()).map(|envelope| envelope.id);
            wire.delivered.push(id.unwrap_or(EnvelopeId::from_bytes([0; 16])));
        }
        let frame = frame.encode();
        self.queued += frame.len();
        self.output.push_back(frame);
    }

    fn queued_bytes(&self) -> usize {
        self.queued
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.server.disk.is_dark() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        while let Some(frame) = self.output.front() {
            match self.end.poll_send(cx, frame) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(())) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Poll::Ready(Ok(())) => {
                    self.queued -= frame.len();
                    self.output.pop_front();
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        if !self.server.disk.is_dark() {
            self.end.close();
        }
    }
}

/// Turns an answer of the router into what a client's port returns.
pub(crate) async fn answer(router: axum::Router, request: http::Request<axum::body::Body>) -> Option<HttpResponse> {
    let response = router.oneshot(request).await.ok()?;
    let (head, body) = response.into_parts();
    let retry_after_s = head.headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = body.collect().await.ok()?.to_bytes();
    Some(HttpResponse { status: head.status.as_u16(), retry_after_s, body })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
