//! Each stage with its state on disk: after every delta, committed and opened anew, with another number of workers, what it
//! said so far is what plain loops say of the rows that are there.

#[path = "support/durable.rs"]
mod durably;
mod support;

use durably::replay_durably;
use isogloss::model::{Scored, Signature};
use isogloss::stage::dedup::DedupSettings;
use isogloss::stage::near_instruction::NearInstructionSettings;
use isogloss::stage::quota::QuotaSettings;
use isogloss::stage::sample::SampleSettings;
use isogloss::stage::select::{SelectSettings, select};
use isogloss::stage::threshold::ThresholdSettings;
use proptest::prelude::*;
use support::replay::{Manner, Outcome, agree, replay};
use support::scripts::{lang_of, net, rows_alone, scored, signed, toggles};

/// Stages on disk drop the signature once it has done its work.
fn bare(mut outcome: Outcome<Scored>) -> Outcome<Scored> {
    outcome.kept = outcome.kept.into_iter().map(|(scored, count)| (unsigned(scored), count)).collect();
    outcome
}

fn unsigned(scored: Scored) -> Scored {
    Scored { asked_signature: Signature::default(), ..scored }
}

fn workers() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..=3usize, 5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn dedup_keeps_the_least_place_of_each_cluster(
        script in toggles(signed(30, 5), 30),
        workers in workers(),
        whole_band in prop_oneof![2..6u32, Just(64)],
        least_resemblance in prop_oneof![Just(0.4), Just(0.72), Just(0.0)],
    ) {
        let settings = DedupSettings { least_resemblance, whole_band, ..DedupSettings::default() };
        let given = settings.clone();
        let answers = replay_durably(&script, &workers, move |stages, rows| stages.dedup(rows, &given));
        agree(&script, answers, |rows| support::dedup::expected(rows, &settings))?;
    }

    #[test]
    fn sample_keeps_the_least_ticks_of_each_lang(
        script in toggles(signed(30, 5), 30).prop_map(rows_alone).prop_map(net),
        workers in workers(),
        per_lang in prop::option::of(0..8u64),
        portuguese in prop::option::of(0..8u64),
    ) {
        let langs = portuguese.map(|budget| ("por_Latn".to_owned(), budget)).into_iter().collect();
        let settings = SampleSettings { per_lang, langs };
        let answers = replay_durably(&script, &workers, move |stages, rows| stages.sample(rows, &settings));
        let budget = |lang| if lang == lang_of(0) { portuguese.or(per_lang) } else { per_lang };
        agree(&script, answers, |rows| support::selection::sampled(rows, budget))?;
    }

    #[test]
    fn threshold_keeps_the_best_share_of_each_lang(
        script in toggles(scored(30), 30),
        workers in workers(),
        rate in prop_oneof![Just(0.0), Just(0.25), Just(0.5), Just(0.9), Just(1.0)],
    ) {
        let settings = ThresholdSettings { fixed: None, target_rate: Some(rate) };
        let answers = replay_durably(&script, &workers, move |stages, rows| stages.threshold(rows, &settings));
        agree(&script, answers, |rows| support::selection::above(rows, rate))?;
    }

    #[test]
    fn near_instruction_keeps_the_best_of_each_cluster(
        script in toggles(scored(24), 30),
        workers in workers(),
        least_resemblance in prop_oneof![Just(0.4), Just(0.7)],
    ) {
        let settings = NearInstructionSettings { least_resemblance };
        let answers = replay_durably(&script, &workers, move |stages, rows| stages.near_instruction(rows, &settings));
        agree(&script, answers, |rows| bare(support::selection::asked_once(rows, least_resemblance)))?;
    }

    #[test]
    fn quota_keeps_the_best_of_each_cell(
        script in toggles(scored(30), 30).prop_map(net),
        workers in workers(),
        target_rate in prop_oneof![Just(0.25), Just(0.5), Just(0.75)],
        twice_alpha in 0..=2u32,
        floor in prop_oneof![Just(-1.0), Just(0.0)],
    ) {
        let settings = QuotaSettings { target_rate, alpha: f64::from(twice_alpha) / 2.0, floor: Some(floor) };
        let answers = replay_durably(&script, &workers, move |stages, rows| stages.quota(rows, &settings));
        let square = |n: u64| n.pow(twice_alpha);
        let sooner = |(p, m): (u64, u64), (q, n): (u64, u64)| p * p * square(n) < q * q * square(m);
        agree(&script, answers, |rows| {
            bare(support::selection::within_quota(rows, target_rate, floor, sooner))
        })?;
    }

    #[test]
    fn selection_is_that_of_memory(script in toggles(scored(24), 30).prop_map(net), workers in workers()) {
        let settings = SelectSettings {
            quota: QuotaSettings { target_rate: 0.7, ..QuotaSettings::default() },
            ..SelectSettings::default()
        };
        let again = settings.clone();
        let answers = replay_durably(&script, &workers, move |stages, rows| stages.select(rows, &settings));
        let memory = replay(&script, Manner { workers: 1, wait: true }, move |rows| select(rows, &again));
        for (answer, memory) in answers.into_iter().zip(memory) {
            let memory = bare(memory);
            prop_assert_eq!(answer.kept, memory.kept);
            prop_assert_eq!(answer.dropped, memory.dropped);
        }
    }
}
