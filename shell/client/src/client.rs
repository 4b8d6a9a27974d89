//! The client's handle: everything that a program does with a profile.
//!
//! Owns the public interface. What happens behind each verb is in the file of that verb.
//!
//! - Cloning shares the profile. Every change of it happens under one lock that is never held across an await, so there is one
//!   writer of suite state, and what was read is still true when it is committed.

use std::sync::Arc;

use halcyon_crypto::SecretBytes;
use halcyon_directory::resolver;
use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, Handle, LinkId, MessageId, SuiteId, Timestamp};
use tokio::sync::broadcast;

use crate::{
    error::{
        ApproveError, DevicesError, HandlesError, LinkError, LookupError, ProfileError, RegisterError, SendError,
        VerificationError,
    },
    event::{ConnectionState, Event, SentMessage, ShownAlert, ShownDelivery, ShownMessage},
    ports::{Clock, CourierConnector, Http, Random, Store, store::Conversation},
    server_address::ServerAddress,
};

/// What a client is made of. The store is its own; the rest may be shared with other clients.
pub struct Parts {
    /// The profile.
    pub store: Box<dyn Store>,
    /// Requests to the server.
    pub http: Arc<dyn Http>,
    /// Connections to the courier.
    pub courier: Arc<dyn CourierConnector>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub random: Arc<dyn Random>,
    /// The server that both of the above reach.
    pub server: ServerAddress,
}

/// A profile that is open. Needs a tokio runtime with time; all of its tasks end when the last clone is dropped or after
/// [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct Client {}

/// Who this profile is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account.
    pub account: AccountId,
    /// This device.
    pub device: DeviceId,
    /// What it is called.
    pub device_name: String,
    /// The own handles as known here, the default one to send from first.
    pub handles: Vec<Handle>,
    /// The server.
    pub server: String,
    /// Whether another device removed this one.
    pub removed: bool,
}

/// A verification that waits for its code or link (ACC-20).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Known to this client and the server alone.
    pub id: String,
    /// What is verified.
    pub handle: Handle,
    /// When it is over.
    pub expires: Timestamp,
}

/// What a new account is made from.
#[derive(Clone, Debug)]
pub struct Registration {
    /// A verification that succeeded.
    pub verification: Verification,
    /// The password; it never leaves this device.
    pub password: SecretBytes,
    /// What this device is to be called.
    pub device_name: String,
}

/// What a device needs to ask to be linked.
#[derive(Clone, Debug)]
pub struct LinkDraft {
    /// A handle of the account.
    pub handle: Handle,
    /// The account's password.
    pub password: SecretBytes,
    /// What this device is to be called.
    pub device_name: String,
}

/// A link as the new device sees it. Dropping it gives it up.
pub struct PendingLink {}

/// A device that asks to be linked, as a device of the account sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRequestShown {
    /// Names it.
    pub id: LinkId,
    /// What the new device calls itself.
    pub device_name: String,
    /// Its id.
    pub device: DeviceId,
    /// When it asked.
    pub created: Timestamp,
}

/// An approval that waits for the digits. Dropping it leaves the link to its 15 minutes; [`Approval::reject`] ends it.
pub struct Approval {}

/// A message to be written.
#[derive(Clone, Debug)]
pub struct Draft {
    /// To whom, 1 to 32.
    pub recipients: Vec<Handle>,
    /// From which own handle; none: the default one.
    pub from: Option<Handle>,
    /// The text.
    pub text: String,
    /// Sealed with this suite and no other. `pair` is never picked unless it is named here, where both sides speak more.
    pub suite: Option<SuiteId>,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The server has it, or gave it up, for every device.
    Accepted,
    /// Every device of other people said so in a receipt, or it was given up.
    Delivered,
}

/// One of the own devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnDevice {
    /// The device.
    pub device: DeviceId,
    /// What it is called.
    pub name: String,
    /// Suites that it speaks.
    pub suites: Vec<SuiteId>,
    /// When it was added, by its own clock.
    pub added: Timestamp,
    /// Whether it is this one.
    pub this: bool,
}

/// One of the own handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedHandle {
    /// The handle.
    pub handle: Handle,
    /// When it was added.
    pub added: Timestamp,
    /// Whether it is the one to send from.
    pub default: bool,
}

/// What a lookup found.
#[derive(Clone, Debug, PartialEq)]
pub struct LookedUp {
    /// The handle.
    pub handle: Handle,
    /// Its account.
    pub account: AccountId,
    /// The version of its device list.
    pub list_version: u64,
    /// Its devices.
    pub devices: Vec<LookedUpDevice>,
    /// What changed since it was looked up last (DIR-8).
    pub changes: Vec<resolver::Change>,
}

/// A device that a lookup found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookedUpDevice {
    /// The device.
    pub device: DeviceId,
    /// What it is called.
    pub name: String,
    /// Suites that it speaks.
    pub suites: Vec<SuiteId>,
    /// Whether the server gave an address to deliver to (DIR-22).
    pub deliverable: bool,
}

/// One thing that [`Client::doctor`] looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, in a word or two.
    pub name: &'static str,
    /// How it is.
    pub finding: Finding,
    /// What was found and, unless it is good, what to do.
    pub detail: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Good,
    /// Worth knowing.
    Notable,
    /// To be repaired.
    Bad,
}

impl Client {
    /// Opens a profile. Nothing is sent; call [`go_online`](Self::go_online) for that.
    ///
    /// # Errors
    /// [`ProfileError`] when it is damaged.
    pub fn open(_parts: Parts) -> Result<Self, ProfileError> {
        todo!()
    }

    /// Returns who this profile is; none before registration or linking.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn account(&self) -> Result<Option<Account>, ProfileError> {
        todo!()
    }

    /// Watches events from now on. Whoever falls 1,024 events behind is told how many were missed.
    #[must_use]
    pub fn subscribe(&self) -> Events {
        todo!()
    }

    /// Connects, and stays connected until [`go_offline`](Self::go_offline): receives, empties the outbox, rolls prekeys.
    /// Returns at once.
    pub fn go_online(&self) {
        todo!()
    }

    /// Disconnects, and returns when there is no connection any more.
    pub async fn go_offline(&self) {
        todo!()
    }

    /// Returns how it stands with the courier now.
    #[must_use]
    pub fn connection(&self) -> ConnectionState {
        todo!()
    }

    /// Waits until this client is online, or cannot come online by waiting ([`ConnectionState::Refused`]).
    pub async fn wait_online(&self) -> ConnectionState {
        todo!()
    }

    /// Ends all tasks; what waits in the outbox stays there.
    pub async fn shutdown(&self) {
        todo!()
    }

    /// Asks the server to verify that a handle is one's own: it sends a mail with a code and a link (ACC-20).
    ///
    /// # Errors
    /// [`VerificationError`]
    pub async fn request_verification(&self, _handle: &Handle) -> Result<Verification, VerificationError> {
        todo!()
    }

    /// Gives the code of the mail (ACC-21).
    ///
    /// # Errors
    /// [`VerificationError`]
    pub async fn verify_code(&self, _verification: &Verification, _code: &str) -> Result<(), VerificationError> {
        todo!()
    }

    /// Returns whether a handle was verified by now, by code or link (ACC-23).
    ///
    /// # Errors
    /// [`VerificationError`]
    pub async fn is_verified(&self, _verification: &Verification) -> Result<bool, VerificationError> {
        todo!()
    }

    /// Makes a new account with this device as its first. May be called again after any error.
    ///
    /// # Errors
    /// [`RegisterError`]
    pub async fn register(&self, _registration: Registration) -> Result<Account, RegisterError> {
        todo!()
    }

    /// Signs in and asks to be linked to an existing account (LNK-1).
    ///
    /// # Errors
    /// [`LinkError`]
    pub async fn link_start(&self, _draft: LinkDraft) -> Result<PendingLink, LinkError> {
        todo!()
    }

    /// Returns the devices that ask to be linked to this account (LNK-2).
    ///
    /// # Errors
    /// [`ApproveError`]
    pub async fn link_requests(&self) -> Result<Vec<LinkRequestShown>, ApproveError> {
        todo!()
    }

    /// Challenges a device that asks to be linked, and waits until it revealed its nonce: then the person can type what it shows.
    ///
    /// # Errors
    /// [`ApproveError`]
    pub async fn approve_start(&self, _link: LinkId) -> Result<Approval, ApproveError> {
        todo!()
    }

    /// Refuses a device that asks to be linked.
    ///
    /// # Errors
    /// [`ApproveError`]
    pub async fn reject_link(&self, _link: LinkId) -> Result<(), ApproveError> {
        todo!()
    }

    /// Commits a message to the outbox, sealed for every device that is known or can be looked up now (SND-1). Once this returned,
    /// it is sent whenever this client is online, in this process or a later one.
    ///
    /// # Errors
    /// [`SendError`]; nothing was committed.
    pub async fn send(&self, _draft: Draft) -> Result<SentMessage, SendError> {
        todo!()
    }

    /// Waits until a message came so far for every device. Waits for ever if a device stays offline: set a timeout around it.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub async fn wait_delivered(&self, _message: MessageId, _until: Until) -> Result<Vec<ShownDelivery>, ProfileError> {
        todo!()
    }

    /// Returns how far a message came, device by device.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn deliveries(&self, _message: MessageId) -> Result<Vec<ShownDelivery>, ProfileError> {
        todo!()
    }

    /// Returns how many messages and receipts wait in the outbox.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn outbox_len(&self) -> Result<usize, ProfileError> {
        todo!()
    }

    /// Returns the conversations, the one with the newest message first.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn conversations(&self) -> Result<Vec<Conversation>, ProfileError> {
        todo!()
    }

    /// Returns up to `limit` messages of a conversation with a number below `before` (`u64::MAX`: the newest), oldest first.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn history(
        &self,
        _conversation: ConversationId,
        _before: u64,
        _limit: usize,
    ) -> Result<Vec<ShownMessage>, ProfileError> {
        todo!()
    }

    /// Looks a handle up anew and shows its devices (DIR-20).
    ///
    /// # Errors
    /// [`LookupError`]
    pub async fn lookup(&self, _handle: &Handle) -> Result<LookedUp, LookupError> {
        todo!()
    }

    /// Looks a handle up and accepts that it stands for another account than before, because its owner said so (DIR-7).
    ///
    /// # Errors
    /// [`LookupError`]
    pub async fn dangerous_accept_new_account(&self, _handle: &Handle) -> Result<LookedUp, LookupError> {
        todo!()
    }

    /// Returns the own devices, from the server's newest list.
    ///
    /// # Errors
    /// [`DevicesError`]
    pub async fn devices(&self) -> Result<Vec<OwnDevice>, DevicesError> {
        todo!()
    }

    /// Calls this device differently.
    ///
    /// # Errors
    /// [`DevicesError`]
    pub async fn rename_device(&self, _name: &str) -> Result<(), DevicesError> {
        todo!()
    }

    /// Removes another device of this account (DIR-5).
    ///
    /// # Errors
    /// [`DevicesError`]
    pub async fn remove_device(&self, _device: DeviceId) -> Result<(), DevicesError> {
        todo!()
    }

    /// Returns the own handles, from the server.
    ///
    /// # Errors
    /// [`HandlesError`]
    pub async fn handles(&self) -> Result<Vec<AddedHandle>, HandlesError> {
        todo!()
    }

    /// Asks to add a handle to this account; it joins when it is verified (ACC-51).
    ///
    /// # Errors
    /// [`HandlesError`]
    pub async fn add_handle(&self, _handle: &Handle) -> Result<Verification, HandlesError> {
        todo!()
    }

    /// Removes an own handle (ACC-52).
    ///
    /// # Errors
    /// [`HandlesError`]
    pub async fn remove_handle(&self, _handle: &Handle) -> Result<(), HandlesError> {
        todo!()
    }

    /// Sends from this handle unless a draft says otherwise.
    ///
    /// # Errors
    /// [`HandlesError::NotOwn`]
    pub fn set_default_handle(&self, _handle: &Handle) -> Result<(), HandlesError> {
        todo!()
    }

    /// Returns every alert, oldest first.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn alerts(&self) -> Result<Vec<ShownAlert>, ProfileError> {
        todo!()
    }

    /// Notes that the person saw an alert.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn mark_alert_seen(&self, _alert: EnvelopeId) -> Result<(), ProfileError> {
        todo!()
    }

    /// Looks at everything that commonly goes wrong.
    pub async fn doctor(&self) -> Vec<Check> {
        todo!()
    }
}

impl PendingLink {
    /// Returns the id of the link.
    #[must_use]
    pub fn id(&self) -> LinkId {
        todo!()
    }

    /// Waits until a device of the account answered, and returns the six digits to type there (LNK-6).
    ///
    /// # Errors
    /// [`LinkError`]; the link is over.
    pub async fn digits(&mut self) -> Result<String, LinkError> {
        todo!()
    }

    /// Waits until the digits were typed on the other device, and commits the account (LNK-10).
    ///
    /// # Errors
    /// [`LinkError`]; the link is over, and the profile is empty.
    pub async fn finish(self) -> Result<Account, LinkError> {
        todo!()
    }
}

impl Approval {
    /// Returns what the new device calls itself.
    #[must_use]
    pub fn device_name(&self) -> &str {
        todo!()
    }

    /// Compares the digits that the person typed and, if they are right, adds the device (LNK-7, LNK-8).
    ///
    /// # Errors
    /// [`ApproveError::WrongDigits`] while tries are left: call again. After any other error but network ones the approval is over.
    pub async fn type_digits(&mut self, _digits: &str) -> Result<OwnDevice, ApproveError> {
        todo!()
    }

    /// Ends the link.
    ///
    /// # Errors
    /// [`ApproveError`]
    pub async fn reject(self) -> Result<(), ApproveError> {
        todo!()
    }
}

/// Events of one client, in their order.
pub struct Events {
    events: broadcast::Receiver<Event>,
}

impl Events {
    /// Waits for the next event; nothing when the client is gone.
    pub async fn next(&mut self) -> Option<Event> {
        match self.events.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
