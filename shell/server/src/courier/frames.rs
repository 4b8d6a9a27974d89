//! What a connection is to the courier: frames in, frames out. Spec: 30-courier.md §1 (COU-1 to COU-3).
//!
//! Owns the trait that both bindings implement, and the native one over any stream of bytes. Does not know TLS or who
//! is at the other end.
//!
//! - Nothing waits in a buffer without being bounded by the caller, and an empty buffer holds no memory.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use halcyon_courier::ServerFrame;
use halcyon_courier::frame::{FrameError, split_frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One connection, whatever carries it.
pub trait Frames: Send + Unpin {
    /// Returns the next frame of the device, undecoded and not longer than `frame_bytes_max`.
    fn poll_receive(&mut self, cx: &mut Context<'_>, frame_bytes_max: usize) -> Poll<Received>;

    /// Returns whether the beginning of a frame is here, and its rest is not.
    fn is_midway(&self) -> bool;

    /// Puts a frame behind those that wait to be written.
    fn queue(&mut self, frame: ServerFrame);

    /// Returns how many bytes wait to be written.
    fn queued_bytes(&self) -> usize;

    /// Writes what waits; ready when all of it left this process.
    ///
    /// # Errors
    /// The connection is broken.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Says the transport's own good-bye, after everything is written.
    ///
    /// # Errors
    /// The connection is broken, which is as good.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// What came from a device.
#[derive(Debug)]
pub enum Received {
    /// A frame, still encoded.
    Frame(Bytes),
    /// Something of the transport's own, such as a ping. It is dealt with, and counts like a frame (COU-16).
    Control,
    /// Something that is none; the connection is to be closed with its code.
    Malformed(FrameError),
    /// The device is gone.
    Gone,
}

/// The native binding over a stream of bytes: each frame behind its length (COU-1).
pub struct ByteFrames<S> {
    stream: S,
    /// The beginning of a frame that is not all there.
    input: BytesMut,
    output: BytesMut,
    /// Something was written that may still sit in the stream's own buffer.
    unflushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteFrames<S> {
    /// Speaks frames over `stream`.
    pub fn new(stream: S) -> Self {
        Self { stream, input: BytesMut::new(), output: BytesMut::new(), unflushed: false }
    }

    /// Returns the stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Frames for ByteFrames<S> {
    fn poll_receive(&mut self, cx: &mut Context<'_>, frame_bytes_max: usize) -> Poll<Received> {
        loop {
            if !self.input.is_empty() {
                match split_frame(&mut self.input, frame_bytes_max) {
                    Ok(Some(frame)) => return Poll::Ready(Received::Frame(frame)),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Received::Malformed(error)),
                }
            }
            if self.input.is_empty() {
                // Frames that were cut from it may live on; this connection keeps nothing.
                self.input = BytesMut::new();
            }
            // Read into the stack, so that a connection that waits holds no buffer.
            let mut scratch = [const { MaybeUninit::<u8>::uninit() }; READ_BYTES];
            let mut read = ReadBuf::uninit(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => self.input.extend_from_slice(read.filled()),
                _ => return Poll::Ready(Received::Gone),
            }
        }
    }

    fn is_midway(&self) -> bool {
        !self.input.is_empty()
    }

    fn queue(&mut self, frame: ServerFrame) {
        frame.write_to(&mut self.output);
    }

    fn queued_bytes(&self) -> usize {
        self.output.len()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            self.unflushed = true;
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
            self.output = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Waits for the first frame of a stranger, who has no business with more than a few signs of the transport before it.
pub(super) async fn receive_first(frames: &mut impl Frames, frame_bytes_max: usize) -> Received {
    for _ in 0..=FIRST_CONTROLS_MAX {
        match poll_fn(|cx| frames.poll_receive(cx, frame_bytes_max)).await {
            Received::Control => {}
            received => return received,
        }
    }
    Received::Malformed(FrameError::Field("controls before the connect"))
}

/// Writes everything that waits. Whether it arrived is not known, and a broken connection shows at the next read.
pub(super) async fn flush(frames: &mut impl Frames) {
    let _ = poll_fn(|cx| frames.poll_flush(cx)).await;
}

/// Says good-bye with a last frame.
pub(super) async fn close(frames: &mut impl Frames, close: halcyon_courier::Close) {
    frames.queue(ServerFrame::Close(close));
    flush(frames).await;
    let _ = poll_fn(|cx| frames.poll_shutdown(cx)).await;
}

/// Pings of a WebSocket before its first frame: a library may send one when it opens (COU-16).
const FIRST_CONTROLS_MAX: usize = 8;

/// One TLS record (RFC 8446 §5.1), which is what a read of a TLS stream returns at most.
const READ_BYTES: usize = 16 * 1024;
