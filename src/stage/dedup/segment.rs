//! A part of the band table: tags of 32 bits, each with what holds it, in one word a tag.

/// Slots of one segment, by linear probing from where the tag says; grown past four fifths.
#[derive(Default)]
pub(super) struct Segment {
    slots: Vec<u64>,
    live: u32,
}

impl Segment {
    pub(super) fn find(&self, tag: u32) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(tag);
        while self.slots[at] != 0 {
            if tag_of(self.slots[at]) == tag {
                return Some(at);
            }
            at = self.after(at);
        }
        None
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half is what holds the key")]
    pub(super) fn held(&self, at: usize) -> u32 {
        self.slots[at] as u32
    }

    pub(super) fn hold(&mut self, at: usize, held: u32) {
        self.slots[at] = u64::from(tag_of(self.slots[at])) << 32 | u64::from(held);
    }

    pub(super) fn insert(&mut self, tag: u32, held: u32) {
        if (self.live as usize + 1) * 5 > self.slots.len() * 4 {
            let length = (self.slots.len() * 3 / 2).max(8);
            let old = std::mem::replace(&mut self.slots, vec![0; length]);
            old.into_iter().filter(|slot| *slot != 0).for_each(|slot| self.put(slot));
        }
        self.put(u64::from(tag) << 32 | u64::from(held));
        self.live += 1;
    }

    fn put(&mut self, slot: u64) {
        let mut at = self.home(tag_of(slot));
        while self.slots[at] != 0 {
            at = self.after(at);
        }
        self.slots[at] = slot;
    }

    /// Empties a slot and moves back what was displaced past it.
    pub(super) fn remove(&mut self, mut gap: usize) {
        let length = self.slots.len();
        let mut at = self.after(gap);
        while self.slots[at] != 0 {
            let home = self.home(tag_of(self.slots[at]));
            if (at + length - home) % length >= (at + length - gap) % length {
                self.slots[gap] = self.slots[at];
                gap = at;
            }
            at = self.after(at);
        }
        self.slots[gap] = 0;
        self.live -= 1;
    }

    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.slots.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }
}

fn tag_of(slot: u64) -> u32 {
    (slot >> 32) as u32
}

#[cfg(test)]
impl Segment {
    /// Nothing is left, not even a mark.
    pub(super) fn is_clear(&self) -> bool {
        self.live == 0 && self.slots.iter().all(|slot| *slot == 0)
    }
}
