//! From configuration to what a server starts with.
//!
//! Owns what one key says about another (a certificate needs its key), and whether files that are named can be read.
//! Does not look inside certificates: the server does when it starts.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;

use halcyon_courier::limits::Limits as CourierLimits;
use halcyon_crypto::SecretBytes;
use halcyon_server::accounts::Limits;
use halcyon_server_net::settings::{MailSource, Settings, SmtpSecurity, SmtpSettings, TlsSource};
use halcyon_types::Duration;

use crate::config::{Config, Problem};

/// A relay's password is a line; more is another file given by mistake.
const PASSWORD_BYTES_MAX: usize = 4096;

/// Returns the settings of a configuration.
///
/// # Errors
/// Every problem there is. Nothing was changed anywhere.
pub(crate) fn settings(config: &Config) -> Result<Settings, Vec<Problem>> {
    let mut reader = Reader { config, problems: Vec::new() };
    let data = reader.data_folder();
    let host = reader.public_host();
    let public_url = reader.public_url();
    let tls = reader.tls(data, &host);
    let mail = reader.mail();
    let (courier_listen, https_listen) = (reader.address("listen.courier"), reader.address("listen.https"));
    let private_listen = config.address("listen.private");
    reader.check_addresses();
    if config.number("limits.keep_alive_min_s") > config.number("limits.keep_alive_max_s") {
        reader.problem(
            "limits.keep_alive_min_s",
            "is more than limits.keep_alive_max_s",
            "Lower one or raise the other.",
        );
    }
    match (tls, mail) {
        (Some(tls), Some(mail)) if reader.problems.is_empty() => Ok(Settings {
            data: data.to_path_buf(),
            host,
            public_url,
            courier_listen,
            https_listen,
            private_listen,
            tls,
            mail,
            limits: limits(config),
            courier: courier_limits(config),
        }),
        _ => Err(reader.problems),
    }
}

struct Reader<'a> {
    config: &'a Config,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn problem(&mut self, key: &str, what: impl Into<String>, next: impl Into<String>) {
        self.problems.push(Problem { place: self.config.place(key), what: what.into(), next: next.into() });
    }

    fn data_folder(&mut self) -> &'a Path {
        let folder = self.config.path("data_folder").unwrap_or(Path::new(""));
        if folder.exists() && !folder.is_dir() {
            self.problem(
                "data_folder",
                format!("{} is not a folder", folder.display()),
                "Name a folder, or a path where one can be made.",
            );
        }
        folder
    }

    /// The host name is signed by clients (ACC-1, COU-11), so there is exactly one spelling.
    fn public_host(&mut self) -> String {
        let host = self.config.text("public_host").unwrap_or_default().to_owned();
        let plain = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !host.split('.').all(plain) {
            let what = format!("\"{host}\" is not a host name");
            self.problem(
                "public_host",
                what,
                "Write the name alone, in lower case, without scheme and port: chat.example.org.",
            );
        }
        host
    }

    fn public_url(&mut self) -> Option<String> {
        let url = self.config.text("public_url")?;
        if !url.starts_with("https://") || url.ends_with('/') {
            self.problem(
                "public_url",
                format!("\"{url}\" is not usable"),
                "Write it with https:// and without a slash at the end.",
            );
        }
        Some(url.to_owned())
    }

    fn tls(&mut self, data: &Path, host: &str) -> Option<TlsSource> {
        let (certificate, key) = (self.config.path("tls.certificate_file"), self.config.path("tls.private_key_file"));
        match (self.config.is_on("tls.development"), certificate, key) {
            (true, None, None) => {
                let mut names = vec![host.to_owned()];
                // Whoever develops also connects by these.
                let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
                names.extend(local.into_iter().filter(|name| name != host));
                Some(TlsSource::DevelopmentAuthority { folder: data.join("authority"), names })
            }
            (true, ..) => {
                let next =
                    "Take the files out for development, or set tls.development to false for a real certificate.";
                self.problem("tls.development", "is true, and certificate files are named too", next);
                None
            }
            (false, Some(certificate), Some(key)) => {
                self.check_readable("tls.certificate_file", certificate);
                self.check_readable("tls.private_key_file", key);
                Some(TlsSource::Files { chain: certificate.to_owned(), key: key.to_owned() })
            }
            (false, None, None) => {
                let next =
                    "Set tls.certificate_file and tls.private_key_file, or tls.development = true to try things out.";
                self.problem("tls", "there is no certificate", next);
                None
            }
            (false, Some(_), None) => {
                self.problem(
                    "tls.private_key_file",
                    "is not set, but tls.certificate_file is",
                    "A certificate needs its key: set both.",
                );
                None
            }
            (false, None, Some(_)) => {
                self.problem(
                    "tls.certificate_file",
                    "is not set, but tls.private_key_file is",
                    "A key needs its certificate: set both.",
                );
                None
            }
        }
    }

    fn mail(&mut self) -> Option<MailSource> {
        match (self.config.path("mail.folder"), self.config.text("mail.smtp.host")) {
            (Some(folder), None) => Some(MailSource::Folder(folder.to_owned())),
            (None, Some(relay)) => self.smtp(relay).map(MailSource::Smtp),
            (Some(_), Some(_)) => {
                self.problem(
                    "mail.folder",
                    "is set, and mail.smtp.host too",
                    "Keep one: mails go to the folder or to the relay.",
                );
                None
            }
            (None, None) => {
                let next = "Set mail.smtp.host and mail.smtp.from, or mail.folder to try things out. Nobody can register without mail.";
                self.problem("mail", "there is no way to send verification mails", next);
                None
            }
        }
    }

    fn smtp(&mut self, relay: &str) -> Option<SmtpSettings> {
        let (security, usual_port) = match self.config.text("mail.smtp.encryption") {
            Some("starttls") => (SmtpSecurity::StartTls, 587),
            Some("dangerous-plaintext") => (SmtpSecurity::DangerousPlaintext, 25),
            _ => (SmtpSecurity::Tls, 465),
        };
        let port = self.config.number("mail.smtp.port").and_then(|port| u16::try_from(port).ok()).unwrap_or(usual_port);
        let from = self.config.text("mail.smtp.from");
        if from.is_none() {
            self.problem(
                "mail.smtp.from",
                "is not set, but mail.smtp.host is",
                "Write the sender of the mails: Halcyon <halcyon@example.org>.",
            );
        }
        let credentials = match (self.config.text("mail.smtp.username"), self.config.path("mail.smtp.password_file")) {
            (Some(username), Some(file)) => self.password(file).map(|password| (username.to_owned(), password)),
            (None, None) => None,
            (Some(_), None) => {
                self.problem(
                    "mail.smtp.password_file",
                    "is not set, but mail.smtp.username is",
                    "A relay wants both or neither.",
                );
                None
            }
            (None, Some(_)) => {
                self.problem(
                    "mail.smtp.username",
                    "is not set, but mail.smtp.password_file is",
                    "A relay wants both or neither.",
                );
                None
            }
        };
        Some(SmtpSettings { relay: relay.to_owned(), port, security, credentials, from: from?.to_owned() })
    }

    fn password(&mut self, file: &Path) -> Option<SecretBytes> {
        const KEY: &str = "mail.smtp.password_file";
        let mut bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.unreadable(KEY, file, &error);
                return None;
            }
        };
        // Editors end a file with a newline; no password does.
        while matches!(bytes.last(), Some(b'\n' | b'\r')) {
            bytes.pop();
        }
        if bytes.is_empty() || bytes.len() > PASSWORD_BYTES_MAX || bytes.contains(&b'\n') {
            self.problem(
                KEY,
                format!("{} is not one line with a password", file.display()),
                "Put the password into it and nothing else.",
            );
            return None;
        }
        Some(SecretBytes::from_vec(bytes))
    }

    fn address(&self, key: &str) -> SocketAddr {
        // A key with a default and this form always has a value.
        self.config.address(key).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    fn check_addresses(&mut self) {
        const KEYS: [&str; 3] = ["listen.courier", "listen.https", "listen.private"];
        for (index, one) in KEYS.iter().enumerate() {
            for other in &KEYS[index + 1..] {
                let taken = self.config.address(one).filter(|address| address.port() != 0);
                if taken.is_some() && taken == self.config.address(other) {
                    self.problem(other, format!("is the same as {one}"), "Give each its own port.");
                }
            }
        }
    }

    fn check_readable(&mut self, key: &str, path: &Path) {
        if let Err(error) = File::open(path) {
            self.unreadable(key, path, &error);
        }
    }

    fn unreadable(&mut self, key: &str, path: &Path, error: &std::io::Error) {
        let what = format!("{} cannot be read: {error}", path.display());
        self.problem(key, what, "Check the path, and that the user who runs halcyond may read it.");
    }
}

/// Returns the limits of accounts and directory. Each key has a default, so each has a value.
fn limits(config: &Config) -> Limits {
    let number = |name| number(config, name);
    Limits {
        verifications_per_address_hour: number("limits.verifications_per_address_hour"),
        sign_ins_per_address_hour: number("limits.sign_ins_per_address_hour"),
        verifications_per_handle_hour: number("limits.verifications_per_handle_hour"),
        sign_ins_per_handle_hour: number("limits.sign_ins_per_handle_hour"),
        lookups_per_day: number("limits.lookups_per_day"),
        lookups_burst: number("limits.lookups_burst"),
        reports_per_day: number("limits.reports_per_day"),
        handles_per_account: number("limits.handles_per_account"),
        open_links_per_account: number("limits.open_links_per_account"),
        limit_loopback: config.is_on("limits.limit_loopback"),
    }
}

/// Returns the limits of the courier. Sizes of frames and payloads are the protocol's, and no setting.
fn courier_limits(config: &Config) -> CourierLimits {
    let count = |name| number(config, name) as usize;
    let seconds = |name| Duration::from_secs(u64::from(number(config, name)));
    CourierLimits {
        window_count: count("limits.window_count"),
        window_bytes: count("limits.window_bytes"),
        keep_alive_min: seconds("limits.keep_alive_min_s"),
        keep_alive_max: seconds("limits.keep_alive_max_s"),
        handshake_timeout: seconds("limits.handshake_timeout_s"),
        sends_per_s: number(config, "limits.sends_per_s"),
        sends_burst: number(config, "limits.sends_burst"),
        sends_in_flight_max: count("limits.sends_in_flight_max"),
        mailbox_count_max: count("limits.mailbox_count_max"),
        mailbox_bytes_max: count("limits.mailbox_bytes_max"),
        frame_timeout: seconds("limits.frame_timeout_s"),
        frames_per_s: number(config, "limits.frames_per_s"),
        frames_burst: number(config, "limits.frames_burst"),
        bytes_per_s: number(config, "limits.bytes_per_s"),
        connections_per_address: count("limits.connections_per_address"),
        connects_per_address_s: number(config, "limits.connects_per_address_s"),
        connects_per_address_burst: number(config, "limits.connects_per_address_burst"),
        connections_max: count("limits.connections_max"),
        handshakes_max: count("limits.handshakes_max"),
        ..CourierLimits::default()
    }
}

/// Returns a limit. The table bounds each to 32 bits and gives each a default (`limits_of_the_table_are_those_of_the_server`).
fn number(config: &Config, name: &str) -> u32 {
    config.number(name).and_then(|number| u32::try_from(number).ok()).expect("a limit has a default and fits 32 bits")
}

#[cfg(test)]
mod tests;
