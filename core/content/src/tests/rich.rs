//! Styles, mentions, subjects and effects.

use super::*;
use crate::{Animation, Effect, MENTIONS_MAX, Mention, Range, STYLES_MAX, Style, Styled, Subject};

fn rich(text: Text) -> Content {
    alice_to_bob(Kind::Message(Message { parts: vec![Part::Text(text)], ..Message::default() }))
}

fn range(start: u32, length: u32) -> Range {
    Range { start, length }
}

/// CON-16, CON-17: ranges lie in the text, between characters, in order; and what is written is what is read.
#[test]
fn styles_and_mentions_lie_in_their_text() {
    let bob = handle("bob@example.org");
    let look = Style { bold: true, strikethrough: true, animation: Some(Animation::Jitter), ..Style::default() };
    let styled = |ranges: &[(u32, u32)]| {
        let styles = ranges.iter().map(|(start, length)| Styled { range: range(*start, *length), style: look });
        Text { styles: styles.collect(), ..Text::plain("hällo") }
    };
    let mentions = |ranges: &[(u32, u32)], who: &Handle| {
        let mention = |(start, length): &(u32, u32)| Mention { range: range(*start, *length), handle: who.clone() };
        Text { mentions: ranges.iter().map(mention).collect(), ..Text::plain("hällo") }
    };
    // The text has 6 bytes; 2 lies within its second character.
    for fits in [&[(0, 6)][..], &[(0, 1), (1, 2), (3, 3)], &[(5, 1)], &[]] {
        for text in [styled(fits), mentions(fits, &bob), mentions(fits, &handle("alice@example.org"))] {
            assert_eq!(decode(&encode(&rich(text.clone())).unwrap()), Ok(rich(text)), "{fits:?}");
        }
    }
    let beyond = [
        &[(0, 7)][..],
        &[(6, 1)],
        &[(0, 2)],
        &[(2, 1)],
        &[(3, 0)],
        &[(1, 2), (0, 1)],
        &[(0, 3), (1, 2)],
        &[(u32::MAX, u32::MAX)],
    ];
    for ranges in beyond {
        assert_eq!(encode(&rich(styled(ranges))), Err(EncodeError::Styles), "{ranges:?}");
        assert_eq!(encode(&rich(mentions(ranges, &bob))), Err(EncodeError::Mentions), "{ranges:?}");
        let wire = |text: Text| {
            let styles = text.styles.iter().map(|one| wire::Styled {
                start: one.range.start,
                length: one.range.length,
                ..wire::Styled::default()
            });
            let mentions = text.mentions.iter().map(|one| wire::Mention {
                start: one.range.start,
                length: one.range.length,
                handle: one.handle.as_uri().to_owned(),
            });
            decode(&with_text(wire::Text { text: text.text, styles: styles.collect(), mentions: mentions.collect() }))
        };
        assert_eq!(wire(styled(ranges)), Err(DecodeError::Styles), "{ranges:?}");
        assert_eq!(wire(mentions(ranges, &bob)), Err(DecodeError::Mentions), "{ranges:?}");
    }
    assert_eq!(encode(&rich(mentions(&[(0, 1)], &handle("carol@example.org")))), Err(EncodeError::Mentions));
    let stranger = wire::Mention { start: 0, length: 1, handle: "mailto:carol@example.org".into() };
    let text = wire::Text { text: "x".into(), mentions: vec![stranger], ..wire::Text::default() };
    assert_eq!(decode(&with_text(text)), Err(DecodeError::Mentions));
}

fn with_text(text: wire::Text) -> Vec<u8> {
    changed(&hello(), move |wire| {
        let parts = vec![wire::Part { part: Some(wire::part::Part::Text(text)) }];
        wire.kind = Some(wire::content::Kind::Message(wire::Message { parts, ..wire::Message::default() }));
    })
}

/// CON-16, CON-17: exactly so many, and not one more. An edit has the same bounds.
#[test]
fn styles_and_mentions_are_bounded() {
    let many = |count: usize| (0..u32::try_from(count).unwrap()).map(|at| range(at, 1));
    let text = Text::plain("x".repeat(STYLES_MAX + 1));
    let styles = |count| Text {
        styles: many(count).map(|range| Styled { range, style: Style::default() }).collect(),
        ..text.clone()
    };
    let bob = handle("bob@example.org");
    let mentions = |count| Text {
        mentions: many(count).map(|range| Mention { range, handle: bob.clone() }).collect(),
        ..text.clone()
    };
    for (fits, too_many, error) in [
        (styles(STYLES_MAX), styles(STYLES_MAX + 1), EncodeError::Styles),
        (mentions(MENTIONS_MAX), mentions(MENTIONS_MAX + 1), EncodeError::Mentions),
    ] {
        assert_eq!(decode(&encode(&rich(fits.clone())).unwrap()), Ok(rich(fits.clone())));
        assert_eq!(encode(&rich(too_many.clone())), Err(error));
        assert_eq!(decode(&encode(&act(Deed::Edit(fits.clone()))).unwrap()), Ok(act(Deed::Edit(fits))));
        assert_eq!(encode(&act(Deed::Edit(too_many))), Err(error));
    }
    let styled = vec![wire::Styled { start: 0, length: 1, ..wire::Styled::default() }; STYLES_MAX + 1];
    let wire = wire::Text { text: "x".into(), styles: styled, ..wire::Text::default() };
    assert_eq!(decode(&with_text(wire)), Err(DecodeError::Styles));
}

/// CON-16, CON-19: what a later version knows is left out, and the rest is shown.
#[test]
fn unknown_looks_are_not_shown() {
    let odd = wire::Styled { start: 0, length: 1, style: 0xffff_fff2, animation: 99 };
    let bytes = with_text(wire::Text { text: "x".into(), styles: vec![odd], ..wire::Text::default() });
    let look = Style { italic: true, ..Style::default() };
    let shown = Text { styles: vec![Styled { range: range(0, 1), style: look }], ..Text::plain("x") };
    assert_eq!(decode(&bytes), Ok(rich(shown)));
    let unknown = changed(&hello(), |wire| {
        let Some(wire::content::Kind::Message(message)) = &mut wire.kind else { panic!("a message") };
        message.effect = 99;
    });
    assert_eq!(decode(&unknown), Ok(hello()));
}

/// CON-18, CON-19
#[test]
fn subjects_are_one_line_and_effects_have_names() {
    let about = |text: &str| Message { subject: Subject::new(text), ..Message::text("hello") };
    for text in ["x", "Grüße", &"x".repeat(256)] {
        let content = alice_to_bob(Kind::Message(about(text)));
        assert_eq!(decode(&encode(&content).unwrap()), Ok(content));
    }
    for text in ["", "two\nlines", "tab\t", "\u{7f}", &"x".repeat(257)] {
        assert_eq!(Subject::new(text), None, "{text:?}");
        let sent = changed(&hello(), |wire| {
            let Some(wire::content::Kind::Message(message)) = &mut wire.kind else { panic!("a message") };
            message.subject = text.to_owned();
        });
        let expected = if text.is_empty() { Ok(hello()) } else { Err(DecodeError::Subject) };
        assert_eq!(decode(&sent), expected, "{text:?}");
    }
    for effect in Effect::ALL {
        let content = alice_to_bob(Kind::Message(Message { effect: Some(*effect), ..Message::text("hello") }));
        assert_eq!(decode(&encode(&content).unwrap()), Ok(content));
    }
    assert_eq!(Effect::ALL.len(), 13);
}
