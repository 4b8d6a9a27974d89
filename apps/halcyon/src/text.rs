//! What others wrote, made fit for a terminal. Spec: 50-content.md (CON-3).
//!
//! Owns the replacement of characters that could move the cursor, recolor, hide or reorder what is on the screen.
//! Does not know where the text came from: everything that a peer or a server chose goes through here, also names of devices.
//!
//! - JSON output is not changed: it escapes control characters itself, and a script wants the text as it was sent.

/// Returns the text with control characters other than newline and tab, and direction overrides, shown as U+FFFD (CON-3).
#[must_use]
pub fn sanitize(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Returns the sanitized text on one line: newlines are shown as `⏎`, tabs as spaces. For formats of one line an event.
#[must_use]
pub fn one_line(text: &str) -> String {
    sanitize(text).replace('\n', "⏎").replace('\t', " ")
}

/// CON-3. `char::is_control` covers C0, DEL and C1.
fn is_unsafe(c: char) -> bool {
    let control = c.is_control() && c != '\n' && c != '\t';
    let direction = matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    control || direction
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CON-3: a message cannot clear Bob's screen, ring his bell, or write from right to left.
    #[test]
    fn a_message_cannot_drive_the_terminal() {
        assert_eq!(sanitize("a\u{1b}[2Jb\u{7}c\u{9b}d\u{7f}"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}");
        assert_eq!(sanitize("exe.\u{202e}gpj\u{2066}x\u{2069}"), "exe.\u{fffd}gpj\u{fffd}x\u{fffd}");
        assert_eq!(sanitize("line one\n\tline two ✓ ä"), "line one\n\tline two ✓ ä");
        assert_eq!(sanitize("overwrite\rme"), "overwrite\u{fffd}me");
    }

    /// A message of several lines cannot pretend to be several events.
    #[test]
    fn one_event_stays_on_one_line() {
        assert_eq!(one_line("hi\narrived at bob phone\tnow"), "hi⏎arrived at bob phone now");
    }
}
