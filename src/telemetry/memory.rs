//! What the process holds of the machine's memory.

use std::fs;

/// The most resident bytes of this process so far, as the kernel counts them (`VmHWM`); `None` where it does not say.
pub fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    kib_of(&status, "VmHWM:").map(|kib| kib * 1024)
}

/// Lets [`peak_bytes`] begin anew from what is resident now. Where the kernel does not let it, peaks stay those of the
/// process, and this is false.
pub fn forget_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Asks the kernel for small pages alone, in this process and those that it starts; call it before much is allocated. Huge pages
/// keep memory resident that nobody uses (BENCHMARKS.md), and cost no time less here. A kernel that does not know the wish
/// goes on as it did.
pub fn small_pages() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn kib_of(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn huge_pages_are_declined() {
        small_pages();
        let status = fs::read_to_string("/proc/self/status").expect("of every process");
        let Some(line) = status.lines().find(|line| line.starts_with("THP_enabled:")) else {
            eprintln!("skipped: the kernel does not tell");
            return;
        };
        assert!(line.ends_with('0'), "{line}");
    }

    #[test]
    fn the_kernel_s_line_is_read() {
        assert_eq!(kib_of("VmPeak:\t  10 kB\nVmHWM:\t   1234 kB\n", "VmHWM:"), Some(1234));
        assert_eq!(kib_of("VmHWM:\n", "VmHWM:"), None);
    }
}
