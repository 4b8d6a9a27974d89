//! Texts of one line: names, titles. Spec: 50-content.md (CON-18, CON-40, CON-45, CON-51).

/// Says whether a text has something in it, so many bytes at most, and no control character.
pub(crate) fn fits(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.contains(char::is_control)
}
