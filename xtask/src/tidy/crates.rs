//! Who may depend on whom, from `cargo metadata` and the manifests.
//!
//! Owns the table of boundaries. A folder says what a crate in it may touch; this makes the saying true.
//!
//! - Rules about what is *linked* follow dependencies of dependencies; rules about what is *named* look at direct ones.
//! - Tests may reach further: only the rules that say so look at dev-dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::{Rule, Violation};

/// The workspace, as far as the rules need it.
pub(super) struct Graph {
    pub(super) members: Vec<Member>,
    /// What each package, ours or not, links: its normal and build dependencies.
    links: BTreeMap<String, BTreeSet<String>>,
    root_manifest: String,
}

/// One crate of ours.
pub(super) struct Member {
    name: String,
    /// `core/types`.
    folder: String,
    manifest: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    kind: Kind,
    features: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Build,
    Dev,
}

const BLIND_SERVER: Rule = Rule {
    name: "blind server",
    reason: "the server must not be able to open messages, so nothing that can is linked into it",
};
const PURE_CORE: Rule = Rule {
    name: "pure core",
    reason: "core says what the protocols are; it runs in a browser and in a simulator, where there is no I/O and no runtime",
};
const PRIMITIVES: Rule = Rule {
    name: "primitives",
    reason: "one crate chooses and wraps the cryptography, so that there is one place to audit: use halcyon-crypto",
};
const UNSAFE_CRATE: Rule =
    Rule { name: "unsafe crate", reason: "code that needs unsafe stays behind one safe crate: use halcyon-crypto" };
const VOCABULARY: Rule =
    Rule { name: "vocabulary", reason: "everything depends on halcyon-types, so it depends on nothing of ours" };
const DOWNWARDS: Rule = Rule {
    name: "downwards",
    reason: "dependencies point down (types, crypto, protocols, client and server, adapters, apps), so that each layer can be read and tested alone",
};
const HALVES: Rule = Rule {
    name: "halves",
    reason: "client and server meet in the protocol only; otherwise one of them works because of the other's code",
};
const PORTS: Rule = Rule {
    name: "ports",
    reason: "the order of things must run on a simulated network and disk, so I/O is in the -net and -store adapters",
};
const FORBID_UNSAFE: Rule = Rule {
    name: "forbid unsafe",
    reason: "unsafe code stays in the crates of tidy's table, and the compiler must see to it",
};

/// Crates that can open, decode or keep what people say to each other.
const OPENS_MESSAGES: &[&str] = &[
    "halcyon-suites",
    "halcyon-content",
    "halcyon-keychain",
    "halcyon-client",
    "halcyon-client-net",
    "halcyon-client-store",
];

/// What a server links: its logic, its adapters, its program.
const SERVER: &[&str] = &["halcyon-server", "halcyon-server-net", "halcyon-server-store", "halcyond"];

const IMPURE: &[&str] = &[
    "tokio",
    "rusqlite",
    "libsqlite3-sys",
    "rustls",
    "hyper",
    "axum",
    "socket2",
    "mio",
    "lettre",
    "tracing-subscriber",
    "async-trait",
];

/// Crates that implement cryptography. TLS libraries are not here: they keep theirs to themselves.
const PRIMITIVE_CRATES: &[&str] = &[
    "aws-lc-rs",
    "ring",
    "p256",
    "ecdsa",
    "elliptic-curve",
    "aes",
    "ctr",
    "aes-gcm",
    "sha1",
    "sha2",
    "hmac",
    "hkdf",
    "rsa",
    "argon2",
    "opaque-ke",
    "curve25519-dalek",
    "x25519-dalek",
    "ed25519-dalek",
    "libcrux-ml-kem",
    "chacha20poly1305",
];

const IO_CRATES: &[&str] =
    &["rusqlite", "rustls", "tokio-rustls", "hyper", "hyper-util", "axum", "lettre", "tokio-tungstenite", "socket2"];
const IO_FEATURES: &[&str] = &["net", "fs", "process", "signal", "full"];

const RSA_LEGACY: &str = "halcyon-rsa-legacy";

pub(super) fn check(graph: &Graph) -> Vec<Violation> {
    let mut violations = Vec::new();
    for member in &graph.members {
        check_linked(graph, member, &mut violations);
        check_named(graph, member, &mut violations);
        check_layers(graph, member, &mut violations);
        check_lints(member, &mut violations);
    }
    if !has_line(&graph.root_manifest, "unsafe_code = \"forbid\"") {
        violations.push(Violation {
            path: "Cargo.toml".into(),
            line: 1,
            rule: &FORBID_UNSAFE,
            what: "the workspace lints do not have unsafe_code = \"forbid\"".into(),
        });
    }
    violations
}

fn check_linked(graph: &Graph, member: &Member, violations: &mut Vec<Violation>) {
    let mut forbid = |rule, crates: &[&str]| {
        for (linked, through) in graph.linked_by(&member.name) {
            if crates.contains(&linked.as_str()) {
                let way = if through.len() > 1 {
                    format!(" through {}", through[..through.len() - 1].join(" and "))
                } else {
                    String::new()
                };
                violations.push(member.violation(rule, &through[0], format!("{} links {linked}{way}", member.name)));
            }
        }
    };
    if SERVER.contains(&member.name.as_str()) {
        forbid(&BLIND_SERVER, OPENS_MESSAGES);
    }
    if member.folder.starts_with("core/") {
        forbid(&PURE_CORE, IMPURE);
    }
    if is_half(&member.folder, "client") {
        forbid(&HALVES, SERVER);
    }
}

fn check_named(graph: &Graph, member: &Member, violations: &mut Vec<Violation>) {
    let ours = |name: &str| graph.members.iter().any(|member| member.name == name);
    for dependency in &member.dependencies {
        let Dependency { name, kind, features } = dependency;
        let mut violate =
            |rule| violations.push(member.violation(rule, name, format!("{} depends on {name}", member.name)));
        if PRIMITIVE_CRATES.contains(&name.as_str())
            && !matches!(member.folder.as_str(), "core/crypto" | "core/rsa-legacy")
        {
            violate(&PRIMITIVES);
        }
        if (name == RSA_LEGACY && member.folder != "core/crypto") || (name == "aws-lc-sys" && member.name != RSA_LEGACY)
        {
            violate(&UNSAFE_CRATE);
        }
        if member.folder == "core/types" && ours(name) {
            violate(&VOCABULARY);
        }
        if *kind == Kind::Dev {
            continue;
        }
        if member.folder.starts_with("core/") && matches!(name.as_str(), "rand" | "getrandom") {
            violate(&PURE_CORE);
        }
        if matches!(member.folder.as_str(), "shell/client" | "shell/server") {
            let feature = features.iter().find(|feature| IO_FEATURES.contains(&feature.as_str()));
            if IO_CRATES.contains(&name.as_str()) || (name == "tokio" && feature.is_some()) {
                violate(&PORTS);
            }
        }
    }
}

fn check_layers(graph: &Graph, member: &Member, violations: &mut Vec<Violation>) {
    for dependency in member.dependencies.iter().filter(|dependency| dependency.kind != Kind::Dev) {
        let Some(below) = graph.members.iter().find(|other| other.name == dependency.name) else { continue };
        let (high, low) = (layer(&member.folder), layer(&below.folder));
        // Protocols build on each other, and so do the adapters of one half and the apps: cargo sees to it that none go in
        // circles.
        let same_half = HALF_NAMES.iter().any(|half| is_half(&member.folder, half) && is_half(&below.folder, half));
        let together = matches!(high, PROTOCOLS | APPS) || high == ADAPTERS && same_half;
        let allowed = low < high || low == high && together;
        if !allowed {
            violations.push(member.violation(
                &DOWNWARDS,
                &below.name,
                format!("{} depends on {}", member.folder, below.folder),
            ));
        }
    }
}

fn check_lints(member: &Member, violations: &mut Vec<Violation>) {
    let inherits = member
        .manifest
        .split("[lints]")
        .nth(1)
        .is_some_and(|below| has_line(below.split("\n[").next().unwrap_or(""), "workspace = true"));
    if !inherits && !super::UNSAFE_FOLDERS.contains(&member.folder.as_str()) {
        let what = format!("{} does not inherit the workspace's lints", member.name);
        violations.push(member.violation(&FORBID_UNSAFE, "", what));
    }
}

const PROTOCOLS: u8 = 3;
const ADAPTERS: u8 = 5;
const APPS: u8 = 6;
const HALF_NAMES: &[&str] = &["client", "server"];

/// Returns how high a folder lies. A crate depends on lower ones only.
fn layer(folder: &str) -> u8 {
    match folder {
        "core/types" => 0,
        "core/rsa-legacy" => 1,
        "core/crypto" => 2,
        // Empty functions in everything that is shipped, which both halves call.
        "shell/failpoint" => PROTOCOLS,
        _ if folder.starts_with("core/") => PROTOCOLS,
        "shell/client" | "shell/server" => 4,
        _ if folder.starts_with("shell/") => ADAPTERS,
        _ if folder.starts_with("apps/") => APPS,
        // People and worlds for tests: apps and shells use them in dev-dependencies.
        _ if folder.starts_with("testing/") => 7,
        _ => 8,
    }
}

fn is_half(folder: &str, half: &str) -> bool {
    folder.strip_prefix("shell/").is_some_and(|name| name.starts_with(half))
}

fn has_line(text: &str, line: &str) -> bool {
    text.lines().any(|other| other.trim() == line)
}

impl Member {
    fn violation(&self, rule: &'static Rule, dependency: &str, what: String) -> Violation {
        let names = |line: &str| !dependency.is_empty() && line.trim_start().starts_with(dependency);
        let line = self.manifest.lines().position(names).map_or(1, |index| index + 1);
        Violation { path: format!("{}/Cargo.toml", self.folder), line, rule, what }
    }
}

impl Graph {
    /// Returns everything a crate links, each with the way to it, the thing itself last.
    fn linked_by(&self, name: &str) -> BTreeMap<String, Vec<String>> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut waiting = vec![(name.to_owned(), Vec::new())];
        while let Some((from, way)) = waiting.pop() {
            for next in self.links.get(&from).into_iter().flatten() {
                if !found.contains_key(next) {
                    let way: Vec<String> = way.iter().chain([next]).cloned().collect();
                    found.insert(next.clone(), way.clone());
                    waiting.push((next.clone(), way));
                }
            }
        }
        found
    }

    /// Asks cargo for the workspace.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1"])
            .current_dir(root)
            .output()
            .context("cannot start cargo metadata")?;
        anyhow::ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
        let read =
            |path: &Path| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));

        let mut members = Vec::new();
        for package in array(&metadata["packages"]).filter(|package| package["source"].is_null()) {
            let manifest_path = Path::new(text(&package["manifest_path"]));
            let folder = manifest_path
                .parent()
                .and_then(|folder| folder.strip_prefix(root).ok())
                .context("a crate lies outside the repository")?;
            members.push(Member {
                name: text(&package["name"]).into(),
                folder: folder.to_string_lossy().replace('\\', "/"),
                manifest: read(manifest_path)?,
                dependencies: array(&package["dependencies"]).map(dependency).collect(),
            });
        }
        Ok(Self { members, links: links(&metadata), root_manifest: read(&root.join("Cargo.toml"))? })
    }
}

fn dependency(value: &Value) -> Dependency {
    let kind = match value["kind"].as_str() {
        Some("dev") => Kind::Dev,
        Some("build") => Kind::Build,
        _ => Kind::Normal,
    };
    Dependency {
        name: text(&value["name"]).into(),
        kind,
        features: array(&value["features"]).map(|feature| text(feature).into()).collect(),
    }
}

/// Returns what each package links. Build scripts of others run before anything of ours, so only normal edges are followed.
fn links(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let names: BTreeMap<&str, &str> =
        array(&metadata["packages"]).map(|package| (text(&package["id"]), text(&package["name"]))).collect();
    let mut links: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in array(&metadata["resolve"]["nodes"]) {
        let Some(name) = names.get(text(&node["id"])) else { continue };
        let linked = array(&node["deps"]).filter(|edge| array(&edge["dep_kinds"]).any(|kind| kind["kind"].is_null()));
        let linked = linked.filter_map(|edge| names.get(text(&edge["pkg"]))).map(|name| (*name).to_owned());
        links.entry((*name).to_owned()).or_default().extend(linked);
    }
    links
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, folder, dependencies.
    type Described<'a> = (&'a str, &'a str, &'a [(&'a str, Kind)]);

    /// `halcyon-types` in `core/types`, and so on; `halcyond` in `apps/halcyond`.
    fn graph(members: &[Described<'_>]) -> Graph {
        let member = |(name, folder, dependencies): &Described<'_>| Member {
            name: (*name).into(),
            folder: (*folder).into(),
            manifest: "[lints]\nworkspace = true\n".into(),
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency { name: (*name).into(), kind: *kind, features: Vec::new() })
                .collect(),
        };
        let members: Vec<Member> = members.iter().map(member).collect();
        let linked = |member: &Member| {
            let normal = member.dependencies.iter().filter(|dependency| dependency.kind == Kind::Normal);
            (member.name.clone(), normal.map(|dependency| dependency.name.clone()).collect())
        };
        let links = members.iter().map(linked).collect();
        Graph { members, links, root_manifest: "unsafe_code = \"forbid\"\n".into() }
    }

    fn broken(graph: &Graph) -> Vec<&'static str> {
        let mut names: Vec<_> = check(graph).iter().map(|violation| violation.rule.name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    #[test]
    fn a_good_workspace_breaks_nothing() {
        let good = graph(&[
            ("halcyon-types", "core/types", &[]),
            ("halcyon-rsa-legacy", "core/rsa-legacy", &[("aws-lc-sys", Kind::Normal)]),
            (
                "halcyon-crypto",
                "core/crypto",
                &[("p256", Kind::Normal), ("halcyon-rsa-legacy", Kind::Normal), ("rand", Kind::Dev)],
            ),
            ("halcyon-suites", "core/suites", &[("halcyon-crypto", Kind::Normal)]),
            ("halcyon-content", "core/content", &[("halcyon-suites", Kind::Normal)]),
            ("halcyon-server", "shell/server", &[("tokio", Kind::Normal), ("halcyon-testkit", Kind::Dev)]),
            ("halcyon-client", "shell/client", &[("halcyon-suites", Kind::Normal)]),
            ("halcyon-testkit", "testing/testkit", &[("halcyon-client", Kind::Normal)]),
            (
                "halcyon-quickstart",
                "apps/quickstart",
                &[("halcyon-client", Kind::Normal), ("halcyon-server", Kind::Normal)],
            ),
        ]);
        assert_eq!(broken(&good), Vec::<&str>::new());
    }

    #[test]
    fn a_server_that_links_what_opens_messages_is_found_through_others_too() {
        let direct = graph(&[
            ("halcyon-suites", "core/suites", &[]),
            ("halcyon-server", "shell/server", &[("halcyon-suites", Kind::Normal)]),
        ]);
        assert_eq!(broken(&direct), ["blind server"]);
        let indirect = graph(&[
            ("halcyon-content", "core/content", &[]),
            ("halcyon-directory", "core/directory", &[("halcyon-content", Kind::Normal)]),
            ("halcyond", "apps/halcyond", &[("halcyon-directory", Kind::Normal)]),
        ]);
        assert_eq!(broken(&indirect), ["blind server"]);
        assert!(check(&indirect)[0].what.contains("through halcyon-directory"));
    }

    #[test]
    fn core_stays_pure() {
        assert_eq!(broken(&graph(&[("halcyon-courier", "core/courier", &[("tokio", Kind::Normal)])])), ["pure core"]);
        assert_eq!(broken(&graph(&[("halcyon-courier", "core/courier", &[("rand", Kind::Normal)])])), ["pure core"]);
    }

    #[test]
    fn only_the_crypto_crate_names_primitives() {
        assert_eq!(broken(&graph(&[("halcyon-suites", "core/suites", &[("sha2", Kind::Dev)])])), ["primitives"]);
        assert_eq!(
            broken(&graph(&[("halcyon-client", "shell/client", &[("aws-lc-sys", Kind::Normal)])])),
            ["unsafe crate"]
        );
        let legacy = graph(&[
            ("halcyon-rsa-legacy", "core/rsa-legacy", &[]),
            ("halcyon-suites", "core/suites", &[("halcyon-rsa-legacy", Kind::Dev)]),
        ]);
        assert_eq!(broken(&legacy), ["unsafe crate"]);
    }

    #[test]
    fn dependencies_point_down() {
        let up = graph(&[
            ("halcyon-client", "shell/client", &[]),
            ("halcyon-courier", "core/courier", &[("halcyon-client", Kind::Normal)]),
        ]);
        assert_eq!(broken(&up), ["downwards"]);
        let beside = graph(&[
            ("halcyon-client-net", "shell/client-net", &[]),
            ("halcyon-server-store", "shell/server-store", &[("halcyon-client-net", Kind::Build)]),
        ]);
        assert_eq!(broken(&beside), ["downwards"]);
        let types = graph(&[
            ("halcyon-crypto", "core/crypto", &[]),
            ("halcyon-types", "core/types", &[("halcyon-crypto", Kind::Dev)]),
        ]);
        assert_eq!(broken(&types), ["vocabulary"]);
        let halves = graph(&[
            ("halcyon-server", "shell/server", &[]),
            ("halcyon-client-net", "shell/client-net", &[("halcyon-server", Kind::Normal)]),
        ]);
        assert_eq!(broken(&halves), ["halves"]);
    }

    #[test]
    fn the_order_of_things_does_no_io() {
        assert_eq!(broken(&graph(&[("halcyon-server", "shell/server", &[("hyper", Kind::Normal)])])), ["ports"]);
        let mut net = graph(&[("halcyon-server", "shell/server", &[("tokio", Kind::Normal)])]);
        net.members[0].dependencies[0].features = vec!["sync".into(), "net".into()];
        assert_eq!(broken(&net), ["ports"]);
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        let mut bare = graph(&[("halcyon-suites", "core/suites", &[])]);
        bare.members[0].manifest = "[lints]\n\n[dependencies]\nworkspace = true\n".into();
        assert_eq!(broken(&bare), ["forbid unsafe"]);
        let mut open = graph(&[]);
        open.root_manifest = "unsafe_code = \"deny\"\n".into();
        assert_eq!(broken(&open), ["forbid unsafe"]);
    }
}
