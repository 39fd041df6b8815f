//! A gzip stream of zeros: small on the wire, large for whoever unpacks it.
//!
//! DEFLATE with fixed codes: one literal zero, then matches of 258 bytes at distance 1. Source: RFC 1951,
//! sections 3.2.5 and 3.2.6; RFC 1952 for the frame.

/// Bytes of one match.
const MATCH_BYTES: u64 = 258;

/// A gzip stream that unpacks to at least one and about `bytes` zeros: one, and whole matches up to `bytes`.
pub(super) fn of_zeros(bytes: u64) -> Vec<u8> {
    let matches = bytes.saturating_sub(1) / MATCH_BYTES;
    let unpacked = 1 + matches * MATCH_BYTES;
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits = Bits::default();
    // The last block, with fixed codes; then the literal 0, whose code is 00110000.
    bits.put(0b1, 1);
    bits.put(0b01, 2);
    bits.put_code(0b0011_0000, 8);
    for _ in 0..matches {
        // Length 258 is code 285, distance 1 is code 0.
        bits.put_code(0b1100_0101, 8);
        bits.put_code(0, 5);
    }
    // The end of the block is code 256.
    bits.put_code(0, 7);
    stream.extend(bits.finish());
    stream.extend_from_slice(&crc32_of_zeros(unpacked).to_le_bytes());
    stream.extend_from_slice(&(unpacked as u32).to_le_bytes());
    stream
}

/// Packs bits into bytes, the lowest bit first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, width: u32) {
        self.pending |= value << self.count;
        self.count += width;
        while self.count >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// Codes are packed from their highest bit on.
    fn put_code(&mut self, code: u32, width: u32) {
        self.put(code.reverse_bits() >> (32 - width), width);
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.pending as u8);
        }
        self.bytes
    }
}

/// The CRC-32 of the frame. Polynomial: RFC 1952, section 8.
fn crc32_of_zeros(bytes: u64) -> u32 {
    let mut crc = u32::MAX;
    let step: Vec<u32> =
        (0..256u32).map(|low| (0..8).fold(low, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })).collect();
    for _ in 0..bytes {
        crc = step[(crc & 0xff) as usize] ^ (crc >> 8);
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_sum_is_the_known_one() {
        // Of four zero bytes, as every table of CRC-32 has it.
        assert_eq!(crc32_of_zeros(4), 0x2144_df1c);
        assert_eq!(crc32_of_zeros(0), 0);
    }

    #[test]
    fn it_is_small_and_says_how_large_it_gets() {
        let stream = of_zeros(10 * 1024 * 1024);
        assert!(stream.len() < 70_000, "{}", stream.len());
        let unpacked = u32::from_le_bytes(stream[stream.len() - 4..].try_into().unwrap());
        assert!((10 * 1024 * 1024 - 258..=10 * 1024 * 1024).contains(&unpacked), "{unpacked}");
        // A single zero, as gzip unpacks it.
        assert_eq!(of_zeros(1), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 0x63, 0, 0, 0x8d, 0xef, 0x02, 0xd2, 1, 0, 0, 0]);
    }
}
