//! Whether a message that opened is for this device. Spec: 50-content.md (CON-7), 51-groups.md (GRP-7), 43-pq3.md (PQ3-22).
//!
//! Owns the rule. Does not know how fresh the own handles are.

use halcyon_content::Content;
use halcyon_courier::envelope::Sender;
use halcyon_types::Handle;

use crate::{error::ProfileError, state::State};

/// Whom a message is for (CON-7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Addressed {
    Here,
    /// For no own handle that is known.
    Elsewhere,
    /// From another handle, or for one that is no member, whatever handles are own ones.
    Wrongly,
}

impl State {
    /// CON-7. The sender's device is of the account that the handle stands for: [`kept_sender`](Self::kept_sender) saw to it.
    pub(super) fn addressed(
        &self,
        content: &Content,
        sender: &Sender,
        sealed_for: Option<&Handle>,
    ) -> Result<Addressed, ProfileError> {
        if *content.members.sender() != sender.handle {
            return Ok(Addressed::Wrongly);
        }
        if content.members.group().is_some() {
            return self.addressed_in_group(sender, sealed_for);
        }
        // PQ3-22: the handle that it was sealed for is a member, too; own devices get theirs under the sender's.
        let is_member = |handle: &Handle| *handle == sender.handle || content.members.recipients().contains(handle);
        if sealed_for.is_some_and(|handle| !is_member(handle)) {
            return Ok(Addressed::Wrongly);
        }
        if self.own()?.account == sender.account {
            return Ok(Addressed::Here);
        }
        let own_handles = self.store().own_handles()?;
        let is_here = content.members.recipients().iter().any(|handle| own_handles.contains(handle));
        Ok(if is_here { Addressed::Here } else { Addressed::Elsewhere })
    }

    /// GRP-7: it names nobody, and is for whom it was sealed. Whether that is a member is asked of the group, not of the sender.
    fn addressed_in_group(&self, sender: &Sender, sealed_for: Option<&Handle>) -> Result<Addressed, ProfileError> {
        let is_own = self.own()?.account == sender.account;
        let Some(handle) = sealed_for else { return Ok(Addressed::Here) };
        let is_here = match is_own {
            true => *handle == sender.handle,
            false => self.store().own_handles()?.contains(handle),
        };
        Ok(match (is_here, is_own) {
            (true, _) => Addressed::Here,
            (false, true) => Addressed::Wrongly,
            (false, false) => Addressed::Elsewhere,
        })
    }
}
