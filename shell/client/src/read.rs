//! What the person of this account read, and who is told. Spec: 50-content.md (CON-20 to CON-23), 52-own-devices.md (OWN-10).
//!
//! Owns which messages count as read and whose senders are told. Receipts are sealed and sent by [`crate::receipts`].

use halcyon_content::{OWN_READ_MAX, ReceiptKind, SealedMessage};
use halcyon_types::{ConversationId, Timestamp};

use crate::{
    client::Client,
    error::{ChooseError, ProfileError},
    own::Choices,
    ports::{
        Change, Commit,
        store::{MessageKind, MessageRecord, Origin, PendingReceipt},
    },
    state::State,
    trash::sealed,
};

impl Client {
    /// Notes that what others wrote in a conversation was read, up to the message with a number (`u64::MAX`: everything), on all own
    /// devices, and tells its senders where that is wanted (CON-22). Returns how many messages that were.
    ///
    /// # Errors
    /// [`ChooseError`]
    pub fn read(&self, conversation: ConversationId, up_to: u64) -> Result<usize, ChooseError> {
        let inner = &*self.inner;
        let mut count = 0;
        loop {
            let mut state = inner.state();
            let page = state.store().own().unread_messages(conversation, up_to, OWN_READ_MAX)?;
            if page.is_empty() {
                return Ok(count);
            }
            count += page.len();
            let (mut choices, mut commit) = (Choices::default(), Commit::new());
            for record in &page {
                choices.read(sealed(record));
            }
            if state.tells_read(conversation)? {
                let now = inner.now();
                for record in &page {
                    owe(&state, record, ReceiptKind::Read, now, &mut commit)?;
                }
            }
            inner.commit_choices(&mut state, choices, commit)?;
        }
    }

    /// Notes that a message was played, and read with it, and tells its sender where that is wanted.
    ///
    /// # Errors
    /// [`ChooseError::NoSuchMessage`]
    pub fn played(&self, message: SealedMessage) -> Result<(), ChooseError> {
        let inner = &*self.inner;
        let mut state = inner.state();
        let record = state.shown_record(message)?.filter(|record| record.message.origin == Origin::Peer);
        let record = record.ok_or(ChooseError::NoSuchMessage)?;
        let (mut choices, mut commit) = (Choices::default(), Commit::new());
        if record.read.is_none() {
            choices.read(message);
        }
        if state.tells_read(record.message.conversation)? {
            owe(&state, &record, ReceiptKind::Played, inner.now(), &mut commit)?;
        }
        Ok(inner.commit_choices(&mut state, choices, commit)?)
    }
}

/// Adds a receipt to those that wait, unless its sender is to learn nothing (OWN-12, OWN-13), or it is nothing that can be read.
fn owe(
    state: &State,
    record: &MessageRecord,
    kind: ReceiptKind,
    at: Timestamp,
    commit: &mut Commit,
) -> Result<(), ProfileError> {
    let message = &record.message;
    if state.tells_nothing(message.sender_account, &message.sender)? || message.kind != MessageKind::Message {
        return Ok(());
    }
    let own_handles = state.store().own_handles()?;
    let conversation = state.store().conversation(message.conversation)?;
    let from = conversation.and_then(|conversation| {
        let is_own = |member: &_| own_handles.contains(member);
        conversation.members.into_iter().find(is_own)
    });
    if let Some(from) = from {
        let (to, message) = (message.sender.clone(), message.id);
        commit.push(Change::AddPendingReceipt(PendingReceipt { to, from, message, kind, at }));
    }
    Ok(())
}
