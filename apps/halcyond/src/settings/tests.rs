use std::collections::BTreeMap;

use super::*;
use crate::config::{self, Said};

/// The configuration of an operator who only has flags.
fn config(flags: &[(&str, &str)]) -> Config {
    let required = [("data_folder", "data"), ("public_host", "chat.example.org")];
    let flags = required.iter().chain(flags).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    config::read(&Said { flags: flags.collect(), ..Said::default() }).unwrap()
}

const DEVELOPMENT: [(&str, &str); 2] = [("tls.development", "true"), ("mail.folder", "mail")];

fn development(more: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
    settings(&config(&[&DEVELOPMENT, more].concat()))
}

fn places(outcome: Result<Settings, Vec<Problem>>) -> Vec<String> {
    outcome.unwrap_err().into_iter().map(|problem| problem.place).collect()
}

#[test]
fn development_needs_four_keys() {
    let settings = development(&[]).unwrap();
    assert!(
        matches!(settings.tls, TlsSource::DevelopmentAuthority { ref names, .. } if names[0] == "chat.example.org")
    );
    assert!(matches!(settings.mail, MailSource::Folder(ref folder) if folder == Path::new("mail")));
}

/// ACC-4, ACC-51, LNK-1, DIR-23, COU-14, COU-15, COU-45, COU-51: the table's defaults are the server's, and each is a setting.
#[test]
fn limits_of_the_table_are_those_of_the_server() {
    let usual = development(&[]).unwrap();
    assert_eq!(usual.limits, Limits::default());
    assert_eq!(format!("{:?}", usual.courier), format!("{:?}", CourierLimits::default()));
    for key in config::keys::KEYS.iter().filter(|key| key.name.starts_with("limits.")) {
        let other = match key.name {
            "limits.limit_loopback" => "true",
            "limits.keep_alive_min_s" => "77",
            _ => "77777",
        };
        let changed = development(&[(key.name, other)]).unwrap();
        let shown = |settings: &Settings| format!("{:?} {:?}", settings.limits, settings.courier);
        assert_ne!(shown(&changed), shown(&usual), "{} changes nothing", key.name);
    }
    assert_eq!(places(development(&[("limits.keep_alive_min_s", "1801")])), ["--limits-keep-alive-min-s"]);
}

#[test]
fn a_certificate_needs_its_key_and_both_must_be_readable() {
    let mail = ("mail.folder", "mail");
    assert_eq!(places(settings(&config(&[mail]))), ["tls"]);
    assert_eq!(
        places(settings(&config(&[mail, ("tls.certificate_file", "/nowhere/a.pem")]))),
        ["tls.private_key_file"]
    );
    let both = [mail, ("tls.certificate_file", "/nowhere/a.pem"), ("tls.private_key_file", "/nowhere/b.pem")];
    assert_eq!(places(settings(&config(&both))), ["--tls-certificate-file", "--tls-private-key-file"]);
    assert_eq!(places(development(&both[1..])), ["--tls-development"]);
}

#[test]
fn mail_goes_one_way() {
    let tls = ("tls.development", "true");
    assert_eq!(places(settings(&config(&[tls]))), ["mail"]);
    assert_eq!(places(development(&[("mail.smtp.host", "smtp.example.org")])), ["--mail-folder"]);
    assert_eq!(places(settings(&config(&[tls, ("mail.smtp.host", "smtp.example.org")]))), ["mail.smtp.from"]);
    let from = ("mail.smtp.from", "halcyon@example.org");
    let half = [tls, ("mail.smtp.host", "smtp.example.org"), from, ("mail.smtp.username", "halcyon")];
    assert_eq!(places(settings(&config(&half))), ["mail.smtp.password_file"]);
}

#[test]
fn the_password_is_read_without_its_newline_and_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let flags = BTreeMap::from([
        ("tls.development", "true"),
        ("mail.smtp.host", "smtp.example.org"),
        ("mail.smtp.from", "halcyon@example.org"),
        ("mail.smtp.username", "halcyon"),
        ("mail.smtp.encryption", "starttls"),
        ("mail.smtp.password_file", file.to_str().unwrap()),
    ]);
    let flags: Vec<(&str, &str)> = flags.into_iter().collect();
    std::fs::write(&file, "open sesame\n").unwrap();
    let settings = settings(&config(&flags)).unwrap();
    assert!(!format!("{settings:?}").contains("sesame"));
    let MailSource::Smtp(smtp) = settings.mail else { panic!("not a relay") };
    assert_eq!((smtp.port, smtp.security), (587, SmtpSecurity::StartTls));
    assert_eq!(smtp.credentials.unwrap().1.expose(), b"open sesame");

    std::fs::write(&file, "\n").unwrap();
    assert_eq!(places(super::settings(&config(&flags))), ["--mail-smtp-password-file"]);
}

#[test]
fn the_host_has_one_spelling_and_ports_differ() {
    for host in ["Chat.example.org", "https://chat.example.org", "chat.example.org:5223", "", "a..b"] {
        let Ok(config) = config::read(&Said {
            flags: [("data_folder", "data"), ("public_host", host), DEVELOPMENT[0], DEVELOPMENT[1]]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..Said::default()
        }) else {
            assert!(host.is_empty());
            continue;
        };
        assert_eq!(places(settings(&config)), ["--public-host"], "{host}");
    }
    assert_eq!(places(development(&[("listen.https", "0.0.0.0:5223")])), ["--listen-https"]);
    assert!(development(&[("listen.https", "127.0.0.1:0"), ("listen.courier", "127.0.0.1:0")]).is_ok());
    assert_eq!(places(development(&[("public_url", "http://chat.example.org")])), ["--public-url"]);
}

/// The table for operators is in a document, and made of the same table as everything else.
#[test]
fn the_document_of_limits_has_every_limit_with_its_default() {
    let document = include_str!("../../../../docs/limits-and-errors.md");
    for key in config::keys::KEYS.iter().filter(|key| key.name.starts_with("limits.")) {
        let config::keys::Default::Is(default) = key.default else { panic!("{} has no default", key.name) };
        let row = format!("| `{}` | {default} | {} |", key.name, key.meaning);
        assert!(document.contains(&row), "docs/limits-and-errors.md lacks: {row}");
    }
}
