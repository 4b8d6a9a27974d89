//! Mails to a relay, over TLS.

use halcyon_server::ports::{MailError, Mailer, OutgoingMail};
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use crate::settings::{SmtpSecurity, SmtpSettings};

/// A relay that does not answer is given up after this; the queue tries again.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Hands mails to a relay.
pub struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Why the settings of a relay are not usable. The operator's move.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SmtpError {
    /// The sender's address.
    #[error("mail sender `{0}` is not an address; write Halcyon <halcyon@example.org>")]
    From(String),
    /// The relay's name, or the certificates to check it with.
    #[error("mail relay is not usable: {0}")]
    Relay(#[source] lettre::transport::smtp::Error),
    /// The password is not text.
    #[error("the password of the mail relay is not UTF-8")]
    Password,
}

impl SmtpMailer {
    /// Prepares for a relay; connects when there is a mail.
    ///
    /// # Errors
    /// [`SmtpError`]
    pub fn new(settings: &SmtpSettings) -> Result<Self, SmtpError> {
        let from = settings.from.parse().map_err(|_| SmtpError::From(settings.from.clone()))?;
        let relay = settings.relay.as_str();
        let builder = match settings.security {
            SmtpSecurity::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(relay).map_err(SmtpError::Relay)?,
            SmtpSecurity::StartTls => {
                AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(relay).map_err(SmtpError::Relay)?
            }
            SmtpSecurity::DangerousPlaintext => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(relay),
        };
        let mut builder = builder.port(settings.port).timeout(Some(TIMEOUT));
        if let Some((user, password)) = &settings.credentials {
            let password = std::str::from_utf8(password.expose()).map_err(|_| SmtpError::Password)?;
            builder = builder.credentials(Credentials::new(user.clone(), password.to_owned()));
        }
        Ok(Self { transport: builder.build(), from })
    }
}

impl std::fmt::Debug for SmtpMailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SmtpMailer(credentials redacted)")
    }
}

#[async_trait::async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: OutgoingMail) -> Result<(), MailError> {
        let message = super::compose(mail, &self.from)?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => Err(MailError::Unavailable { reason: kind(&error) }),
        }
    }
}

/// A relay's own words often repeat the address, so only what kind of answer it was is passed on.
fn kind(error: &lettre::transport::smtp::Error) -> String {
    let kind = if error.is_timeout() {
        "the relay did not answer in time"
    } else if error.is_tls() {
        "TLS with the relay failed"
    } else if error.is_permanent() {
        "the relay refused the mail"
    } else if error.is_transient() {
        "the relay asks to try later"
    } else {
        "the relay cannot be reached or speaks no SMTP"
    };
    error.status().map_or_else(|| kind.to_owned(), |status| format!("{kind} (status {status})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use halcyon_types::Handle;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    /// A relay that speaks as much SMTP as one mail needs, and returns the commands and the mail.
    async fn relay(stream: TcpStream, rcpt: &str) -> String {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut heard = String::new();
        write.write_all(b"220 relay\r\n").await.unwrap();
        let mut in_mail = false;
        while let Ok(Some(line)) = lines.next_line().await {
            heard.push_str(&line);
            heard.push('\n');
            let answer = match line.as_str() {
                "." => "250 taken",
                _ if in_mail => continue,
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ if line.starts_with("RCPT") => rcpt,
                _ => "250 fine",
            };
            in_mail = line == "DATA";
            write.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
            if line == "QUIT" {
                break;
            }
        }
        heard
    }

    async fn send(rcpt: &'static str) -> (Result<(), MailError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = SmtpSettings {
            relay: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            security: SmtpSecurity::DangerousPlaintext,
            credentials: None,
            from: "Halcyon <halcyon@example.org>".to_owned(),
        };
        let mailer = SmtpMailer::new(&settings).unwrap();
        let alice = Handle::parse("alice@example.net").unwrap();
        let mail =
            OutgoingMail { to: alice, subject: "Your Halcyon code".to_owned(), text: "Code: 012345\n".to_owned() };
        let relay = async { relay(listener.accept().await.unwrap().0, rcpt).await };
        tokio::join!(mailer.send(mail), relay)
    }

    /// ACC-20: the relay gets envelope and text.
    #[tokio::test]
    async fn a_relay_takes_the_mail() {
        let (sent, heard) = send("250 fine").await;
        sent.unwrap();
        for line in ["MAIL FROM:<halcyon@example.org>", "RCPT TO:<alice@example.net>", "Code: 012345"] {
            assert!(heard.lines().any(|said| said.starts_with(line)), "{heard}");
        }
    }

    /// I9: a relay that refuses repeats the address; the error does not.
    #[tokio::test]
    async fn a_refusal_names_nobody() {
        let (sent, _) = send("550 no such user alice@example.net").await;
        let error = sent.unwrap_err().to_string();
        assert!(error.contains("refused") && error.contains("550") && !error.contains("alice"), "{error}");
    }

    #[test]
    fn a_sender_without_address_is_named() {
        let settings = SmtpSettings {
            relay: "localhost".to_owned(),
            port: 25,
            security: SmtpSecurity::StartTls,
            credentials: None,
            from: "nobody".to_owned(),
        };
        assert!(SmtpMailer::new(&settings).unwrap_err().to_string().contains("nobody"));
    }
}
