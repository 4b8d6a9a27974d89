use super::*;

/// What an operator says who wrote `text` into a file.
fn file(text: &str) -> (tempfile::TempDir, Said) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("halcyond.toml");
    std::fs::write(&path, text).unwrap();
    let said = Said { file: Some(path), ..Said::default() };
    (folder, said)
}

const ENOUGH: &str = "data_folder = \"data\"\npublic_host = \"chat.example.org\"\n";

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let (_folder, mut said) = file(ENOUGH);
    let level = |said: &Said| read(said).unwrap().text("log.level").unwrap().to_owned();
    assert_eq!(level(&said), "info");
    std::fs::write(said.file.as_ref().unwrap(), format!("{ENOUGH}[log]\nlevel = \"warn\"\n")).unwrap();
    assert_eq!(level(&said), "warn");
    said.variables.insert("HALCYOND_LOG_LEVEL".into(), "debug".into());
    assert_eq!(level(&said), "debug");
    said.flags.insert("log.level".into(), "trace".into());
    assert_eq!(level(&said), "trace");
}

#[test]
fn every_key_can_be_said_in_every_place() {
    for key in KEYS {
        let text = match key.default {
            Default::Is(text) => text,
            Default::Absent | Default::Required => key.example,
        };
        let (_folder, said) = file(ENOUGH);
        let mut by_variable = said.clone();
        by_variable.variables.insert(key.variable(), text.to_owned());
        let mut by_flag = said.clone();
        by_flag.flags.insert(key.name.to_owned(), text.to_owned());
        for (said, place) in [(by_variable, key.variable()), (by_flag, format!("--{}", key.flag()))] {
            assert_eq!(read(&said).unwrap().place(key.name), place);
        }
    }
}

#[test]
fn paths_of_a_file_start_at_its_folder() {
    let (folder, mut said) = file(ENOUGH);
    assert_eq!(read(&said).unwrap().path("data_folder").unwrap(), folder.path().join("data"));
    said.flags.insert("data_folder".into(), "elsewhere".into());
    assert_eq!(read(&said).unwrap().path("data_folder").unwrap(), Path::new("elsewhere"));
}

#[test]
fn all_problems_come_at_once_and_say_what_to_do() {
    let (folder, mut said) = file("data_folder = 1.5\nlisten.couriers = \"x\"\n[listen]\n");
    assert!(read(&said).unwrap_err()[0].what.contains("not TOML"));

    std::fs::write(
        said.file.as_ref().unwrap(),
        "data_folder = [1]\n[listen]\ncourier = \"5223\"\nhttp = \"1\"\n[tls]\ndevelopment = \"yes\"\n[limits]\nmailbox_bytes = 0\n",
    )
    .unwrap();
    said.flags.insert("log.format".into(), "xml".into());
    let problems = read(&said).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let problems = problems.replace(&folder.path().display().to_string(), "FOLDER");
    insta::assert_snapshot!(problems);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let said = Said { file: Some("nowhere/halcyond.toml".into()), ..Said::default() };
    let problems = read(&said).unwrap_err();
    assert!(
        problems[0].place.contains("nowhere/halcyond.toml") && problems[0].next.contains("--config"),
        "{problems:?}"
    );
}

#[test]
fn secrets_are_not_shown() {
    let (_folder, said) = file(&format!("{ENOUGH}[mail.smtp]\nusername = \"relay-user\"\n"));
    let shown = read(&said).unwrap().to_string();
    assert!(shown.contains("mail.smtp.username") && !shown.contains("relay-user"), "{shown}");
}

#[test]
fn a_strange_variable_is_a_warning() {
    let (_folder, mut said) = file(ENOUGH);
    said.variables.insert("HALCYOND_LOGLEVEL".into(), "debug".into());
    said.variables.insert("HALCYOND_CONFIG".into(), "x".into());
    assert_eq!(read(&said).unwrap().warnings().len(), 1);
}

#[test]
fn the_example_is_a_configuration_in_which_nothing_differs_from_the_default() {
    let (_folder, said) = file(&example::example());
    let config = read(&said).unwrap();
    for key in KEYS.iter().filter(|key| key.default != Default::Required) {
        assert_ne!(
            config.values.get(key.name).map(|(_, source)| matches!(source, Source::File(_))),
            Some(true),
            "{}",
            key.name
        );
    }
    // With the comments taken off, it names every key, and every value has the right form.
    let open: String = example::example()
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line).to_owned() + "\n")
        .collect();
    let (_folder, said) = file(&open);
    let config = read(&said).unwrap_or_else(|problems| panic!("{problems:?}\n{open}"));
    assert_eq!(config.values.len(), KEYS.len());
}
