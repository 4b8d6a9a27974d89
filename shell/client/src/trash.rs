//! What was deleted for the person of this account alone: 30 days in which it can be restored, on every device. Spec: 52-own-devices.md
//! (OWN-20 to OWN-23).
//!
//! Owns what deleting means here. Nobody else learns of it.

use std::collections::BTreeMap;

use halcyon_content::{OwnEntry, OwnKey, OwnValue, SealedMessage};
use halcyon_types::{ConversationId, Duration, Timestamp};

use crate::{
    client::{Client, Inner},
    error::{ChooseError, ProfileError},
    event::ShownMessage,
    history,
    overview::ShownConversation,
    own::Choices,
    ports::{Change, Commit, store::MessageRecord},
    search,
    state::State,
};

/// OWN-21: how long what was deleted can be restored.
pub(crate) const RESTORABLE_FOR: Duration = Duration::from_days(30);
/// What was told own devices is kept for as long as it may be asked for again (REP-12), and a day more.
const TOLD_FOR: Duration = Duration::from_days(31);
/// Messages of a conversation that are deleted in one commit.
const PAGE: usize = 500;

/// A conversation in which something was deleted that can be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedConversation {
    /// The conversation, with what is left of it.
    pub conversation: ShownConversation,
    /// What was deleted in it, in the order in which it was stored; never nothing.
    pub messages: Vec<ShownMessage>,
    /// When something was deleted in it last.
    pub deleted: Timestamp,
    /// Until when all of it can be restored.
    pub until: Timestamp,
}

impl Client {
    /// Deletes a message for this person alone, on all of their devices. It can be restored for 30 days.
    ///
    /// # Errors
    /// [`ChooseError::NoSuchMessage`]
    pub fn delete(&self, message: SealedMessage) -> Result<(), ChooseError> {
        self.set_deleted(message, "on")
    }

    /// Restores a message that was deleted.
    ///
    /// # Errors
    /// [`ChooseError::NoSuchMessage`]: also if its 30 days are over.
    pub fn restore(&self, message: SealedMessage) -> Result<(), ChooseError> {
        self.set_deleted(message, "")
    }

    /// Deletes everything in a conversation, and returns how many messages that were.
    ///
    /// # Errors
    /// [`ChooseError`]
    pub fn delete_conversation(&self, conversation: ConversationId) -> Result<usize, ChooseError> {
        let inner = &*self.inner;
        let mut deleted = 0;
        loop {
            let mut state = inner.state();
            let page = state.store().history(conversation, u64::MAX, PAGE)?;
            if page.is_empty() {
                return Ok(deleted);
            }
            deleted += page.len();
            let mut choices = Choices::default();
            for record in page {
                let on = OwnValue::new("on").unwrap_or_default();
                choices.choose(inner, &state, OwnKey::Deleted(sealed(&record)), on)?;
            }
            inner.commit_choices(&mut state, choices, Commit::new())?;
        }
    }

    /// Returns what was deleted and can be restored, in the order in which it was stored.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn deleted(&self) -> Result<Vec<ShownMessage>, ProfileError> {
        let mut state = self.inner.state();
        let records = state.store().own().deleted()?;
        records.into_iter().map(|record| history::shown(&mut state, record, &[])).collect()
    }

    /// Returns the conversations in which something was deleted that can be restored, the last one to be deleted from first.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn deleted_conversations(&self) -> Result<Vec<DeletedConversation>, ProfileError> {
        let mut messages: BTreeMap<ConversationId, Vec<ShownMessage>> = BTreeMap::new();
        for message in self.deleted()? {
            messages.entry(message.conversation).or_default().push(message);
        }
        let listed = self.overview()?.into_iter();
        let with_messages = listed.filter_map(|conversation| {
            let of_it = conversation.ids.iter().filter_map(|id| messages.remove(id)).flatten().collect();
            DeletedConversation::new(conversation, of_it)
        });
        let mut conversations: Vec<DeletedConversation> = with_messages.collect();
        conversations.sort_by_key(|one| std::cmp::Reverse(one.deleted));
        Ok(conversations)
    }

    /// Restores everything that was deleted in a conversation, and returns how many messages that were.
    ///
    /// # Errors
    /// [`ChooseError`]
    pub fn restore_conversation(&self, conversation: ConversationId) -> Result<usize, ChooseError> {
        let inner = &*self.inner;
        let mut state = inner.state();
        let mut records = state.store().own().deleted()?;
        records.retain(|record| record.message.conversation == conversation);
        for page in records.chunks(PAGE) {
            let mut choices = Choices::default();
            for record in page {
                choices.choose(inner, &state, OwnKey::Deleted(sealed(record)), OwnValue::default())?;
            }
            inner.commit_choices(&mut state, choices, Commit::new())?;
        }
        Ok(records.len())
    }

    fn set_deleted(&self, message: SealedMessage, value: &str) -> Result<(), ChooseError> {
        let inner = &*self.inner;
        let mut state = inner.state();
        if state.shown_record(message)?.is_none() {
            return Err(ChooseError::NoSuchMessage);
        }
        let mut choices = Choices::default();
        choices.choose(inner, &state, OwnKey::Deleted(message), OwnValue::new(value).unwrap_or_default())?;
        Ok(inner.commit_choices(&mut state, choices, Commit::new())?)
    }
}

impl DeletedConversation {
    /// None without messages.
    fn new(conversation: ShownConversation, mut messages: Vec<ShownMessage>) -> Option<Self> {
        messages.sort_by_key(|message| message.number);
        let times = || messages.iter().filter_map(|message| message.deleted);
        let (first, last) = (times().min()?, times().max()?);
        // OWN-21
        Some(Self { conversation, deleted: last, until: first.plus(RESTORABLE_FOR), messages })
    }
}

impl Inner {
    /// OWN-6, OWN-21: forgets for good what was deleted, and what was told own devices.
    pub(crate) fn forget_deleted(&self, now: Timestamp) -> Result<(), ProfileError> {
        let commit = Commit::new()
            .with(Change::ForgetDeletedBefore(now.minus(RESTORABLE_FOR)))
            .with(Change::ForgetOwnBefore(now.minus(TOLD_FOR)));
        Ok(self.state().commit(&commit)?)
    }
}

/// Adds to a commit what follows from an entry about a message (OWN-20): it leaves the history and the index of words, or comes back.
pub(crate) fn apply(
    state: &State,
    message: SealedMessage,
    entry: &OwnEntry,
    commit: &mut Commit,
) -> Result<(), ProfileError> {
    let SealedMessage { device, message: id } = message;
    let is_deleted = !entry.value.is_empty();
    commit.push(Change::MarkDeleted { device, message: id, at: is_deleted.then_some(entry.chosen) });
    if let Some(record) = state.shown_record(message)?.filter(|record| !is_deleted && record.deleted.is_some()) {
        search::index_again(state, record, commit)?;
    }
    Ok(())
}

/// Returns what names a message.
pub(crate) fn sealed(record: &MessageRecord) -> SealedMessage {
    SealedMessage { device: record.message.sender_device, message: record.message.id }
}

impl State {
    /// Returns a message, or a change of a group (GRP-16), that is, or was before it was deleted, part of the history.
    pub(crate) fn shown_record(&self, message: SealedMessage) -> Result<Option<MessageRecord>, ProfileError> {
        use crate::ports::store::MessageKind::{Change, Message, Unsupported};
        let records = self.store().messages_with(message.message)?;
        let is_it = |record: &MessageRecord| {
            record.message.sender_device == message.device
                && matches!(record.message.kind, Message | Unsupported | Change)
        };
        Ok(records.into_iter().find(is_it))
    }
}
