//! How a message appears: bubble and screen effects. Spec: 50-content.md (CON-19).
//!
//! Owns the list. Does not know how one looks; a client that cannot show it shows the message without.

use crate::wire;

macro_rules! effects {
    ($($name:ident),+ $(,)?) => {
        /// An effect (CON-19).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "the names are all that there is to say")]
        pub enum Effect { $($name),+ }

        impl Effect {
            /// All of them, those of the bubble first.
            pub const ALL: &[Self] = &[$(Self::$name),+];
        }

        /// None for one that a later version knows.
        pub(crate) fn decode(wire: i32) -> Option<Effect> {
            match wire::Effect::try_from(wire).ok()? {
                wire::Effect::Unspecified => None,
                $(wire::Effect::$name => Some(Effect::$name),)+
            }
        }

        pub(crate) fn encode(effect: Option<Effect>) -> i32 {
            match effect {
                None => wire::Effect::Unspecified,
                $(Some(Effect::$name) => wire::Effect::$name,)+
            }
            .into()
        }
    };
}

effects! {
    Gentle,
    Impact,
    InvisibleInk,
    Loud,
    Confetti,
    Echo,
    Fireworks,
    HappyBirthday,
    Heart,
    Lasers,
    ShootingStar,
    Sparkles,
    Spotlight,
}
