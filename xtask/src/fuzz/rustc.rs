//! Stands between cargo and rustc while fuzz targets are built.
//!
//! Owns the list of crates that are compiled without coverage. A fuzzer learns nothing from the inside of a field
//! multiplication or a hash, and counting every comparison there makes a run many times slower. Everything else is compiled
//! as cargo-fuzz says.

use std::{env, ffi::OsString, process::Command};

/// Set in the environment of a build that this program is the wrapper of.
pub(super) const MARK: &str = "HALCYON_FUZZ_RUSTC";

/// Arithmetic and hashing, by the names that rustc is given.
const WITHOUT_COVERAGE: &[&str] = &[
    "aes",
    "aes_gcm",
    "argon2",
    "blake2",
    "crypto_bigint",
    "ctr",
    "curve25519_dalek",
    "digest",
    "ecdsa",
    "elliptic_curve",
    "generic_array",
    "ghash",
    "hkdf",
    "hmac",
    "num_bigint_dig",
    "opaque_ke",
    "p256",
    "polyval",
    "ppv_lite86",
    "primeorder",
    "rand_chacha",
    "rfc6979",
    "rsa",
    "sha1",
    "sha2",
    "subtle",
    "voprf",
    "zeroize",
];

/// Does rustc's work if cargo started this program as its wrapper, and returns rustc's exit code.
pub(crate) fn as_wrapper() -> Option<u8> {
    env::var_os(MARK)?;
    let mut args = env::args_os().skip(1);
    let rustc = args.next()?;
    let args: Vec<OsString> = args.collect();
    let status = Command::new(rustc).args(kept(args)).status().ok()?;
    Some(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn kept(args: Vec<OsString>) -> Vec<OsString> {
    let name = args.iter().skip_while(|arg| *arg != "--crate-name").nth(1);
    let without = name.is_some_and(|name| WITHOUT_COVERAGE.iter().any(|other| name == other));
    let is_coverage = |arg: &OsString| {
        let arg = arg.to_string_lossy();
        arg == "-Cpasses=sancov-module" || arg.starts_with("-Cllvm-args=-sanitizer-coverage")
    };
    args.into_iter().filter(|arg| !(without && is_coverage(arg))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_of(name: &str) -> Vec<OsString> {
        let args = [
            "--crate-name",
            name,
            "-Cpasses=sancov-module",
            "-Cllvm-args=-sanitizer-coverage-level=4",
            "-Zsanitizer=address",
        ];
        kept(args.map(OsString::from).to_vec())
    }

    /// Our own crates are covered, arithmetic is not; the sanitizer stays in both.
    #[test]
    fn arithmetic_is_not_covered() {
        assert_eq!(kept_of("halcyon_suites").len(), 5);
        assert_eq!(kept_of("p256"), ["--crate-name", "p256", "-Zsanitizer=address"]);
    }
}
