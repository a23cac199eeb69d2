//! What the process took of the machine's cores.

use std::fs;

/// Ticks of the kernel in a second; `USER_HZ` is 100 on every platform that has this file.
const TICKS: f64 = 100.0;

/// Seconds of CPU of all threads of this process so far, ended ones too, to a hundredth; `None` where the kernel does not say.
pub fn cpu_seconds() -> Option<f64> {
    seconds_of(&fs::read_to_string("/proc/self/stat").ok()?)
}

fn seconds_of(stat: &str) -> Option<f64> {
    // The name of the program stands in parentheses and may hold anything, so fields are counted after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_line_is_read_whatever_the_program_is_called() {
        let stat = "7 (a b) 9) R 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(seconds_of(stat), Some(2.0));
        assert_eq!(seconds_of("7 (a) R 1"), None);
        assert_eq!(seconds_of(""), None);
    }
}
