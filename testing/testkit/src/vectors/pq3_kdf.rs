//! Tests of the ratchet's key schedule and of Padmé.

use halcyon_crypto::{Secret, padding::padme};
use halcyon_suites::pq3::kdf::{ChainKey, RootKey};
use serde_json::Value;

use super::{Node, Report, VectorsError, same};

pub(super) fn run(file: &Node<'_>) -> Result<Report, VectorsError> {
    let mut report = Report::default();
    for (i, step) in file.list("root")?.iter().enumerate() {
        report.record(format!("root {i}"), "", check_root(step)?);
    }
    for (i, step) in file.list("chain")?.iter().enumerate() {
        report.record(format!("chain {i}"), "", check_chain(step)?);
    }
    for (i, row) in file.list("padme")?.iter().enumerate() {
        report.record(format!("padme {i}"), "", check_padme(row)?);
    }
    Ok(report)
}

fn check_root(step: &Node<'_>) -> Result<Result<(), String>, VectorsError> {
    let root = RootKey::from_secret(secret(step, "old_rk")?);
    let ecdh = secret(step, "ecdh_ss")?;
    let kem = if step.text("kem_ss")?.is_empty() { None } else { Some(secret(step, "kem_ss")?) };
    let info = step.bytes("info")?;
    let (expected_rk, expected_ck) = (step.bytes("rk")?, step.bytes("ck")?);
    let (rk, ck) = root.step(&ecdh, kem.as_ref(), &[&info]);
    Ok(same("rk", rk.expose(), &expected_rk).and_then(|()| same("ck", ck.expose(), &expected_ck)))
}

fn check_chain(step: &Node<'_>) -> Result<Result<(), String>, VectorsError> {
    let (message, next) = ChainKey::from_secret(secret(step, "ck")?).step();
    let content = message.content_keys();
    let checks = [
        ("mk", *message.expose(), step.bytes("mk")?),
        ("next_ck", *next.expose(), step.bytes("next_ck")?),
        ("indicator", *message.indicator().expose(), step.bytes("indicator")?),
        ("key", *content.key.expose(), step.bytes("key")?),
    ];
    let iv = step.bytes("iv")?;
    let keys = checks.iter().try_for_each(|(what, actual, expected)| same(what, actual, expected));
    Ok(keys.and_then(|()| same("iv", content.counter.expose(), &iv)))
}

fn check_padme(row: &Node<'_>) -> Result<Result<(), String>, VectorsError> {
    let numbers = row.value.as_array().and_then(|row| row.iter().map(Value::as_u64).collect::<Option<Vec<_>>>());
    let Some([len, padded]) = numbers.as_deref() else {
        return Err(row.error("", "expected two numbers"));
    };
    let in_range = |number: u64| usize::try_from(number).map_err(|_| row.error("", "is out of range"));
    let (len, expected) = (in_range(*len)?, in_range(*padded)?);
    let actual = padme(len);
    Ok(if actual == expected { Ok(()) } else { Err(format!("{len} is padded to {actual}, expected {expected}")) })
}

fn secret(node: &Node<'_>, field: &str) -> Result<Secret<32>, VectorsError> {
    let bytes: [u8; 32] = node.array(field)?;
    Ok(Secret::fill_with(|out| *out = bytes))
}
