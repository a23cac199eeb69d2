//! Words of ASCII letters and digits, eight bytes at a time.
//!
//! **Why**: most words of Latin script are such, and a look at every character of them was a tenth of the front's time.

/// Letters and digits that follow each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// Of its bytes in lower case, not mixed yet.
    pub(super) hash: u64,
    /// In bytes.
    pub(super) length: usize,
    /// How many of them are digits.
    pub(super) digits: u32,
    /// How many of them are upper-case letters.
    pub(super) capitals: u32,
}

const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each byte: where what is found of a byte is told.
const HIGH: u64 = 0x80 * ONES;
const EIGHT: usize = 8;

/// The ASCII letters and digits from `at` on.
#[inline]
pub(super) fn run(bytes: &[u8], mut at: usize) -> Run {
    let mut run = Run::default();
    loop {
        let eight = eight(bytes, at);
        let (letters, digits) = letters_and_digits(eight);
        // In little-endian order the first byte is the lowest one.
        let length = (!(letters | digits) & HIGH).trailing_zeros() as usize / EIGHT;
        let mask = if length < EIGHT { (1 << (length * 8)) - 1 } else { u64::MAX };
        run.digits += many(digits & mask);
        // Upper-case letters lack the bit that lower-case ones and digits have.
        run.capitals += many(letters & !(eight << 2) & mask);
        run.length += length;
        at += length;
        if length > 0 {
            run.hash = grown(run.hash, (eight | (0x20 * ONES)) & mask);
        }
        if length < EIGHT {
            return run;
        }
    }
}

/// The hash of a word, not mixed yet, that goes on with these lower-case letters: eight bytes, or one character.
#[inline]
pub(super) fn grown(hash: u64, letters: u64) -> u64 {
    (hash ^ letters).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The bytes from `at` on; zeros past the end.
#[inline]
fn eight(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => rest.iter().rev().fold(0, |eight, byte| eight << 8 | u64::from(*byte)),
    }
}

/// In which bytes ASCII letters and digits stand. A sum has its highest bit where a byte is at or over a bound; bytes of
/// 7 bits never carry.
#[inline]
fn letters_and_digits(eight: u64) -> (u64, u64) {
    let low = eight & !HIGH;
    let over = |bytes: u64, bound: u8| bytes + u64::from(0x80 - bound) * ONES;
    let lower = low | (0x20 * ONES);
    let ascii = HIGH & !eight;
    let letters = over(lower, b'a') & !over(lower, b'z' + 1) & ascii;
    let digits = over(low, b'0') & !over(low, b'9' + 1) & ascii;
    (letters, digits)
}

/// How many bytes have their highest bit.
#[inline]
fn many(found: u64) -> u32 {
    u32::from(((found & HIGH) >> 7).wrapping_mul(ONES).to_be_bytes()[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_run_is_what_its_bytes_are(
            bytes in prop::collection::vec(
                prop_oneof![9 => prop::sample::select(b"azAZ09bQ5".to_vec()), 1 => any::<u8>()], 0..40),
            from in 0..3_usize,
        ) {
            let from = from.min(bytes.len());
            let word: Vec<u8> = bytes[from..].iter().copied().take_while(u8::is_ascii_alphanumeric).collect();
            let found = run(&bytes, from);
            prop_assert_eq!(found.length, word.len());
            prop_assert_eq!(found.digits as usize, word.iter().filter(|byte| byte.is_ascii_digit()).count());
            prop_assert_eq!(found.capitals as usize, word.iter().filter(|byte| byte.is_ascii_uppercase()).count());
            // The hash is that of the word alone, whatever its case, and of no other word.
            let lower = word.to_ascii_lowercase();
            prop_assert_eq!(found.hash, run(&lower, 0).hash);
            for at in 0..lower.len() {
                let mut other = lower.clone();
                other[at] = if other[at] == b'x' { b'y' } else { b'x' };
                prop_assert_ne!(found.hash, run(&other, 0).hash);
            }
            prop_assert!(word.is_empty() || found.hash != run(&lower[1..], 0).hash);
        }
    }

    #[test]
    fn every_byte_is_told() {
        for byte in 0..=u8::MAX {
            let found = run(&[byte], 0);
            assert_eq!(found.length == 1, byte.is_ascii_alphanumeric(), "{byte}");
            assert_eq!(found.digits == 1, byte.is_ascii_digit(), "{byte}");
            assert_eq!(found.capitals == 1, byte.is_ascii_uppercase(), "{byte}");
        }
    }
}
