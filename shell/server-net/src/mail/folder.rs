//! Mails as files, one `.eml` each: for development, the quickstart and tests.
//!
//! - A file appears whole: it is written under another name and renamed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use halcyon_server::ports::{Clock, MailError, Mailer, OutgoingMail};
use lettre::message::Mailbox;
use rand::RngCore;

use crate::world::SystemClock;

/// Writes mails into a folder. Names begin with the time in milliseconds, so they sort by age.
#[derive(Debug)]
pub struct MailFolder {
    folder: PathBuf,
    from: Mailbox,
}

impl MailFolder {
    /// Opens or makes the folder. Mails come from `halcyon@<host>`.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(folder: &Path, host: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let from = format!("Halcyon <halcyon@{host}>").parse().or_else(|_| "Halcyon <halcyon@localhost>".parse());
        let from = from.map_err(|_| io::Error::other("the sender's address is not valid"))?;
        Ok(Self { folder: folder.to_owned(), from })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut unique = [0; 8];
        rand::rngs::OsRng.fill_bytes(&mut unique);
        let name = format!("{:013}-{}", SystemClock.now().as_millis(), hex::encode(unique));
        let beside = self.folder.join(format!("{name}.new"));
        fs::write(&beside, bytes)?;
        fs::rename(beside, self.folder.join(format!("{name}.eml")))
    }
}

#[async_trait::async_trait]
impl Mailer for MailFolder {
    async fn send(&self, mail: OutgoingMail) -> Result<(), MailError> {
        let message = super::compose(mail, &self.from)?;
        // Kinds of errors of the operating system, without paths.
        self.write(&message.formatted()).map_err(|error| MailError::Unavailable { reason: error.kind().to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halcyon_types::Handle;

    /// ACC-20: a program finds code and link on lines of their own, whatever the mail's encoding could do to them.
    #[tokio::test]
    async fn code_and_link_stand_on_lines_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let mailer = MailFolder::open(folder.path(), "localhost").unwrap();
        let alice = Handle::parse("alice@example.org").unwrap();
        let link = format!("https://localhost:12345/verify/{}", "ab".repeat(32));
        let mail = halcyon_server::accounts::mail::verification(&alice, "localhost", "012345", &link);
        mailer.send(mail).await.unwrap();
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].extension().unwrap(), "eml");
        let text = fs::read_to_string(&files[0]).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.contains(&"Code: 012345"), "{text}");
        assert!(lines.contains(&link.as_str()), "{text}");
        assert!(lines.contains(&"To: alice@example.org"), "{text}");
    }
}
