//! Every domain-separation string of the product, in one table.
//!
//! Owns the strings and the encoding that binds them to what follows. Does not know the structures that they name.
//!
//! The labelled encoding (IDN-11, IDN-12): the label's ASCII bytes, a zero byte, then for each part its length as u32
//! big-endian and the part. No label contains a zero byte and none is another's prefix up to that byte, so two
//! different (label, parts) never encode alike.

/// What a signature, keyed hash or commitment is for. One variant a purpose; never reused, never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Label {
    /// The account key's signature over a device list (DIR-3).
    DeviceList,
    /// A device's counter-signature over its own entry in the list (DIR-2).
    DeviceEntry,
    /// A device's proof of possession when it opens its courier connection (COU-11).
    CourierConnect,
    /// A device's leave for another key to receive for it (COU-20).
    CourierGrant,
    /// A device's proof of possession on an authenticated HTTPS request (ACC-1).
    Request,
    /// A device's statement about a message that it got, for its server's operator (ACC-60).
    Report,
    /// The commitment that opens the approval of a new device (LNK-1).
    ApprovalCommit,
    /// The transcript from which both devices take their six digits (LNK-6).
    ApprovalSas,
    /// The server's keyed hash that makes a session token (DIR-30).
    SessionToken,
    /// The hash that makes an account id from an account key (IDN-5).
    AccountId,
    /// The hash that makes a device id from a device key (IDN-6).
    DeviceId,
    /// The key that carries the account key to a newly approved device (LNK-9).
    AccountKeyTransfer,
    /// The keyed hash of who asked and whom they asked for, in the query log (DIR-50).
    QueryLog,
    /// The keyed hash of an emailed verification code (ACC-24).
    EmailVerification,
    /// The keys of a client's database and its log, from the profile's data key.
    ClientStore,
    /// The key that wraps a profile's data key, from passphrase and device secret.
    ProfileKeyWrap,
    /// The key that wraps the keys of a keychain's classes, from passphrase and device secret, or from the latter alone (KEY-2).
    Keybag,
    /// The keys of a keychain's items, from the key of their class (KEY-4).
    KeychainItem,
    /// The key that wraps what of a keychain may leave the device (KEY-8).
    KeychainPortable,
    /// The keyed hash by which a profile recognizes its device secret.
    DeviceSecretCheck,
    /// The hash that names a conversation by its members (CON-6).
    ConversationId,
    /// The hash that names a conversation by its group (GRP-7).
    GroupConversation,
    /// An account key's signature over a change of a group (GRP-2).
    GroupChange,
    /// The hash that names a change of a group (GRP-3).
    GroupChangeId,
    /// The hash that names a group by the change that began it (GRP-2).
    GroupId,
    /// The hash over all changes of a group that somebody knows (GRP-6).
    GroupHash,
    /// The hash that two people compare (DIR-60).
    SafetyCode,
    /// The keyed hash under which a server counts an address or handle against its limits (ACC-4).
    RateLimit,
    /// The keyed hash that stands in for the credential identifier of an unknown handle (ACC-40).
    UnknownHandle,
}

impl Label {
    /// Every label, for tests that feed each one's output to every other's verifier.
    pub const ALL: [Label; 29] = [
        Label::DeviceList,
        Label::DeviceEntry,
        Label::CourierConnect,
        Label::CourierGrant,
        Label::Request,
        Label::Report,
        Label::ApprovalCommit,
        Label::ApprovalSas,
        Label::SessionToken,
        Label::AccountId,
        Label::DeviceId,
        Label::AccountKeyTransfer,
        Label::QueryLog,
        Label::EmailVerification,
        Label::ClientStore,
        Label::ProfileKeyWrap,
        Label::Keybag,
        Label::KeychainItem,
        Label::KeychainPortable,
        Label::DeviceSecretCheck,
        Label::ConversationId,
        Label::GroupConversation,
        Label::GroupChange,
        Label::GroupChangeId,
        Label::GroupId,
        Label::GroupHash,
        Label::SafetyCode,
        Label::RateLimit,
        Label::UnknownHandle,
    ];

    /// Returns the label's bytes as they enter the preimage, without the zero byte.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        self.as_str().as_bytes()
    }

    /// Returns the label as it stands in the specification.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Label::DeviceList => "halcyon device list v1",
            Label::DeviceEntry => "halcyon device entry v1",
            Label::CourierConnect => "halcyon courier connect v1",
            Label::CourierGrant => "halcyon courier grant v1",
            Label::Request => "halcyon request v1",
            Label::Report => "halcyon report v1",
            Label::ApprovalCommit => "halcyon approval commit v1",
            Label::ApprovalSas => "halcyon approval sas v1",
            Label::SessionToken => "halcyon session token v1",
            Label::AccountId => "halcyon account id v1",
            Label::DeviceId => "halcyon device id v1",
            Label::AccountKeyTransfer => "halcyon account key transfer v1",
            Label::QueryLog => "halcyon query log v1",
            Label::EmailVerification => "halcyon email verification v1",
            Label::RateLimit => "halcyon rate limit v1",
            Label::UnknownHandle => "halcyon unknown handle v1",
            Label::ConversationId => "halcyon conversation id v1",
            Label::GroupConversation => "halcyon group conversation v1",
            Label::GroupChange => "halcyon group change v1",
            Label::GroupChangeId => "halcyon group change id v1",
            Label::GroupId => "halcyon group id v1",
            Label::GroupHash => "halcyon group hash v1",
            Label::SafetyCode => "halcyon safety code v1",
            Label::ClientStore => "halcyon client store v1",
            Label::ProfileKeyWrap => "halcyon profile key wrap v1",
            Label::Keybag => "halcyon keybag v1",
            Label::KeychainItem => "halcyon keychain item v1",
            Label::KeychainPortable => "halcyon keychain portable v1",
            Label::DeviceSecretCheck => "halcyon device secret check v1",
        }
    }
}

/// Strings whose place in the preimage is fixed by a format that we did not design or by a key schedule. They never pass through the labelled encoding.
pub mod fixed {
    /// Opens the preimage of a `pair-ec` prekey signature (PEC-3).
    pub const PAIR_EC_PREKEY: &[u8] = b"NGMPrekeySignature";
    /// HKDF salt of a `pair-ec` message (PEC-9).
    pub const PAIR_EC_MESSAGE_KEYS: &[u8] = b"LastPawn-MessageKeys";
    /// Opens the info of the ratchet's root step (SUI-10).
    pub const PQ3_ROOT: &[u8] = b"rkDerivation-";
    /// Info of a message key (SUI-11).
    pub const PQ3_MESSAGE_KEY: &[u8] = b"msgKeyDerivation";
    /// Info of the next chain key (SUI-11).
    pub const PQ3_CHAIN_KEY: &[u8] = b"chainKeyDerivation";
    /// Info of a message key's indicator (SUI-12).
    pub const PQ3_INDICATOR: &[u8] = b"msg-key-ind";
    /// Info of the content key and counter block (SUI-12).
    pub const PQ3_CONTENT: &[u8] = b"aes-ctr";
    /// Opens the preimage of a `pq3` prekey bundle's signature (PQ3-5).
    pub const PQ3_PREKEY: &[u8] = b"halcyon pq3 prekey v1";
    /// Opens the preimage of a `pq3` message's signature: name and version (PQ3-21).
    pub const PQ3_MESSAGE: &[u8] = b"messageSignaturev1";
    /// Names a root step as the first of a session (PQ3-10). Stands after the direction, inside of info.
    pub const PQ3_START: &[u8] = b"session_start";
    /// Names a root step as one that follows a change of direction (PQ3-12).
    pub const PQ3_RATCHET: &[u8] = b"pk_ratchet";
    /// HMAC key that turns an RSA private key into the secret behind refused blocks (PAIR-13). Never leaves the device.
    pub const RSA_REJECTION: &[u8] = b"halcyon rsa rejection v1";
    /// Context of the password protocol (ACC-30).
    pub const OPAQUE_CONTEXT: &[u8] = b"halcyon opaque v1";

    /// All of the above, for the tests.
    pub const ALL: [&[u8]; 13] = [
        PAIR_EC_PREKEY,
        PAIR_EC_MESSAGE_KEYS,
        PQ3_ROOT,
        PQ3_MESSAGE_KEY,
        PQ3_CHAIN_KEY,
        PQ3_INDICATOR,
        PQ3_CONTENT,
        PQ3_PREKEY,
        PQ3_MESSAGE,
        PQ3_START,
        PQ3_RATCHET,
        RSA_REJECTION,
        OPAQUE_CONTEXT,
    ];
}

/// Calls `consume` with the labelled encoding as a list of slices (IDN-12), so that nothing is concatenated.
pub(crate) fn with_preimage<R>(label: Label, parts: &[&[u8]], consume: impl FnOnce(&[&[u8]]) -> R) -> R {
    let lengths: Vec<[u8; 4]> = parts
        .iter()
        .map(|part| {
            u32::try_from(part.len()).expect("no part reaches 4 GiB: frames are bounded far below").to_be_bytes()
        })
        .collect();
    let mut preimage: Vec<&[u8]> = Vec::with_capacity(2 + 2 * parts.len());
    preimage.push(label.as_bytes());
    preimage.push(&[0]);
    for (length, part) in lengths.iter().zip(parts) {
        preimage.push(length);
        preimage.push(part);
    }
    consume(&preimage)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IDN-11, IDN-12: no string of the table, ours or inherited, opens another's preimage.
    #[test]
    fn no_label_is_a_prefix_of_another() {
        let mut all: Vec<Vec<u8>> = Label::ALL.iter().map(|label| [label.as_bytes(), &[0]].concat()).collect();
        all.extend(fixed::ALL.iter().map(|bytes| bytes.to_vec()));
        for (i, a) in all.iter().enumerate() {
            assert!(a.len() > 1 && a.is_ascii());
            for (j, b) in all.iter().enumerate() {
                assert!(i == j || !b.starts_with(a), "{a:?} opens {b:?}");
            }
        }
    }

    /// IDN-11: the two lists above name every string of this file. Whoever adds one and forgets its list fails here; who adds
    /// it to the list fails in the domain matrix until it has a row.
    #[test]
    fn the_lists_leave_nothing_out() {
        let source = include_str!("labels.rs");
        let arms = source.lines().filter(|line| line.contains(" => \"halcyon ")).count();
        assert_eq!(Label::ALL.len(), arms);
        let consts = source.lines().map(str::trim_start).filter(|line| line.starts_with("pub const "));
        assert_eq!(fixed::ALL.len(), consts.filter(|line| line.contains(": &[u8] = ")).count());
        let different: std::collections::BTreeSet<&str> = Label::ALL.iter().map(|label| label.as_str()).collect();
        assert_eq!(different.len(), Label::ALL.len());
    }

    /// IDN-11, IDN-12: the exact bytes, spelled out once.
    #[test]
    fn the_encoding_is_label_zero_and_prefixed_parts() {
        let bytes = with_preimage(Label::Request, &[b"ab", b""], |parts| parts.concat());
        assert_eq!(bytes, b"halcyon request v1\0\0\0\0\x02ab\0\0\0\0");
    }

    /// IDN-11, IDN-12: moving a byte from one part to the next changes the encoding.
    #[test]
    fn parts_cannot_slide_into_each_other() {
        let split = |parts: &[&[u8]]| with_preimage(Label::Request, parts, |p| p.concat());
        assert_ne!(split(&[b"ab", b"c"]), split(&[b"a", b"bc"]));
        assert_ne!(split(&[b"abc"]), split(&[b"abc", b""]));
    }
}
