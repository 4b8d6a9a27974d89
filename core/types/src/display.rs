//! Makes a peer's text safe to print. Spec: 50-content.md (CON-3).
//!
//! Owns the list of characters that change how a terminal or a reader sees *other* text.

use std::borrow::Cow;

/// What stands in place of a character that is not shown.
const REPLACEMENT: char = '\u{fffd}';

/// Returns text in which nothing moves the cursor, colors the terminal or turns the reading direction.
#[must_use]
pub fn for_display(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unsafe) {
        Cow::Owned(text.chars().map(|c| if is_unsafe(c) { REPLACEMENT } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

// CON-3
fn is_unsafe(c: char) -> bool {
    let control = c.is_control() && c != '\n' && c != '\t';
    let direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    control || direction
}
