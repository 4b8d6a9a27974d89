use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

#[test]
fn the_definition_is_consistent() {
    definition().debug_assert();
}

#[test]
fn everyday_lines_parse() {
    let lines = [
        "halcyon register alice@example.org --server https://localhost:8443 --device-name phone --ca ca.pem",
        "halcyon link alice@example.org --server https://example.org --password-fd 3 --passphrase-fd 4",
        "halcyon link alice@example.org --server https://example.org --device-secret keyring",
        "halcyon approve laptop --timeout 5",
        "halcyon send bob@example.org carol@example.org --text -hi- --from alice@example.org --wait",
        "halcyon listen --output json --count 3 --for 60",
        "halcyon talk bob@example.org",
        "halcyon register alice@example.org --server https://localhost --no-wait",
        "halcyon register alice@example.org --server https://localhost --verification 01 --code 123456",
        "halcyon history bob@example.org --limit 5 --profile work",
        "halcyon devices",
        "halcyon devices rename desk --output json",
        "halcyon devices remove tablet",
        "halcyon handles add alice@example.com --no-wait",
        "halcyon handles verify alice@example.com --id 0123 --code 123456",
        "halcyon group",
        "halcyon group create friends bob@example.org carol@example.org --from alice@example.org",
        "halcyon group add group:friends dave@example.org",
        "halcyon group remove 0123456789ab dave@example.org",
        "halcyon group leave friends --output json",
        "halcyon group rename friends ours",
        "halcyon group photo friends https://example.org/us.jpeg",
        "halcyon send group:friends --text hello",
        "halcyon history group:friends --limit 3",
        "halcyon handles default",
        "halcyon lookup bob@example.org --accept",
        "halcyon security bob@example.org carol@example.org --output json",
        "halcyon suites",
        "halcyon suites off pair-ec",
        "halcyon suites on pair",
        "halcyon alerts --all",
        "halcyon sessions",
        "halcyon sessions bob@example.org --output json",
        "halcyon sessions reset bob@example.org --yes",
        "halcyon sessions reset",
        "halcyon counters --output json",
        "halcyon doctor --profile-folder /somewhere",
        "halcyon completions fish",
        "halcyon man --folder man",
    ];
    for line in lines {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn nonsense_is_refused() {
    let lines = [
        "halcyon",
        "halcyon register alice --server https://localhost",
        "halcyon register alice@example.org",
        "halcyon send --text hi",
        "halcyon send bob@example.org --timeout 0",
        "halcyon group create friends",
        "halcyon group remove friends",
        "halcyon send friends --text hi",
        "halcyon listen --profile ../other",
        "halcyon listen --passphrase-fd 3 --passphrase-file f",
        "halcyon listen --output yaml",
        "halcyon register alice@example.org --server https://localhost --device-secret 0123",
    ];
    for line in lines {
        assert!(parse(line).is_err(), "{line}");
    }
}

/// IDN-1: a handle is in its normal form from the first moment.
#[test]
fn handles_are_normalized() {
    let parsed = parse("halcyon lookup Bob@Example.ORG").unwrap();
    let Command::Lookup(lookup) = parsed.command else { panic!("a lookup") };
    assert_eq!(lookup.handles[0].as_uri(), "mailto:bob@example.org");
}

/// No option takes a secret as its value, so none ends in a process list or a shell's history.
#[test]
fn no_argument_takes_a_secret() {
    fn walk(command: &clap::Command) {
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            let named_secret = id.contains("pass");
            assert!(!named_secret || id.ends_with("_fd") || id.ends_with("_file") || id == "password", "{id}");
        }
        command.get_subcommands().for_each(walk);
    }
    walk(&definition());
}
