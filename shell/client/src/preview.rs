//! Previews of links, made by whoever sends one. Spec: 50-content.md (CON-47 to CON-50).
//!
//! Owns when a page is asked for, how long that may take, and what becomes of it. Does not know how a page is fetched.
//!
//! - Nothing here fails a message: without a preview, the text says what it says.

use std::time::Duration;

use halcyon_content::{Image, Link, Page, WebAddress};

use crate::{
    client::Client,
    error::ProfileError,
    ports::pages::{PageError, Pages, Wanted},
};

/// How long the page, and its image, may take to come (CON-50).
const PREVIEW_PATIENCE: Duration = Duration::from_secs(10);

/// What became of the link in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preview {
    /// There is none at its end.
    NoLink,
    /// The person wants none (CON-50).
    Off,
    /// It was made.
    Made(Link),
    /// It could not be made.
    Failed {
        /// Of which address.
        address: WebAddress,
        /// Why.
        cause: PreviewError,
    },
}

/// Why there is no preview.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PreviewError {
    /// The page did not come.
    #[error(transparent)]
    Page(#[from] PageError),
    /// It did not come in time.
    #[error("it did not come within {} seconds", PREVIEW_PATIENCE.as_secs())]
    TooLate,
    /// It has no title.
    #[error("it does not say what it is")]
    SaysNothing,
}

impl Client {
    /// Makes the preview of the link that a text is or ends with, if the setting lets it. Takes 10 seconds at most.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub async fn preview(&self, pages: &dyn Pages, text: &str) -> Result<Preview, ProfileError> {
        let Some(address) = WebAddress::at_end_of(text) else { return Ok(Preview::NoLink) };
        if !self.link_previews()? {
            return Ok(Preview::Off);
        }
        Ok(match in_time(pages, &address).await {
            Ok(link) => Preview::Made(link),
            Err(cause) => Preview::Failed { address, cause },
        })
    }
}

/// CON-50
async fn in_time(pages: &dyn Pages, address: &WebAddress) -> Result<Link, PreviewError> {
    let made = tokio::time::timeout(PREVIEW_PATIENCE, made(pages, address)).await;
    made.unwrap_or(Err(PreviewError::TooLate))
}

async fn made(pages: &dyn Pages, address: &WebAddress) -> Result<Link, PreviewError> {
    let fetched = pages.fetch(address, Wanted::Page).await?;
    let Page { title, summary, image } = Page::read(&fetched.body);
    // The address is the one that was written: what it led to is the page's business.
    let link = title.and_then(|title| Link::new(address.clone()).with_title(title)).ok_or(PreviewError::SaysNothing)?;
    let link = summary.and_then(|summary| link.clone().with_summary(summary)).unwrap_or(link);
    let image = match image.and_then(|reference| fetched.address.join(&reference)) {
        Some(address) => pages.fetch(&address, Wanted::Image).await.ok(),
        None => None,
    };
    let image = image.and_then(|fetched| Image::new(fetched.body));
    Ok(image.and_then(|image| link.clone().with_image(image)).unwrap_or(link))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Mutex};

    use bytes::Bytes;

    use super::*;
    use crate::ports::pages::Fetched;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

    /// A web that fits on a line.
    #[derive(Default)]
    struct Web {
        pages: BTreeMap<&'static str, (Wanted, &'static [u8])>,
        asked: Mutex<Vec<String>>,
    }

    #[async_trait::async_trait]
    impl Pages for Web {
        async fn fetch(&self, address: &WebAddress, wanted: Wanted) -> Result<Fetched, PageError> {
            self.asked.lock().unwrap().push(address.as_str().to_owned());
            match self.pages.get(address.as_str()) {
                Some((kind, body)) if *kind == wanted => {
                    Ok(Fetched { address: address.clone(), body: Bytes::from_static(body) })
                }
                Some(_) => Err(PageError::NotWanted),
                None => std::future::pending().await,
            }
        }
    }

    fn address(url: &str) -> WebAddress {
        WebAddress::parse(url).unwrap()
    }

    /// CON-50: title, summary, and an image if it fits as it is; a page without a title is none.
    #[tokio::test(start_paused = true)]
    async fn a_preview_is_made_of_what_a_page_says() {
        let page: &[u8] = b"<title>A</title><meta name=description content=B><meta property=og:image content=i.png>";
        let pages = BTreeMap::from([
            ("https://a.example.org/x/y", (Wanted::Page, page)),
            ("https://a.example.org/x/i.png", (Wanted::Image, PNG)),
            ("https://b.example.org/", (Wanted::Page, page)),
            ("https://b.example.org/i.png", (Wanted::Image, &b"<svg>"[..])),
            ("https://c.example.org/", (Wanted::Page, b"<p>nothing")),
        ]);
        let web = Web { pages, ..Web::default() };
        let link = |url| Link::new(address(url)).with_title("A").unwrap().with_summary("B").unwrap();
        let with_image = link("https://a.example.org/x/y").with_image(Image::new(PNG).unwrap()).unwrap();
        assert_eq!(made(&web, &address("https://a.example.org/x/y")).await, Ok(with_image));
        assert_eq!(made(&web, &address("https://b.example.org/")).await, Ok(link("https://b.example.org/")));
        assert_eq!(made(&web, &address("https://c.example.org/")).await, Err(PreviewError::SaysNothing));
        assert_eq!(web.asked.lock().unwrap().len(), 5);
    }

    /// CON-50: a server that never answers holds nobody up for longer than ten seconds.
    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_a_preview() {
        let begun = tokio::time::Instant::now();
        let silent = in_time(&Web::default(), &address("https://silent.example.org/")).await;
        assert_eq!((silent, begun.elapsed()), (Err(PreviewError::TooLate), Duration::from_secs(10)));
    }
}
