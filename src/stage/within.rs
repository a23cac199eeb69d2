//! The one form in which a setting out of range is told.

use crate::error::{Error, Result};
use std::fmt::Debug;
use std::ops::RangeInclusive;

/// `value` is within `range`.
pub(crate) fn within<T: PartialOrd + Debug>(
    key: &str,
    field: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Error::config(format!(
        "setting out of range: key={key}.{field}, value={value:?}, range={range:?}, remedy=set it within the range"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_told_with_its_key_and_range() {
        assert!(within("score", "most", 3, 0..=3).is_ok());
        let told = within("score", "most", f64::NAN, 0.0..=1.0).expect_err("NaN").to_string();
        assert!(told.contains("key=score.most, value=NaN, range=0.0..=1.0"), "{told}");
    }
}
