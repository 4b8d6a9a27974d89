//! What was said, as it is shown. Reads only.

use halcyon_content::{Kind, Message};
use halcyon_types::{ConversationId, MessageId, Timestamp};

use crate::{
    client::Client,
    error::ProfileError,
    event::{Event, ShownDelivery, ShownGroupName, ShownMessage, ShownPart, ShownReceipt},
    groups, handles, outbox,
    ports::store::{Conversation, Heard, MessageKind, MessageRecord, NewMessage, Origin},
    preferences::Mark,
    repair::{
        ShownGap,
        gaps::{self, Hole},
        shown_gap,
    },
    state::State,
};

impl Client {
    /// Returns the conversations, the one with the newest message first.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn conversations(&self) -> Result<Vec<Conversation>, ProfileError> {
        Ok(self.inner.state().store().conversations()?)
    }

    /// Returns up to `limit` messages of a conversation with a number below `before` (`u64::MAX`: the newest), oldest first.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn history(
        &self,
        conversation: ConversationId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<ShownMessage>, ProfileError> {
        let mut state = self.inner.state();
        let records = state.store().history(conversation, before, limit)?;
        let gaps = state.store().repairs().gaps()?;
        records.into_iter().map(|record| shown(&mut state, record, &gaps)).collect()
    }

    /// Returns up to `limit` messages and acts of all conversations with a number above `after`, in the order in which they were committed here: for
    /// whoever shows each once. One that came late is among the last, wherever it stands in its conversation (REP-15).
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn history_since(&self, after: u64, limit: usize) -> Result<Vec<ShownMessage>, ProfileError> {
        let mut state = self.inner.state();
        let (mut records, mut after) = (Vec::new(), after);
        while records.len() < limit {
            let page = state.store().repairs().stored_since(Timestamp::from_millis(0), after, limit)?;
            let Some(last) = page.last() else { break };
            after = last.number;
            records.extend(page.into_iter().filter(is_told));
        }
        records.truncate(limit);
        let gaps = state.store().repairs().gaps()?;
        records.into_iter().map(|record| shown(&mut state, record, &gaps)).collect()
    }

    /// Returns what is missing or lost behind the last message that came of each device, in one conversation: it has no message that it
    /// could be shown before (REP-31).
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn gaps_at_end(&self, conversation: ConversationId) -> Result<Vec<ShownGap>, ProfileError> {
        let mut state = self.inner.state();
        let mut ends = Vec::new();
        for heard in state.store().repairs().gaps()?.into_iter().filter(|heard| heard.conversation == conversation) {
            let Hole { missing, lost } = gaps::hole_before(&heard, heard.high.saturating_add(1));
            if !(missing.is_empty() && lost.is_empty()) {
                ends.push(shown_gap(&mut state, Heard { missing, lost, ..heard }));
            }
        }
        Ok(ends)
    }

    /// Returns how far a message came, device by device.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn deliveries(&self, message: MessageId) -> Result<Vec<ShownDelivery>, ProfileError> {
        outbox::shown_deliveries(&mut self.inner.state(), message)
    }

    /// Returns how many messages and receipts wait in the outbox.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn outbox_len(&self) -> Result<usize, ProfileError> {
        let state = self.inner.state();
        Ok(usize::try_from(state.store().outbox().count()?).unwrap_or(usize::MAX)
            + state.store().pending_receipts()?.len())
    }
}

/// Returns a message as it is shown, given those streams of which something is missing or lost.
pub(crate) fn shown(state: &mut State, record: MessageRecord, gaps: &[Heard]) -> Result<ShownMessage, ProfileError> {
    let MessageRecord { number, message, read, deleted } = record;
    let (missing_before, lost_before) = hole(&message, gaps);
    // Whatever this version cannot read any more is shown as such, and kept (CON-5).
    let content = halcyon_content::decode(&message.content).ok();
    let recipients = content.as_ref().map(|content| content.members.recipients().to_vec()).unwrap_or_default();
    let (mut parts, mut said, mut act, mut change) = (Vec::new(), Message::default(), None, None);
    let known = match &content {
        Some(content) => state.group_of(&content.members)?,
        None => None,
    };
    let group = content.as_ref().and_then(|content| content.members.group()).map(|group| ShownGroupName {
        id: group.id,
        name: known.as_ref().map(|known| known.state.name.clone()).unwrap_or_default(),
    });
    match content.map(|content| content.kind) {
        Some(Kind::Message(message_said)) => {
            parts = state.shown_parts(&message, &message_said)?;
            said = message_said;
        }
        Some(Kind::Act(done)) => act = Some(done),
        Some(Kind::GroupChange(signed)) => {
            change = known.map(|known| groups::shown::change(&known, &signed, message.id));
        }
        _ => {}
    }
    let Message { reply_to, subject, effect, .. } = said;
    let mentions_me = names_me(state, &parts)?;
    let target = reply_to.or(act.as_ref().map(|act| act.target));
    let about = match target {
        Some(target) => state.store().repairs().number_of(target.device, target.message)?,
        None => 0,
    };
    let sender_maybe = match message.origin {
        Origin::Peer => {
            state.naming_of(message.sender_account)?.and_then(|(_, _, naming)| naming.name().map(str::to_owned))
        }
        Origin::Here | Origin::OwnDevice => None,
    };
    let (is_own, account) = (message.origin != Origin::Peer, message.sender_account);
    let receipts = if is_own { state.store().own().receipts(message.id)? } else { Vec::new() };
    Ok(ShownMessage {
        sender_name: if is_own { None } else { state.name_of(&message.sender)? },
        read,
        deleted,
        receipts: receipts.into_iter().map(|one| ShownReceipt { by: one.handle, kind: one.kind, at: one.at }).collect(),
        muted: state.has_mark(message.conversation, Mark::Muted)?,
        apart: !is_own && state.is_apart(account, &message.sender)?,
        number,
        id: message.id,
        conversation: message.conversation,
        origin: message.origin,
        sender_device_name: state.device_name(message.sender_account, message.sender_device),
        sender: message.sender,
        sender_maybe,
        recipients,
        sender_device: message.sender_device,
        suite: message.suite,
        sent: message.sent,
        stored: message.stored,
        text: text_of(&parts),
        parts,
        reply_to,
        subject,
        effect,
        mentions_me,
        group,
        change,
        act,
        about: (about > 0).then_some(about),
        missing_before,
        lost_before,
    })
}

/// Whether a record is for people, and was not deleted.
fn is_told(record: &MessageRecord) -> bool {
    let is_for_people = !matches!(record.message.kind, MessageKind::Own | MessageKind::Gone);
    is_for_people && record.deleted.is_none()
}

/// CON-17
fn names_me(state: &State, parts: &[ShownPart]) -> Result<bool, ProfileError> {
    let mut mentions = parts.iter().filter_map(|part| part.text.as_ref()).flat_map(|text| &text.mentions).peekable();
    if mentions.peek().is_none() {
        return Ok(false);
    }
    let own = handles::own_handles(state.store())?;
    Ok(mentions.any(|mention| own.contains(&mention.handle)))
}

/// Returns the texts of all parts that were not unsent, one a line; none if there is no text, or a part that this version cannot show.
fn text_of(parts: &[ShownPart]) -> Option<String> {
    let left = || parts.iter().filter(|part| !part.unsent && part.carried.is_none());
    let texts: Option<Vec<&str>> = left().map(|part| part.text.as_ref().map(|text| text.text.as_str())).collect();
    texts.filter(|texts| !texts.is_empty()).map(|texts| texts.join("\n"))
}

/// Returns the event of a message or act that was committed.
pub(crate) fn told(state: &mut State, shown: ShownMessage) -> Result<Event, ProfileError> {
    let Some(act) = &shown.act else { return Ok(Event::Message(shown)) };
    let target = act.target;
    let records = state.store().messages_with(target.message)?;
    let is_it = |record: &MessageRecord| {
        (record.message.sender_device, record.message.conversation) == (target.device, shown.conversation)
    };
    let message = match records.into_iter().find(is_it) {
        Some(record) => Some(Box::new(self::shown(state, record, &[])?)),
        None => None,
    };
    Ok(Event::Acted { act: shown, message })
}

/// REP-31: how much belongs directly before a message and is missing, or lost.
fn hole(message: &NewMessage, gaps: &[Heard]) -> (u64, u64) {
    let Some(place) = message.place else { return (0, 0) };
    let is_its = |heard: &&Heard| {
        (heard.device, heard.conversation, heard.stream) == (message.sender_device, message.conversation, place.stream)
    };
    let Some(heard) = gaps.iter().find(is_its) else { return (0, 0) };
    let hole = gaps::hole_before(heard, place.number);
    (gaps::count(&hole.missing), gaps::count(&hole.lost))
}
