//! Tempered quota per cell.
