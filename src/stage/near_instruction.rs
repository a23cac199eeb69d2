//! One exchange per cluster of nearly equal instructions.
