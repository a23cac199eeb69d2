//! File names made of hostile words, and how hashes and langs stand in JSON.
//!
//! **Why**: a shard's key is whatever a person's folder was called; it must not lead out of ours, and two keys
//! that look alike once cleaned must stay apart. JSON has no 128-bit number, and a lang's index is no name.

use xxhash_rust::xxh3::xxh3_128;

/// The most characters that a key lends to a file name.
const MOST_STEM: usize = 40;

/// The stable beginning of the names of all files that belong to a shard: the end of its key in plain ASCII, and
/// eight hex digits of the key's hash. It starts with a letter or a digit, for readers of folders skip others.
pub fn stem(shard_key: &str) -> String {
    let last = shard_key.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or_default();
    let last = last.strip_suffix(".parquet").unwrap_or(last);
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let kept: String =
        last.chars().skip_while(|c| !c.is_ascii_alphanumeric()).map(safe).take(MOST_STEM).collect();
    let kept = if kept.is_empty() { "shard".to_owned() } else { kept };
    let hash = hex(xxh3_128(shard_key.as_bytes()));
    format!("{kept}-{}", hash.get(..8).unwrap_or(&hash))
}

/// 32 hex digits.
pub fn hex(hash: u128) -> String {
    format!("{hash:032x}")
}

/// Two hex digits for each byte.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Whether a name of a manifest is one of ours: no folder, nothing hidden.
pub fn is_plain(name: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(safe)
}

/// A hash as 32 hex digits.
pub mod hash {
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes it.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(hash: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::hex(*hash))
    }

    /// Reads it.
    ///
    /// # Errors
    /// Those of the deserializer, and what is no hash.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(|_| de::Error::custom(format!("no hash: {text:?}")))
    }
}

/// A lang as its tag.
pub mod tag {
    use crate::model::Lang;
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes it.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(lang: &Lang, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(lang.tag())
    }

    /// Reads it.
    ///
    /// # Errors
    /// Those of the deserializer, and a tag that `data/langs.tsv` does not have.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Lang, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::lang_of(&text).ok_or_else(|| de::Error::custom(format!("unknown lang: {text:?}")))
    }
}

/// The lang with this tag, `und` among them.
pub fn lang_of(tag: &str) -> Option<crate::model::Lang> {
    use crate::model::Lang;
    if tag == Lang::UND.tag() { Some(Lang::UND) } else { Lang::from_tag(tag) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leads_out_of_the_folder() {
        for key in [
            "../../etc/passwd",
            "a/..",
            "C:\\x\\..\\y",
            "\u{202e}gpj\0\n",
            "_x",
            "-rf",
            "",
            "/",
            ".hidden",
            "日本語",
        ] {
            let stem = stem(key);
            assert!(is_plain(&stem), "{key:?} gave {stem:?}");
            assert!(stem.starts_with(|c: char| c.is_ascii_alphanumeric()), "{stem:?} would be skipped");
            assert!(stem.len() <= MOST_STEM + 9);
        }
    }

    #[test]
    fn keys_that_look_alike_stay_apart() {
        assert_ne!(stem("a/0.parquet"), stem("b/0.parquet"));
        assert_ne!(stem("日本"), stem("韓国"));
        assert_eq!(stem("a/000_00000.parquet").split('-').next(), Some("000_00000"));
    }
}
