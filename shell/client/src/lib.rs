//! The client: in which order things happen between send and receive. Spec: 60-client.md.
//!
//! Owns the order: what is committed before what leaves, what is committed before what is acknowledged.
//! Does not know TLS, HTTP, SQLite, terminals: those are behind [`ports`].
//!
//! - Nothing leaves before the commit that it follows from (SND-1, I1).
//! - Nothing is acknowledged before it is committed (RCV-1, I2).
//! - Everything that is sealed for came out of the directory's resolver (DIR-9, I6).
//!
//! Next: [`Client`] is the whole interface; `send.rs` and `receive.rs` are the two directions of a message.

mod acts;
mod alerts;
mod api;
mod approve;
mod client;
mod connection;
mod devices;
mod doctor;
pub mod error;
pub mod event;
mod fanout;
mod fault;
mod groups;
mod handles;
mod history;
mod link;
mod naming;
mod outbox;
mod overview;
mod own;
mod people;
pub mod ports;
mod preferences;
mod prekeys;
mod preview;
mod read;
mod receipts;
mod receive;
mod receiver;
mod register;
mod repair;
mod report;
mod resolve;
mod safety;
mod scheduled;
mod search;
mod send;
mod server_address;
mod settings;
mod state;
mod suites;
mod trash;
mod typing;
mod unopened;
mod upkeep;

pub use halcyon_suites::Suite;

pub use approve::{Approval, LinkRequestShown};
pub use client::{Account, Client, Costs, Events, Parts};
pub use connection::locked::{LockedConnection, ReceiverParts};
pub use devices::OwnDevice;
pub use doctor::{Check, Finding};
pub use event::{
    ConnectionState, Event, Notice, RepairStep, SentMessage, ShownAlert, ShownDelivery, ShownEdit, ShownGroupName,
    ShownMessage, ShownPart, ShownReceipt, ShownTapback,
};
pub use fault::Fault;
pub use groups::{GroupDeed, ShownChange, ShownDeed, ShownGroup, ShownMember};
pub use halcyon_content::group::{GroupName, PhotoReference};
pub use halcyon_content::vcard;
pub use halcyon_content::{
    Act, Animation, Contact, ContactError, Deed, Denied, Effect, Image, Link, Location, Mention, Naming, Part, Range,
    ReceiptKind, SealedMessage, Style, Styled, Subject, Tapback, Target, Text, Typing, WebAddress, address_book,
};
pub use halcyon_directory::report::{NOTE_BYTES_MAX, Report, ReportedPart};
pub use handles::AddedHandle;
pub use link::{LinkDraft, PendingLink};
pub use naming::SharedName;
pub use overview::ShownConversation;
pub use people::LocalContact;
pub use preferences::{Mark, Setting};
pub use preview::{Preview, PreviewError};
pub use receipts::Until;
pub use receiver::{Kept, Receiver};
pub use register::{Registration, Verification};
pub use repair::{Counter, SessionHealth, SessionShown, ShownGap, ShownRepair};
pub use report::{ReportDraft, Reported};
pub use resolve::{LookedUp, LookedUpDevice};
pub use safety::{Safety, SafetyMark};
pub use scheduled::{Cancelled, ScheduledMessage, ScheduledState};
pub use send::Draft;
pub use server_address::{ServerAddress, ServerAddressError};
pub use settings::APP_SETTING_PREFIX;
pub use suites::{DeviceSecurity, Security, SuiteUse};
pub use trash::DeletedConversation;
