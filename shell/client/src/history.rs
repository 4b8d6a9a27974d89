//! What was said, as it is shown. Reads only.

use halcyon_content::Kind;
use halcyon_types::{ConversationId, MessageId};

use crate::{
    client::Client,
    error::ProfileError,
    event::{ShownDelivery, ShownMessage},
    outbox,
    ports::store::{Conversation, NewMessage},
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
        Ok(records.into_iter().map(|record| shown(&mut state, record.number, record.message)).collect())
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
        Ok(state.store().outbox_jobs()?.len() + state.store().pending_receipts()?.len())
    }
}

/// Returns a message as it is shown.
pub(crate) fn shown(state: &mut State, number: u64, message: NewMessage) -> ShownMessage {
    // Whatever this version cannot read any more is shown as such, and kept (CON-5).
    let content = halcyon_content::decode(&message.content).ok();
    let recipients = content.as_ref().map(|content| content.members.recipients().to_vec()).unwrap_or_default();
    let text = content.and_then(|content| match content.kind {
        Kind::Message(said) => said.as_plain_text(),
        _ => None,
    });
    ShownMessage {
        number,
        id: message.id,
        conversation: message.conversation,
        origin: message.origin,
        sender_device_name: state.device_name(message.sender_account, message.sender_device),
        sender: message.sender,
        recipients,
        sender_device: message.sender_device,
        suite: message.suite,
        sent: message.sent,
        stored: message.stored,
        text,
    }
}
