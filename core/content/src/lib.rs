//! What a message says: the plaintext model, its encoding, and the one decoder that meets a peer's plaintext.
//! Spec: 50-content.md (CON-1 to CON-53), 51-groups.md, 52-own-devices.md (OWN-1 to
//! OWN-4), 61-repair.md (REP-1, REP-2, REP-24).
//!
//! Owns the limits of every field and the rule that names a conversation. Does not know who really sent a message
//! (the client compares, CON-7), how it is sealed, or where it is stored.
//!
//! - A [`Content`] is well-formed: it comes from [`Content::new`] or [`decode`], which check the same limits.
//! - [`decode`] never panics, whatever a peer wrote (I5).
//!
//! Next: [`decode`] reads plaintexts, [`encode`] writes them, [`judge()`] says what a message looks like after what was done to it,
//! [`group`] what a group is after what its members changed, [`for_display`] makes a peer's text safe to print.

mod act;
pub mod address_book;
mod contact;
mod conversation;
mod decode;
mod effect;
mod encode;
pub mod group;
mod image;
mod judge;
mod line;
mod link;
mod location;
mod model;
mod naming;
mod own;
mod page;
mod repair;
mod text;
pub mod vcard;
pub mod wire;

#[cfg(test)]
mod tests;

pub use act::{Act, Deed, EMOJI_BYTES_MAX, Tapback, Target};
pub use contact::{Contact, ContactError};
pub use conversation::{ConversationMembers, MembersError};
pub use decode::{DecodeError, decode};
pub use effect::Effect;
pub use encode::{EncodeError, encode};
pub use halcyon_types::for_display;
pub use image::{Image, ImageKind};
pub use judge::{Acted, Denied, EDIT_WITHIN, EDITS_MAX, Judged, Original, UNSEND_WITHIN, judge, would_count};
pub use link::{LINK_IMAGE_BYTES_MAX, LINK_SUMMARY_BYTES_MAX, LINK_TITLE_BYTES_MAX, Link, URL_BYTES_MAX, WebAddress};
pub use location::{ACCURACY_METERS_MAX, LOCATION_NAME_BYTES_MAX, Location};
pub use model::{Content, Kind, Message, Part, Receipt, ReceiptKind, Subject, Typing};
pub use naming::{Naming, SHARED_NAME_BYTES_MAX, SHARED_PHOTO_BYTES_MAX};
pub use own::{
    NAME_BYTES_MAX, OWN_ENTRIES_MAX, OWN_READ_MAX, OWN_VALUE_BYTES_MAX, Own, OwnEntry, OwnKey, OwnValue, SealedMessage,
};
pub use page::Page;
pub use repair::{
    ENVELOPES_MAX, Forward, PLACE_BYTES_MAX, Place, Repair, RepairCause, SPANS_MAX, Span, StreamEnd, Unopened,
    with_place,
};
pub use text::{Animation, MENTIONS_MAX, Mention, Range, STYLES_MAX, Style, Styled, Text};

/// Bytes of a plaintext. With the largest suite overhead and padding it stays below the courier's 20 KiB (CON-1, COU-40).
pub const CONTENT_BYTES_MAX: usize = 15_000;
/// Bytes that a forwarded message may take more, for what is wrapped around it: its sender's ids, times, one handle (REP-24).
pub const FORWARD_BYTES_MAX: usize = CONTENT_BYTES_MAX + 512;
/// Recipients of a conversation besides the sender; groups of the original have 32 people (CON-2).
pub const RECIPIENTS_MAX: usize = 32;
/// Parts of a message (CON-3).
pub const PARTS_MAX: usize = 64;
/// Bytes of all text parts together; longer text travels as an attachment (CON-3).
pub const TEXT_BYTES_MAX: usize = 12_000;
/// Bytes of a subject (CON-18).
pub const SUBJECT_BYTES_MAX: usize = 256;
/// Message ids in one receipt: 256 of 18 bytes fit well into a plaintext (CON-4).
pub const RECEIPT_IDS_MAX: usize = 256;
/// Changes of a group in one plaintext: as many small ones as fit (GRP-9).
pub const GROUP_STATE_CHANGES_MAX: usize = 128;
/// The version of the encoding (CON-1).
pub const CONTENT_VERSION: u32 = 1;
