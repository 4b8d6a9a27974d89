//! The agent's socket as programs use it, well and badly.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::{locked_agent, open_agent};
use crate::world::{PATIENCE, Person, Running, World, halcyon, is_there, run, text};

struct Program {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Program {
    /// As docs/agent.md says: the file in the profile's folder names the socket.
    fn of(person: &Person) -> Self {
        let socket = fs::read_to_string(person.profile().join("agent.lock")).unwrap();
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { lines: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn says(&mut self, line: &str) -> Value {
        self.send(format!("{line}\n").as_bytes());
        self.line()
    }

    fn ask(&mut self, id: i64, method: &str, params: Value) {
        assert!(self.tries(id, method, params));
    }

    /// Asks, and says whether there was somebody to ask.
    fn tries(&mut self, id: i64, method: &str, params: Value) -> bool {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.stream.write_all(format!("{request}\n").as_bytes()).is_ok()
    }

    fn call(&mut self, id: i64, method: &str, params: Value) -> Value {
        self.ask(id, method, params);
        self.line()
    }
}

#[test]
fn a_program_sends_and_listens() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let agent = locked_agent(&bob);
    let mut program = Program::of(&bob);
    let locked = program.call(1, "devices", json!({}));
    assert_eq!((&locked["id"], &locked["error"]["code"]), (&json!(1), &json!(-32_001)), "{locked}");
    let unlocked = program.call(2, "agent.unlock", json!({"passphrase": bob.passphrase()}));
    assert_eq!(unlocked["result"][0]["state"], "open", "{unlocked}");

    // A stream goes on while other calls come and go.
    program.ask(3, "listen", json!({"stream": true}));
    alice.json(&["send", &bob.handle, "--text", "to a program", "--wait"]);
    let heard = loop {
        let line = program.line();
        assert_eq!((&line["method"], &line["params"]["call"]), (&json!("result"), &json!(3)), "{line}");
        if line["params"]["value"]["type"] == "message" {
            break line;
        }
    };
    assert_eq!(heard["params"]["value"]["text"], "to a program");
    program.ask(4, "send", json!({"to": [alice.handle], "text": "from a program"}));
    let sent = loop {
        let line = program.line();
        if line["id"] == 4 {
            break line;
        }
    };
    assert_eq!(sent["result"][0]["done"], true, "{sent}");
    program.ask(5, "cancel", json!({"id": 3}));
    let (mut is_cancelled, mut is_over) = (false, false);
    while !(is_cancelled && is_over) {
        let line = program.line();
        is_cancelled |= line["id"] == 5 && line["result"][0]["was_running"] == true;
        is_over |= line["id"] == 3 && line["result"] == json!([]);
    }
    let history = program.call(6, "history", json!({"with": [alice.handle]}));
    let texts: Vec<&Value> = history["result"].as_array().unwrap().iter().map(|line| &line["text"]).collect();
    assert_eq!(texts, ["to a program", "from a program"]);
    // A program is asked nothing, unless it says that it answers.
    let asked = program.call(7, "sessions.reset", json!({}));
    assert_eq!(asked["error"]["code"], 1, "{asked}");
    assert!(asked["error"]["data"]["next"].as_str().unwrap().contains("`yes`"), "{asked}");
    let question = program.call(9, "sessions.reset", json!({"ask": true}));
    assert_eq!((&question["method"], &question["params"]["call"]), (&json!("input"), &json!(9)), "{question}");
    assert_eq!(question["params"]["prompt"], "begin 1 session anew? yes or no");
    let refused = program.says(&json!({"jsonrpc": "2.0", "id": question["id"], "result": "no"}).to_string());
    assert_eq!(refused["error"]["message"], "nothing was done", "{refused}");
    // A failure is the one that the command would have had.
    let failed = program.call(8, "unsend", json!({"message": 999}));
    assert_eq!(failed["error"]["code"], 1, "{failed}");
    assert_eq!(failed["error"]["message"], "there is no message with this number or id here");
    agent.stop();
}

/// Each mistake is answered by its code, and the connection goes on.
#[test]
fn mistakes_are_answered() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let agent = open_agent(&alice);
    let mut program = Program::of(&alice);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mistakes = [
        ("nonsense", -32_700),
        (deep.as_str(), -32_700),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"devices"}]"#, -32_600),
        (r#"{"id":1,"method":"devices"}"#, -32_600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"devices"}"#, -32_600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"devices","params":[1]}"#, -32_600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"sned"}"#, -32_601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"register","params":{"handle":"a@example.org"}}"#, -32_601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"send","params":{"text":"to nobody"}}"#, -32_602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"listen","params":{"profile":"other"}}"#, -32_602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"listen","params":{"stream":"yes"}}"#, -32_602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"agent.unlock","params":{"passphrase":7}}"#, -32_602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"cancel"}"#, -32_602),
    ];
    for (line, code) in mistakes {
        let answer = program.says(line);
        assert_eq!(answer["error"]["code"], code, "{}: {answer}", &line[..line.len().min(80)]);
    }
    // Answers to nothing, empty lines and notifications are not answered.
    program.send(
        b"{\"jsonrpc\":\"2.0\",\"id\":\"q9\",\"result\":\"x\"}\n\n{\"jsonrpc\":\"2.0\",\"method\":\"devices\"}\n",
    );
    // An id names one call at a time.
    program.ask(1, "listen", json!({}));
    let twice = program.call(1, "devices", json!({}));
    assert_eq!(twice["error"]["message"], "a call with this id runs already", "{twice}");
    assert_eq!(program.call(2, "devices", json!({}))["result"][0]["name"], "phone");

    // A line without end is not kept; the connection is over, and others go on.
    let mut flood = Program::of(&alice);
    let chunk = vec![b'x'; 64 * 1024];
    while flood.stream.write_all(&chunk).is_ok() {}
    assert_eq!(Program::of(&alice).call(1, "devices", json!({}))["result"][0]["name"], "phone");
    agent.stop();
}

/// Who does not read is cut off, and holds up nobody.
#[test]
fn a_caller_that_never_reads_is_cut_off() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let agent = open_agent(&alice);
    let mut deaf = Program::of(&alice);
    let request = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rpc.discover\"}\n";
    let begun = Instant::now();
    while deaf.stream.write_all(request).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it is still served");
        if begun.elapsed() < Duration::from_secs(1) {
            // Others are, meanwhile.
            assert_eq!(Program::of(&alice).call(1, "devices", json!({}))["result"][0]["name"], "phone");
        }
    }
    let mut rest = Vec::new();
    let _ = deaf.lines.read_to_end(&mut rest);
    assert!(rest.len() < 8 * 1024 * 1024, "{} bytes were kept for it", rest.len());
    assert_eq!(Program::of(&alice).call(1, "devices", json!({}))["result"][0]["name"], "phone");
    agent.stop();
}

/// Callers that hang up in the middle leave nothing running.
#[test]
fn callers_come_and_go() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let agent = open_agent(&alice);
    for _ in 0..200 {
        let mut program = Program::of(&alice);
        // More than are allowed at once are turned away.
        let _ = program.tries(1, "listen", json!({"stream": true})) && program.tries(2, "devices", json!({}));
    }
    let begun = Instant::now();
    loop {
        let mut program = Program::of(&alice);
        let mut line = String::new();
        if program.tries(1, "devices", json!({})) && program.lines.read_line(&mut line).is_ok_and(|count| count > 0) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "those who left still count");
        std::thread::sleep(Duration::from_millis(50));
    }
    // Half a connection is enough to get an answer.
    let mut program = Program::of(&alice);
    program.ask(1, "devices", json!({}));
    program.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(program.line()["result"][0]["name"], "phone");
    agent.stop();
}

#[test]
fn the_description_is_stable() {
    let described = run(halcyon(&["agent", "schema"]));
    assert!(described.status.success());
    insta::assert_snapshot!(text(&described.stdout));
}

/// Everything that the help lists can be asked of the agent, but what makes a profile, needs none, or is about the agent.
#[test]
fn the_description_is_complete() {
    let described: Value = serde_json::from_slice(&run(halcyon(&["agent", "schema"])).stdout).unwrap();
    let names: Vec<&str> =
        described["methods"].as_array().unwrap().iter().map(|method| method["name"].as_str().unwrap()).collect();
    let help = text(&run(halcyon(&["--help"])).stdout);
    let commands = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 20, "{commands:?}");
    let without = ["register", "link", "agent", "unlock", "lock", "completions", "man", "help"];
    for command in commands {
        assert_eq!(names.contains(&command), !without.contains(&command), "{command}");
    }
}

/// The example in `examples/`, as the documentation starts it.
#[test]
fn the_example_bot_answers() {
    if !is_there("python3", "--version") {
        return;
    }
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bot = world.registered("bot", "server");
    let agent = open_agent(&bot);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/echo_bot.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(bot.profile());
    let running = Running::start(command);
    running.line("readiness", |line| line == "listening");
    alice.json(&["send", &bot.handle, "--text", "is there an echo?"]);
    let heard = alice.json(&["listen", "--count", "1", "--for", "60"]);
    assert_eq!(heard.last().unwrap()["text"], "is there an echo?");
    assert_eq!(heard.last().unwrap()["sender"], "mailto:bot@example.org");
    // What it wrote itself it does not answer.
    assert_eq!(bot.json(&["history", &alice.handle]).len(), 2);
    running.stop();
    agent.stop();
}

/// A request over HTTP as a program without libraries makes it: status, and what follows the head.
fn http(address: &str, head: &str, body: &str) -> (u16, String) {
    let mut stream = http_stream(address, head, body);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn http_stream(address: &str, head: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(stream, "{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    stream
}

/// The same API over HTTP, for whoever has the token and is no web page.
#[test]
fn the_loopback_serves_programs() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let agent = bob.start(&["agent", "--output", "json", "--http", "0"]);
    let line = agent.json("agent");
    let address = line["http"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let file = bob.profile().join("agent.token");
    let token = fs::read_to_string(&file).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions()) & 0o777, 0o600);
    let host = format!("Host: {address}\r\nAuthorization: Bearer {token}");
    let post = |body: &Value| http(&address, &format!("POST /rpc HTTP/1.1\r\n{host}"), &body.to_string());

    let (status, answer) = post(&json!({"jsonrpc": "2.0", "id": 7, "method": "devices"}));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["id"], &answer["result"][0]["name"]), (200, &json!(7), &json!("phone")), "{answer}");
    let codes = [
        (json!({"jsonrpc": "2.0", "id": 1, "method": "sned"}), -32_601),
        (json!({"jsonrpc": "2.0", "method": "devices"}), -32_600),
        (json!({"jsonrpc": "2.0", "id": 1, "method": "listen", "params": {"stream": true}}), -32_602),
        (json!({"jsonrpc": "2.0", "id": 1, "method": "unsend", "params": {"message": 99}}), 1),
    ];
    for (request, code) in codes {
        let (status, answer) = post(&request);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, &answer["error"]["code"]), (200, &json!(code)), "{request}: {answer}");
    }
    // Whoever has no token, or sits in a web page.
    let refused = [
        (format!("POST /rpc HTTP/1.1\r\nHost: {address}"), 401),
        (format!("POST /rpc HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}", "0".repeat(64)), 401),
        (format!("POST /rpc HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer {token}"), 403),
        (format!("POST /rpc HTTP/1.1\r\n{host}\r\nOrigin: https://evil.example"), 403),
        (format!("GET /rpc HTTP/1.1\r\n{host}"), 405),
        (format!("GET / HTTP/1.1\r\n{host}"), 404),
    ];
    for (head, status) in refused {
        assert_eq!(http(&address, &head, "").0, status, "{head}");
    }
    let large = "x".repeat(1024 * 1024 + 1);
    assert_eq!(http(&address, &format!("POST /rpc HTTP/1.1\r\n{host}"), &large).0, 413);

    // Events, from a place that the reader kept.
    for text in ["one", "two"] {
        alice.json(&["send", &bob.handle, "--text", text]);
    }
    let mut after = 0;
    for text in ["one", "two"] {
        let head = format!("GET /events HTTP/1.1\r\n{host}\r\nLast-Event-ID: {after}");
        let mut lines = BufReader::new(http_stream(&address, &head, ""));
        let mut data = String::new();
        while !data.contains("\"type\":\"message\"") {
            data.clear();
            assert!(lines.read_line(&mut data).unwrap() > 0, "the stream ended");
        }
        let message: Value = serde_json::from_str(data.trim().strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(message["text"], text);
        after = message["number"].as_u64().unwrap();
    }
    bob.json(&["lock"]);
    assert_eq!(http(&address, &format!("GET /events HTTP/1.1\r\n{host}"), "").0, 409);
    agent.stop();
    assert!(!file.exists(), "a token of an agent that ended opens nothing");
}
