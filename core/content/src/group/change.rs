//! One change of a group, and its bytes. Spec: 51-groups.md §1 (GRP-2, GRP-3).
//!
//! Owns the shape, its bounds, and the signature. Does not know whether a change has an effect.
//!
//! - The bytes that were signed are kept and handed on as they came, unknown fields and all.

use std::fmt;

use bytes::Bytes;
use halcyon_crypto::{CompactKey, Label, Signature, SigningKey, VerifyingKey, kdf::labelled_hash};
use halcyon_types::{AccountId, DeviceId, GroupChangeId, GroupId, Handle, MessageId, Timestamp};
use prost::Message as _;

use super::first_16;
use crate::{
    decode::{DecodeError, decode_handle},
    wire,
};

/// Bytes of a change: with what is around it, one fits into a plaintext (GRP-2).
pub const CHANGE_BYTES_MAX: usize = 8_000;
/// Accounts that one change adds or removes; more take several changes (GRP-2).
pub const ACCOUNTS_A_CHANGE_MAX: usize = 128;
/// Changes that one change names as those before it: so many were made at once, and those left over are named by the next (GRP-3).
pub const PARENTS_MAX: usize = 16;
/// Bytes of a group's name, as of a subject (GRP-2).
pub const NAME_BYTES_MAX: usize = 256;
/// Bytes of the reference to a photo (GRP-2).
pub const PHOTO_BYTES_MAX: usize = 512;

/// One change of a group, as its author wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The group; none in the change that begins one.
    pub group: Option<GroupId>,
    /// The newest changes that the author knew (GRP-3).
    pub parents: Vec<GroupChangeId>,
    /// The author's handle in the group.
    pub author: Handle,
    /// The device that wrote it, as it says: the signature is its account's.
    pub device: DeviceId,
    /// By the author's clock. It orders nothing.
    pub made: Timestamp,
    /// Random, so that no two changes are the same.
    pub nonce: [u8; 16],
    /// What is changed.
    pub op: Op,
}

/// What a change does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// Begins a group of the author and others.
    Create {
        /// Its name.
        name: GroupName,
        /// Everybody but the author, at least 2.
        members: Vec<Member>,
    },
    /// Makes others members.
    Add(Vec<Member>),
    /// Ends the membership of others.
    Remove(Vec<AccountId>),
    /// Ends the author's own membership.
    Leave,
    /// Gives the group another name.
    Rename(GroupName),
    /// Gives it another photo, or none.
    Photo(Option<PhotoReference>),
    /// Something that a later version knows. It is kept and handed on, and has no effect here.
    Unsupported,
}

/// A member of a group: an account, and the handle by which it is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The account. Nobody else is ever this member, whoever gets the handle (GRP-8).
    pub account: AccountId,
    /// Its handle.
    pub handle: Handle,
}

/// The name of a group: at most [`NAME_BYTES_MAX`] bytes without control characters; empty if it has none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GroupName(String);

/// Where front ends find a group's photo: 1 to [`PHOTO_BYTES_MAX`] bytes without control characters. Nothing is fetched because of it.
#[derive(Clone, PartialEq, Eq)]
pub struct PhotoReference(String);

impl GroupName {
    /// Returns a name; none if it is too long, or has a control character in it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (text.len() <= NAME_BYTES_MAX && !text.contains(char::is_control)).then_some(Self(text))
    }

    /// Returns what it says: see [`crate::for_display`] before it is printed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PhotoReference {
    /// Returns a reference; none if it is empty, too long, or has a control character in it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = (1..=PHOTO_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
        fits.then_some(Self(text))
    }

    /// Returns what it says.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name is content (I9).
impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupName({} bytes, redacted)", self.0.len())
    }
}

/// So is a reference.
impl fmt::Debug for PhotoReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhotoReference({} bytes, redacted)", self.0.len())
    }
}

/// Why a change cannot be written. The fault is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// GRP-2.
    #[error("a group begins with at least two others")]
    TooFew,
    /// GRP-2.
    #[error("one change adds or removes 1 to {ACCOUNTS_A_CHANGE_MAX} people, not {0}")]
    Accounts(usize),
    /// GRP-2.
    #[error("a change has at most {CHANGE_BYTES_MAX} bytes, not {0}: add people in several steps")]
    TooLarge(usize),
}

/// A change with a signature that nobody checked yet.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedChange {
    signed: Bytes,
    account_key: CompactKey,
    signature: Signature,
    change: Change,
}

/// A change whose author's account key signed it (GRP-2): from [`SignedChange::verify`] alone, or from the own store.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedChange {
    signed: SignedChange,
    author: AccountId,
    id: GroupChangeId,
    group: GroupId,
}

/// Names in it are content (I9).
impl fmt::Debug for SignedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedChange({} bytes, redacted)", self.signed.len())
    }
}

impl fmt::Debug for VerifiedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedChange({} of {}, by {})", self.id, self.group, self.author)
    }
}

impl SignedChange {
    /// Writes a change and signs it as an account.
    ///
    /// # Errors
    /// [`ChangeError`] names the bound that it breaks.
    pub fn sign(change: Change, key: &SigningKey) -> Result<Self, ChangeError> {
        let bounds = |count| match count {
            1..=ACCOUNTS_A_CHANGE_MAX => Ok(()),
            _ => Err(ChangeError::Accounts(count)),
        };
        match &change.op {
            Op::Create { members, .. } if members.len() < 2 => return Err(ChangeError::TooFew),
            Op::Create { members, .. } | Op::Add(members) => bounds(members.len())?,
            Op::Remove(accounts) => bounds(accounts.len())?,
            _ => {}
        }
        let signed = Bytes::from(encode_change(&change).encode_to_vec());
        if signed.len() > CHANGE_BYTES_MAX {
            return Err(ChangeError::TooLarge(signed.len()));
        }
        let account_key = *key.verifying_key().compact();
        let signature = key.sign(Label::GroupChange, &[&signed]); // GRP-2
        Ok(Self { signed, account_key, signature, change })
    }

    /// Checks the signature. The account that signed is the author, whatever the change says.
    #[must_use]
    pub fn verify(self) -> Option<VerifiedChange> {
        let key = VerifyingKey::from_compact(&self.account_key).ok()?;
        key.verify(Label::GroupChange, &[&self.signed], &self.signature).ok()?; // GRP-2
        Some(self.trusted())
    }

    /// For what was verified before it was stored.
    pub(super) fn trusted(self) -> VerifiedChange {
        let parts: [&[u8]; 2] = [&self.signed, self.account_key.as_bytes()];
        let id = GroupChangeId::from_bytes(first_16(labelled_hash(Label::GroupChangeId, &parts))); // GRP-3
        let named = || GroupId::from_bytes(first_16(labelled_hash(Label::GroupId, &parts))); // GRP-2
        let group = self.change.group.unwrap_or_else(named);
        // IDN-5
        let author = labelled_hash(Label::AccountId, &[self.account_key.as_bytes()]);
        VerifiedChange { author: AccountId::from_bytes(first_16(author)), id, group, signed: self }
    }

    /// Returns what it says.
    #[must_use]
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// Returns the group that it is about.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.clone().trusted().group
    }
}

impl VerifiedChange {
    /// Returns its name.
    #[must_use]
    pub fn id(&self) -> GroupChangeId {
        self.id
    }

    /// Returns the group that it is about.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// Returns the account that signed it.
    #[must_use]
    pub fn author(&self) -> AccountId {
        self.author
    }

    /// Returns what it says.
    #[must_use]
    pub fn change(&self) -> &Change {
        &self.signed.change
    }

    /// Returns it as it is handed on.
    #[must_use]
    pub fn signed(&self) -> &SignedChange {
        &self.signed
    }

    /// Returns the id under which the history has it: everybody's is the same, by whatever way it came (GRP-10).
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        MessageId::from_bytes(*self.id.as_bytes())
    }

    /// Returns the bytes that it takes in a list of changes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.signed.signed.len() + SIGNED_OVERHEAD
    }
}

/// Bytes around a change in a list: key, signature, tags and lengths.
const SIGNED_OVERHEAD: usize = 32 + 64 + 12;

pub(crate) fn encode_signed(signed: &SignedChange) -> wire::SignedGroupChange {
    wire::SignedGroupChange {
        change: signed.signed.clone(),
        account_key: signed.account_key.as_bytes().to_vec().into(),
        signature: signed.signature.as_bytes().to_vec().into(),
    }
}

pub(crate) fn decode_signed(wire: wire::SignedGroupChange) -> Result<SignedChange, DecodeError> {
    if wire.change.len() > CHANGE_BYTES_MAX {
        return Err(DecodeError::Group("change"));
    }
    let account_key = CompactKey::try_from(&wire.account_key[..]).map_err(|_| DecodeError::Group("key"))?;
    let signature = Signature::try_from(&wire.signature[..]).map_err(|_| DecodeError::Group("signature"))?;
    let change = wire::GroupChange::decode(wire.change.clone()).map_err(|_| DecodeError::NotProtobuf)?;
    Ok(SignedChange { change: decode_change(change)?, signed: wire.change, account_key, signature })
}

fn encode_change(change: &Change) -> wire::GroupChange {
    use wire::group_change::Op as WireOp;
    let members = |members: &[Member]| -> Vec<wire::GroupMember> {
        let member = |one: &Member| wire::GroupMember {
            account: one.account.as_bytes().to_vec().into(),
            handle: one.handle.as_uri().to_owned(),
        };
        members.iter().map(member).collect()
    };
    let op = match &change.op {
        Op::Create { name, members: others } => {
            Some(WireOp::Create(wire::GroupCreate { name: name.0.clone(), members: members(others) }))
        }
        Op::Add(others) => Some(WireOp::Add(wire::GroupAdd { members: members(others) })),
        Op::Remove(accounts) => Some(WireOp::Remove(wire::GroupRemove {
            accounts: accounts.iter().map(|account| account.as_bytes().to_vec().into()).collect(),
        })),
        Op::Leave => Some(WireOp::Leave(wire::GroupLeave {})),
        Op::Rename(name) => Some(WireOp::Rename(wire::GroupRename { name: name.0.clone() })),
        Op::Photo(photo) => {
            let reference = photo.as_ref().map(|photo| photo.0.clone()).unwrap_or_default();
            Some(WireOp::Photo(wire::GroupPhoto { reference }))
        }
        Op::Unsupported => None,
    };
    wire::GroupChange {
        group: change.group.map(|group| group.as_bytes().to_vec().into()).unwrap_or_default(),
        parents: change.parents.iter().map(|parent| parent.as_bytes().to_vec().into()).collect(),
        author: change.author.as_uri().to_owned(),
        device: change.device.as_bytes().to_vec().into(),
        made_ms: change.made.as_millis(),
        nonce: change.nonce.to_vec().into(),
        op,
    }
}

fn decode_change(wire: wire::GroupChange) -> Result<Change, DecodeError> {
    let malformed = |what| DecodeError::Group(what);
    if wire.parents.len() > PARENTS_MAX {
        return Err(malformed("parents"));
    }
    let parents = wire.parents.iter().map(|id| GroupChangeId::try_from(&id[..]).map_err(|_| malformed("parents")));
    let op = decode_op(wire.op)?;
    let group = match &op {
        Op::Create { .. } if wire.group.is_empty() && wire.parents.is_empty() => None,
        Op::Create { .. } => return Err(malformed("beginning")),
        _ => Some(GroupId::try_from(&wire.group[..]).map_err(|_| malformed("id"))?),
    };
    Ok(Change {
        group,
        parents: parents.collect::<Result<_, _>>()?,
        author: decode_handle(&wire.author)?,
        device: DeviceId::try_from(&wire.device[..]).map_err(|_| malformed("device"))?,
        made: Timestamp::from_millis(wire.made_ms),
        nonce: wire.nonce[..].try_into().map_err(|_| malformed("nonce"))?,
        op,
    })
}

fn decode_op(wire: Option<wire::group_change::Op>) -> Result<Op, DecodeError> {
    use wire::group_change::Op as WireOp;
    let name = |text| GroupName::new(text).ok_or(DecodeError::Group("name"));
    Ok(match wire {
        None => Op::Unsupported,
        Some(WireOp::Create(create)) => {
            let members = decode_members(&create.members)?;
            if members.len() < 2 {
                return Err(DecodeError::Group("members"));
            }
            Op::Create { name: name(create.name)?, members }
        }
        Some(WireOp::Add(add)) => Op::Add(decode_members(&add.members)?),
        Some(WireOp::Remove(remove)) => {
            let account = |bytes: &Bytes| AccountId::try_from(&bytes[..]).map_err(|_| DecodeError::Group("members"));
            in_bounds(remove.accounts.len())?;
            Op::Remove(remove.accounts.iter().map(account).collect::<Result<_, _>>()?)
        }
        Some(WireOp::Leave(_)) => Op::Leave,
        Some(WireOp::Rename(rename)) => Op::Rename(name(rename.name)?),
        Some(WireOp::Photo(photo)) if photo.reference.is_empty() => Op::Photo(None),
        Some(WireOp::Photo(photo)) => {
            Op::Photo(Some(PhotoReference::new(photo.reference).ok_or(DecodeError::Group("photo"))?))
        }
    })
}

fn decode_members(wire: &[wire::GroupMember]) -> Result<Vec<Member>, DecodeError> {
    in_bounds(wire.len())?;
    let member = |one: &wire::GroupMember| {
        let account = AccountId::try_from(&one.account[..]).map_err(|_| DecodeError::Group("members"))?;
        Ok(Member { account, handle: decode_handle(&one.handle)? })
    };
    wire.iter().map(member).collect()
}

fn in_bounds(count: usize) -> Result<(), DecodeError> {
    if (1..=ACCOUNTS_A_CHANGE_MAX).contains(&count) { Ok(()) } else { Err(DecodeError::Group("members")) }
}
