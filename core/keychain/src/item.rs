//! An item: a named secret, sealed for its class. Spec: 70-keychain.md (KEY-4, KEY-5).
//!
//! Owns its form. Does not know which keys are unlocked: that is [`crate::Keychain`]'s.
//!
//! - Neither name nor value can be read, compared with another device's, or moved to another name or class.

use halcyon_crypto::{
    Label, Rng, Secret, SecretBytes,
    aead::{self, NONCE_BYTES},
    kdf,
};

use crate::class::Class;

/// Bytes of a name.
pub const ITEM_NAME_BYTES_MAX: usize = 255;
/// Bytes of a tag.
const TAG_BYTES: usize = 16;

/// Stands for the name of an item where it is stored: a keyed hash, so that equal names are found and none is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemTag([u8; TAG_BYTES]);

impl ItemTag {
    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; TAG_BYTES] {
        &self.0
    }
}

/// An item as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedItem {
    /// What can be read of it when.
    pub class: Class,
    /// Under which it is found.
    pub tag: ItemTag,
    /// nonce 12 ‖ sealed (length of the name u8 ‖ name ‖ value) ‖ tag 16.
    pub sealed: Vec<u8>,
}

/// Why an item cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// Its class is locked.
    #[error("the keychain is locked")]
    Locked,
    /// It is not what was sealed under this name and class: damaged, or put here from elsewhere.
    #[error("an item of the keychain is damaged")]
    Damaged,
}

/// The keys of a class, from which its class key is not to be told.
#[derive(Clone)]
pub(crate) struct ItemKeys {
    names: Secret<32>,
    values: Secret<32>,
}

impl ItemKeys {
    pub(crate) fn of(class_key: &Secret<32>, class: Class) -> Self {
        let derive = |what: &[u8]| kdf::labelled_key(Label::KeychainItem, class_key, &[&[class.number()], what]);
        Self { names: derive(b"names"), values: derive(b"values") }
    }

    pub(crate) fn tag(&self, name: &[u8]) -> ItemTag {
        let mac = kdf::hmac_sha256(self.names.expose(), &[name]);
        let (tag, _) = mac.expose().split_first_chunk().expect("32 bytes have 16");
        ItemTag(*tag)
    }

    pub(crate) fn seal(&self, class: Class, name: &[u8], value: &[u8], rng: &mut dyn Rng) -> SealedItem {
        let name = &name[..name.len().min(ITEM_NAME_BYTES_MAX)];
        let tag = self.tag(name);
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let mut plain = Vec::with_capacity(1 + name.len() + value.len());
        plain.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        plain.extend_from_slice(name);
        plain.extend_from_slice(value);
        // Wiped when it goes.
        let plain = SecretBytes::from_vec(plain);
        let mut sealed = nonce.to_vec();
        sealed.extend(aead::seal(&self.values, &nonce, &bound(class, &tag), plain.expose()));
        SealedItem { class, tag, sealed }
    }

    pub(crate) fn open(&self, item: &SealedItem, name: &[u8]) -> Result<SecretBytes, ItemError> {
        let (nonce, sealed) = item.sealed.split_first_chunk::<NONCE_BYTES>().ok_or(ItemError::Damaged)?;
        let plain = aead::open(&self.values, nonce, &bound(item.class, &item.tag), sealed);
        let plain = plain.map_err(|_| ItemError::Damaged)?;
        let (length, rest) = plain.expose().split_first().ok_or(ItemError::Damaged)?;
        let (sealed_name, value) = rest.split_at_checked(usize::from(*length)).ok_or(ItemError::Damaged)?;
        if sealed_name == name { Ok(SecretBytes::copy_of(value)) } else { Err(ItemError::Damaged) }
    }
}

/// KEY-4: what an item is bound to.
fn bound(class: Class, tag: &ItemTag) -> [u8; 1 + TAG_BYTES] {
    let mut bound = [class.number(); 1 + TAG_BYTES];
    bound[1..].copy_from_slice(&tag.0);
    bound
}
