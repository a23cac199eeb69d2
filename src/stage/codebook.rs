//! A frozen codebook: the topics that fill the cells of selection.
