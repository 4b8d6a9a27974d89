//! Receiving: from a delivery to its acknowledgement. Spec: 60-client.md §2 (RCV-1 to RCV-7).
//!
//! The parent of the other direction: it owns the order of the steps. Does not know how a message is opened or decoded, or whom to
//! believe.
//!
//! - One commit holds the message, the session after it, the seen-marks and the receipt that it calls for. Only after it the delivery
//!   is acknowledged.
//! - Whatever a peer or the server sent, the delivery ends in one of three ways: taken, kept unopened, or not now.
//!
//! Next: [`crate::receipts`] answers.

use halcyon_content::{Content, Kind};
use halcyon_courier::{Envelope, envelope::Sender, link::Delivery};
use halcyon_crypto::{SecretBytes, hash::sha256};
use halcyon_directory::{
    VerifiedDevice,
    alert::{Alert, AlertEvent},
};
use halcyon_failpoint::{Point, hit};
use halcyon_suites::{Incoming, OpenError, Opened, Suite};
use halcyon_types::{DeviceId, EnvelopeId, Handle, MessageId, Timestamp, Topic};

use crate::{
    alerts,
    client::Inner,
    error::ProfileError,
    event::{Event, Notice},
    fanout::sender_device,
    history,
    ports::{
        Change, Commit,
        store::{MessageKind, NewMessage, Origin, PendingReceipt, SeenMark, UnopenedRecord},
    },
    receipts,
    resolve::{Freshness, Resolved},
    send,
    state::State,
};

/// How a delivery ended.
#[derive(Clone, Debug)]
pub(crate) enum Received {
    /// It is committed, in whatever way: acknowledge it.
    Committed,
    /// It cannot be decided now, since the server's directory does not answer (RCV-2): do not acknowledge it, try again.
    NotNow,
}

/// Why a delivery did not open (RCV-3). The name is stored and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Malformed,
    UnknownSender,
    RefusedSender,
    UnknownDevice,
    Unauthentic,
    Forked,
    SuiteNotSpoken,
    Content,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownSender => "unknown-sender",
            Self::RefusedSender => "refused-sender",
            Self::UnknownDevice => "unknown-device",
            Self::Unauthentic => "unauthentic",
            Self::Forked => "forked",
            Self::SuiteNotSpoken => "suite-not-spoken",
            Self::Content => "content",
        }
    }
}

/// What the sender's device turned out to be.
enum Found {
    Device(Box<VerifiedDevice>),
    Not(Cause),
    NotNow,
}

impl Inner {
    /// Takes one delivery (RCV-1).
    ///
    /// # Errors
    /// [`ProfileError`]: nothing was committed, so it must not be acknowledged; it comes again.
    pub(crate) async fn receive(&self, delivery: &Delivery) -> Result<Received, ProfileError> {
        let Ok(envelope) = &delivery.envelope else {
            return self.keep_unopened(None, delivery, Cause::Malformed);
        };
        let sender = match &envelope.origin {
            halcyon_courier::Origin::Server => return self.take_alert(envelope, delivery),
            halcyon_courier::Origin::Device(sender) if envelope.topic == Topic::message() => sender,
            // A topic that this version did not ask for.
            halcyon_courier::Origin::Device(_) => return Ok(Received::Committed),
        };
        // 1. Seen before?
        if self.state().store().has_seen(&payload_mark(sender, &envelope.payload))? {
            return Ok(Received::Committed);
        }
        // 2. Whose device sealed it?
        let device = match self.find_sender(sender).await? {
            Found::Device(device) => device,
            Found::Not(cause) => return self.keep_unopened(Some(envelope), delivery, cause),
            Found::NotNow => return Ok(Received::NotNow),
        };
        // 3. Open, 4. decode, 5. commit: one step for the lock, so that the session opened with is the one that is replaced.
        self.open_and_commit(envelope, sender, &device, delivery)
    }

    /// RCV-2
    async fn find_sender(&self, sender: &Sender) -> Result<Found, ProfileError> {
        if let Some(device) = self.state().kept_sender(sender)? {
            return Ok(Found::Device(Box::new(device)));
        }
        let resolved = self.resolve(std::slice::from_ref(&sender.handle), Freshness::Fresh).await?;
        match resolved.into_iter().next() {
            Some(Resolved::Devices(..)) => {
                let mut state = self.state();
                // The answer that was just accepted is as new as it gets, whatever version the envelope names.
                let named = Sender { list_version: 0, ..sender.clone() };
                Ok(state
                    .kept_sender(&named)?
                    .map_or(Found::Not(Cause::UnknownDevice), |device| Found::Device(Box::new(device))))
            }
            Some(Resolved::Refused(_)) => Ok(Found::Not(Cause::RefusedSender)),
            Some(Resolved::Unknown) | None => Ok(Found::Not(Cause::UnknownSender)),
            Some(Resolved::Unanswered(_)) => Ok(Found::NotNow),
        }
    }

    fn open_and_commit(
        &self,
        envelope: &Envelope,
        sender: &Sender,
        device: &VerifiedDevice,
        delivery: &Delivery,
    ) -> Result<Received, ProfileError> {
        let mut state = self.state();
        let opened = match state.open_sealed(envelope, sender, device, self.now()) {
            Ok(opened) => opened,
            Err(Unopened::Profile(error)) => return Err(error),
            // RCV-4: the suite has seen it. The mark saves the work next time.
            Err(Unopened::Suite(OpenError::Replayed)) => {
                state.commit(&self.seen(sender, envelope, None))?;
                return Ok(Received::Committed);
            }
            Err(Unopened::Suite(error)) => {
                drop(state);
                let cause = match error {
                    OpenError::NotSpoken => Cause::SuiteNotSpoken,
                    OpenError::Forked => Cause::Forked,
                    _ => Cause::Unauthentic,
                };
                let kept = self.keep_unopened(Some(envelope), delivery, cause)?;
                if cause == Cause::Forked {
                    let name = device.name().to_owned();
                    alerts::raise(self, Notice::DeviceCopied { handle: sender.handle.clone(), name })?; // PQ3-26
                }
                return Ok(kept);
            }
        };
        let session = Change::PutSession { device: sender.device, session: opened.next.to_secret_bytes() };
        let Ok(content) = halcyon_content::decode(opened.plaintext.expose()) else {
            let mut commit = self.seen(sender, envelope, None).with(session);
            let event = self.unopened(Some(envelope), delivery, Cause::Content, &mut commit);
            state.commit(&commit)?;
            drop(state);
            self.tell(event);
            return Ok(Received::Committed);
        };
        let mut commit = self.seen(sender, envelope, Some(content.message_id)).with(session);
        // RCV-4: the marks are forgotten some day, and suite `pair` opens a replay for ever; the history is not forgotten.
        let duplicate = state.store().has_seen(&message_mark(sender.device, content.message_id))?
            || state.store().has_message(sender.device, content.message_id)?;
        let mut events = Vec::new();
        let mut shown = None;
        if !duplicate && state.is_addressed(&content, sender, opened.recipient.as_ref())? {
            match &content.kind {
                Kind::Receipt(receipt) => {
                    let from = (&sender.handle, sender.account, sender.device);
                    events = receipts::take_receipt(&mut state, receipt, from, self.now(), &mut commit)?;
                }
                _ => shown = Some(self.add_message(&state, &content, sender, &opened.plaintext, &mut commit)?),
            }
        }
        hit(Point::ClientOpened);
        state.commit(&commit)?;
        hit(Point::ClientReceived);
        if let Some(message) = shown {
            let history = state.store().history(message.conversation, u64::MAX, 1)?;
            let number = history.last().map_or(0, |record| record.number);
            events.push(Event::Message(history::shown(&mut state, number, message)));
            self.outbox.notify_one(); // A receipt may wait.
        }
        drop(state);
        self.tell_all(events);
        hit(Point::ClientShown);
        Ok(Received::Committed)
    }

    /// Adds a message, its conversation, and the receipt that it calls for (RCV-5, RCV-6).
    fn add_message(
        &self,
        state: &State,
        content: &Content,
        sender: &Sender,
        plaintext: &SecretBytes,
        commit: &mut Commit,
    ) -> Result<NewMessage, ProfileError> {
        let from_own = state.own()?.account == sender.account;
        let message = NewMessage {
            id: content.message_id,
            conversation: content.members.id(),
            origin: if from_own { Origin::OwnDevice } else { Origin::Peer },
            kind: if matches!(content.kind, Kind::Message(_)) {
                MessageKind::Message
            } else {
                MessageKind::Unsupported
            },
            sender: sender.handle.clone(),
            sender_account: sender.account,
            sender_device: sender.device,
            suite: Some(sender.suite),
            sent: content.sent,
            stored: self.now(),
            content: bytes::Bytes::copy_from_slice(plaintext.expose()),
        };
        commit.push(Change::AddConversation(send::conversation(&content.members)));
        commit.push(Change::AddMessage(message.clone()));
        if message.origin == Origin::Peer && message.kind == MessageKind::Message {
            let own_handles = state.store().own_handles()?;
            if let Some(from) = content.members.recipients().iter().find(|handle| own_handles.contains(handle)) {
                commit.push(Change::AddPendingReceipt(PendingReceipt {
                    to: sender.handle.clone(),
                    from: from.clone(),
                    message: content.message_id,
                }));
            }
        }
        Ok(message)
    }

    /// DIR-40
    fn take_alert(&self, envelope: &Envelope, delivery: &Delivery) -> Result<Received, ProfileError> {
        let Ok(alert) = Alert::decode(envelope.payload.clone()) else {
            return self.keep_unopened(Some(envelope), delivery, Cause::Malformed);
        };
        let record = alerts::record(self, envelope.id, &alert);
        let mut state = self.state();
        let mut commit = Commit::new();
        let known = state.store().alerts()?.iter().any(|kept| kept.id == record.id);
        match &alert.event {
            // The list speaks for itself: what is kept of it is out of date, and the next use asks for the new one.
            AlertEvent::DeviceAdded(_) | AlertEvent::DeviceRemoved(_) => {
                commit.push(Change::RemoveAddresses(state.own()?.account));
            }
            AlertEvent::HandleAdded(handle) => commit.push(Change::AddOwnHandle(handle.clone())),
            AlertEvent::HandleRemoved(handle) => commit.push(Change::RemoveOwnHandle(handle.clone())),
            _ => {}
        }
        commit.push(Change::AddAlert(record.clone()));
        state.commit(&commit)?;
        drop(state);
        if !known {
            self.tell(Event::Alert(alerts::shown(&record)));
        }
        Ok(Received::Committed)
    }

    /// RCV-3: kept sealed, counted, and acknowledged; the sender's device learns nothing.
    fn keep_unopened(
        &self,
        envelope: Option<&Envelope>,
        delivery: &Delivery,
        cause: Cause,
    ) -> Result<Received, ProfileError> {
        let mut commit = Commit::new();
        let event = self.unopened(envelope, delivery, cause, &mut commit);
        self.state().commit(&commit)?;
        self.tell(event);
        Ok(Received::Committed)
    }

    fn unopened(&self, envelope: Option<&Envelope>, delivery: &Delivery, cause: Cause, commit: &mut Commit) -> Event {
        let id = envelope.map_or_else(|| EnvelopeId::from_bytes(self.rng().array()), |envelope| envelope.id);
        commit.push(Change::AddUnopened(UnopenedRecord {
            id,
            envelope: delivery.bytes.clone(),
            cause: cause.name().to_owned(),
            at: self.now(),
        }));
        let device = envelope.and_then(|envelope| match &envelope.origin {
            halcyon_courier::Origin::Device(sender) => Some(sender.device),
            halcyon_courier::Origin::Server => None,
        });
        Event::Unopened { device, cause: cause.name().to_owned() }
    }

    /// RCV-4: both marks of a delivery.
    fn seen(&self, sender: &Sender, envelope: &Envelope, message: Option<MessageId>) -> Commit {
        let at = self.now();
        let mut commit = Commit::new().with(Change::MarkSeen { mark: payload_mark(sender, &envelope.payload), at });
        if let Some(message) = message {
            commit.push(Change::MarkSeen { mark: message_mark(sender.device, message), at });
        }
        commit
    }
}

/// Why nothing was opened.
enum Unopened {
    Profile(ProfileError),
    Suite(OpenError),
}

impl State {
    /// Returns the sender's device from what is kept, if that is new enough (RCV-2): the handle stands for the account that sealed the
    /// message, and the account's list, as new as the envelope says, has the device.
    fn kept_sender(&mut self, sender: &Sender) -> Result<Option<VerifiedDevice>, ProfileError> {
        let Some(pin) = self.known_handle(&sender.handle)? else { return Ok(None) };
        if pin.account() != sender.account {
            return Ok(None);
        }
        let Some(known) = self.known(sender.account)? else { return Ok(None) };
        if known.version() < sender.list_version {
            return Ok(None);
        }
        Ok(VerifiedDevice::sender(&known, sender.device))
    }

    fn open_sealed(
        &self,
        envelope: &Envelope,
        sender: &Sender,
        device: &VerifiedDevice,
        now: Timestamp,
    ) -> Result<Opened, Unopened> {
        // SUI-9: what is switched off is not opened either.
        if Suite::try_from(sender.suite).is_ok_and(|suite| !self.suites().contains(&suite)) {
            return Err(Unopened::Suite(OpenError::NotSpoken));
        }
        let session = self.session(sender.device).map_err(Unopened::Profile)?;
        let own = self.own().map_err(Unopened::Profile)?;
        let incoming = Incoming {
            account: own.account,
            envelope: envelope.id,
            sender: &sender.handle,
            push_token: own.push_token,
            now,
        };
        let device = sender_device(device);
        session.open(sender.suite, &own.keys, &device, &incoming, &envelope.payload).map_err(Unopened::Suite)
    }

    /// CON-7. The sender's device is of the account that the handle stands for: [`kept_sender`](Self::kept_sender) saw to it.
    fn is_addressed(
        &self,
        content: &Content,
        sender: &Sender,
        sealed_for: Option<&Handle>,
    ) -> Result<bool, ProfileError> {
        if *content.members.sender() != sender.handle {
            return Ok(false);
        }
        // PQ3-22: the handle that it was sealed for is a member, too; own devices get theirs under the sender's.
        let is_member = |handle: &Handle| *handle == sender.handle || content.members.recipients().contains(handle);
        if sealed_for.is_some_and(|handle| !is_member(handle)) {
            return Ok(false);
        }
        if self.own()?.account == sender.account {
            return Ok(true);
        }
        let own_handles = self.store().own_handles()?;
        Ok(content.members.recipients().iter().any(|handle| own_handles.contains(handle)))
    }
}

/// RCV-4: by what was sealed.
fn payload_mark(sender: &Sender, payload: &[u8]) -> SeenMark {
    SeenMark(sha256(&[b"payload", &sender.suite.as_u32().to_be_bytes(), sender.device.as_bytes(), payload]))
}

/// RCV-4: by what was said.
fn message_mark(device: DeviceId, message: MessageId) -> SeenMark {
    SeenMark(sha256(&[b"message", device.as_bytes(), message.as_bytes()]))
}
