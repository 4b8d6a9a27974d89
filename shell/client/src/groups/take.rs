//! What others say of groups and in them. Spec: 51-groups.md §3 (GRP-9 to GRP-11).
//!
//! Owns whom to believe: a change speaks for itself, since its author signed it; what is said in a group is shown only if a member said
//! it. Does not decide what a group is.
//!
//! - What a stranger says in a group is not shown, and what a member says is not lost, even if it is not known yet that it is one.

use halcyon_content::{
    Content, ConversationMembers, Kind, ReceiptKind,
    group::{GroupRef, SignedChange, VerifiedChange},
};
use halcyon_courier::envelope::Sender;
use halcyon_types::Timestamp;

use super::known::{self, Known};
use crate::{
    acts,
    client::Inner,
    error::ProfileError,
    ports::{
        Change, Commit,
        store::{HeldMessage, MessageKind, NewMessage, Origin, PendingReceipt, StreamPlace},
    },
    repair::Peer,
    state::State,
};

/// What is held of one device, and in all, until it is known that its sender is a member (GRP-11).
const HELD_OF_DEVICE_MAX: u64 = 64;
const HELD_MAX: u64 = 1_024;

/// What came, and from whom.
pub(crate) struct Said<'a> {
    pub(crate) content: &'a Content,
    pub(crate) sender: &'a Sender,
    pub(crate) peer: &'a Peer,
    pub(crate) plaintext: &'a [u8],
}

impl Inner {
    /// Adds to a commit what follows from something that was said in a group. Returns what is to be shown.
    pub(crate) fn take_in_group(
        &self,
        state: &mut State,
        group: GroupRef,
        said: &Said<'_>,
        commit: &mut Commit,
    ) -> Result<Vec<NewMessage>, ProfileError> {
        match &said.content.kind {
            Kind::GroupAsk => self.answer_for_group(state, group, said.peer, commit).map(|()| Vec::new()),
            Kind::GroupState(changes) => self.take_changes(state, group, changes, said, commit),
            Kind::GroupChange(change) => self.take_changes(state, group, std::slice::from_ref(change), said, commit),
            _ => self.take_message(state, group, said, commit),
        }
    }

    /// GRP-9, GRP-10
    fn take_changes(
        &self,
        state: &mut State,
        group: GroupRef,
        changes: &[SignedChange],
        said: &Said<'_>,
        commit: &mut Commit,
    ) -> Result<Vec<NewMessage>, ProfileError> {
        let changes: Vec<VerifiedChange> = changes.iter().filter_map(|change| change.clone().verify()).collect();
        let own = state.own()?.account;
        let mut made = Commit::new();
        let merged = known::merged(state, group.id, changes, &mut made)?;
        let mut shown = Vec::new();
        if let Some(merged) = &merged {
            let known = &*merged.now;
            // Nobody is made to know a group by somebody who is not in it, nor one that this account was never in.
            let is_own = said.peer.account == own;
            let by_member = is_own || known.state.member(said.peer.account).is_some();
            if merged.is_new && !(by_member && (is_own || known.state.member(own).is_some())) {
                return Ok(Vec::new());
            }
            // GRP-14: nor by somebody whom this person does not want to hear.
            if merged.is_new && state.is_blocked(said.peer.account, &said.peer.handle)? {
                return Ok(Vec::new());
            }
            commit.append(made);
            let since = if merged.is_new { known.state.joined_at(&known.log, own).unwrap_or(u64::MAX) } else { 0 };
            for past in
                known.state.past.iter().filter(|past| past.version >= since && merged.new.contains(&past.change))
            {
                // GRP-10: a new member sees from then on.
                let Some(change) = known.log.change(past.change) else { continue };
                if state.store().has_message(change.change().device, change.message_id())? {
                    continue;
                }
                let line = line(self, state, known, change, Some(said))?;
                commit.push(Change::AddMessage(line.clone()));
                if line.suite.is_some() {
                    receipt(state, known, &line, commit)?; // RCV-5
                }
                shown.push(line);
            }
            shown.extend(self.release(state, known, commit)?);
        }
        let now = match &merged {
            Some(merged) => Some(merged.now.clone()),
            None => state.group(group.id)?,
        };
        self.compare(state, group, now.as_deref(), said.peer, commit)?;
        Ok(shown)
    }

    /// GRP-11
    fn take_message(
        &self,
        state: &mut State,
        group: GroupRef,
        said: &Said<'_>,
        commit: &mut Commit,
    ) -> Result<Vec<NewMessage>, ProfileError> {
        let known = state.group(group.id)?;
        self.compare(state, group, known.as_deref(), said.peer, commit)?;
        let held = HeldMessage {
            group: group.id,
            id: said.content.message_id,
            account: said.sender.account,
            device: said.sender.device,
            suite: said.sender.suite,
            content: bytes::Bytes::copy_from_slice(said.plaintext),
            at: self.now(),
        };
        if let Some(known) = &known
            && is_said_by_member(state, known, &held, said.content)?
        {
            return Ok(vec![self.show(state, known, &held, said.content, commit)?]);
        }
        self.ask_for_group(state, group.id, said.peer, commit)?;
        commit.push(Change::AddHeld { held, of_device: HELD_OF_DEVICE_MAX, in_all: HELD_MAX });
        Ok(Vec::new())
    }

    /// GRP-11: asks those again whose messages are held: the question or its answer may have been lost.
    pub(crate) fn ask_for_held(&self) -> Result<(), ProfileError> {
        let mut state = self.state();
        let mut commit = Commit::new();
        for held in state.store().groups().held(None)? {
            let Ok(content) = halcyon_content::decode(&held.content) else { continue };
            let handle = content.members.sender().clone();
            let peer = Peer { device: held.device, account: held.account, handle, wrote_to: None };
            self.ask_for_group(&mut state, held.group, &peer, &mut commit)?;
        }
        Ok(state.commit(&commit)?)
    }

    /// A message of the history of a group came from an own device (REP-24): what it changes is taken, and the device is asked for the rest.
    pub(crate) fn forwarded_in_group(
        &self,
        state: &mut State,
        group: GroupRef,
        content: &Content,
        from: &Peer,
        commit: &mut Commit,
    ) -> Result<(), ProfileError> {
        if let Kind::GroupChange(change) = &content.kind {
            let verified = (**change).clone().verify().into_iter().collect();
            known::merged(state, group.id, verified, commit)?;
        }
        let known = state.group(group.id)?;
        self.compare(state, group, known.as_deref(), from, commit)
    }

    /// GRP-9: whoever knows something else is asked, unless it is only behind.
    fn compare(
        &self,
        state: &mut State,
        theirs: GroupRef,
        ours: Option<&Known>,
        peer: &Peer,
        commit: &mut Commit,
    ) -> Result<(), ProfileError> {
        let is_behind = ours.is_some_and(|known| known.hash == theirs.hash) || state.groups.was(theirs);
        let lacks = ours.is_some_and(|known| known.log.lacks_some());
        match is_behind && !lacks {
            true => Ok(()),
            false => self.ask_for_group(state, theirs.id, peer, commit),
        }
    }

    /// Shows what was held, as far as its senders are known as members now (GRP-11).
    fn release(&self, state: &mut State, known: &Known, commit: &mut Commit) -> Result<Vec<NewMessage>, ProfileError> {
        let mut shown = Vec::new();
        for held in state.store().groups().held(Some(known.log.group()))? {
            let Ok(content) = halcyon_content::decode(&held.content) else { continue };
            if is_said_by_member(state, known, &held, &content)? {
                commit.push(Change::RemoveHeld(held.device, held.id));
                // GRP-14: blocked after it was held.
                if state.is_blocked(held.account, content.members.sender())? {
                    continue;
                }
                shown.push(self.show(state, known, &held, &content, commit)?);
            }
        }
        Ok(shown)
    }

    /// Adds a message of a member to a commit, and the receipt that it calls for (RCV-5, RCV-6).
    fn show(
        &self,
        state: &State,
        known: &Known,
        held: &HeldMessage,
        content: &Content,
        commit: &mut Commit,
    ) -> Result<NewMessage, ProfileError> {
        let own = state.own()?.account;
        let message = NewMessage {
            id: held.id,
            conversation: content.members.id(),
            origin: if own == held.account { Origin::OwnDevice } else { Origin::Peer },
            kind: acts::message_kind(&content.kind),
            sender: content.members.sender().clone(),
            sender_account: held.account,
            sender_device: held.device,
            suite: Some(held.suite),
            sent: content.sent,
            stored: self.now(),
            content: held.content.clone(),
            place: place(content),
            target: acts::target(&content.kind),
        };
        commit.push(Change::AddMessage(message.clone()));
        if message.kind != MessageKind::Unsupported {
            receipt(state, known, &message, commit)?;
        }
        Ok(message)
    }
}

/// GRP-11: by a member, as its account and handle are; and for this account, which is one. Own devices say what they say where this
/// account is or was a member.
fn is_said_by_member(
    state: &State,
    known: &Known,
    held: &HeldMessage,
    content: &Content,
) -> Result<bool, ProfileError> {
    let own = state.own()?.account;
    if own == held.account {
        return Ok(true);
    }
    Ok(known.has(held.account, content.members.sender()) && known.state.member(own).is_some())
}

/// RCV-5: from the own handle that is a member; nothing to whoever is blocked or unknown (GRP-14).
fn receipt(state: &State, known: &Known, message: &NewMessage, commit: &mut Commit) -> Result<(), ProfileError> {
    if message.origin != Origin::Peer || state.tells_nothing(message.sender_account, &message.sender)? {
        return Ok(());
    }
    let own = state.own()?.account;
    let own_handles = state.store().own_handles()?;
    let from = known.state.member(own).map(|member| &member.handle).filter(|handle| own_handles.contains(handle));
    if let Some(from) = from {
        commit.push(Change::AddPendingReceipt(PendingReceipt {
            to: message.sender.clone(),
            from: from.clone(),
            message: message.id,
            kind: ReceiptKind::Delivered,
            at: Timestamp::default(),
        }));
    }
    Ok(())
}

/// Returns a change as the history has it: the same on every device, by whatever way it came (GRP-10).
pub(super) fn line(
    inner: &Inner,
    state: &State,
    known: &Known,
    change: &VerifiedChange,
    said: Option<&Said<'_>>,
) -> Result<NewMessage, ProfileError> {
    let own = state.own()?;
    let said_by_itself = said
        .filter(|said| said.content.message_id == change.message_id() && said.sender.device == change.change().device);
    let content = Content {
        message_id: change.message_id(),
        sent: change.change().made,
        members: ConversationMembers::in_group(change.change().author.clone(), known.reference()),
        kind: Kind::GroupChange(Box::new(change.signed().clone())),
        place: None,
    };
    let encoded = halcyon_content::encode(&content).map_err(|_| ProfileError::Damaged("a change of a group"))?;
    Ok(NewMessage {
        id: content.message_id,
        conversation: content.members.id(),
        origin: match (change.author() == own.account, change.change().device == own.device) {
            (true, true) => Origin::Here,
            (true, false) => Origin::OwnDevice,
            (false, _) => Origin::Peer,
        },
        kind: MessageKind::Change,
        sender: change.change().author.clone(),
        sender_account: change.author(),
        sender_device: change.change().device,
        suite: said_by_itself.map(|said| said.sender.suite),
        sent: change.change().made,
        stored: inner.now(),
        content: encoded.into(),
        place: said_by_itself.and_then(|said| place(said.content)),
        target: None,
    })
}

fn place(content: &Content) -> Option<StreamPlace> {
    let numbered = content.place.filter(|place| place.number > 0);
    numbered.map(|place| StreamPlace { stream: place.stream, number: place.number })
}
