//! Wires the quota: counts per cell give quotas, quotas cut the cells.

use super::apportion::apportion;
use super::settings::QuotaSettings;
use crate::model::{Epoch, Note, Reason, Ruling, Scored, Stage, Verdict, micros};
use crate::stage::by_key::reduce;
use crate::stage::cut::{CutContext, CutIn, cut};
use crate::stage::ranked::BestFirst;
use crate::stage::shares::{Shares, natural, take_least};
use crate::stage::threshold::share_of;
use crate::stage::verdicts::Verdicts;
use differential_dataflow::VecCollection;
use std::sync::Arc;

/// Wires the stage; the contract is on the page of the module.
pub fn quota<'s>(rows: VecCollection<'s, Epoch, Scored>, settings: &QuotaSettings) -> Verdicts<'s, Scored> {
    let floor = settings.floor.map_or(i64::MIN, micros);
    let low = rows.clone().filter(move |scored| scored.score < floor).map(|scored| {
        let score = scored.score;
        note(&scored, Reason::LowScore, score)
    });
    let fit = rows.clone().filter(move |scored| scored.score >= floor);
    let rate = micros(settings.target_rate);
    if rate >= 1_000_000 {
        return Verdicts { kept: fit, dropped: low };
    }
    let alpha = micros(settings.alpha).clamp(0, 1_000_000).unsigned_abs();
    let all = rows.map(|scored| (scored.row.lang, None));
    let cells = fit.clone().map(|scored| (scored.row.lang, Some(scored.cell)));
    let wanted = reduce("quota/cells", all.concat(cells).consolidate_stream(), move |_lang, counts, out| {
        // `None` comes first and counts the whole lang.
        let Some(((None, all), cells)) = counts.split_first() else { return };
        let counts: Vec<u64> = cells.iter().map(|(_, count)| natural(*count)).collect();
        let quotas = apportion(share_of(rate, natural(*all)), &counts, alpha);
        let cells = cells.iter().filter_map(|(cell, _)| **cell);
        out.extend(cells.zip(quotas).filter(|(_, quota)| *quota > 0).map(|given| (given, 1)));
    })
    .map(|(lang, (cell, quota))| ((lang, cell), quota));
    let fit = fit.map(|scored| ((scored.row.lang, scored.cell), BestFirst::from(scored)));
    let Shares { kept, left } = take_least("quota", fit, wanted);
    Verdicts {
        kept: kept.map(|(_, ranked)| ranked.scored),
        dropped: low.concat(left.map(|(_, ranked)| note(&ranked.scored, Reason::CellFull, 0))),
    }
}

/// As [`quota`], from durable state: the changes of a delta.
pub(crate) fn quota_durable<'s>(
    rows: VecCollection<'s, Epoch, Scored>,
    settings: &QuotaSettings,
    ctx: &CutContext,
) -> Verdicts<'s, Scored> {
    let floor = settings.floor.map_or(i64::MIN, micros);
    let rate = micros(settings.target_rate);
    if rate >= 1_000_000 {
        return quota(rows, settings);
    }
    let low = rows.clone().filter(move |scored| scored.score < floor).map(|scored| {
        let score = scored.score;
        note(&scored, Reason::LowScore, score)
    });
    let alpha = micros(settings.alpha).clamp(0, 1_000_000).unsigned_abs();
    let rows = rows.map(move |scored| {
        if scored.score < floor { CutIn::Count(scored.row.lang) } else { CutIn::Row(scored.cell, scored) }
    });
    let wanted = move |_, all: u64, cells: &[(u32, u64)]| {
        let counts: Vec<u64> = cells.iter().map(|(_, count)| *count).collect();
        apportion(share_of(rate, all), &counts, alpha)
    };
    let judged = cut(ctx, rows, Arc::new(wanted));
    Verdicts {
        kept: judged.clone().filter(|(kept, _)| *kept).map(|(_, scored)| scored),
        dropped: low
            .concat(judged.filter(|(kept, _)| !*kept).map(|(_, scored)| note(&scored, Reason::CellFull, 0))),
    }
}

fn note(scored: &Scored, reason: Reason, value: i64) -> Note {
    let verdict = Verdict { stage: Stage::Quota, ruling: Ruling::Dropped, reason, value };
    Note { place: scored.row.place, lang: scored.row.lang, verdict }
}
