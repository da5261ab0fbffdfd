//! Frames of a byte stream: `u8 version = 1, u8 type = 1, u16 length` big endian, then netlink.

use std::fmt;

/// Length of a frame's header in bytes; the length in it includes the header.
pub const HEADER: usize = 4;
/// The longest frame that the header can announce.
pub const LONGEST: usize = u16::MAX as usize;

/// Why a stream is not FPM; nothing behind this point can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// Where the frame starts, in bytes from the start of the connection.
    pub offset: u64,
    /// What is wrong with its header.
    pub cause: FrameCause,
}

/// What is wrong with a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameCause {
    /// The version is not 1.
    Version(u8),
    /// The payload is not netlink.
    Type(u8),
    /// Shorter than its own header.
    Length(u16),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fpm: frame at byte {}: ", self.offset)?;
        match self.cause {
            FrameCause::Version(v) => write!(f, "version {v}; only 1 is known, is this zebra?"),
            FrameCause::Type(2) => f.write_str(
                "protobuf; load zebra with `-M dplane_fpm_nl` instead of the old fpm module",
            ),
            FrameCause::Type(t) => write!(f, "type {t}; only 1 (netlink) is known"),
            FrameCause::Length(n) => write!(f, "length {n}; a frame has at least {HEADER} bytes"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Cuts a stream into frames, however it arrives.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    /// Where the next frame starts in `buffer`.
    start: usize,
    /// Where received bytes end in `buffer`.
    end: usize,
    /// Where `start` is in the stream.
    offset: u64,
}

impl Frames {
    /// Room for more bytes, at least `wanted` of them; say how many with [`Frames::received`].
    pub fn room(&mut self, wanted: usize) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.buffer.len() - self.end < wanted {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.buffer.len() - self.end < wanted {
                self.buffer.resize(self.end + wanted, 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// `count` bytes were written into what [`Frames::room`] gave.
    pub fn received(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// Takes over a copy of `bytes`.
    pub fn push(&mut self, bytes: &[u8]) {
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.received(bytes.len());
    }

    /// The payload of the next whole frame.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let held = &self.buffer[self.start..self.end];
        let error = |cause| FrameError {
            offset: self.offset,
            cause,
        };
        // Each byte is judged as soon as it is there: a stream that is not FPM is not waited for.
        match held.first() {
            Some(&version) if version != 1 => return Err(error(FrameCause::Version(version))),
            _ => {}
        }
        match held.get(1) {
            Some(&kind) if kind != 1 => return Err(error(FrameCause::Type(kind))),
            _ => {}
        }
        let Some(&[_, _, high, low]) = held.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u16::from_be_bytes([high, low]);
        if usize::from(length) < HEADER {
            return Err(error(FrameCause::Length(length)));
        }
        let length = usize::from(length);
        if held.len() < length {
            return Ok(None);
        }
        let payload = self.start + HEADER..self.start + length;
        self.start += length;
        self.offset += length as u64;
        Ok(Some(&self.buffer[payload]))
    }

    /// Bytes of an unfinished frame.
    pub fn pending(&self) -> usize {
        self.end - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1, 1];
        bytes.extend(((payload.len() + HEADER) as u16).to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn all(frames: &mut Frames) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while let Some(payload) = frames.next_frame().expect("frames") {
            out.push(payload.to_vec());
        }
        out
    }

    #[test]
    fn frames_come_out_however_bytes_come_in() {
        let sent = [vec![7; 40], vec![], vec![8; LONGEST - HEADER], vec![9]];
        let stream: Vec<u8> = sent.iter().flat_map(|p| frame(p)).collect();
        for step in [1, 3, 1000, stream.len()] {
            let mut frames = Frames::default();
            let mut got = Vec::new();
            for chunk in stream.chunks(step) {
                frames.push(chunk);
                got.extend(all(&mut frames));
            }
            assert_eq!(got, sent, "in steps of {step}");
            assert_eq!(frames.pending(), 0);
            assert!(frames.buffer.len() < 3 * LONGEST);
        }
    }

    #[test]
    fn what_is_no_frame_is_named_with_its_place() {
        for (bytes, expected) in [
            (
                vec![2],
                "fpm: frame at byte 6: version 2; only 1 is known, is this zebra?",
            ),
            (
                vec![1, 2],
                "fpm: frame at byte 6: protobuf; load zebra with `-M dplane_fpm_nl` instead of the old fpm module",
            ),
            (
                vec![1, 9],
                "fpm: frame at byte 6: type 9; only 1 (netlink) is known",
            ),
            (
                vec![1, 1, 0, 3],
                "fpm: frame at byte 6: length 3; a frame has at least 4 bytes",
            ),
        ] {
            let mut frames = Frames::default();
            frames.push(&frame(&[5, 5]));
            frames.push(&bytes);
            assert_eq!(frames.next_frame(), Ok(Some(&[5, 5][..])));
            assert_eq!(frames.next_frame().expect_err("bad").to_string(), expected);
        }
        let mut short = Frames::default();
        short.push(&[1, 1, 0xff]);
        assert_eq!(short.next_frame(), Ok(None));
        assert_eq!(short.pending(), 3);
    }
}
