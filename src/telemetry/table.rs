//! The table at the end of a run: per lang and stage, what came in, what became of it, what it cost.
//!
//! **Why**: it is the one thing that everybody reads, so it is plain text of fixed columns, read off the same counts
//! as the audit, and fits the width it is given.

use crate::llm::Role;
use crate::llm::desk::Billed;
use crate::llm::money::Money;
use crate::model::{Lang, Reason, Stage};
use crate::telemetry::Tally;
use crate::telemetry::tally::Line;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a stage spent on a lang.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Asks that went to an endpoint.
    pub calls: u64,
    /// Asks that the journal answered.
    pub cached: u64,
    /// Tokens read by models.
    pub input_tokens: u64,
    /// Tokens written by models.
    pub output_tokens: u64,
    /// What the endpoints take for it.
    pub money: Money,
    /// Work or waiting, summed over workers and calls in flight, in microseconds.
    pub micros: u64,
}

/// A line of the bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillLine {
    /// What the endpoint was asked for.
    pub role: Role,
    /// Its name in the settings.
    pub endpoint: String,
    /// The lang that the asks served.
    pub lang: String,
    /// What is billed.
    #[serde(flatten)]
    pub billed: Billed,
}

/// Costs by stage and lang; work that serves no lang in particular stands under [`Lang::UND`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    by_stage: BTreeMap<(Stage, Lang), Cost>,
    /// The bill, by role, endpoint and lang.
    pub bill: Vec<BillLine>,
}

impl Costs {
    /// Adds a cost.
    pub fn add(&mut self, stage: Stage, lang: Lang, cost: Cost) {
        let sum = self.by_stage.entry((stage, lang)).or_default();
        sum.calls += cost.calls;
        sum.cached += cost.cached;
        sum.input_tokens += cost.input_tokens;
        sum.output_tokens += cost.output_tokens;
        sum.money += cost.money;
        sum.micros += cost.micros;
    }

    /// Adds what another worker spent.
    pub fn merge(&mut self, other: &Self) {
        for ((stage, lang), cost) in &other.by_stage {
            self.add(*stage, *lang, *cost);
        }
        self.bill.extend(other.bill.iter().cloned());
    }

    /// The cost of a stage and lang.
    pub fn of(&self, stage: Stage, lang: Lang) -> Cost {
        self.by_stage.get(&(stage, lang)).copied().unwrap_or_default()
    }

    /// The bill by role and endpoint, a line each, and its sum; empty if nothing was asked.
    pub fn bill_text(&self) -> String {
        let mut lines: BTreeMap<(Role, &str), Billed> = BTreeMap::new();
        let mut all = Billed::default();
        for line in &self.bill {
            lines.entry((line.role, &line.endpoint)).or_default().merge(&line.billed);
            all.merge(&line.billed);
        }
        let told = |billed: &Billed| {
            format!(
                "requests={}, cached={}, tokens in={}, out={}, money={}",
                billed.requests, billed.cached, billed.input_tokens, billed.output_tokens, billed.money
            )
        };
        let mut text: Vec<String> = lines
            .iter()
            .map(|((role, endpoint), billed)| format!("bill: {} {endpoint}: {}", role.name(), told(billed)))
            .collect();
        if !text.is_empty() {
            text.push(format!("bill: all: {}", told(&all)));
        }
        text.join("\n")
    }

    /// Everything together.
    pub fn sum(&self) -> Cost {
        let mut all = Self::default();
        for cost in self.by_stage.values() {
            all.add(Stage::Read, Lang::UND, *cost);
        }
        all.of(Stage::Read, Lang::UND)
    }
}

/// How a table is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns of the screen; reasons wrap to fit. 0 never wraps.
    pub width: usize,
    /// Bold headings: for a terminal only.
    pub bold: bool,
}

impl Style {
    /// For files and pipes.
    pub const PLAIN: Self = Self { width: 0, bold: false };
}

const HEADINGS: [&str; 11] =
    ["lang", "stage", "in", "kept", "dropped", "faulted", "calls", "cached", "tokens", "money", "seconds"];
const WHY: &str = "why";

/// The least room for reasons beside the numbers.
const LEAST_WHY: usize = 30;

/// Draws the table, ordered by lang, then stage.
pub fn table(tally: &Tally, costs: &Costs, style: Style) -> String {
    let mut lines = tally.lines();
    for key in costs.by_stage.keys() {
        lines.entry(*key).or_default();
    }
    let mut lines: Vec<((Stage, Lang), Line)> = lines.into_iter().collect();
    lines.sort_by_key(|((stage, lang), _)| (*lang, *stage));
    let mut last = None;
    let mut rows = Vec::with_capacity(lines.len());
    for ((stage, lang), line) in &lines {
        let named = if last.replace(*lang) == Some(*lang) { "" } else { lang.tag() };
        rows.push((cells(named, *stage, line, costs.of(*stage, *lang)), why(line)));
    }
    let widths: Vec<usize> = HEADINGS
        .iter()
        .enumerate()
        .map(|(i, heading)| {
            let widest = rows.iter().filter_map(|(cells, _)| cells.get(i)).map(String::len).max();
            if widest == Some(0) || widest.is_none() { 0 } else { heading.len().max(widest.unwrap_or(0)) }
        })
        .collect();
    let (on, off) = if style.bold { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
    let headings = HEADINGS.map(str::to_owned);
    let wide = joined(&[const { String::new() }; 11], &widths, "x").len() - 1;
    // Beside the numbers if there is room, else under them.
    let beside = style.width == 0 || style.width >= wide + LEAST_WHY;
    let indent = if beside { wide } else { widths.first().map_or(0, |lang| lang + 4) };
    let heading = joined(&headings, &widths, if beside { WHY } else { "" });
    let mut text = format!("{on}{}{off}\n", heading.trim_end());
    for (cells, reasons) in &rows {
        let reasons = wrapped(reasons, style.width.saturating_sub(indent), style.width == 0);
        let mut reasons = reasons.into_iter();
        let first = if beside { reasons.next().unwrap_or_default() } else { String::new() };
        text.push_str(joined(cells, &widths, &first).trim_end());
        text.push('\n');
        for more in reasons {
            text.push_str(&" ".repeat(indent));
            text.push_str(&more);
            text.push('\n');
        }
    }
    text
}

fn cells(lang: &str, stage: Stage, line: &Line, cost: Cost) -> [String; 11] {
    let number = |count: u64| if count == 0 { String::new() } else { grouped(count) };
    let signed = |count: i64| if count < 0 { count.to_string() } else { number(count.unsigned_abs()) };
    let tokens = cost.input_tokens + cost.output_tokens;
    let tenths = cost.micros.div_ceil(100_000);
    let seconds =
        if cost.micros == 0 { String::new() } else { format!("{}.{}", grouped(tenths / 10), tenths % 10) };
    [
        lang.to_owned(),
        stage.name().to_owned(),
        signed(line.entered),
        signed(line.kept),
        signed(line.dropped_sum()),
        signed(line.faulted_sum()),
        number(cost.calls),
        number(cost.cached),
        number(tokens),
        if cost.money == Money::ZERO { String::new() } else { cost.money.to_string() },
        seconds,
    ]
}

/// Reasons, most frequent first, ties by name.
fn why(line: &Line) -> Vec<String> {
    let mut reasons: Vec<(&Reason, &i64)> = line.dropped.iter().chain(&line.faulted).collect();
    reasons.sort_by_key(|(reason, count)| (-**count, reason.name()));
    reasons.iter().map(|(reason, count)| format!("{} {count}", reason.name())).collect()
}

fn wrapped(reasons: &[String], width: usize, never: bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for reason in reasons {
        match lines.last_mut() {
            Some(line) if never || line.len() + 2 + reason.len() <= width => {
                line.push_str(", ");
                line.push_str(reason);
            }
            _ => lines.push(reason.clone()),
        }
    }
    lines
}

/// Words to the left, numbers to the right, columns without any value left out.
fn joined(cells: &[String; 11], widths: &[usize], last: &str) -> String {
    let mut line = String::new();
    for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if *width > 0 {
            let padded = if i < 2 { format!("{cell:<width$}  ") } else { format!("{cell:>width$}  ") };
            line.push_str(&padded);
        }
    }
    line + last
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Note, Place, Verdict};

    fn counted() -> (Tally, Costs) {
        let lang = Lang::from_tag("por_Latn").expect("in the table");
        let mut tally = Tally::default();
        let mut add = |verdict, count| tally.add(&Note { place: Place::default(), lang, verdict }, count);
        add(Verdict::dropped(Stage::Dedup, Reason::NearDuplicate, 0.0), 1200);
        add(Verdict::dropped(Stage::Dedup, Reason::ExactDuplicate, 0.0), 34);
        add(Verdict::faulted(Stage::Translate, Reason::GaveUp, 0.0), 5);
        add(Verdict::kept(Stage::Localize, 0.0), 1_000_000);
        let mut costs = Costs::default();
        let cost = Cost {
            calls: 3,
            cached: 4,
            input_tokens: 1000,
            output_tokens: 234,
            money: Money::of(0.25),
            micros: 1_234_567,
        };
        costs.add(Stage::Translate, lang, cost);
        (tally, costs)
    }

    #[test]
    fn the_table_says_what_became_of_each_row() {
        let (tally, costs) = counted();
        let text = table(&tally, &costs, Style::PLAIN);
        let line = |stage: &str| {
            let found = text.lines().find(|line| line.contains(stage)).expect("a line of the stage");
            found.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line("dedup"), "dedup 1,001,239 1,000,005 1,234 near_duplicate 1200, exact_duplicate 34");
        assert_eq!(line("translate"), "translate 1,000,005 1,000,000 5 3 4 1,234 0.250000 1.3 gave_up 5");
        assert_eq!(line("localize"), "localize 1,000,000 1,000,000");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn reasons_wrap_and_columns_without_values_are_left_out() {
        let (tally, _) = counted();
        for (width, alone) in [(100, "exact_duplicate 34"), (70, "near_duplicate 1200, exact_duplicate 34")] {
            let text = table(&tally, &Costs::default(), Style { width, bold: true });
            assert!(!text.contains("tokens") && text.starts_with('\u{1b}'));
            let widest = text.lines().skip(1).map(str::len).max().expect("lines");
            assert!(widest <= width, "{text}");
            assert!(text.lines().any(|line| line.starts_with("     ") && line.trim() == alone), "{text}");
        }
        assert_eq!(table(&Tally::default(), &Costs::default(), Style::PLAIN).lines().count(), 1);
    }
}
