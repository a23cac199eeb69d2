//! One survivor of every cluster of equal or nearly equal fragments.
