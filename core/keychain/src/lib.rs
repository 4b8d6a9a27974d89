//! The keychain: which keys can be read when. Spec: 70-keychain.md.
//!
//! Owns the protection classes, the keybag that wraps a key for each of them, the form of an item, and what of it may leave the device.
//! Does not know where keybag and items are stored, or what an item is good for.
//!
//! - What a class protects is unreadable without that class's key, its name too (KEY-4).
//! - A class key is in memory only while its class allows it; what goes is wiped (KEY-6, KEY-7).
//! - What is of *this device only* is in nothing that leaves it: a [`PortableBag`] has no key for it (KEY-8).
//!
//! Next: [`Class`] says when, [`Keybag`] wraps and unwraps, [`Keychain`] holds what is unlocked and seals with it.

mod class;
mod item;
mod keybag;
mod keychain;
mod portable;

pub use class::{Class, Needs};
pub use item::{ITEM_NAME_BYTES_MAX, ItemError, ItemTag, SealedItem};
pub use keybag::{KEYBAG_BYTES, Keybag, KeybagError, WrappingKey};
pub use keychain::{Keychain, Locked, State};
pub use portable::PortableBag;
