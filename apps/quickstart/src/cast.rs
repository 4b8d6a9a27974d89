//! Who takes part: two people, four devices.
//!
//! Owns names and order. Does not know whether a device runs, or how it talks.

use std::fmt;

/// A person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Person {
    Alice,
    Bob,
}

/// One of the four devices, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Device {
    AlicePhone,
    AliceLaptop,
    BobPhone,
    BobTablet,
}

impl Person {
    /// Everybody.
    pub(crate) const ALL: [Self; 2] = [Self::Alice, Self::Bob];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Alice => "alice",
            Self::Bob => "bob",
        }
    }

    /// The address that the person registers. `example.org` is reserved for examples (RFC 2606), so no real mailbox is meant.
    pub(crate) fn handle(self) -> String {
        format!("{}@example.org", self.name())
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Alice => Self::Bob,
            Self::Bob => Self::Alice,
        }
    }

    /// The devices; the first one registers, and approves the other.
    pub(crate) const fn devices(self) -> [Device; 2] {
        match self {
            Self::Alice => [Device::AlicePhone, Device::AliceLaptop],
            Self::Bob => [Device::BobPhone, Device::BobTablet],
        }
    }
}

impl Device {
    /// Every device.
    pub(crate) const ALL: [Self; 4] = [Self::AlicePhone, Self::AliceLaptop, Self::BobPhone, Self::BobTablet];

    pub(crate) const fn owner(self) -> Person {
        match self {
            Self::AlicePhone | Self::AliceLaptop => Person::Alice,
            Self::BobPhone | Self::BobTablet => Person::Bob,
        }
    }

    /// The device's name as its owner calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AlicePhone | Self::BobPhone => "phone",
            Self::AliceLaptop => "laptop",
            Self::BobTablet => "tablet",
        }
    }

    /// The name of the device's folder.
    pub(crate) fn folder(self) -> String {
        format!("{}-{}", self.owner().name(), self.name())
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.owner().name(), self.name())
    }
}
