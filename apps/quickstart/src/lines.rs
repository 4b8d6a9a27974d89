//! Standard input, line by line, from a thread of its own.
//!
//! - The thread ends with the process: nobody waits for a person who does not type.
//! - A line has a bound, so an endless one takes no memory.

use std::io::{self, BufRead, Read};

use tokio::sync::mpsc;

/// Lines that wait to be understood.
const WAITING_MAX: usize = 16;
/// Several times the longest message (CON-3).
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A line, or why it is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Line(String),
    Unreadable(String),
}

/// Returns the lines of standard input; the channel ends with them.
pub(crate) fn stdin() -> mpsc::Receiver<Input> {
    let (sender, lines) = mpsc::channel(WAITING_MAX);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        while let Some(line) = next(&mut stdin) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}

fn next(input: &mut impl BufRead) -> Option<Input> {
    let mut bytes = Vec::new();
    match input.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
        Ok(0) => None,
        Ok(_) if bytes.len() as u64 == LINE_BYTES_MAX && bytes.last() != Some(&b'\n') => {
            skip_line(input);
            Some(Input::Unreadable(format!("a line has more than {LINE_BYTES_MAX} bytes")))
        }
        Ok(_) => Some(match String::from_utf8(bytes) {
            Ok(line) => Input::Line(line),
            Err(_) => Input::Unreadable("a line is not UTF-8".to_owned()),
        }),
        Err(_) => None,
    }
}

/// Throws the rest of a line away, a buffer at a time.
fn skip_line(input: &mut impl BufRead) {
    loop {
        let Ok(buffer) = input.fill_buf() else { return };
        if buffer.is_empty() {
            return;
        }
        let (used, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (buffer.len(), false),
        };
        input.consume(used);
        if ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_lines_are_told_and_passed() {
        let mut bytes = b"one\n\xff\n".to_vec();
        bytes.extend(vec![b'x'; 2 * LINE_BYTES_MAX as usize]);
        bytes.extend(b"\nlast");
        let mut input = bytes.as_slice();
        assert_eq!(next(&mut input), Some(Input::Line("one\n".into())));
        assert!(matches!(next(&mut input), Some(Input::Unreadable(_))));
        assert!(matches!(next(&mut input), Some(Input::Unreadable(_))));
        assert_eq!(next(&mut input), Some(Input::Line("last".into())));
        assert_eq!(next(&mut input), None);
    }
}
