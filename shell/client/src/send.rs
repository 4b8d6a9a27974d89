//! Sending: from a draft to the outbox. Spec: 60-client.md §1 (SND-1).
//!
//! The parent of one direction: it owns the order of the steps. Does not know how a plaintext is encoded, whom to believe, how to
//! seal, or how envelopes travel.
//!
//! - One commit holds the message, its envelopes and the sessions after them. Before it nothing leaves; if it fails, nothing happened.
//!
//! Next: [`crate::resolve`] finds devices, [`crate::fanout`] seals, [`crate::outbox`] sends and repairs.

use bytes::Bytes;
use halcyon_content::{
    Content, ConversationMembers, Effect, EncodeError, Kind, Mention, Message, Part, Styled, Subject, Target, Text,
};
use halcyon_failpoint::{Point, hit};
use halcyon_types::{DeviceId, GroupId, Handle, MessageId, SuiteId, Timestamp};

use crate::{
    acts,
    client::{Client, Inner},
    error::{GroupError, ProfileError, SendError},
    event::{Event, SentMessage},
    handles, history,
    outbox::{self, Targets},
    ports::{
        Change, Commit,
        store::{Conversation, MessageRecord, NewMessage, Origin, OutboxJob, OutboxTarget, TargetState},
    },
    resolve::{Freshness, Resolved},
    state::State,
};

/// A message to be written.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// To whom, 1 to 32; nobody in a group.
    pub recipients: Vec<Handle>,
    /// To which group (GRP-7).
    pub group: Option<GroupId>,
    /// From which own handle; none: the default one.
    pub from: Option<Handle>,
    /// The text; empty if what else it carries says enough.
    pub text: String,
    /// What it carries behind the text: cards, locations, links.
    pub parts: Vec<Part>,
    /// Sealed with this suite and no other. `pair` is never picked unless it is named here, where both sides speak more.
    pub suite: Option<SuiteId>,
    /// The part that it answers (CON-15).
    pub reply_to: Option<Target>,
    /// How stretches of the text look (CON-16).
    pub styles: Vec<Styled>,
    /// Who is named in the text (CON-17).
    pub mentions: Vec<Mention>,
    /// A line above it (CON-18).
    pub subject: Option<Subject>,
    /// How it appears (CON-19).
    pub effect: Option<Effect>,
}

fn message(draft: &Draft) -> Message {
    let Draft { text, styles, mentions, parts, reply_to, subject, effect, .. } = draft.clone();
    let says_nothing = text.is_empty() && !parts.is_empty();
    let text = (!says_nothing).then_some(Part::Text(Text { text, styles, mentions }));
    Message { parts: text.into_iter().chain(parts).collect(), reply_to, subject, effect }
}

impl Client {
    /// Commits a message to the outbox, sealed for every device that is known or can be looked up now (SND-1). Once this returned,
    /// it is sent whenever this client is online, in this process or a later one.
    ///
    /// # Errors
    /// [`SendError`]; nothing was committed.
    pub async fn send(&self, draft: Draft) -> Result<SentMessage, SendError> {
        let inner = &*self.inner;
        // 1. Draft: from whom, to whom.
        let content = inner.content(&draft)?;
        inner.send_content(content, Some((&draft.recipients, draft.suite))).await
    }
}

impl Inner {
    /// Sends a content to its members. `asked`: whom the person named, in their order, and the suite that was forced.
    pub(crate) async fn send_content(
        &self,
        content: Content,
        asked: Option<(&[Handle], Option<SuiteId>)>,
    ) -> Result<SentMessage, SendError> {
        // 2. Encode.
        let plaintext = halcyon_content::encode(&content)?;
        // 3. Look up every recipient, and the own other devices like anybody's.
        let (asked, suite) = asked.unwrap_or((content.members.recipients(), None));
        let addressees = self.state().addressees(&content.members)?;
        let resolved = match content.members.group() {
            Some(_) => self.resolve_group(&addressees).await?,
            None => self.resolve_members(&content.members, asked).await?,
        };
        // 4. Seal for every device, and commit; 5. only then may bytes leave.
        let job = new_job(&content, plaintext, suite, addressees, self.now());
        let (sent, events) = self.commit_message(job, content, resolved)?;
        self.tell_all(events);
        self.outbox.notify_one();
        Ok(sent)
    }

    pub(crate) fn content(&self, draft: &Draft) -> Result<Content, SendError> {
        let members = match draft.group {
            Some(group) => self.state().members_in(group)?,
            None => {
                let sender = self.own_handle_for(&draft.recipients, draft.from.as_ref())?;
                ConversationMembers::new(sender, draft.recipients.iter().cloned())?
            }
        };
        let content = Content {
            message_id: MessageId::from_bytes(self.rng().array()),
            sent: self.now(),
            members,
            kind: Kind::Message(message(draft)),
            place: None,
        };
        Ok(with_room_for_text(content))
    }

    /// Resolves everybody. Who is not known at all must be found now; who is known can be sealed for later.
    pub(crate) async fn resolve_members(
        &self,
        members: &ConversationMembers,
        asked: &[Handle],
    ) -> Result<Targets, SendError> {
        let mut wanted = members.recipients().to_vec();
        wanted.push(members.sender().clone());
        let resolved = self.resolve(&wanted, Freshness::Kept).await?;
        for (handle, found) in wanted.iter().zip(&resolved) {
            match found {
                Resolved::Devices(..) => {}
                // Another device removed the handle, or the server says so.
                Resolved::Unknown if handle == members.sender() => return Err(SendError::NotOwnHandle),
                Resolved::Unknown => return Err(unknown(handle, asked)),
                Resolved::Refused(refusal) => return Err(SendError::Refused(refusal.clone())),
                Resolved::Unanswered(error) => {
                    let stranger = self.state().known_handle(handle)?.is_none();
                    if stranger && handle != members.sender() {
                        return Err(SendError::Api(error.clone()));
                    }
                }
            }
        }
        Ok(wanted.into_iter().zip(resolved).collect())
    }

    /// Resolves the members of a group. One who cannot be found does not keep the others from being written to.
    pub(crate) async fn resolve_group(&self, handles: &[Handle]) -> Result<Targets, SendError> {
        let resolved = self.resolve(handles, Freshness::Kept).await?;
        Ok(handles.iter().cloned().zip(resolved).collect())
    }

    /// SND-1: one commit of message, envelopes and sessions.
    fn commit_message(
        &self,
        mut job: OutboxJob,
        content: Content,
        mut resolved: Targets,
    ) -> Result<(SentMessage, Vec<Event>), ProfileError> {
        let mut state = self.state();
        state.drop_overtaken(&mut resolved)?;
        let message = new_message(&state, &job, &content, self.now())?;
        let mut commit = Commit::new();
        add_conversation(&content.members, &mut commit);
        commit.push(Change::AddMessage(message.clone()));
        let unsealed = outbox::expect_devices(&mut state, &job, &resolved, &mut commit)?;
        outbox::seal_job(self, &mut state, &mut job, &resolved, &mut commit)?;
        hit(Point::ClientSealed);
        state.commit(&commit)?;
        hit(Point::ClientCommitted);

        let number = state.store().own_message(message.id)?.map_or(0, |record| record.number);
        let record = MessageRecord { number, message, read: None, deleted: None };
        let shown = history::shown(&mut state, record, &[])?;
        let deliveries = outbox::shown_deliveries(&mut state, content.message_id)?;
        let told = history::told(&mut state, shown.clone())?;
        drop(state);
        Ok((SentMessage { message: shown, unsealed, deliveries }, vec![told]))
    }
}

/// CON-50: a preview never keeps a message from being sent: where both do not fit, first its image is left out, then all of it.
fn with_room_for_text(content: Content) -> Content {
    let Kind::Message(message) = &content.kind else { return content };
    let link = |part: &Part| match part {
        Part::Link(link) => Some(Part::Link(link.clone().without_image())),
        other => Some(other.clone()),
    };
    let nothing = |part: &Part| (!matches!(part, Part::Link(_))).then(|| part.clone());
    let with = |keep: &dyn Fn(&Part) -> Option<Part>| {
        let parts: Vec<Part> = message.parts.iter().filter_map(keep).collect();
        Content { kind: Kind::Message(Message { parts, ..message.clone() }), ..content.clone() }
    };
    let is_too_large = |content: &Content| matches!(halcyon_content::encode(content), Err(EncodeError::TooLarge(_)));
    if !message.parts.iter().any(|part| matches!(part, Part::Link(_))) || !is_too_large(&content) {
        return content;
    }
    let slim = with(&link);
    if is_too_large(&slim) { with(&nothing) } else { slim }
}

fn unknown(handle: &Handle, asked: &[Handle]) -> SendError {
    let place = asked.iter().position(|asked| asked == handle);
    SendError::Unknown { number: place.map_or(0, |place| place + 1) }
}

pub(crate) fn new_job(
    content: &Content,
    plaintext: Vec<u8>,
    forced: Option<SuiteId>,
    addressees: Vec<Handle>,
    now: Timestamp,
) -> OutboxJob {
    OutboxJob {
        message: content.message_id,
        silent: false,
        sender: content.members.sender().clone(),
        content: plaintext.into(),
        forced_suite: forced,
        targets: addressees.into_iter().map(OutboxTarget::new).collect(),
        created: now,
    }
}

pub(crate) fn new_message(
    state: &State,
    job: &OutboxJob,
    content: &Content,
    stored: Timestamp,
) -> Result<NewMessage, ProfileError> {
    let own = state.own()?;
    Ok(NewMessage {
        id: content.message_id,
        conversation: content.members.id(),
        origin: Origin::Here,
        kind: acts::message_kind(&content.kind),
        sender: content.members.sender().clone(),
        sender_account: own.account,
        sender_device: own.device,
        suite: None,
        sent: content.sent,
        stored,
        content: job.content.clone(),
        place: None,
        target: acts::target(&content.kind),
    })
}

/// CON-6. That of a group is there since the group is, and has its members.
pub(crate) fn add_conversation(members: &ConversationMembers, commit: &mut Commit) {
    if members.group().is_some() {
        return;
    }
    let mut handles = members.recipients().to_vec();
    handles.push(members.sender().clone());
    handles.sort();
    commit.push(Change::AddConversation(Conversation { id: members.id(), members: handles }));
}

impl State {
    /// Returns whom something is for: everybody else, and the sender's own other devices last.
    pub(crate) fn addressees(&mut self, members: &ConversationMembers) -> Result<Vec<Handle>, ProfileError> {
        let mut handles = self.others(members)?;
        handles.push(members.sender().clone());
        Ok(handles)
    }

    /// Returns everybody else.
    pub(crate) fn others(&mut self, members: &ConversationMembers) -> Result<Vec<Handle>, ProfileError> {
        let own = self.own()?.account;
        Ok(match self.group_of(members)? {
            Some(group) => group.others(own),
            None => members.recipients().to_vec(),
        })
    }

    /// Returns the members of what this account says in a group now (GRP-7).
    pub(crate) fn members_in(&mut self, group: GroupId) -> Result<ConversationMembers, SendError> {
        let known = self.group(group)?.ok_or(GroupError::NoSuchGroup)?;
        let member = known.state.member(self.own()?.account).ok_or(GroupError::NotAMember)?;
        let own_handles = handles::own_handles(self.store())?;
        if !own_handles.contains(&member.handle) {
            return Err(SendError::NotOwnHandle);
        }
        Ok(ConversationMembers::in_group(member.handle.clone(), known.reference()))
    }
}

impl OutboxJob {
    /// Returns a job for what left the outbox already, without targets.
    pub(crate) fn again(message: MessageId, sender: Handle, content: Bytes, now: Timestamp) -> Self {
        Self { message, silent: false, sender, content, forced_suite: None, targets: Vec::new(), created: now }
    }
}

impl OutboxTarget {
    /// Returns a target for which nothing was done yet.
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            state: TargetState::ToSeal,
            done: Vec::new(),
            attempts: 0,
            not_before: Default::default(),
            only: None,
            mends: None,
        }
    }

    /// Returns a target for one device, for which nothing was done yet.
    pub(crate) fn only(handle: Handle, device: DeviceId) -> Self {
        Self { only: Some(device), ..Self::new(handle) }
    }

    /// SND-4: the same for a device that could not be sealed for, to be tried again then.
    pub(crate) fn waiting(self, device: DeviceId, not_before: Timestamp) -> Self {
        Self { only: Some(device), state: TargetState::ToSeal, attempts: 0, not_before, ..self }
    }

    /// Whether it waits until its device can be sealed for (SND-4), and not because of an answer of the server (SND-3).
    pub(crate) fn waits_for_prekey(&self) -> bool {
        let waits = self.only.is_some() && self.state == TargetState::ToSeal;
        waits && self.attempts == 0 && self.not_before > Timestamp::default()
    }
}
