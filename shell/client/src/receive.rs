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

mod addressed;

use halcyon_content::{Content, Kind, ReceiptKind, SealedMessage};
use halcyon_courier::{Envelope, Origin, envelope::Sender, link::Delivery};
use halcyon_crypto::{SecretBytes, hash::sha256};
use halcyon_directory::{
    VerifiedDevice,
    alert::{Alert, AlertEvent},
};
use halcyon_failpoint::{Point, hit};
use halcyon_suites::{Incoming, OpenError, Opened, Session, Suite};
use halcyon_types::{DeviceId, MessageId, Timestamp, Topic};

use crate::{
    acts, alerts,
    client::Inner,
    error::{HandlesError, ProfileError},
    event::{Event, Notice},
    fanout::sender_device,
    groups::take::Said,
    history, naming, own,
    ports::{
        Change, Commit,
        store::{
            MessageKind, MessageRecord, NewMessage, Origin as MessageOrigin, PendingReceipt, SeenMark, StreamPlace,
        },
    },
    receipts,
    repair::{self, Peer},
    resolve::{Freshness, Resolved},
    send,
    state::State,
    typing,
    unopened::Cause,
};

use self::addressed::Addressed;

/// How a delivery ended.
#[derive(Clone, Debug)]
pub(crate) enum Received {
    /// It is committed, in whatever way: acknowledge it.
    Committed,
    /// It cannot be decided now, since the server's directory does not answer (RCV-2): do not acknowledge it, try again.
    NotNow,
}

/// Whether the own handles are as they are kept, or as the server just said (CON-7).
#[derive(Clone, Copy, PartialEq, Eq)]
enum OwnHandles {
    Kept,
    Fresh,
}

/// What a message that opened led to.
#[derive(Default)]
struct Taken {
    events: Vec<Event>,
    /// To be shown, once it is committed.
    shown: Vec<NewMessage>,
    /// Whether something came that was missing.
    progress: bool,
    /// The epoch that the sender's device remembers of this one (REP-22).
    epoch_seen: u64,
}

/// What the sender's device turned out to be.
pub(crate) enum Found {
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
            Origin::Server => return self.take_alert(envelope, delivery),
            Origin::Device(sender) if envelope.topic == Topic::message() => sender,
            // A topic that this version did not ask for.
            Origin::Device(_) => return Ok(Received::Committed),
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
        if let Some(received) = self.open_and_commit(envelope, sender, &device, delivery, OwnHandles::Kept)? {
            return Ok(received);
        }
        match self.refresh_handles().await {
            Ok(_) => {}
            Err(HandlesError::Profile(error)) => return Err(error),
            Err(_) => return Ok(Received::NotNow),
        }
        let received = self.open_and_commit(envelope, sender, &device, delivery, OwnHandles::Fresh)?;
        Ok(received.unwrap_or(Received::NotNow))
    }

    /// RCV-2
    pub(crate) async fn find_sender(&self, sender: &Sender) -> Result<Found, ProfileError> {
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

    /// None if it is for a handle that is not known as an own one, and may be one: nothing was committed.
    fn open_and_commit(
        &self,
        envelope: &Envelope,
        sender: &Sender,
        device: &VerifiedDevice,
        delivery: &Delivery,
        own_handles: OwnHandles,
    ) -> Result<Option<Received>, ProfileError> {
        let mut state = self.state();
        let opened = match state.open_sealed(envelope, sender, device, self.now()) {
            Ok(opened) => opened,
            Err(Unopened::Profile(error)) => return Err(error),
            // RCV-4: the suite has seen it. The mark saves the work next time.
            Err(Unopened::Suite(OpenError::Replayed)) => {
                state.commit(&self.seen(sender, envelope, None))?;
                return Ok(Some(Received::Committed));
            }
            Err(Unopened::Suite(error)) => {
                drop(state);
                let cause = match error {
                    OpenError::NotSpoken => Cause::SuiteNotSpoken,
                    OpenError::Forked => Cause::Forked,
                    OpenError::NoKey => Cause::NoKey,
                    _ => Cause::Unauthentic,
                };
                let kept = self.keep_unopened(Some(envelope), delivery, cause)?;
                if cause == Cause::Forked {
                    let name = device.name().to_owned();
                    alerts::raise(self, Notice::DeviceCopied { handle: sender.handle.clone(), name })?; // PQ3-26
                }
                return Ok(Some(kept));
            }
        };
        let put_session =
            |session: &Session| Change::PutSession { device: sender.device, session: session.to_secret_bytes() };
        let Ok(content) = halcyon_content::decode(opened.plaintext.expose()) else {
            let mut commit = self.seen(sender, envelope, None).with(put_session(&opened.next));
            let event = self.unopened(Some(envelope), delivery, Cause::Content, &mut commit);
            state.commit(&commit)?;
            drop(state);
            self.tell(event);
            return Ok(Some(Received::Committed));
        };
        let address = state.addressed(&content, sender, opened.recipient.as_ref())?;
        if address == Addressed::Elsewhere && own_handles == OwnHandles::Kept {
            return Ok(None);
        }
        let mut commit = match content.kind {
            Kind::Typing(_) => Commit::new(), // CON-31: it leaves no mark, and is worth nothing to whoever repeats it
            _ => self.seen(sender, envelope, Some(content.message_id)),
        };
        let mut session = opened.next;
        let mut taken = Taken::default();
        let peer = Peer { wrote_to: opened.recipient.clone(), ..Peer::sender(sender) };
        let mut progress = false;
        if *content.members.sender() == sender.handle {
            // REP-10: also of what is not for this person any more, or it would be asked for without end.
            progress = self.place(&state, &content, &peer, &mut commit)?;
        }
        // OWN-12: of whoever is blocked it is noted that it came, and no more; but who is in a group is everybody's (GRP-14).
        let is_heard = matches!(content.kind, Kind::GroupChange(_) | Kind::GroupState(_))
            || !state.is_blocked(sender.account, &sender.handle)?;
        if address == Addressed::Here && is_heard {
            let plaintext = &opened.plaintext;
            taken = self.take(&mut state, &content, (sender, &peer), plaintext, &mut session, &mut commit)?;
        }
        taken.progress |= progress;
        commit.push(put_session(&session));
        hit(Point::ClientOpened);
        state.commit(&commit)?;
        hit(Point::ClientReceived);
        state.full_mailboxes.heard_of(sender.device); // SND-3
        for message in taken.shown {
            let number = state.store().repairs().number_of(message.sender_device, message.id)?;
            let heard = match message.place {
                Some(place) => {
                    state.store().repairs().heard_in(message.sender_device, message.conversation, place.stream)?
                }
                None => None,
            };
            state.wrote(message.conversation, message.sender_account);
            let key = SealedMessage { device: message.sender_device, message: message.id };
            let marks = state.shown_record(key)?.map(|record| (record.read, record.deleted));
            let (read, deleted) = marks.unwrap_or_default();
            let record = MessageRecord { number, message, read, deleted };
            let shown = history::shown(&mut state, record, heard.as_slice())?;
            taken.events.push(history::told(&mut state, shown)?);
        }
        drop(state);
        self.outbox.notify_one(); // A receipt may wait, a question, or an answer.
        self.tell_all(taken.events);
        hit(Point::ClientShown);
        if taken.progress || matches!(content.kind, Kind::Repair(_)) {
            self.repaired(sender.device, taken.progress)?;
        }
        self.told_epoch(taken.epoch_seen)?; // REP-22
        Ok(Some(Received::Committed))
    }

    /// Adds to the commit what a message that opened, from a member and to one, calls for.
    fn take(
        &self,
        state: &mut State,
        content: &Content,
        from: (&Sender, &Peer),
        plaintext: &SecretBytes,
        session: &mut Session,
        commit: &mut Commit,
    ) -> Result<Taken, ProfileError> {
        let (sender, peer) = from;
        let mut taken = Taken::default();
        // RCV-4: the marks are forgotten some day, and suite `pair` opens a replay for ever; the history is not forgotten.
        let duplicate = state.store().has_seen(&message_mark(sender.device, content.message_id))?
            || state.store().has_message(sender.device, content.message_id)?;
        if duplicate {
            return Ok(taken);
        }
        let is_typing = matches!(content.kind, Kind::Typing(_));
        if let Some(group) = content.members.group().filter(|_| !is_typing) {
            let said = Said { content, sender, peer, plaintext: plaintext.expose() };
            taken.shown = self.take_in_group(state, group, &said, commit)?;
            return Ok(taken);
        }
        match &content.kind {
            Kind::Receipt(receipt) => {
                let from = (&sender.handle, sender.account, sender.device);
                taken.events = receipts::take_receipt(state, receipt, from, self.now(), commit)?;
            }
            Kind::Naming(naming) => {
                let from = (&sender.handle, sender.account);
                taken.events = naming::take(state, naming, content, from, commit)?;
            }
            Kind::Typing(typing) => taken.events = typing::take(state, content, *typing, sender, self.now())?,
            Kind::Own(own) => taken.events = own::take(self, state, own, peer, commit)?,
            Kind::Repair(repair) => {
                let answered = self.take_repair(state, repair, peer, session, commit)?;
                (taken.events, taken.epoch_seen) = (answered.events, answered.epoch);
            }
            Kind::Forward(forward) => {
                taken.shown = repair::forward::take(self, state, forward, peer, commit)?.into_iter().collect();
                taken.progress |= !taken.shown.is_empty();
            }
            _ => taken.shown.push(self.add_message(state, content, sender, plaintext, commit)?),
        }
        Ok(taken)
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
            origin: if from_own { MessageOrigin::OwnDevice } else { MessageOrigin::Peer },
            kind: acts::message_kind(&content.kind),
            sender: sender.handle.clone(),
            sender_account: sender.account,
            sender_device: sender.device,
            suite: Some(sender.suite),
            sent: content.sent,
            stored: self.now(),
            content: bytes::Bytes::copy_from_slice(plaintext.expose()),
            place: content
                .place
                .filter(|place| place.number > 0)
                .map(|place| StreamPlace { stream: place.stream, number: place.number }),
            target: acts::target(&content.kind),
        };
        send::add_conversation(&content.members, commit);
        commit.push(Change::AddMessage(message.clone()));
        let is_answered = message.origin == MessageOrigin::Peer && message.kind != MessageKind::Unsupported;
        if is_answered && !state.is_apart(sender.account, &sender.handle)? {
            let own_handles = state.store().own_handles()?;
            if let Some(from) = content.members.recipients().iter().find(|handle| own_handles.contains(handle)) {
                commit.push(Change::AddPendingReceipt(PendingReceipt {
                    to: sender.handle.clone(),
                    from: from.clone(),
                    message: content.message_id,
                    kind: ReceiptKind::Delivered,
                    at: Timestamp::default(),
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
        let session = self.session(sender.device, now).map_err(Unopened::Profile)?;
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
}

/// RCV-4: by what was sealed.
pub(crate) fn payload_mark(sender: &Sender, payload: &[u8]) -> SeenMark {
    SeenMark(sha256(&[b"payload", &sender.suite.as_u32().to_be_bytes(), sender.device.as_bytes(), payload]))
}

/// RCV-4: by what was said.
fn message_mark(device: DeviceId, message: MessageId) -> SeenMark {
    SeenMark(sha256(&[b"message", device.as_bytes(), message.as_bytes()]))
}
