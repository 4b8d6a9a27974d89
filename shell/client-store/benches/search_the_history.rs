//! How long a search and the opening of a conversation take in a long history.
//!
//! `cargo bench -p halcyon-client-store --bench search_the_history`: a million messages in one profile, of which a tenth are one
//! conversation. Each search is shown beside reading everything, which is what it would take without the index.
//! `HALCYON_BENCH_FOLDER` chooses the folder, and so the disk; as a test it makes a small history.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench reports on standard output")]

use std::{path::PathBuf, time::Instant};

use bytes::Bytes;
use halcyon_client::ports::store::{Change, Commit, Conversation, MessageKind, NewMessage, Origin, Store};
use halcyon_client_store::{Profile, SqliteStore};
use halcyon_crypto::{SecretBytes, password::PasswordParams};
use halcyon_types::{AccountId, ConversationId, DeviceId, Handle, MessageId, Timestamp};
use rand::rngs::OsRng;

const MESSAGES: u64 = 1_000_000;
const MESSAGES_IN_A_TEST: u64 = 5_000;
/// Messages of one commit, and of one page of the index.
const PAGE: u64 = 2_000;
/// Bytes of a message: a text with its metadata.
const MESSAGE_BYTES: usize = 300;
/// Each is asked so often; the median is printed.
const TURNS: usize = 15;
/// Words of which each message has three.
const WORDS: [&str; 10] =
    ["lighthouse", "museum", "Sunday", "coffee", "train", "tomorrow", "Grüße", "picture", "meeting", "thanks"];

fn main() {
    // `cargo bench` says so; `cargo test` does not.
    let messages = if std::env::args().any(|argument| argument == "--bench") { MESSAGES } else { MESSAGES_IN_A_TEST };
    let folder = std::env::var_os("HALCYON_BENCH_FOLDER").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).unwrap();
    let profile = Profile::at(folder.path(), PasswordParams::dangerous_cheap()).unwrap();
    let mut store =
        SqliteStore::new(profile.create(&SecretBytes::copy_of(b"bench"), Box::new(OsRng)).unwrap()).unwrap();
    let begun = Instant::now();
    fill(&mut store, messages);
    let filled_s = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    index(&mut store, messages);
    println!("messages={messages} filled_s={filled_s:.1} indexed_s={:.1}", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let read = store.repairs().stored_since(Timestamp::from_millis(0), 0, usize::MAX).unwrap().len();
    println!("read_everything_ms={:.1} messages={read}", begun.elapsed().as_secs_f64() * 1_000.0);
    for words in [&["lighthouse"][..], &["lighthouse", "museum", "Sunday"], &["number", "77"], &["nowhere"]] {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let (ms, found) = median(|| store.words().having(&words, u64::MAX, 50).unwrap().len());
        println!("search=\"{}\" found={found} ms={ms:.2}", words.join(" "));
    }
    let (ms, found) = median(|| store.history(conversation(0), u64::MAX, 50).unwrap().len());
    println!("open_conversation_of={} shown={found} ms={ms:.2}", messages / 10);
}

fn median(mut turn: impl FnMut() -> usize) -> (f64, usize) {
    let mut found = 0;
    let mut times: Vec<f64> = (0..TURNS)
        .map(|_| {
            let begun = Instant::now();
            found = turn();
            begun.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[TURNS / 2], found)
}

fn conversation(number: u8) -> ConversationId {
    ConversationId::from_bytes([number; 16])
}

fn text(number: u64) -> String {
    let word = |step: u64| WORDS[usize::try_from(number / step % 10).unwrap()];
    format!("{} and {} at the {}, number {number}", word(1), word(10), word(100))
}

fn fill(store: &mut SqliteStore, messages: u64) {
    let handle = Handle::parse("alice@example.org").unwrap();
    for page in 0..messages.div_ceil(PAGE) {
        let mut commit = Commit::new();
        for number in page * PAGE..messages.min((page + 1) * PAGE) {
            let id = conversation(u8::try_from(number % 10).unwrap());
            if number < 10 {
                commit.push(Change::AddConversation(Conversation { id, members: vec![handle.clone()] }));
            }
            commit.push(Change::AddMessage(NewMessage {
                id: MessageId::from_bytes((u128::from(number) + 1).to_be_bytes()),
                conversation: id,
                origin: Origin::Peer,
                kind: MessageKind::Message,
                sender: handle.clone(),
                sender_account: AccountId::from_bytes([1; 16]),
                sender_device: DeviceId::from_bytes([2; 16]),
                suite: None,
                sent: Timestamp::from_millis(1_700_000_000_000 + number),
                stored: Timestamp::from_millis(1_700_000_000_000 + number),
                content: Bytes::from(vec![0x5a; MESSAGE_BYTES]),
                place: None,
                target: None,
            }));
        }
        store.commit(&commit).unwrap();
    }
}

fn index(store: &mut SqliteStore, messages: u64) {
    for page in 0..messages.div_ceil(PAGE) {
        let last = messages.min((page + 1) * PAGE);
        let entries = (page * PAGE + 1..=last).map(|number| (number, text(number))).collect();
        store.commit(&Commit::new().with(Change::IndexWords { entries, up_to: last })).unwrap();
    }
}
