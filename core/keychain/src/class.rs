//! Protection classes. Spec: 70-keychain.md (KEY-1).
//!
//! Owns their names and numbers, which are stored. Does not hold keys.

/// When what a class protects can be read, and whether it may leave the device (KEY-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// While the person has it unlocked.
    WhenUnlocked,
    /// From the first unlock on, until the process ends.
    AfterFirstUnlock,
    /// As [`Class::WhenUnlocked`], and never elsewhere.
    WhenUnlockedThisDeviceOnly,
    /// As [`Class::AfterFirstUnlock`], and never elsewhere.
    AfterFirstUnlockThisDeviceOnly,
    /// Always, on this device: the device secret is enough. For what a device does before anybody typed a passphrase.
    AlwaysThisDeviceOnly,
}

/// What it takes to read a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Being unlocked now.
    Unlocked,
    /// Having been unlocked once.
    FirstUnlock,
    /// The device secret.
    Device,
}

impl Class {
    /// All of them, in the order of their numbers, from 1.
    pub const ALL: [Self; 5] = [
        Self::WhenUnlocked,
        Self::AfterFirstUnlock,
        Self::WhenUnlockedThisDeviceOnly,
        Self::AfterFirstUnlockThisDeviceOnly,
        Self::AlwaysThisDeviceOnly,
    ];

    /// Returns the number that stands for it where it is stored.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::WhenUnlocked => 1,
            Self::AfterFirstUnlock => 2,
            Self::WhenUnlockedThisDeviceOnly => 3,
            Self::AfterFirstUnlockThisDeviceOnly => 4,
            Self::AlwaysThisDeviceOnly => 5,
        }
    }

    /// Returns the class with a number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.number() == number)
    }

    /// Says what it takes to read it.
    #[must_use]
    pub fn needs(self) -> Needs {
        match self {
            Self::WhenUnlocked | Self::WhenUnlockedThisDeviceOnly => Needs::Unlocked,
            Self::AfterFirstUnlock | Self::AfterFirstUnlockThisDeviceOnly => Needs::FirstUnlock,
            Self::AlwaysThisDeviceOnly => Needs::Device,
        }
    }

    /// Says whether it may be in a backup (KEY-8).
    #[must_use]
    pub fn is_portable(self) -> bool {
        matches!(self, Self::WhenUnlocked | Self::AfterFirstUnlock)
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.number()) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// KEY-1: the numbers are on people's disks.
    #[test]
    fn numbers_stay() {
        let table: Vec<_> = Class::ALL.map(|class| (class.number(), class.needs(), class.is_portable())).to_vec();
        let expected = [
            (1, Needs::Unlocked, true),
            (2, Needs::FirstUnlock, true),
            (3, Needs::Unlocked, false),
            (4, Needs::FirstUnlock, false),
            (5, Needs::Device, false),
        ];
        assert_eq!(table, expected);
        assert!(Class::ALL.iter().all(|class| Class::from_number(class.number()) == Some(*class)));
        assert_eq!((Class::from_number(0), Class::from_number(6)), (None, None));
    }
}
