//! Previews of links, from real servers: how they are asked, what they cannot make a device do, and that a receiver asks nobody.
//! Spec: 50-content.md (CON-47 to CON-50).

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
};

use halcyon_client::{
    Draft, Link, Part, Preview, PreviewError, Until, WebAddress,
    ports::pages::{PageError, Pages as _, Wanted},
};
use halcyon_client_net::{Names, PageFetcher, Trust};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::world::World;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
/// Another machine, so far as addresses say so: inside, for the fetchers of these tests.
const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A web server that says what it was told to, and remembers what it was asked.
#[derive(Clone)]
struct Site {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// `pages`: by path, all that is answered.
    async fn open(at: IpAddr, pages: impl Fn(u16) -> Vec<(&'static str, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind((at, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let pages: BTreeMap<&str, Vec<u8>> = pages(port).into_iter().collect();
        let site = Self { port, asked: Arc::default() };
        let asked = site.asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n")
                    && stream.read_buf(&mut request).await.is_ok_and(|count| count > 0)
                {}
                let request = String::from_utf8(request).unwrap();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                asked.lock().unwrap().push(request);
                let answer =
                    pages.get(path.as_str()).cloned().unwrap_or_else(|| answer("404 Not Found", "text/html", b""));
                let _ = stream.write_all(&answer).await;
            }
        });
        site
    }

    fn url(&self, path: &str) -> WebAddress {
        WebAddress::parse(&format!("http://127.0.0.1:{}{path}", self.port)).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        let requests = self.asked.lock().unwrap();
        requests.iter().map(|request| request.split(' ').nth(1).unwrap_or_default().to_owned()).collect()
    }
}

fn answer(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn html(body: &str) -> Vec<u8> {
    answer("200 OK", "Text/HTML; charset=utf-8", body.as_bytes())
}

fn moved(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// Names with the addresses that a test gives them, each answer in its turn.
#[derive(Default)]
struct FakeNames {
    answers: Mutex<BTreeMap<&'static str, Vec<Vec<IpAddr>>>>,
    asked: Mutex<usize>,
}

impl FakeNames {
    fn of(answers: Vec<(&'static str, Vec<Vec<IpAddr>>)>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() })
    }
}

#[async_trait::async_trait]
impl Names for FakeNames {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        *self.asked.lock().unwrap() += 1;
        let mut answers = self.answers.lock().unwrap();
        let answers = answers.get_mut(host).ok_or_else(|| io::Error::other("no such name"))?;
        Ok(if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() })
    }
}

/// One that takes this machine's first loopback address for the internet, and no other.
fn fetcher(names: &Arc<FakeNames>) -> PageFetcher {
    PageFetcher::dangerous_with(&Trust::Web, names.clone(), |address| address == HERE).unwrap()
}

async fn fails(fetcher: &PageFetcher, url: &str) -> PageError {
    let address = WebAddress::parse(url).unwrap();
    fetcher.fetch(&address, Wanted::Page).await.unwrap_err()
}

/// CON-48: one plain request, which tells nothing of who asks; redirects are followed, five of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_asked_for_plainly() {
    let site = Site::open(HERE, |port| {
        vec![
            ("/", html("<title>here</title>")),
            ("/5", moved("/4")),
            ("/4", moved("3")),
            ("/3", moved("?2")),
            ("/3?2", moved(&format!("http://127.0.0.1:{port}/1"))),
            ("/1", moved(&format!("//127.0.0.1:{port}/#there"))),
            ("/6", moved("/5")),
        ]
    })
    .await;
    let fetcher = fetcher(&FakeNames::of(vec![]));
    let fetched = fetcher.fetch(&site.url("/5#part"), Wanted::Page).await.unwrap();
    assert_eq!((fetched.address, &fetched.body[..]), (site.url("/"), &b"<title>here</title>"[..]));
    assert_eq!(site.asked(), ["/5", "/4", "/3", "/3?2", "/1", "/"]);
    for request in site.asked.lock().unwrap().iter() {
        let names: Vec<String> =
            request.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0.to_lowercase())).collect();
        assert_eq!(names, ["host", "user-agent", "accept", "accept-encoding"], "{request}");
    }
    assert_eq!(fails(&fetcher, site.url("/6").as_str()).await, PageError::Redirects);
}

/// CON-48: what is no page, or too much of one.
#[tokio::test(flavor = "multi_thread")]
async fn only_pages_are_taken() {
    let packed =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx".to_vec();
    let image = |bytes: usize| answer("200 OK", "image/png", &vec![0; bytes]);
    let long = [&b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"[..], &vec![b'x'; 3 * 1024 * 1024]].concat();
    let site = Site::open(HERE, |_| {
        vec![
            ("/text", answer("200 OK", "text/plain", b"x")),
            ("/json", answer("200 OK", "application/json", b"{}")),
            ("/nothing", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
            ("/packed", packed.clone()),
            ("/fits", image(6 * 1024)),
            ("/large", image(6 * 1024 + 1)),
            ("/long", long.clone()),
            ("/noise", b"220 mail.example.org ESMTP\r\n".to_vec()),
            ("/nowhere", b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_vec()),
            ("/user", moved("http://user:pw@127.0.0.1/")),
            ("/file", moved("file:///etc/passwd")),
        ]
    })
    .await;
    let fetcher = fetcher(&FakeNames::of(vec![]));
    for path in ["/text", "/json", "/nothing", "/packed", "/fits"] {
        assert_eq!(fails(&fetcher, site.url(path).as_str()).await, PageError::NotWanted, "{path}");
    }
    for path in ["/nowhere", "/user", "/file"] {
        assert_eq!(fails(&fetcher, site.url(path).as_str()).await, PageError::Redirects, "{path}");
    }
    assert_eq!(fails(&fetcher, site.url("/missing").as_str()).await, PageError::Status(404));
    assert!(matches!(fails(&fetcher, site.url("/noise").as_str()).await, PageError::Broken(_)));
    let image = |path: &str| {
        let url = site.url(path);
        let fetcher = &fetcher;
        async move { fetcher.fetch(&url, Wanted::Image).await.map(|fetched| fetched.body.len()) }
    };
    assert_eq!((image("/fits").await, image("/large").await), (Ok(6 * 1024), Err(PageError::TooLarge)));
    assert_eq!(image("/text").await, Err(PageError::NotWanted));
    let long = fetcher.fetch(&site.url("/long"), Wanted::Page).await.unwrap();
    assert_eq!(long.body.len(), 1024 * 1024);
}

/// CON-49: neither a name nor a redirect leads inside, and a name that changes its mind is looked up once.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_leads_inside() {
    let inside = Site::open(INSIDE, |_| vec![("/", html("<title>secret</title>"))]).await;
    let port = inside.port;
    let outside = Site::open(HERE, |own| {
        vec![
            ("/", html("<title>here</title>")),
            ("/literal", moved(&format!("http://127.0.0.2:{port}/"))),
            ("/name", moved(&format!("http://inside.example.org:{port}/"))),
            ("/mapped", moved(&format!("http://[::ffff:127.0.0.2]:{port}/"))),
            ("/mapped-outside", moved(&format!("http://[::ffff:127.0.0.1]:{own}/"))),
        ]
    })
    .await;
    let names = FakeNames::of(vec![
        ("inside.example.org", vec![vec![INSIDE, "10.0.0.1".parse().unwrap(), "::1".parse().unwrap()]]),
        ("both.example.org", vec![vec![INSIDE, HERE]]),
        // A name whose second answer leads inside, for whoever asks twice.
        ("rebinding.example.org", vec![vec![HERE], vec![INSIDE]]),
        ("none.example.org", vec![vec![]]),
    ]);
    let fetcher = fetcher(&names);
    for path in ["/literal", "/name", "/mapped", "/mapped-outside"] {
        assert_eq!(fails(&fetcher, outside.url(path).as_str()).await, PageError::Inside, "{path}");
    }
    for host in ["inside.example.org", "none.example.org", "127.0.0.2", "[::1]"] {
        assert_eq!(fails(&fetcher, &format!("http://{host}:{port}/")).await, PageError::Inside, "{host}");
    }
    assert!(matches!(fails(&fetcher, "http://nobody.example.org/").await, PageError::Unreachable(_)));
    let before = *names.asked.lock().unwrap();
    for host in ["both.example.org", "rebinding.example.org"] {
        let url = WebAddress::parse(&format!("http://{host}:{}/", outside.port)).unwrap();
        assert_eq!(&fetcher.fetch(&url, Wanted::Page).await.unwrap().body[..], b"<title>here</title>", "{host}");
    }
    assert_eq!(*names.asked.lock().unwrap() - before, 2, "one look for each");
    assert_eq!(inside.asked(), [] as [&str; 0]);
}

/// CON-49: what the programs use reaches nothing of this machine, however it is spelled.
#[tokio::test(flavor = "multi_thread")]
async fn the_usual_fetcher_reaches_nothing_here() {
    let site = Site::open(HERE, |_| vec![("/", html("<title>secret</title>"))]).await;
    let fetcher = PageFetcher::new().unwrap();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "0.0.0.0",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
    ] {
        let error = fails(&fetcher, &format!("http://{host}:{}/", site.port)).await;
        // Some resolvers do not know the odd ones.
        assert!(matches!(error, PageError::Inside | PageError::Unreachable(_)), "{host}: {error}");
    }
    assert_eq!(site.asked(), [] as [&str; 0]);
}

/// CON-48: with a certificate that is trusted, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked() {
    let world = World::start().await;
    let url = format!("https://localhost:{}/v1/server", world.address().port());
    let names = FakeNames::of(vec![("localhost", vec![vec![HERE]])]);
    let trusting =
        |trust: &Trust| PageFetcher::dangerous_with(trust, names.clone(), |address| address == HERE).unwrap();
    assert_eq!(fails(&trusting(&Trust::Web), &url).await, PageError::Untrusted);
    // It answers, with what is no page.
    assert_eq!(fails(&trusting(&world.trust()), &url).await, PageError::NotWanted);
}

/// CON-47, CON-50: the sender asks, the receiver sees the same and asks nobody; without the setting nobody asks.
#[tokio::test(flavor = "multi_thread")]
async fn the_sender_makes_the_preview() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let png = [&b"\x89PNG\r\n\x1a\n"[..], &[0; 6_000]].concat();
    let site = Site::open(HERE, |_| {
        vec![
            ("/", html("<title>Boats &amp; more</title><meta name=description content='All of them'><meta property=og:image content='/i.png'>")),
            ("/i.png", answer("200 OK", "image/png", &png)),
        ]
    })
    .await;
    let pages = fetcher(&FakeNames::of(vec![]));
    let text = format!("look: {}", site.url("/").as_str());
    let Preview::Made(link) = alice.client.preview(&pages, &text).await.unwrap() else { panic!("a preview") };
    assert_eq!((link.title(), link.summary()), (Some("Boats & more"), Some("All of them")));
    assert_eq!(link.image().map(|image| image.as_bytes()), Some(&png[..]));
    assert_eq!(site.asked(), ["/", "/i.png"]);

    let shown = |draft: Draft| {
        let (alice, bob) = (&alice, &bob);
        async move {
            let count = bob.messages().len();
            let sent = alice.client.send(draft).await.unwrap();
            alice.wait(&sent, Until::Delivered).await;
            bob.has(count + 1).await.pop().unwrap()
        }
    };
    let with_link =
        |text: String, link: &Link| Draft { parts: vec![Part::Link(link.clone())], ..alice.draft(&bob, &text) };
    let message = shown(with_link(text.clone(), &link)).await;
    assert_eq!((message.text.as_deref(), message.parts.len()), (Some(text.as_str()), 2));
    assert_eq!(message.parts[1].carried, Some(Part::Link(link.clone())));
    // What does not fit beside the text is left out: the image, or all of it.
    let message = shown(with_link("x".repeat(10_000), &link)).await;
    assert_eq!(message.parts[1].carried, Some(Part::Link(link.clone().without_image())));
    let wide = Link::new(site.url(&format!("/{}", "y".repeat(2_000)))).with_summary("z".repeat(1_024)).unwrap();
    let message = shown(with_link("x".repeat(12_000), &wide)).await;
    assert_eq!(message.parts.len(), 1);
    assert_eq!(site.asked().len(), 2, "CON-47: bob asked nobody");

    alice.client.set_setting(halcyon_client::Setting::LinkPreviews, Some("off")).unwrap();
    assert_eq!(alice.client.preview(&pages, &text).await.unwrap(), Preview::Off);
    assert_eq!(site.asked().len(), 2);
    alice.client.set_setting(halcyon_client::Setting::LinkPreviews, None).unwrap();
    assert_eq!(alice.client.preview(&pages, "no link").await.unwrap(), Preview::NoLink);
    let missing = site.url("/missing");
    let failed = alice.client.preview(&pages, missing.as_str()).await.unwrap();
    assert_eq!(failed, Preview::Failed { address: missing, cause: PreviewError::Page(PageError::Status(404)) });
}

/// CON-40 to CON-43: whatever else a message carries arrives on every device, and is found by what it is called.
#[tokio::test(flavor = "multi_thread")]
async fn places_and_cards_arrive() {
    use halcyon_client::{Contact, Location};
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let place = Location::parse("52.5163,13.3777,Brandenburg Gate").unwrap();
    let card = Contact::new("BEGIN:VCARD\nVERSION:3.0\nFN:Jane Doe\nEMAIL:jane@example.org\nEND:VCARD\n").unwrap();
    let parts = vec![Part::Location(place), Part::Contact(card)];
    let sent = alice.client.send(Draft { parts: parts.clone(), ..alice.draft(&bob, "") }).await.unwrap();
    alice.wait(&sent, Until::Delivered).await;
    for device in [&alice, &bob] {
        let message = device.has(1).await.pop().unwrap();
        let carried: Vec<Part> = message.parts.iter().filter_map(|part| part.carried.clone()).collect();
        assert_eq!((message.text, carried), (None, parts.clone()));
        for words in ["brandenburg", "jane doe", "jane@example.org"] {
            assert_eq!(device.client.search(words, 10).unwrap().len(), 1, "{words}");
        }
        assert_eq!(device.client.search("vcard", 10).unwrap().len(), 0);
    }
}
