//! As much of HTTP/1.1 as it takes to make one request after the other on a connection.

use anyhow::{Context, Result, ensure};
use bytes::{Buf, BytesMut};

use crate::wire::Wire;

/// A connection, and the token of the user whose it is.
pub(crate) struct Http {
    pub(crate) wire: Wire,
    token: String,
}

impl Http {
    pub(crate) fn new(wire: Wire, token: String) -> Self {
        Self { wire, token }
    }

    pub(crate) fn queue(&mut self, method: &str, path: &str, body: &str) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        if !self.token.is_empty() {
            head.push_str(&format!("Authorization: Bearer {}\r\n", self.token));
        }
        head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len()));
        self.wire.output.extend_from_slice(head.as_bytes());
        self.wire.output.extend_from_slice(body.as_bytes());
    }

    /// Makes the request that is queued, and returns what is answered.
    pub(crate) async fn answer(&mut self) -> Result<BytesMut> {
        self.wire.until(|wire| take_answer(&mut wire.input)).await
    }

    /// Returns an answer that is here already.
    pub(crate) fn take(&mut self) -> Result<Option<BytesMut>> {
        take_answer(&mut self.wire.input)
    }
}

/// Takes the body of one whole answer, if it is there. One that says no is an error.
fn take_answer(input: &mut BytesMut) -> Result<Option<BytesMut>> {
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&input[..end])?.to_owned();
    let header = |name: &str| {
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    let is_chunked = header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    let start = end + 4;
    let (body, length) = if is_chunked {
        let Some(found) = chunks(&input[start..])? else { return Ok(None) };
        found
    } else {
        let length: usize = header("content-length").context("an answer without a length")?.parse()?;
        let Some(body) = input.get(start..start + length) else { return Ok(None) };
        (BytesMut::from(body), length)
    };
    input.advance(start + length);
    let status = head.split(' ').nth(1).context("an answer without a status")?;
    ensure!(status == "200", "{status}: {}", String::from_utf8_lossy(&body));
    Ok(Some(body))
}

/// Returns what chunks hold, and how many bytes they take, if they are all there.
fn chunks(input: &[u8]) -> Result<Option<(BytesMut, usize)>> {
    let (mut body, mut at) = (BytesMut::new(), 0);
    loop {
        let Some(line) = input[at..].windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let length = usize::from_str_radix(std::str::from_utf8(&input[at..at + line])?.trim(), 16)?;
        at += line + 2;
        let Some(chunk) = input.get(at..at + length + 2) else { return Ok(None) };
        body.extend_from_slice(&chunk[..length]);
        at += length + 2;
        if length == 0 {
            return Ok(Some((body, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers are taken whole, with a length and in chunks, one after the other.
    #[test]
    fn answers_come_whole() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{ }\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n";
        let mut input = BytesMut::new();
        let mut bodies = Vec::new();
        for byte in text.bytes() {
            input.extend_from_slice(&[byte]);
            bodies.extend(take_answer(&mut input).unwrap());
        }
        assert_eq!(bodies, ["{ }\n", "abc0123456789"]);
        assert!(input.is_empty());
        let refused = take_answer(&mut BytesMut::from("HTTP/1.1 429 Slow\r\nContent-Length: 2\r\n\r\n{}")).unwrap_err();
        assert_eq!(refused.to_string(), "429: {}");
    }
}
