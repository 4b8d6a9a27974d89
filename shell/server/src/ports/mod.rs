//! What the server needs of the world. Each port is owned here, by its user, and implemented by an adapter crate.
//!
//! - No part of the server reads the clock, draws randomness, opens a file or a socket other than through these.
//! - An operation that is documented as one commit has happened wholly, and on stable storage, when it returns `Ok`.

mod directory_store;
mod holds;
mod mailboxes;
mod recipients;
mod world;

pub use directory_store::{
    AccountProfile, AccountSnapshot, AccountStore, Admitted, Advanced, Aftermath, AftermathId, AftermathStore, Charge,
    Completed, Created, Deed, DeviceAddress, DeviceRow, DirectoryStore, DirectoryStoreError, FoundAccount,
    HandleRemoved, Housekeeping, LimitKey, LimitStore, Link, LinkOpened, LinkState, LinkStore, ListChange,
    ListReplaced, ListStore, LookupStore, NewAccount, NewDevice, NewLink, NewReport, NewVerification, Rate, ReportKept,
    ReportRoom, ReportStore, SnapshotOf, StoredList, StoredPrekey, Verification, VerificationId, VerificationPurpose,
    VerificationState, VerificationStore, VerifyAttempt, VerifyOutcome,
};
pub use holds::{HOLDS_REMEMBERED_FOR, Held, HoldRoom, HoldState, Holds};
pub use mailboxes::{Append, AppendOutcome, MailboxError, Mailboxes, ReadLimit, ShownEpoch, StoredEnvelope};
pub use recipients::{KnownDevice, Notifier, Recipient, Recipients, RecipientsError};
pub use world::{Clock, MailError, Mailer, OutgoingMail, Random, RandomRng};
