//! Which acts on a message count, and what it looks like after them. Spec: 50-content.md (CON-11 to CON-14).
//!
//! Owns the rules, which every receiver enforces, since no server sees what it would have to judge. Knows who acted from whoever
//! authenticated it; does not know devices, stores or clocks.
//!
//! - The outcome follows from the set of acts alone: in whatever order they came, every device shows the same.

use std::collections::BTreeMap;

use halcyon_types::{AccountId, Duration, MessageId, Timestamp};

use crate::{
    act::{Act, Deed, Tapback},
    model::{Message, Part},
    text::Text,
};

/// How long after it was sent a part can be edited (CON-13).
pub const EDIT_WITHIN: Duration = Duration::from_mins(15);
/// How often a part can be edited (CON-13).
pub const EDITS_MAX: usize = 5;
/// How long after it was sent a part can be unsent (CON-14).
pub const UNSEND_WITHIN: Duration = Duration::from_mins(2);

/// A message as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// The account whose device sealed it.
    pub author: AccountId,
    /// Its own time.
    pub sent: Timestamp,
    /// What it says.
    pub message: &'a Message,
}

/// An act on it, in the same conversation.
#[derive(Clone, Debug)]
pub struct Acted {
    /// The account whose device sealed it.
    pub by: AccountId,
    /// Its own time.
    pub sent: Timestamp,
    /// Its own id, which orders acts of one time.
    pub id: MessageId,
    /// What was done.
    pub act: Act,
}

/// Why an act does not count. The fault is the actor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// CON-10.
    #[error("the message has no such part")]
    NoSuchPart,
    /// CON-13, CON-14.
    #[error("only who wrote a message can change it")]
    NotYours,
    /// CON-13.
    #[error("a message can be edited for {} minutes", EDIT_WITHIN.as_millis() / 60_000)]
    EditTooLate,
    /// CON-13.
    #[error("a message can be edited {EDITS_MAX} times")]
    EditTooOften,
    /// CON-13.
    #[error("only text can be edited")]
    NotText,
    /// CON-14.
    #[error("a message can be unsent for {} minutes", UNSEND_WITHIN.as_millis() / 60_000)]
    UnsendTooLate,
    /// CON-14: nothing is done to it any more.
    #[error("the message was unsent")]
    Unsent,
}

/// A part after the acts on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// What it says now; none if it is no text, or was unsent.
    pub text: Option<Text>,
    /// What it said before, oldest first, with the time at which that was said.
    pub earlier: Vec<(Timestamp, Text)>,
    /// When it was said as it is now; none if it was never edited.
    pub edited: Option<Timestamp>,
    /// Whether it was unsent.
    pub unsent: bool,
    /// The tapbacks on it, one an account, in the order of the accounts.
    pub tapbacks: Vec<(AccountId, Tapback)>,
}

/// Returns each part of a message after the acts on it. Acts that do not count are left out.
#[must_use]
pub fn judge(original: Original<'_>, acts: &[Acted]) -> Vec<Judged> {
    let mut acts: Vec<&Acted> = acts.iter().collect();
    acts.sort_by_key(|acted| (acted.sent, acted.id)); // CON-11
    // What was unsent is unsent whatever else was done to it, and whenever.
    acts.sort_by_key(|acted| !matches!(acted.act.deed, Deed::Unsend));
    let mut judging = Judging::new(original);
    for acted in acts {
        // Whatever does not count changes nothing.
        let _ = judging.apply(acted);
    }
    judging.parts()
}

/// Says whether an act would count after those that are there.
///
/// # Errors
/// [`Denied`] says why it would not.
pub fn would_count(original: Original<'_>, before: &[Acted], act: &Acted) -> Result<(), Denied> {
    let mut judging = Judging::new(original);
    let mut before: Vec<&Acted> = before.iter().collect();
    before.sort_by_key(|acted| (!matches!(acted.act.deed, Deed::Unsend), acted.sent, acted.id));
    for acted in before {
        let _ = judging.apply(acted);
    }
    judging.apply(act)
}

struct Judging<'a> {
    original: Original<'a>,
    parts: Vec<Judged>,
    tapbacks: BTreeMap<(usize, AccountId), Option<Tapback>>,
}

impl<'a> Judging<'a> {
    fn new(original: Original<'a>) -> Self {
        let text = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            _ => None,
        };
        let parts = original.message.parts.iter().map(|part| Judged { text: text(part), ..Judged::default() });
        Self { original, parts: parts.collect(), tapbacks: BTreeMap::new() }
    }

    fn apply(&mut self, acted: &Acted) -> Result<(), Denied> {
        let at = acted.act.target.part as usize;
        let Original { author, sent, .. } = self.original;
        let part = self.parts.get_mut(at).ok_or(Denied::NoSuchPart)?;
        if part.unsent {
            return Err(Denied::Unsent);
        }
        match &acted.act.deed {
            // CON-12
            Deed::Tapback { tapback, removed } => {
                self.tapbacks.insert((at, acted.by), (!removed).then(|| tapback.clone()));
            }
            // CON-13
            Deed::Edit(_) | Deed::Unsend if acted.by != author => return Err(Denied::NotYours),
            Deed::Edit(_) if acted.sent > sent.plus(EDIT_WITHIN) => return Err(Denied::EditTooLate),
            Deed::Edit(_) if part.earlier.len() >= EDITS_MAX => return Err(Denied::EditTooOften),
            Deed::Edit(text) => {
                let before = part.text.replace(text.clone());
                let Some(before) = before else {
                    part.text = None;
                    return Err(Denied::NotText);
                };
                part.earlier.push((part.edited.unwrap_or(sent), before));
                part.edited = Some(acted.sent);
            }
            // CON-14
            Deed::Unsend if acted.sent > sent.plus(UNSEND_WITHIN) => return Err(Denied::UnsendTooLate),
            Deed::Unsend => *part = Judged { unsent: true, ..Judged::default() },
        }
        Ok(())
    }

    fn parts(mut self) -> Vec<Judged> {
        for ((at, by), tapback) in self.tapbacks {
            if let Some(tapback) = tapback {
                self.parts[at].tapbacks.push((by, tapback));
            }
        }
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use halcyon_types::DeviceId;
    use proptest::prelude::*;

    use super::*;
    use crate::Target;

    const ALICE: AccountId = AccountId::from_bytes([1; 16]);
    const BOB: AccountId = AccountId::from_bytes([2; 16]);
    const SENT_MS: u64 = 1_700_000_000_000;

    fn after(millis: u64) -> Timestamp {
        Timestamp::from_millis(SENT_MS + millis)
    }

    fn original(message: &Message) -> Original<'_> {
        Original { author: ALICE, sent: after(0), message }
    }

    fn acted(by: AccountId, millis: u64, deed: Deed) -> Acted {
        let target = Target { message: MessageId::from_bytes([7; 16]), device: DeviceId::from_bytes([8; 16]), part: 0 };
        let id = MessageId::from_bytes([u8::try_from(millis % 251).unwrap(); 16]);
        Acted { by, sent: after(millis), id, act: Act { target, deed } }
    }

    fn edit(by: AccountId, millis: u64, text: &str) -> Acted {
        acted(by, millis, Deed::Edit(Text::plain(text)))
    }

    fn tapback(by: AccountId, millis: u64, tapback: Tapback, removed: bool) -> Acted {
        acted(by, millis, Deed::Tapback { tapback, removed })
    }

    fn text(judged: &[Judged]) -> Option<&str> {
        judged[0].text.as_ref().map(|text| text.text.as_str())
    }

    /// CON-13: 15 minutes, to the millisecond, by the original's own time.
    #[test]
    fn edits_end_after_15_minutes() {
        let message = Message::text("hello");
        for (millis, counts) in [(0, true), (899_000, true), (900_000, true), (900_001, false), (901_000, false)] {
            let acts = [edit(ALICE, millis, "hullo")];
            let judged = judge(original(&message), &acts);
            assert_eq!(text(&judged), Some(if counts { "hullo" } else { "hello" }), "{millis}");
            let verdict = would_count(original(&message), &[], &acts[0]);
            assert_eq!(verdict, if counts { Ok(()) } else { Err(Denied::EditTooLate) }, "{millis}");
        }
        // By a clock that is behind the one of the device that wrote it.
        let early = Acted { sent: Timestamp::from_millis(SENT_MS - 5_000), ..edit(ALICE, 0, "hullo") };
        assert_eq!(text(&judge(original(&message), &[early])), Some("hullo"));
    }

    /// CON-13: the sixth does not count, and what it said before stays visible.
    #[test]
    fn a_message_is_edited_five_times() {
        let message = Message::text("0");
        let edits: Vec<Acted> = (1..=6).map(|n| edit(ALICE, n, &n.to_string())).collect();
        let judged = judge(original(&message), &edits);
        assert_eq!(text(&judged), Some("5"));
        let earlier: Vec<_> = judged[0].earlier.iter().map(|(at, text)| (*at, text.text.as_str())).collect();
        assert_eq!(earlier, [(after(0), "0"), (after(1), "1"), (after(2), "2"), (after(3), "3"), (after(4), "4")]);
        assert_eq!(judged[0].edited, Some(after(5)));
        assert_eq!(would_count(original(&message), &edits[..4], &edits[4]), Ok(()));
        assert_eq!(would_count(original(&message), &edits[..5], &edits[5]), Err(Denied::EditTooOften));
    }

    /// CON-13, CON-14: nobody changes what another one said.
    #[test]
    fn another_changes_nothing() {
        let message = Message::text("hello");
        let acts = [edit(BOB, 1, "I owe Bob a fortune"), acted(BOB, 2, Deed::Unsend)];
        assert_eq!(text(&judge(original(&message), &acts)), Some("hello"));
        for act in &acts {
            assert_eq!(would_count(original(&message), &[], act), Err(Denied::NotYours));
        }
    }

    /// CON-14: 2 minutes; nothing of it is left, and nothing is done to it any more, whatever came first.
    #[test]
    fn what_is_unsent_is_gone() {
        let message = Message::text("hello");
        for (millis, counts) in [(119_000, true), (120_000, true), (120_001, false), (121_000, false)] {
            let acts = [
                edit(ALICE, 1, "hullo"),
                tapback(BOB, 500_000, Tapback::Like, false),
                acted(ALICE, millis, Deed::Unsend),
            ];
            let judged = judge(original(&message), &acts);
            if counts {
                assert_eq!(judged, [Judged { unsent: true, ..Judged::default() }], "{millis}");
                assert_eq!(would_count(original(&message), &acts, &edit(ALICE, 3, "no")), Err(Denied::Unsent));
            } else {
                assert_eq!((text(&judged), judged[0].tapbacks.len()), (Some("hullo"), 1), "{millis}");
                assert_eq!(would_count(original(&message), &[], &acts[2]), Err(Denied::UnsendTooLate));
            }
        }
    }

    /// CON-12: one an account and part, the newest; taken back, there is none.
    #[test]
    fn a_tapback_replaces_the_one_before() {
        let message = Message::text("hello");
        let tapbacks = |acts: &[Acted]| judge(original(&message), acts).remove(0).tapbacks;
        let love = tapback(BOB, 1, Tapback::Love, false);
        let laugh = tapback(BOB, 2, Tapback::Laugh, false);
        let own = tapback(ALICE, 9, Tapback::emoji("🦊").unwrap(), false);
        let expected = [(ALICE, Tapback::emoji("🦊").unwrap()), (BOB, Tapback::Laugh)];
        assert_eq!(tapbacks(&[laugh.clone(), own, love]), expected);
        assert_eq!(tapbacks(&[laugh.clone(), tapback(BOB, 3, Tapback::Laugh, true)]), []);
        assert_eq!(tapbacks(&[laugh, tapback(BOB, 1, Tapback::Laugh, true)]), [(BOB, Tapback::Laugh)]);
    }

    /// CON-10: what is not there is left alone.
    #[test]
    fn parts_that_are_not_there_are_not_changed() {
        let message = Message { parts: vec![Part::Unsupported], ..Message::default() };
        let mut act = edit(ALICE, 1, "hullo");
        assert_eq!(would_count(original(&message), &[], &act), Err(Denied::NotText));
        assert_eq!(judge(original(&message), std::slice::from_ref(&act)), [Judged::default()]);
        act.act.target.part = 1;
        assert_eq!(would_count(original(&message), &[], &act), Err(Denied::NoSuchPart));
        assert_eq!(judge(original(&message), &[act]), [Judged::default()]);
    }

    fn any_act() -> impl Strategy<Value = Acted> {
        let deed = prop_oneof![
            "[a-z]{1,4}".prop_map(|text| Deed::Edit(Text::plain(text))),
            Just(Deed::Unsend),
            (0..6_usize, any::<bool>())
                .prop_map(|(at, removed)| Deed::Tapback { tapback: Tapback::NAMED[at].clone(), removed }),
        ];
        (any::<bool>(), prop_oneof![0..10_u64, 119_990..120_010_u64, 899_990..900_010_u64], any::<[u8; 16]>(), deed)
            .prop_map(|(is_alice, millis, id, deed)| Acted {
                id: MessageId::from_bytes(id),
                ..acted(if is_alice { ALICE } else { BOB }, millis, deed)
            })
    }

    proptest! {
        /// CON-11: loss aside, the order in which acts come changes nothing.
        #[test]
        fn the_order_of_arrival_does_not_matter(
            (acts, shuffled) in proptest::collection::vec(any_act(), 0..12)
                .prop_flat_map(|acts| (Just(acts.clone()), Just(acts).prop_shuffle()))
        ) {
            let message = Message::text("hello");
            prop_assert_eq!(judge(original(&message), &acts), judge(original(&message), &shuffled));
        }
    }
}
