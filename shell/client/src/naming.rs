//! What people want to be called, and their photo: told to chosen people, and kept of those who told. Spec: 50-content.md (CON-51 to CON-53).
//!
//! Owns which naming counts. Does not know what this person calls anybody: that is never replaced by what they say (CON-52).
//!
//! - One is kept for each account, in the settings: the newest by its own time. One that takes a name back is kept, too, or an older one
//!   that comes late would bring the name back.
//! - The photo is kept apart: the name is read with every message that is shown, the photo is not.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use halcyon_content::{Content, ConversationMembers, Image, Kind, Naming};
use halcyon_types::{AccountId, Handle, MessageId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::{ProfileError, SendError},
    event::Event,
    handles,
    ports::{
        Change, Commit,
        store::{OutboxJob, OutboxTarget},
    },
    state::State,
};

/// What the names of the settings begin with; the account follows.
const NAMING_PREFIX: &str = "naming.";
const PHOTO_PREFIX: &str = "naming-photo.";

/// What somebody calls themself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedName {
    /// What they said, nothing added.
    pub naming: Naming,
    /// When they said it, by their clock.
    pub shared: Timestamp,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Kept {
    sent_ms: u64,
    /// Orders what was said at one time.
    id: String,
    name: Option<String>,
}

impl Client {
    /// Tells people what one wants to be called, each in a message of its own, so that nobody learns who else was told; and the own
    /// other devices. Without a name, what was told before is taken back. It leaves as soon as this client is online.
    ///
    /// # Errors
    /// [`SendError`]; nobody is told anything.
    pub async fn share_name(&self, to: &[Handle], from: Option<&Handle>, naming: &Naming) -> Result<(), SendError> {
        let inner = &*self.inner;
        let sender = inner.state().sender(from)?;
        let now = inner.now();
        let (mut jobs, mut commit) = (Vec::new(), Commit::new());
        for handle in to {
            let members = ConversationMembers::new(sender.clone(), [handle.clone()])?;
            inner.resolve_members(&members, to).await?;
            let message_id = MessageId::from_bytes(inner.rng().array());
            let kind = Kind::Naming(naming.clone());
            let content = Content { message_id, sent: now, members, kind, place: None };
            let encoded = halcyon_content::encode(&content)?.into();
            let told = [handle.clone(), sender.clone()].map(OutboxTarget::new).to_vec();
            // It is not shown as a message, so it has no place among them (REP-1).
            let job =
                OutboxJob { silent: true, targets: told, ..OutboxJob::again(message_id, sender.clone(), encoded, now) };
            jobs.push(Change::PutOutboxJob(job));
            if jobs.len() == 1 {
                let own = inner.state().own()?.account;
                keep(own, naming, (now, message_id), &mut commit);
            }
        }
        jobs.into_iter().for_each(|job| commit.push(job));
        inner.state().commit(&commit)?;
        inner.outbox.notify_one();
        Ok(())
    }

    /// Returns what somebody calls themself, if they said so here.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn shared_name(&self, handle: &Handle) -> Result<Option<SharedName>, ProfileError> {
        let state = self.inner.state();
        let Some(pin) = state.known_handle(handle)? else { return Ok(None) };
        let Some((shared, _, naming)) = state.naming_of(pin.account())? else { return Ok(None) };
        let photo = state.store().setting(&setting(PHOTO_PREFIX, pin.account()))?;
        let photo = photo.and_then(|photo| Image::new(BASE64.decode(photo).ok()?));
        let naming = photo.and_then(|photo| naming.clone().with_photo(photo)).unwrap_or(naming);
        Ok(Some(SharedName { naming, shared }))
    }
}

/// Adds to the commit what somebody calls themself, unless they said something newer (CON-52).
pub(crate) fn take(
    state: &State,
    naming: &Naming,
    content: &Content,
    from: (&Handle, AccountId),
    commit: &mut Commit,
) -> Result<Vec<Event>, ProfileError> {
    let (handle, account) = from;
    let known = state.naming_of(account)?;
    if known.is_some_and(|(sent, id, _)| (sent, id) >= (content.sent, content.message_id)) {
        return Ok(Vec::new());
    }
    keep(account, naming, (content.sent, content.message_id), commit);
    if state.own()?.account == account {
        return Ok(Vec::new());
    }
    Ok(vec![Event::Named { handle: handle.clone(), naming: naming.clone() }])
}

impl State {
    /// Returns the own handle to send from: the named one, or the default.
    fn sender(&self, from: Option<&Handle>) -> Result<Handle, SendError> {
        self.own()?;
        let own_handles = handles::own_handles(self.store())?;
        match from {
            Some(from) if own_handles.contains(from) => Ok(from.clone()),
            Some(_) => Err(SendError::NotOwnHandle),
            None => own_handles.into_iter().next().ok_or(SendError::NotOwnHandle),
        }
    }

    /// Returns what the person behind an account said last of how to call them, without photo, with time and id.
    pub(crate) fn naming_of(&self, account: AccountId) -> Result<Option<(Timestamp, MessageId, Naming)>, ProfileError> {
        let Some(kept) = self.store().setting(&setting(NAMING_PREFIX, account))? else { return Ok(None) };
        let damaged = || ProfileError::Damaged("what somebody calls themself");
        let kept: Kept = serde_json::from_str(&kept).map_err(|_| damaged())?;
        let id = kept.id.parse().map_err(|_| damaged())?;
        let naming = match kept.name {
            None => Naming::nothing(),
            Some(name) => Naming::new(name).ok_or_else(damaged)?,
        };
        Ok(Some((Timestamp::from_millis(kept.sent_ms), id, naming)))
    }
}

fn setting(prefix: &str, account: AccountId) -> String {
    format!("{prefix}{}", account.to_hex())
}

/// Adds to the commit what somebody calls themself now, in the place of what they said before.
fn keep(account: AccountId, naming: &Naming, said: (Timestamp, MessageId), commit: &mut Commit) {
    let (sent, id) = said;
    let kept = Kept { sent_ms: sent.as_millis(), id: id.to_hex(), name: naming.name().map(str::to_owned) };
    let value = serde_json::to_string(&kept).expect("texts and numbers are JSON");
    commit.push(Change::PutSetting { name: setting(NAMING_PREFIX, account), value });
    let name = setting(PHOTO_PREFIX, account);
    commit.push(match naming.photo() {
        Some(photo) => Change::PutSetting { name, value: BASE64.encode(photo.as_bytes()) },
        None => Change::RemoveSetting(name),
    });
}
