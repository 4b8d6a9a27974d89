//! `halcyond reports`: what people reported to the operator. Spec: 20-accounts.md §6 (ACC-62, ACC-63).
//!
//! Owns how reports are shown. Does not need a server that runs, and does not disturb one that does.
//!
//! - Each report is verified anew with the key that came with it; one that does not verify is shown as such, without what it says.
//! - What is shown is safe for a terminal: nothing else verifies (ACC-60).

use std::path::PathBuf;

use clap::ArgMatches;
use halcyon_crypto::{CompactKey, VerifyingKey};
use halcyon_directory::report::{Report, SignedReport};
use halcyon_server_store::directory::{KeptReport, ReportsFile};
use halcyon_types::{ReportId, Timestamp};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::{cli, config};

/// Characters of a text in a list: with the rest of the line a terminal's width.
const EXCERPT_CHARS: usize = 60;

/// Lists, shows or drops reports.
///
/// # Errors
/// [`Failure`]
pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((what, matches)) = matches.subcommand() else { unreachable!("clap demands a subcommand") };
    let file = ReportsFile::open(&folder(matches)?).map_err(Failure::Reports)?;
    let is_json = matches.get_one::<String>("output").is_some_and(|output| output == "json");
    let ids = || matches.get_many::<ReportId>("report").into_iter().flatten().copied();
    match what {
        "list" => list(&file, is_json),
        "show" => ids().try_for_each(|id| show(&file, id, is_json)),
        _ => ids().try_for_each(|id| drop_report(&file, id, is_json)),
    }
}

/// The data folder alone is enough; else the configuration says where it is.
fn folder(matches: &ArgMatches) -> Result<PathBuf, Failure> {
    let said = cli::said(matches);
    if let Some(folder) = said.flags.get("data_folder") {
        return Ok(PathBuf::from(folder));
    }
    let config = config::read(&said).map_err(Failure::Configuration)?;
    Ok(config.path("data_folder").map(PathBuf::from).unwrap_or_default())
}

fn list(file: &ReportsFile, is_json: bool) -> Result<(), Failure> {
    let mut count = 0;
    let each = |report: KeptReport| {
        count += 1;
        let verified = verified(&report);
        if is_json {
            println!("{}", line(&report, verified.as_ref()))
        } else {
            println!("{}", row(&report, verified.as_ref()))
        }
    };
    file.each(now(), each).map_err(Failure::Reports)?;
    if count == 0 && !is_json {
        eprintln!("There is no report.");
    }
    Ok(())
}

fn show(file: &ReportsFile, id: ReportId, is_json: bool) -> Result<(), Failure> {
    let report = file.find(id, now()).map_err(Failure::Reports)?.ok_or(Failure::NoSuchReport(id))?;
    let verified = verified(&report);
    if is_json {
        println!("{}", line(&report, verified.as_ref()))
    } else {
        println!("{}", words(&report, verified.as_ref()))
    }
    Ok(())
}

fn drop_report(file: &ReportsFile, id: ReportId, is_json: bool) -> Result<(), Failure> {
    if !file.drop_report(id).map_err(Failure::Reports)? {
        return Err(Failure::NoSuchReport(id));
    }
    if is_json {
        println!("{}", json!({ "type": "report-dropped", "report": id.to_hex() }))
    } else {
        println!("{id} dropped")
    }
    Ok(())
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// None if the file was changed by somebody who has not the device's key.
fn verified(kept: &KeptReport) -> Option<Report> {
    let key = VerifyingKey::from_compact(&CompactKey::from_bytes(kept.device_key)).ok()?;
    let signed = SignedReport::verify(kept.signed.clone(), &key).ok()?;
    let report = signed.report();
    ((report.account, report.device) == (kept.account, kept.device)).then(|| report.clone())
}

fn line(kept: &KeptReport, report: Option<&Report>) -> Value {
    let said = report.map(|report| {
        let parts =
            report.parts.iter().map(|part| json!({ "kind": part.kind, "text": part.text, "earlier": part.earlier }));
        json!({
            "reported_ms": report.reported.as_millis(), "note": report.note, "message": report.message.to_hex(),
            "sender": report.sender.as_uri(), "sender_account": report.sender_account.to_hex(),
            "sender_device": report.sender_device.to_hex(),
            "recipient": report.recipient.as_ref().map(|handle| handle.as_uri()),
            "suite": report.suite.map(halcyon_types::SuiteId::as_u32), "sent_ms": report.sent.as_millis(),
            "received_ms": report.received.as_millis(), "subject": report.subject, "parts": parts.collect::<Vec<_>>(),
        })
    });
    json!({
        "type": "report", "report": kept.id.to_hex(), "stored_ms": kept.stored.as_millis(),
        "kept_until_ms": kept.expires.as_millis(), "account": kept.account.to_hex(), "device": kept.device.to_hex(),
        "said": said, "device_key": hex::encode(kept.device_key), "signed": hex::encode(&kept.signed),
    })
}

const UNVERIFIED: &str = "(not what the device signed: the file was changed)";

fn row(kept: &KeptReport, report: Option<&Report>) -> String {
    let said = report
        .map_or_else(|| UNVERIFIED.to_owned(), |report| format!("{}: {}", report.sender.address(), excerpt(report)));
    format!("{}  {}  {said}", kept.id, kept.stored.to_utc())
}

fn excerpt(report: &Report) -> String {
    let text = report.parts.iter().map(|part| if part.text.is_empty() { &part.kind } else { &part.text });
    let text: Vec<&str> = text.map(String::as_str).collect();
    let plain = text.join(" ").replace(char::is_control, " ");
    if plain.chars().count() <= EXCERPT_CHARS {
        return plain;
    }
    plain.chars().take(EXCERPT_CHARS).chain(['…']).collect()
}

fn words(kept: &KeptReport, report: Option<&Report>) -> String {
    let mut rows = vec![
        ("report", kept.id.to_hex()),
        ("came", kept.stored.to_utc()),
        ("kept until", kept.expires.to_utc()),
        ("reporter", format!("account {}, device {}", kept.account, kept.device)),
    ];
    let Some(report) = report else {
        rows.push(("says", UNVERIFIED.to_owned()));
        return table(rows);
    };
    rows.extend(report.recipient.as_ref().map(|handle| ("reporter is", handle.address().to_owned())));
    rows.push(("sender", report.sender.address().to_owned()));
    rows.push(("", format!("account {}, device {}", report.sender_account, report.sender_device)));
    rows.push(("message", report.message.to_hex()));
    rows.push(("sent", format!("{}, by the sender's clock", report.sent.to_utc())));
    rows.push(("received", format!("{}, by the reporter's clock", report.received.to_utc())));
    rows.push(("reported", format!("{}, by the reporter's clock", report.reported.to_utc())));
    rows.extend(report.suite.map(|suite| ("suite", suite.to_string())));
    rows.extend((!report.subject.is_empty()).then(|| ("subject", report.subject.clone())));
    for part in &report.parts {
        rows.push((&part.kind, part.text.clone()));
        rows.extend(part.earlier.iter().rev().map(|said| ("  before", said.clone())));
    }
    rows.extend((!report.note.is_empty()).then(|| ("note", report.note.clone())));
    table(rows) + "\nThat the reporter's device says so is all that its signature proves.\n"
}

fn table(rows: Vec<(&str, String)>) -> String {
    let row = |(name, value): (&str, String)| format!("{name:<12}{}\n", value.replace('\n', &format!("\n{:12}", "")));
    rows.into_iter().map(row).collect()
}
