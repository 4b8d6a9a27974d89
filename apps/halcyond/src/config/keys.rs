//! Every setting of the server, in one table.
//!
//! Owns name, form, default and meaning of each key. The file, the environment, the flags, the help, the man page and
//! `halcyond config example` are all made from this table, so that they cannot tell different stories.
//! Does not know what a server does with a value.

/// One setting.
pub(crate) struct Key {
    /// As in the file: `listen.courier`.
    pub(crate) name: &'static str,
    /// What values it takes.
    pub(crate) form: Form,
    /// What holds where nothing is said.
    pub(crate) default: Default,
    /// What the example shows for a key without a default.
    pub(crate) example: &'static str,
    /// One sentence for the help; more sentences for the example.
    pub(crate) meaning: &'static str,
}

/// What values a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Any text that is not empty.
    Text,
    /// Text that is not shown.
    Secret,
    /// A path; in the file, relative to the folder of the file.
    Path,
    /// `address:port`.
    Address,
    /// `address:port` or `none`.
    AddressOrNone,
    /// A whole number within bounds.
    Number { min: u64, max: u64 },
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// What holds where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Default {
    /// This, written as in the environment.
    Is(&'static str),
    /// Nothing: the key may be left out.
    Absent,
    /// Nothing: the server does not start without the key.
    Required,
}

/// Limits are 32 bits wide in the server.
const LIMIT_MAX: u64 = 0xffff_ffff;
/// A limit of 0 would lock everybody out, which is never meant.
const LIMIT: Form = Form::Number { min: 1, max: LIMIT_MAX };
/// More than a day is no timeout.
const SECONDS: Form = Form::Number { min: 1, max: 86_400 };
/// Two of the largest envelopes: with room for less, nothing would ever be delivered.
const WINDOW: Form = Form::Number { min: 34_816, max: LIMIT_MAX };

/// All keys, in the order of the example.
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: "data_folder",
        form: Form::Path,
        default: Default::Required,
        example: "/var/lib/halcyond",
        meaning: "Folder with all state of the server. It is made if it is not there; one server at a time can use it.",
    },
    Key {
        name: "public_host",
        form: Form::Text,
        default: Default::Required,
        example: "chat.example.org",
        meaning: "Host name under which clients reach the server, without port. Clients sign it with every request, so changing it later locks out clients that know the old name.",
    },
    Key {
        name: "public_url",
        form: Form::Text,
        default: Default::Absent,
        example: "https://chat.example.org",
        meaning: "Start of the links in mails. Left out, it is made of public_host and the port of listen.https; set it where a proxy listens on another port.",
    },
    Key {
        name: "listen.courier",
        form: Form::Address,
        default: Default::Is("0.0.0.0:5223"),
        example: "",
        meaning: "Address of the courier, over TLS. Port 0 takes a free one.",
    },
    Key {
        name: "listen.https",
        form: Form::Address,
        default: Default::Is("0.0.0.0:443"),
        example: "",
        meaning: "Address of HTTPS: accounts, directory, and the courier over WebSocket.",
    },
    Key {
        name: "listen.private",
        form: Form::AddressOrNone,
        default: Default::Is("127.0.0.1:9464"),
        example: "",
        meaning: "Address of /livez, /readyz and /metrics, without TLS, or \"none\". Never a public one: whoever reads it sees how much the server does.",
    },
    Key {
        name: "tls.certificate_file",
        form: Form::Path,
        default: Default::Absent,
        example: "/etc/halcyond/fullchain.pem",
        meaning: "Certificate chain in PEM, the server's own first.",
    },
    Key {
        name: "tls.private_key_file",
        form: Form::Path,
        default: Default::Absent,
        example: "/etc/halcyond/privkey.pem",
        meaning: "Private key of the certificate in PEM.",
    },
    Key {
        name: "tls.development",
        form: Form::Switch,
        default: Default::Is("false"),
        example: "",
        meaning: "Makes an authority and a certificate in the data folder instead. Clients must be told to trust authority/authority.pem there; for development only.",
    },
    Key {
        name: "mail.folder",
        form: Form::Path,
        default: Default::Absent,
        example: "/var/lib/halcyond/mail",
        meaning: "Folder to put verification mails in, one file each, instead of sending them; for development only.",
    },
    Key {
        name: "mail.smtp.host",
        form: Form::Text,
        default: Default::Absent,
        example: "smtp.example.org",
        meaning: "Mail relay that sends the verification mails.",
    },
    Key {
        name: "mail.smtp.port",
        form: Form::Number { min: 1, max: 65_535 },
        default: Default::Absent,
        example: "465",
        meaning: "Port of the relay. Left out: 465 for tls, 587 for starttls, 25 for dangerous-plaintext.",
    },
    Key {
        name: "mail.smtp.encryption",
        form: Form::Choice(&["tls", "starttls", "dangerous-plaintext"]),
        default: Default::Is("tls"),
        example: "",
        meaning: "How the connection to the relay is protected. The last one shows codes to whoever listens, so it is for a relay on the same machine.",
    },
    Key {
        name: "mail.smtp.username",
        form: Form::Secret,
        default: Default::Absent,
        example: "halcyon",
        meaning: "User name at the relay, if it wants one.",
    },
    Key {
        name: "mail.smtp.password_file",
        form: Form::Path,
        default: Default::Absent,
        example: "/etc/halcyond/smtp-password",
        meaning: "File with the password at the relay and nothing else. There is no key for the password itself, so that it never stands in a process list.",
    },
    Key {
        name: "mail.smtp.from",
        form: Form::Text,
        default: Default::Absent,
        example: "Halcyon <halcyon@example.org>",
        meaning: "Sender of the mails.",
    },
    Key {
        name: "limits.verifications_per_address_hour",
        form: LIMIT,
        default: Default::Is("30"),
        example: "",
        meaning: "Verifications that one source address can start in an hour (ACC-4).",
    },
    Key {
        name: "limits.sign_ins_per_address_hour",
        form: LIMIT,
        default: Default::Is("60"),
        example: "",
        meaning: "Sign-ins that one source address can start in an hour (ACC-4).",
    },
    Key {
        name: "limits.verifications_per_handle_hour",
        form: LIMIT,
        default: Default::Is("5"),
        example: "",
        meaning: "Verifications of one handle in an hour (ACC-4).",
    },
    Key {
        name: "limits.sign_ins_per_handle_hour",
        form: LIMIT,
        default: Default::Is("10"),
        example: "",
        meaning: "Sign-ins with one handle in an hour (ACC-4).",
    },
    Key {
        name: "limits.lookups_per_day",
        form: LIMIT,
        default: Default::Is("200"),
        example: "",
        meaning: "Handles that an account never asked for before and may look up in a day (DIR-23).",
    },
    Key {
        name: "limits.lookups_burst",
        form: LIMIT,
        default: Default::Is("50"),
        example: "",
        meaning: "How many of them at once (DIR-23).",
    },
    Key {
        name: "limits.reports_per_day",
        form: LIMIT,
        default: Default::Is("20"),
        example: "",
        meaning: "Messages that an account may report to you in a day (ACC-62).",
    },
    Key {
        name: "limits.handles_per_account",
        form: LIMIT,
        default: Default::Is("20"),
        example: "",
        meaning: "Handles that one account can have (ACC-51).",
    },
    Key {
        name: "limits.open_links_per_account",
        form: LIMIT,
        default: Default::Is("5"),
        example: "",
        meaning: "New devices of one account that can wait for approval (LNK-1).",
    },
    Key {
        name: "limits.limit_loopback",
        form: Form::Switch,
        default: Default::Is("false"),
        example: "",
        meaning: "Whether limits for source addresses hold for this machine, too. Behind loopback may be a proxy, and so everybody.",
    },
    Key {
        name: "limits.connections_per_address",
        form: LIMIT,
        default: Default::Is("100"),
        example: "",
        meaning: "Courier connections from one source address (COU-14). Loopback is not limited, unless limits.limit_loopback is set.",
    },
    Key {
        name: "limits.connects_per_address_s",
        form: LIMIT,
        default: Default::Is("20"),
        example: "",
        meaning: "New connections a second from one source address, on each port (COU-14). Loopback is not limited.",
    },
    Key {
        name: "limits.connects_per_address_burst",
        form: LIMIT,
        default: Default::Is("200"),
        example: "",
        meaning: "How many of them at once, after a rest (COU-14).",
    },
    Key {
        name: "limits.connections_max",
        form: LIMIT,
        default: Default::Is("50000"),
        example: "",
        meaning: "Courier connections in all, about 12 KiB each while idle (COU-14). Each is an open file: with fewer of them allowed, the server takes fewer and says so.",
    },
    Key {
        name: "limits.handshakes_max",
        form: LIMIT,
        default: Default::Is("1000"),
        example: "",
        meaning: "Connections of one port that are in their handshake; each may hold 100 KiB (COU-14). More wait in the kernel's queue.",
    },
    Key {
        name: "limits.frame_timeout_s",
        form: SECONDS,
        default: Default::Is("60"),
        example: "",
        meaning: "Seconds from the beginning of a frame to its end (COU-3).",
    },
    Key {
        name: "limits.frames_per_s",
        form: LIMIT,
        default: Default::Is("1000"),
        example: "",
        meaning: "Frames a second that are taken from one connection; more wait unread (COU-16).",
    },
    Key {
        name: "limits.frames_burst",
        form: LIMIT,
        default: Default::Is("2000"),
        example: "",
        meaning: "How many of them at once, after a rest (COU-16).",
    },
    Key {
        name: "limits.bytes_per_s",
        form: LIMIT,
        default: Default::Is("1048576"),
        example: "",
        meaning: "Bytes a second that are taken from one connection of either port, TLS and all; more wait in the network (COU-16).",
    },
    Key {
        name: "limits.handshake_timeout_s",
        form: SECONDS,
        default: Default::Is("10"),
        example: "",
        meaning: "Seconds from the first byte of a courier connection to its end of the handshake (COU-14).",
    },
    Key {
        name: "limits.keep_alive_min_s",
        form: SECONDS,
        default: Default::Is("60"),
        example: "",
        meaning: "Shortest keep-alive interval that devices are told; below it a phone's radio never sleeps (COU-15).",
    },
    Key {
        name: "limits.keep_alive_max_s",
        form: SECONDS,
        default: Default::Is("1800"),
        example: "",
        meaning: "Longest keep-alive interval that devices are told; beyond it most networks forget a connection (COU-15).",
    },
    Key {
        name: "limits.mailbox_count_max",
        form: LIMIT,
        default: Default::Is("10000"),
        example: "",
        meaning: "Envelopes that wait for one device (COU-45).",
    },
    Key {
        name: "limits.mailbox_bytes_max",
        form: LIMIT,
        default: Default::Is("67108864"),
        example: "",
        meaning: "Bytes that wait for one device (COU-45).",
    },
    Key {
        name: "limits.window_count",
        form: LIMIT,
        default: Default::Is("64"),
        example: "",
        meaning: "Deliveries of one connection that wait for their acknowledgement (COU-51).",
    },
    Key {
        name: "limits.window_bytes",
        form: WINDOW,
        default: Default::Is("1048576"),
        example: "",
        meaning: "Bytes of such deliveries (COU-51).",
    },
    Key {
        name: "limits.sends_per_s",
        form: LIMIT,
        default: Default::Is("50"),
        example: "",
        meaning: "Sends of one device in a second (COU-45).",
    },
    Key {
        name: "limits.sends_burst",
        form: LIMIT,
        default: Default::Is("200"),
        example: "",
        meaning: "Sends of one device at once, after a rest (COU-45).",
    },
    Key {
        name: "limits.sends_in_flight_max",
        form: LIMIT,
        default: Default::Is("16"),
        example: "",
        meaning: "Sends of one connection that are being stored at the same time; more wait unread.",
    },
    Key {
        name: "log.format",
        form: Form::Choice(&["text", "json"]),
        default: Default::Is("text"),
        example: "",
        meaning: "Form of the log, which goes to standard error.",
    },
    Key {
        name: "log.level",
        form: Form::Choice(&["error", "warn", "info", "debug", "trace"]),
        default: Default::Is("info"),
        example: "",
        meaning: "How much is logged. No level logs contents, handles, keys or tokens.",
    },
];

impl Key {
    /// Returns the name in the environment: `HALCYOND_LISTEN_COURIER`.
    pub(crate) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "_").to_uppercase())
    }

    /// Returns the name as a flag, without the hyphens before it: `listen-courier`.
    pub(crate) fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// Returns the first sentence of the meaning.
    pub(crate) fn summary(&self) -> &'static str {
        self.meaning.split_once(". ").map_or(self.meaning, |(first, _)| first).trim_end_matches('.')
    }

    /// Returns what may stand for the value in a usage line.
    pub(crate) fn placeholder(&self) -> &'static str {
        match self.form {
            Form::Text | Form::Secret => "TEXT",
            Form::Path => "PATH",
            Form::Address | Form::AddressOrNone => "ADDRESS:PORT",
            Form::Number { .. } => "NUMBER",
            Form::Switch => "true|false",
            Form::Choice(_) => "WORD",
        }
    }
}

/// What variables of ours begin with.
pub(crate) const PREFIX: &str = "HALCYOND_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_meet_in_the_environment_or_on_the_command_line() {
        let unique = |mut names: Vec<String>| {
            names.sort();
            let count = names.len();
            names.dedup();
            names.len() == count
        };
        assert!(unique(KEYS.iter().map(Key::variable).collect()));
        assert!(unique(KEYS.iter().map(Key::flag).collect()));
    }

    #[test]
    fn a_key_without_a_default_has_an_example() {
        for key in KEYS {
            assert_eq!(key.example.is_empty(), matches!(key.default, Default::Is(_)), "{}", key.name);
        }
    }
}
