//! Asking for handles, and the answer as it arrives. Spec: 11-directory.md §3 (DIR-20 to DIR-22).
//!
//! Owns the shape of request and answer. Does not know whether an answer is true: that is
//! [`resolver`](crate::resolver)'s, and nothing here is evidence of anything.

use bytes::Bytes;
use halcyon_types::{AccountId, DeviceId, Handle, PushToken, SessionToken, SuiteId, Timestamp};
use prost::Message;

use crate::{
    list::{LIST_BYTES_MAX, SignedList},
    prekeys::Prekey,
    session::Session,
    wire,
};

/// Handles of one lookup. Clients ask in batches of about this size (DIR-20).
pub const HANDLES_MAX: usize = 20;
/// A request of 20 handles of 261 bytes, with room.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// An answer of 20 accounts, each a full list and 32 addresses with two small prekeys or one large one, with room.
pub const RESPONSE_BYTES_MAX: usize = 20 * (LIST_BYTES_MAX + 128 * 1024);

/// Handles to look up, 1 to 20 of them (DIR-20).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupRequest {
    handles: Vec<Handle>,
}

/// Why a lookup request is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Not a request, or larger than any can be.
    #[error("the lookup request is malformed")]
    Malformed,
    /// DIR-20: none, or more than 20. The server's answer is `400 too_many_handles`.
    #[error("a lookup names 1 to {HANDLES_MAX} handles, not {found}")]
    Count {
        /// Handles named.
        found: usize,
    },
    /// A handle that is not one, or not in normal form (IDN-1).
    #[error("handle {index} of the lookup is malformed")]
    Handle {
        /// Place in the request, from 0.
        index: usize,
    },
}

/// What a server said about one handle. Nothing of it is verified.
#[derive(Clone, Debug)]
pub struct LookupAnswer {
    /// The handle that was asked for.
    pub handle: Handle,
    /// The account, or nothing: unknown, or withheld by a server that can, which nobody is told (DIR-21).
    pub account: Option<UnverifiedAccount>,
}

/// What a server said about an account. Only [`resolver::accept`](crate::resolver::accept) makes something of it.
#[derive(Clone, Debug)]
pub struct UnverifiedAccount {
    pub(crate) wire: wire::AccountAnswer,
}

/// Why a lookup's answer is no answer to the question. The server is at fault.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// Not an answer, or larger than any can be.
    #[error("the server's answer to the lookup is malformed")]
    Malformed,
    /// DIR-20: other handles than those asked for, or in another order.
    #[error("the server answered another question than was asked")]
    OtherHandles,
}

impl LookupRequest {
    /// Asks for these handles, in this order.
    ///
    /// # Errors
    /// [`RequestError::Count`].
    pub fn new(handles: Vec<Handle>) -> Result<Self, RequestError> {
        if (1..=HANDLES_MAX).contains(&handles.len()) {
            Ok(Self { handles })
        } else {
            Err(RequestError::Count { found: handles.len() })
        }
    }

    /// Returns the handles in the order asked.
    #[must_use]
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// Returns the encoding.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let handles = self.handles.iter().map(|handle| handle.as_uri().to_owned()).collect();
        wire::LookupRequest { handles }.encode_to_vec().into()
    }

    /// Reads a request as a server.
    ///
    /// # Errors
    /// [`RequestError`]; the asker is at fault.
    pub fn decode(bytes: Bytes) -> Result<Self, RequestError> {
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::Malformed);
        }
        let wire = wire::LookupRequest::decode(bytes).map_err(|_| RequestError::Malformed)?;
        if wire.handles.len() > HANDLES_MAX {
            return Err(RequestError::Count { found: wire.handles.len() });
        }
        let normal = |(index, uri): (usize, String)| parse_normal(&uri).ok_or(RequestError::Handle { index });
        Self::new(wire.handles.into_iter().enumerate().map(normal).collect::<Result<_, _>>()?)
    }

    /// Reads the response to this request as a client: as many answers, for the same handles, in the same order.
    ///
    /// # Errors
    /// [`ResponseError`]; the server is at fault.
    pub fn read_response(&self, bytes: Bytes) -> Result<Vec<LookupAnswer>, ResponseError> {
        if bytes.len() > RESPONSE_BYTES_MAX {
            return Err(ResponseError::Malformed);
        }
        let wire = wire::LookupResponse::decode(bytes).map_err(|_| ResponseError::Malformed)?;
        if wire.answers.len() != self.handles.len() {
            return Err(ResponseError::OtherHandles);
        }
        let matching = |(handle, answer): (&Handle, wire::LookupAnswer)| {
            if answer.handle != handle.as_uri() {
                return Err(ResponseError::OtherHandles);
            }
            Ok(LookupAnswer { handle: handle.clone(), account: answer.account.map(|wire| UnverifiedAccount { wire }) })
        };
        self.handles.iter().zip(wire.answers).map(matching).collect()
    }
}

impl UnverifiedAccount {
    /// Returns which account the answer claims to be about, so that the caller can load what it knows of that account.
    /// It is a claim, and good for nothing else.
    #[must_use]
    pub fn claimed_account(&self) -> Option<AccountId> {
        let list = self.wire.list.as_ref()?;
        let head = wire::DeviceList::decode(list.list.clone()).ok()?;
        AccountId::try_from(&head.account_id[..]).ok()
    }
}

/// What a server answers about one account (DIR-22).
#[derive(Clone, Debug)]
pub struct ServedAccount {
    /// The newest list.
    pub list: SignedList,
    /// An address for each device of the list.
    pub addresses: Vec<ServedAddress>,
    /// For the asker alone (DIR-30).
    pub session: Session,
}

/// What a server knows of one device besides the list.
#[derive(Clone, Debug)]
pub struct ServedAddress {
    /// The device.
    pub device: DeviceId,
    /// Where it is delivered to.
    pub push_token: PushToken,
    /// Its newest prekeys, one a suite.
    pub prekeys: Vec<Prekey>,
}

/// Encodes a lookup's response from one answer a handle, in the order asked.
///
/// DIR-21: a handle without an account gives the same bytes whatever the cause, since the cause is not a parameter.
#[must_use]
pub fn encode_response(answers: &[(Handle, Option<ServedAccount>)]) -> Bytes {
    let answers = answers.iter().map(|(handle, account)| wire::LookupAnswer {
        handle: handle.as_uri().to_owned(),
        account: account.as_ref().map(ServedAccount::to_wire),
    });
    wire::LookupResponse { answers: answers.collect() }.encode_to_vec().into()
}

impl ServedAccount {
    fn to_wire(&self) -> wire::AccountAnswer {
        let addresses = self.addresses.iter().map(|address| wire::DeviceAddress {
            device_id: Bytes::copy_from_slice(address.device.as_bytes()),
            push_token: Bytes::copy_from_slice(address.push_token.as_bytes()),
            prekeys: address.prekeys.iter().map(Prekey::to_wire).collect(),
        });
        wire::AccountAnswer {
            list: Some(self.list.to_wire()),
            devices: addresses.collect(),
            session_token: Bytes::copy_from_slice(self.session.token.as_bytes()),
            session_refresh_ms: self.session.refresh.as_millis(),
            session_expires_ms: self.session.expires.as_millis(),
        }
    }
}

/// Addresses and session as a client keeps them between lookups (DIR-24). They are the server's word, and only devices
/// that a verified list names are ever looked up in them.
#[derive(Clone, Debug, PartialEq)]
pub struct Addresses {
    wire: wire::AccountAnswer,
    session: Session,
}

impl Addresses {
    /// Takes over everything of an answer but the list.
    pub(crate) fn from_wire(wire: &wire::AccountAnswer) -> Option<Self> {
        let session = Session {
            token: SessionToken::try_from(&wire.session_token[..]).ok()?,
            refresh: Timestamp::from_millis(wire.session_refresh_ms),
            expires: Timestamp::from_millis(wire.session_expires_ms),
        };
        Some(Self { wire: wire::AccountAnswer { list: None, ..wire.clone() }, session })
    }

    /// Returns the encoding, for the client's store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.wire.encode_to_vec()
    }

    /// Reads what [`encode`](Self::encode) wrote; nothing if it is damaged.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Self::from_wire(&wire::AccountAnswer::decode(bytes).ok()?)
    }

    /// Returns the right to send to this account.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Returns a device's push token and well-formed prekeys. The first address of a device counts.
    pub(crate) fn of(&self, device: DeviceId) -> Option<(PushToken, Vec<(SuiteId, Bytes)>)> {
        let address = self.wire.devices.iter().find(|address| address.device_id[..] == device.as_bytes()[..])?;
        let token = PushToken::try_from(&address.push_token[..]).ok()?;
        let prekeys = address.prekeys.iter().map(|prekey| (SuiteId::from_u32(prekey.suite), prekey.record.clone()));
        Some((token, prekeys.collect()))
    }
}

/// IDN-1: on the wire a handle is in normal form already; anything else would be a second name for the same person.
pub(crate) fn parse_normal(uri: &str) -> Option<Handle> {
    Handle::parse(uri).ok().filter(|handle| handle.as_uri() == uri)
}

#[cfg(test)]
mod tests;
