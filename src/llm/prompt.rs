//! Versioned prompts; hostile text is fenced.
