//! A device on one connection, that says what it is told to, also what no client would.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use halcyon_courier::connect::{ChannelBinding, Connect, Hello, Introduction};
use halcyon_courier::frame::{Connected, split_frame};
use halcyon_courier::limits::FRAME_BYTES_MAX;
use halcyon_courier::send::Expiry;
use halcyon_courier::{
    ClientFrame, Close, CloseCode, Deliver, Destination, Envelope, HeldAnswer, HoldQuestion, Part, Sealed, SendRequest,
    Sent, ServerFrame, Status, Topics, UncheckedHold,
};
use halcyon_types::{Duration, EnvelopeId, HoldId, SuiteId, Timestamp, Topic};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{TestDevice, Town};

/// A device on one connection of the native binding.
pub struct Phone<S> {
    /// Whose it is.
    pub owner: TestDevice,
    stream: S,
    input: BytesMut,
    /// Frames that came while another was waited for.
    early: VecDeque<ServerFrame>,
    next_send: u64,
    /// The epoch that it shows from now on; 0, which it begins with, shows none.
    pub epoch: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Phone<S> {
    /// Takes a connection; nothing is said yet.
    pub fn new(owner: &TestDevice, stream: S) -> Self {
        Self { owner: owner.clone(), stream, input: BytesMut::new(), early: VecDeque::new(), next_send: 1, epoch: 0 }
    }

    /// Takes a connection and connects, for messages and alerts.
    pub async fn dial(owner: &TestDevice, stream: S, audience: &str, binding: &ChannelBinding, now: Timestamp) -> Self {
        let mut phone = Self::new(owner, stream);
        let hello = phone.hello().await;
        phone
            .connect(audience, &hello, binding, Topics::messages_and_alerts(), now)
            .await
            .expect("the device is let in");
        phone
    }

    /// Waits for the server's first words.
    pub async fn hello(&mut self) -> Hello {
        match self.frame().await {
            Some(ServerFrame::Hello(hello)) => hello,
            other => panic!("not a hello: {other:?}"),
        }
    }

    /// Answers a hello.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn connect(
        &mut self,
        audience: &str,
        hello: &Hello,
        binding: &ChannelBinding,
        topics: Topics,
        now: Timestamp,
    ) -> Result<Connected, Close> {
        let introduction = Introduction { device: self.owner.device, epoch: self.epoch, topics };
        let connect = Connect::sign(introduction, &self.owner.key, audience, hello, binding, now);
        self.write(ClientFrame::Connect(connect)).await;
        match self.frame().await {
            Some(ServerFrame::Connected(connected)) => Ok(connected),
            Some(ServerFrame::Close(close)) => Err(close),
            other => panic!("neither in nor out: {other:?}"),
        }
    }

    /// Returns the next frame, `None` when the server hung up.
    pub async fn frame(&mut self) -> Option<ServerFrame> {
        if let Some(frame) = self.early.pop_front() {
            return Some(frame);
        }
        self.fresh_frame().await
    }

    async fn fresh_frame(&mut self) -> Option<ServerFrame> {
        loop {
            if let Some(frame) = split_frame(&mut self.input, FRAME_BYTES_MAX).unwrap() {
                return Some(ServerFrame::decode(frame).unwrap());
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(read) if read > 0 => {}
                _ => return None,
            }
        }
    }

    /// Says something.
    pub async fn write(&mut self, frame: ClientFrame) {
        let mut bytes = BytesMut::new();
        frame.write_to(&mut bytes);
        self.write_bytes(&bytes).await;
    }

    /// Says something that need not be a frame.
    pub async fn write_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Returns a request of one envelope with this text for each device, all accounts looked up now.
    pub fn request(&mut self, town: &Town, to: &[&TestDevice], text: &str, now: Timestamp) -> SendRequest {
        let id = self.next_send;
        self.next_send += 1;
        let destination = |(index, device): (usize, &&TestDevice)| {
            let mut envelope = [0; 16];
            envelope[..8].copy_from_slice(&id.to_be_bytes());
            envelope[15] = u8::try_from(index).unwrap();
            Destination {
                session_token: Town::session_token(
                    self.owner.account,
                    device.account,
                    now.plus(Duration::from_days(1)),
                ),
                list_version: town.list_version(device.account),
                parts: vec![Part::new(Sealed {
                    id: EnvelopeId::from_bytes(envelope),
                    push_token: device.push_token,
                    suite: SuiteId::from_u32(2),
                    payload: Bytes::copy_from_slice(text.as_bytes()),
                })],
            }
        };
        SendRequest {
            id,
            topic: Topic::message(),
            sender_handle: self.owner.handle.clone(),
            sender_list_version: 1,
            expiry: Expiry::At(now.plus(Duration::from_days(7))),
            epoch: self.epoch,
            destinations: to.iter().enumerate().map(destination).collect(),
        }
    }

    /// Has a request made at a time, and waits for the answer.
    pub async fn hold(&mut self, hold: HoldId, due: Timestamp, replaces: bool, request: SendRequest) -> HeldAnswer {
        self.write(ClientFrame::Hold(Box::new(UncheckedHold::new(hold, due, replaces, request)))).await;
        self.held().await
    }

    /// Asks what became of a hold, and waits for the answer.
    pub async fn ask(&mut self, hold: HoldId, cancel: bool) -> HeldAnswer {
        let id = self.next_send;
        self.next_send += 1;
        self.write(ClientFrame::HoldQuestion(HoldQuestion { id, hold, cancel })).await;
        self.held().await
    }

    async fn held(&mut self) -> HeldAnswer {
        loop {
            match self.fresh_frame().await {
                Some(ServerFrame::Held(held)) => return held,
                Some(other) => self.early.push_back(other),
                None => panic!("the server hung up"),
            }
        }
    }

    /// Sends a request and waits for the answer.
    pub async fn send(&mut self, request: SendRequest) -> Vec<Status> {
        self.write(ClientFrame::Send(request.into_unchecked())).await;
        self.sent().await.parts.iter().map(|part| part.status).collect()
    }

    /// Waits for the answer to a send; deliveries that come before it wait.
    pub async fn sent(&mut self) -> Sent {
        if let Some(index) = self.early.iter().position(|frame| matches!(frame, ServerFrame::Sent(_)))
            && let Some(ServerFrame::Sent(sent)) = self.early.remove(index)
        {
            return sent;
        }
        loop {
            match self.fresh_frame().await {
                Some(ServerFrame::Sent(sent)) => return sent,
                Some(other) => self.early.push_back(other),
                None => panic!("the server hung up before it answered"),
            }
        }
    }

    /// Waits for the next delivery.
    pub async fn delivery(&mut self) -> Deliver {
        match self.frame().await {
            Some(ServerFrame::Deliver(deliver)) => deliver,
            other => panic!("not a delivery: {other:?}"),
        }
    }

    /// Waits for so many deliveries and returns their texts.
    pub async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            texts.push(delivered_text(&self.delivery().await));
        }
        texts
    }

    /// Acknowledges everything up to a delivery.
    pub async fn acknowledge(&mut self, seq: u64) {
        self.write(ClientFrame::Ack { seq }).await;
    }

    /// Asks for a sign of life. What the server does in order before it is done when it answers.
    pub async fn keep_alive(&mut self) {
        self.write(ClientFrame::KeepAlive { id: 7 }).await;
        loop {
            match self.fresh_frame().await {
                Some(ServerFrame::KeepAliveAnswer { id: 7 }) => return,
                Some(other) => self.early.push_back(other),
                None => panic!("the server hung up"),
            }
        }
    }

    /// Waits for the end and returns what the server said it is for. Deliveries before it are dropped.
    pub async fn closed(&mut self) -> CloseCode {
        loop {
            match self.frame().await {
                Some(ServerFrame::Close(close)) => return close.code,
                Some(_) => {}
                None => panic!("the server hung up without a word"),
            }
        }
    }

    /// Hangs up without a word and gives the connection back.
    pub fn hang_up(self) -> S {
        self.stream
    }
}

/// What a delivered envelope holds, as text.
#[must_use]
pub fn delivered_text(deliver: &Deliver) -> String {
    let envelope = Envelope::decode(deliver.envelope.clone()).unwrap();
    String::from_utf8(envelope.payload.to_vec()).unwrap()
}
