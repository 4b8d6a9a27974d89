//! Who is typing. Spec: 50-content.md (CON-28 to CON-31).
//!
//! Owns when that is told, to whom, and when it ends by itself. Nothing of it is in the outbox or the history: it goes to those who are
//! there now, or to nobody.
//!
//! - The session is committed before anything leaves, as ever (I1); nothing else is written.
//! - It is sealed only for devices that were heard a moment ago, so that nobody who is away is left with keys for nothing.

use std::collections::BTreeMap;

use halcyon_content::{Content, ConversationMembers, Kind, Place, Typing};
use halcyon_courier::{envelope::Sender, send::Expiry};
use halcyon_directory::VerifiedDevices;
use halcyon_suites::Session;
use halcyon_types::{AccountId, ConversationId, DeviceId, Duration, GroupId, Handle, MessageId, Timestamp};
use tokio::sync::oneshot;

use crate::{
    client::{Client, Inner},
    error::{ProfileError, SendError},
    event::Event,
    fanout::FanOut,
    outbox::plan::PlannedSend,
    ports::{
        Change, Commit,
        store::{OutboxEnvelope, OutboxJob},
    },
    repair::numbers::Numbering,
    resolve::{Freshness, Resolved},
    state::State,
};

/// CON-29: it ends by itself after this.
pub(crate) const TYPING_LASTS: Duration = Duration::from_mins(1);
/// CON-30: who was not heard for this long is not told.
const HEARD_WITHIN: Duration = Duration::from_mins(10);
/// CON-31: what was said longer ago, or is to be said, is not shown: two clocks may differ, and a replay is old.
const SENT_WITHIN: Duration = Duration::from_mins(10);
/// CON-30: the same is not told again before this.
const TELL_AGAIN: Duration = Duration::from_secs(30);

/// Something to be sent now or never.
pub(crate) struct NowOrNever {
    pub(crate) send: PlannedSend,
    /// Told when the server answered.
    pub(crate) answered: oneshot::Sender<()>,
}

/// Who types, as told and as heard. In memory only.
#[derive(Default)]
pub(crate) struct Typists {
    heard: BTreeMap<(ConversationId, AccountId), (Handle, Timestamp)>,
    told: BTreeMap<ConversationId, (Typing, Timestamp)>,
    /// To be sent on the connection that there is.
    pub(crate) to_send: Vec<NowOrNever>,
}

impl Client {
    /// Tells those of a conversation who were heard a moment ago that something is being typed, or not any more. Returns whether the
    /// server took it for anybody: not if it is switched off, if nobody is there, or if messages wait to leave, behind which it would be
    /// old.
    ///
    /// # Errors
    /// [`SendError`]
    pub async fn typing(&self, people: &[Handle], from: Option<&Handle>, typing: Typing) -> Result<bool, SendError> {
        let sender = self.inner.own_handle_for(people, from)?;
        self.inner.tell_typing(ConversationMembers::new(sender, people.iter().cloned())?, typing).await
    }

    /// Tells the same to those of a group.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::Group`] for one in which this account is not.
    pub async fn typing_in_group(&self, group: GroupId, typing: Typing) -> Result<bool, SendError> {
        let members = self.inner.state().members_in(group)?;
        self.inner.tell_typing(members, typing).await
    }
}

impl Inner {
    async fn tell_typing(&self, members: ConversationMembers, typing: Typing) -> Result<bool, SendError> {
        let Some(content) = self.typing_content(members, typing)? else { return Ok(false) };
        let others = self.state().others(&content.members)?;
        let resolved = self.resolve(&others, Freshness::Kept).await?;
        let found = others.into_iter().zip(resolved).filter_map(|(handle, found)| match found {
            Resolved::Devices(devices, _) => Some((handle, devices)),
            _ => None,
        });
        let Some(answer) = self.seal_typing(&content, found.collect(), typing)? else { return Ok(false) };
        self.outbox.notify_one();
        // The connection may end first: then nobody is told.
        Ok(answer.await.is_ok())
    }

    /// None if nobody is to be told.
    fn typing_content(&self, members: ConversationMembers, typing: Typing) -> Result<Option<Content>, SendError> {
        let state = self.state();
        let now = self.now();
        let again = |(told, at): &(Typing, Timestamp)| *told == typing && now.since(*at) < TELL_AGAIN;
        let is_told = state.typists.told.get(&members.id()).is_some_and(again);
        if is_told || !state.tells_typing()? || state.store().outbox().count()? > 0 {
            return Ok(None);
        }
        let message_id = MessageId::from_bytes(self.rng().array());
        Ok(Some(Content { message_id, sent: now, members, kind: Kind::Typing(typing), place: None }))
    }

    /// Commits the sessions after it, and has it sent. None if there is nobody.
    fn seal_typing(
        &self,
        content: &Content,
        found: Vec<(Handle, VerifiedDevices)>,
        typing: Typing,
    ) -> Result<Option<oneshot::Receiver<()>>, SendError> {
        let plaintext = halcyon_content::encode(content)?;
        let now = self.now();
        let mut state = self.state();
        let from = content.members.sender().clone();
        let job = OutboxJob {
            silent: true,
            ..OutboxJob::again(content.message_id, from.clone(), plaintext.clone().into(), now)
        };
        let numbering = Numbering::of(&state, &job)?;
        let mut commit = Commit::new();
        let mut envelopes = Vec::new();
        for (to, devices) in found {
            let account = devices.account();
            let is_told = state.may_hear(content, account, &to)? && !state.tells_nothing(account, &to)?; // GRP-8
            if !is_told || account == state.own()?.account {
                continue;
            }
            let copies = state.present(&devices, &numbering, now)?;
            let own = state.own()?;
            let fan_out = FanOut {
                plaintext: &plaintext,
                own: &own.keys,
                account: own.account,
                push_token: own.push_token,
                from: &from,
                to: &to,
                allowed: &state.suites(),
                forced: None,
                now,
            };
            let fanned = fan_out.seal(&devices, copies, self.rng().as_rng());
            for (device, sealed) in fanned.into_iter().filter_map(|one| Some((one.device, one.outcome.ok()?))) {
                commit.push(Change::PutSession { device, session: sealed.next.to_secret_bytes() });
                envelopes.push(OutboxEnvelope {
                    id: sealed.envelope,
                    message: content.message_id,
                    handle: to.clone(),
                    account,
                    list_version: devices.list_version(),
                    device,
                    push_token: sealed.push_token,
                    suite: sealed.suite,
                    payload: sealed.payload,
                    attempts: 0,
                    not_before: Timestamp::default(),
                });
            }
        }
        if envelopes.is_empty() {
            return Ok(None);
        }
        numbering.count(&state, &mut commit)?; // REP-20
        state.commit(&commit)?; // I1
        let send = state.now_or_never(&job, envelopes)?;
        let (answered, answer) = oneshot::channel();
        state.typists.told.insert(content.members.id(), (typing, now));
        state.typists.to_send.push(NowOrNever { send, answered });
        Ok(Some(answer))
    }

    /// CON-29: tells what ended by itself, and returns when the next does.
    pub(crate) fn end_typing(&self, now: Timestamp) -> Option<Timestamp> {
        let mut state = self.state();
        let heard = &mut state.typists.heard;
        let over: Vec<_> = heard.iter().filter(|(_, (_, until))| *until <= now).map(|(key, _)| *key).collect();
        let ended: Vec<Event> = over
            .into_iter()
            .filter_map(|key| {
                let (by, _) = heard.remove(&key)?;
                Some(Event::Typing { conversation: key.0, by, typing: Typing::Stopped })
            })
            .collect();
        let next = heard.values().map(|(_, until)| *until).min();
        drop(state);
        self.tell_all(ended);
        next
    }
}

impl State {
    /// Returns the sessions with those devices that were heard a moment ago (CON-30).
    fn present(
        &self,
        devices: &VerifiedDevices,
        numbering: &Numbering,
        now: Timestamp,
    ) -> Result<BTreeMap<DeviceId, (Session, Place)>, ProfileError> {
        let mut present = BTreeMap::new();
        for device in devices.devices().iter().map(|device| device.device_id()) {
            let session = self.session(device, now)?;
            if session.summary().heard.is_some_and(|heard| now.since(heard) < HEARD_WITHIN) {
                present.insert(device, (session, numbering.place(self, device)?));
            }
        }
        Ok(present)
    }

    fn now_or_never(&mut self, job: &OutboxJob, envelopes: Vec<OutboxEnvelope>) -> Result<PlannedSend, ProfileError> {
        let account = self.own()?.account;
        let own_version = self.known(account)?.map_or(0, |known| known.version());
        let mut send = PlannedSend::new(job, own_version, self.epoch()?);
        send.request.expiry = Expiry::NowOrNever; // COU-40
        for envelope in envelopes {
            if let Some(token) = self.session_token(envelope.account)? {
                send.add(&token, envelope);
            }
        }
        Ok(send)
    }

    /// Notes that a message came of somebody: whoever wrote it types no more.
    pub(crate) fn wrote(&mut self, conversation: ConversationId, account: AccountId) {
        self.typists.heard.remove(&(conversation, account));
    }
}

/// Takes what somebody said of their typing; nothing if it is old, or of somebody who is not let in (CON-31).
pub(crate) fn take(
    state: &mut State,
    content: &Content,
    typing: Typing,
    sender: &Sender,
    now: Timestamp,
) -> Result<Vec<Event>, ProfileError> {
    let apart = content.sent.since(now).max(now.since(content.sent));
    let own = state.own()?.account;
    if own == sender.account || apart > SENT_WITHIN || state.is_apart(sender.account, &sender.handle)? {
        return Ok(Vec::new());
    }
    let conversation = content.members.id();
    // GRP-13: in a group a member of it, as it is known here; nobody is asked because of this.
    if let Some(group) = content.members.group() {
        let known = state.group(group.id)?;
        if !known.is_some_and(|known| known.has(sender.account, &sender.handle) && known.state.member(own).is_some()) {
            return Ok(Vec::new());
        }
    }
    // Whom this person never heard in a conversation does not appear in it by typing.
    if state.store().conversation(conversation)?.is_none() {
        return Ok(Vec::new());
    }
    let key = (conversation, sender.account);
    let by = sender.handle.clone();
    let was = match typing {
        Typing::Started => state.typists.heard.insert(key, (by.clone(), now.plus(TYPING_LASTS))),
        Typing::Stopped => state.typists.heard.remove(&key),
    };
    let is_news = was.is_none() == (typing == Typing::Started);
    Ok(if is_news { vec![Event::Typing { conversation, by, typing }] } else { Vec::new() })
}
