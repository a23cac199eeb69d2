//! Who shares a band key, where a few do: 8 bytes a member.

/// Small sets of numbers, as lists in one vector: a head `(count, first)`, then cells `(number, next)`.
#[derive(Default)]
pub(super) struct Groups {
    cells: Vec<(u32, u32)>,
    free: Vec<u32>,
}

const END: u32 = u32::MAX;

impl Groups {
    pub(super) fn start(&mut self, a: u32, b: u32) -> u32 {
        let head = self.cell(0, END);
        self.push(head, a);
        self.push(head, b);
        head
    }

    pub(super) fn push(&mut self, head: u32, number: u32) {
        let (count, first) = self.cells[head as usize];
        let cell = self.cell(number, first);
        self.cells[head as usize] = (count + 1, cell);
    }

    pub(super) fn remove(&mut self, head: u32, number: u32) {
        let mut before = head;
        let mut at = self.cells[head as usize].1;
        while at != END {
            let (member, next) = self.cells[at as usize];
            if member == number {
                self.cells[before as usize].1 = next;
                self.cells[head as usize].0 -= 1;
                self.free.push(at);
                return;
            }
            (before, at) = (at, next);
        }
        debug_assert!(false, "a node that goes is in its group");
    }

    pub(super) fn free(&mut self, head: u32) {
        let mut at = head;
        while at != END {
            self.free.push(at);
            at = self.cells[at as usize].1;
        }
    }

    pub(super) fn count(&self, head: u32) -> u32 {
        self.cells[head as usize].0
    }

    pub(super) fn members(&self, head: u32) -> impl Iterator<Item = u32> {
        let mut at = self.cells[head as usize].1;
        std::iter::from_fn(move || {
            (at != END).then(|| {
                let (number, next) = self.cells[at as usize];
                at = next;
                number
            })
        })
    }

    fn cell(&mut self, number: u32, next: u32) -> u32 {
        if let Some(cell) = self.free.pop() {
            self.cells[cell as usize] = (number, next);
            return cell;
        }
        self.cells.push((number, next));
        u32::try_from(self.cells.len() - 1).expect("under 2^31 cells on one worker")
    }
}

#[cfg(test)]
impl Groups {
    /// Every cell was given back.
    pub(super) fn is_clear(&self) -> bool {
        self.free.len() == self.cells.len()
    }
}
