//! The local mail folder: reads the code that the server sent, as a person would read a mail.
//!
//! Owns finding the newest mail to an address. Does not know why it was sent.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use halcyon::failure::Failure;

/// A mail is a file that appears a moment after the server's answer.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// The line of a verification mail that has the code.
const CODE_LINE: &str = "Code: ";

/// Returns the code of the newest mail to an address, waiting for one to come.
///
/// # Errors
/// [`Failure`] if none came.
pub(crate) async fn code(folder: &Path, address: &str) -> Result<String, Failure> {
    let unreadable = |error| Failure::network(format!("the mail folder {} cannot be read: {error}", folder.display()));
    let searched = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(code) = newest_code(folder, address).map_err(unreadable)? {
                return Ok(code);
            }
            tokio::time::sleep(POLL).await;
        }
    });
    match searched.await {
        Ok(found) => found,
        Err(_) => Err(Failure::unexpected(format!("the server wrote no mail to {address} into {}", folder.display()))),
    }
}

fn newest_code(folder: &Path, address: &str) -> io::Result<Option<String>> {
    let mut mails = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "eml") {
            mails.push(path);
        }
    }
    // Their names begin with the time.
    mails.sort_unstable_by(|one, other| other.cmp(one));
    for path in mails {
        let mail = fs::read_to_string(path)?;
        if mail.lines().any(|line| line.trim_end() == format!("To: {address}"))
            && let Some(code) = mail.lines().find_map(|line| line.strip_prefix(CODE_LINE))
        {
            return Ok(Some(code.trim().to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_mail_to_the_address_counts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, to: &str, code: &str| {
            let mail = format!("From: Halcyon <halcyon@localhost>\r\nTo: {to}\r\n\r\nHello,\r\nCode: {code}\r\n");
            fs::write(folder.path().join(name), mail).unwrap();
        };
        write("0001-a.eml", "alice@example.org", "111111");
        write("0002-b.eml", "alice@example.org", "222222");
        write("0003-c.eml", "bob@example.org", "333333");
        write("0004-d.new", "alice@example.org", "444444");
        assert_eq!(newest_code(folder.path(), "alice@example.org").unwrap().as_deref(), Some("222222"));
        assert_eq!(newest_code(folder.path(), "carol@example.org").unwrap(), None);
    }
}
