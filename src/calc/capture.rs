//! Capture files: pcap and pcapng, of Ethernet frames.

/// The longest frame that an IP packet can be in, bytes: with two tags.
const LONGEST: usize = 65_535 + 14 + 2 * 4;

/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;
/// Block types of pcapng.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const SIMPLE: u32 = 3;
const ENHANCED: u32 = 6;

/// A frame of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured<'c> {
    /// What was kept of it.
    pub bytes: &'c [u8],
    /// How long it was, bytes.
    pub length: usize,
}

impl Captured<'_> {
    /// The frame as it was, with zeros for what was not kept.
    pub fn whole(&self) -> Vec<u8> {
        let mut frame = self.bytes.to_vec();
        if self.is_cut() {
            frame.resize(self.length.min(LONGEST).max(frame.len()), 0);
        }
        frame
    }

    /// Not all of it was kept.
    pub fn is_cut(&self) -> bool {
        self.length > self.bytes.len()
    }
}

/// All frames of a capture file.
pub fn frames(bytes: &[u8]) -> Result<Vec<Captured<'_>>, String> {
    let word = |at: usize, big: bool| -> Option<u32> {
        let word: [u8; 4] = *bytes.get(at..)?.first_chunk()?;
        Some(if big {
            u32::from_be_bytes(word)
        } else {
            u32::from_le_bytes(word)
        })
    };
    let not_ethernet = |link: u32| format!("its frames are of link type {link}, not Ethernet (1)");
    let cut = || "it ends within a packet".to_string();
    let mut found = Vec::new();
    let first = word(0, false).ok_or("it is not in pcap format")?;
    if first == SECTION {
        let (mut at, mut big, mut links) = (0, false, Vec::new());
        while at < bytes.len() {
            if word(at, false) == Some(SECTION) {
                big = word(at + 8, true) == Some(0x1a2b_3c4d);
                links.clear();
            }
            let (kind, len) = (word(at, big), word(at + 4, big));
            let (kind, len) = kind.zip(len.map(|l| l as usize)).ok_or_else(cut)?;
            let end = at
                .checked_add(len)
                .filter(|e| len >= 12 && *e <= bytes.len());
            let end = end.ok_or_else(cut)?;
            let body = |from: usize, len: usize| {
                let last = at
                    .checked_add(from)?
                    .checked_add(len)
                    .filter(|l| *l <= end)?;
                bytes.get(at + from..last)
            };
            let link = |i: u32| links.get(i as usize).copied().unwrap_or(ETHERNET);
            match kind {
                INTERFACE => {
                    let word = word(at + 8, big).ok_or_else(cut)?;
                    // A 16-bit number comes first.
                    links.push(if big { word >> 16 } else { word & 0xffff });
                }
                ENHANCED | SIMPLE => {
                    let interface = if kind == ENHANCED {
                        word(at + 8, big)
                    } else {
                        Some(0)
                    };
                    let (size, from, length) = if kind == ENHANCED {
                        (word(at + 20, big), 28, word(at + 24, big))
                    } else {
                        let (most, length) = ((len as u32).saturating_sub(16), word(at + 8, big));
                        (length.map(|l| l.min(most)), 12, length)
                    };
                    let link = link(interface.unwrap_or(0));
                    if link != ETHERNET {
                        return Err(not_ethernet(link));
                    }
                    let size = size.ok_or_else(cut)? as usize;
                    found.push(Captured {
                        bytes: body(from, size).ok_or_else(cut)?,
                        length: length.ok_or_else(cut)? as usize,
                    });
                }
                _ => {}
            }
            at = end;
        }
        return Ok(found);
    }
    let big = match first {
        0xa1b2_c3d4 | 0xa1b2_3c4d => false,
        0xd4c3_b2a1 | 0x4d3c_b2a1 => true,
        _ => return Err("it is not in pcap format".into()),
    };
    let link = word(20, big).ok_or("it is not in pcap format")? & 0xffff;
    if link != ETHERNET {
        return Err(not_ethernet(link));
    }
    let mut at = 24;
    while at < bytes.len() {
        let size = word(at + 8, big).ok_or_else(cut)? as usize;
        let end = at
            .checked_add(16)
            .and_then(|a| a.checked_add(size))
            .ok_or_else(cut)?;
        found.push(Captured {
            bytes: bytes.get(at + 16..end).ok_or_else(cut)?,
            length: word(at + 12, big).ok_or_else(cut)? as usize,
        });
        at = end;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(file: &[u8]) -> Captured<'_> {
        let found = frames(file).expect("a capture");
        assert_eq!(found.len(), 1);
        found[0]
    }

    #[test]
    fn what_a_snap_length_cut_off_counts_as_zeros() {
        let captured = |length| Captured {
            bytes: &[1, 2, 3],
            length,
        };
        assert_eq!(captured(5).whole(), [1, 2, 3, 0, 0]);
        assert_eq!(captured(3).whole(), [1, 2, 3]);
        assert_eq!(captured(0).whole(), [1, 2, 3], "a file that lies");
        assert_eq!(captured(usize::MAX).whole().len(), LONGEST);
        assert!(captured(4).is_cut() && !captured(3).is_cut());
    }

    #[test]
    fn captures_of_all_kinds() {
        for big in [false, true] {
            let w = |v: u32| {
                if big {
                    v.to_be_bytes()
                } else {
                    v.to_le_bytes()
                }
            };
            for magic in [0xa1b2_c3d4, 0xa1b2_3c4d] {
                let mut file = [magic, 0, 0, 0, 65535, 1].map(w).concat();
                file.extend([[0, 0, 3, 5].map(w).concat(), vec![1, 2, 3]].concat());
                assert_eq!((one(&file).bytes, one(&file).length), (&[1, 2, 3][..], 5));
                assert!(frames(&file[..file.len() - 1]).is_err());
                file[20..24].copy_from_slice(&w(113));
                assert!(frames(&file).is_err());
            }
            let mut file = [SECTION, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28]
                .map(w)
                .concat();
            let link = if big { 1 << 16 } else { 1 };
            file.extend([INTERFACE, 20, link, 0, 20].map(w).concat());
            let before = file.clone();
            let packet = [ENHANCED, 36, 0, 0, 0, 3, 6].map(w).concat();
            file.extend([packet, vec![7, 8, 9, 0], w(36).to_vec()].concat());
            assert_eq!((one(&file).bytes, one(&file).length), (&[7, 8, 9][..], 6));
            let simple = [SIMPLE, 20, 9].map(w).concat();
            let simple = [before, simple, vec![7, 8, 9, 5], w(20).to_vec()].concat();
            let found = one(&simple);
            assert_eq!((found.bytes, found.length), (&[7, 8, 9, 5][..], 9));
            for len in 4..file.len() {
                let _ = frames(&file[..len]);
            }
        }
    }
}
