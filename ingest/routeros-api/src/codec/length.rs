//! The five forms of a word's length, big-endian, the form told by the first byte.
//!
//! First bytes from `0xF8` on are reserved for control: no client can go on after one. `0xF1` to `0xF7`
//! belong to no form either and are refused the same way.

use super::DecodeError;

/// Appends the shortest form of `length` (bytes of the word).
pub fn encode(length: u32, out: &mut Vec<u8>) {
    let [b3, b2, b1, b0] = length.to_be_bytes();
    match length {
        0..0x80 => out.push(b0),
        0x80..0x4000 => out.extend_from_slice(&[b1 | 0x80, b0]),
        0x4000..0x20_0000 => out.extend_from_slice(&[b2 | 0xC0, b1, b0]),
        0x20_0000..0x1000_0000 => out.extend_from_slice(&[b3 | 0xE0, b2, b1, b0]),
        _ => out.extend_from_slice(&[0xF0, b3, b2, b1, b0]),
    }
}

/// Reads a length from the front of `bytes`: the length and how many bytes its form took, or `None`
/// when more bytes are needed. Longer forms of a small length are accepted.
///
/// # Errors
/// [`DecodeError::ReservedByte`] when the first byte starts no form.
pub fn decode(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    let (size, high) = match first {
        0..0x80 => (1, first),
        0x80..0xC0 => (2, first & 0x3F),
        0xC0..0xE0 => (3, first & 0x1F),
        0xE0..0xF0 => (4, first & 0x0F),
        0xF0 => (5, 0),
        _ => return Err(DecodeError::ReservedByte { byte: first }),
    };
    let Some(rest) = bytes.get(1..size) else {
        return Ok(None);
    };
    let length = rest
        .iter()
        .fold(u32::from(high), |sum, &byte| (sum << 8) | u32::from(byte));
    Ok(Some((length, size)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KNOWN: [(u32, &str); 17] = [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8080"),
        (0x87, "8087"),
        (0x3fff, "bfff"),
        (0x4000, "c04000"),
        (0x4321, "c04321"),
        (0x1f_ffff, "dfffff"),
        (0x20_0000, "e0200000"),
        (0x2a_cdef, "e02acdef"),
        (0x10_0000, "d00000"),
        (0xfff_ffff, "efffffff"),
        (0x1000_0000, "f010000000"),
        (0x1000_0080, "f010000080"),
        (0x7fff_ffff, "f07fffffff"),
        (u32::MAX, "f0ffffffff"),
    ];

    #[test]
    fn known_answers_both_ways() {
        for (length, wire) in KNOWN {
            let mut out = Vec::new();
            encode(length, &mut out);
            assert_eq!(hex::encode(&out), wire);
            assert_eq!(decode(&out), Ok(Some((length, out.len()))));
        }
    }

    #[test]
    fn a_prefix_of_a_length_asks_for_more() {
        for (_, wire) in KNOWN {
            let wire = hex::decode(wire).unwrap();
            for cut in 0..wire.len() {
                assert_eq!(decode(&wire[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn reserved_first_bytes_are_errors() {
        for byte in 0xF1..=0xFF {
            let bytes = [byte, 0, 0, 0, 0];
            assert_eq!(decode(&bytes), Err(DecodeError::ReservedByte { byte }));
        }
    }

    proptest! {
        #[test]
        fn every_length_comes_back(length in any::<u32>()) {
            let mut out = Vec::new();
            encode(length, &mut out);
            prop_assert_eq!(decode(&out), Ok(Some((length, out.len()))));
        }
    }
}
