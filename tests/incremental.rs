//! Each incremental stage: the outcome after every epoch is that of plain loops over the rows that are there then,
//! whatever the number of workers and whether epochs overlap. Failing seeds are kept beside this file.

mod support;

use isogloss::model::Scored;
use isogloss::stage::dedup::{DedupSettings, dedup};
use isogloss::stage::near_instruction::{NearInstructionSettings, near_instruction};
use isogloss::stage::quota::{QuotaSettings, quota};
use isogloss::stage::sample::{SampleSettings, sample};
use isogloss::stage::select::{SelectSettings, select};
use isogloss::stage::threshold::{ThresholdSettings, threshold};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use support::replay::{Changes, Manner, agree, present, replay};
use support::scripts::{lang_of, net, rows_alone, scored, signed, toggles};

/// Workers from 1 to 3, epochs one by one or all in flight.
fn manners() -> impl Strategy<Value = Manner> {
    (1..=3usize, any::<bool>()).prop_map(|(workers, wait)| Manner { workers, wait })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn dedup_keeps_the_least_place_of_each_cluster(
        script in toggles(signed(30, 5), 30),
        manner in manners(),
        whole_band in prop_oneof![2..6u32, Just(64)],
        least_resemblance in prop_oneof![Just(0.4), Just(0.72), Just(0.0)],
    ) {
        let settings = DedupSettings { least_resemblance, whole_band, ..DedupSettings::default() };
        let given = settings.clone();
        let answers = replay(&script, manner, move |rows| dedup(rows, &given));
        agree(&script, answers, |rows| support::dedup::expected(rows, &settings))?;
    }

    #[test]
    fn sample_keeps_the_least_ticks_of_each_lang(
        script in toggles(signed(30, 5), 30).prop_map(rows_alone).prop_map(net),
        manner in manners(),
        per_lang in prop::option::of(0..8u64),
        portuguese in prop::option::of(0..8u64),
    ) {
        let langs = portuguese.map(|budget| ("por_Latn".to_owned(), budget)).into_iter().collect();
        let settings = SampleSettings { per_lang, langs };
        let answers = replay(&script, manner, move |rows| sample(rows, &settings));
        let budget = |lang| if lang == lang_of(0) { portuguese.or(per_lang) } else { per_lang };
        agree(&script, answers, |rows| support::selection::sampled(rows, budget))?;
    }

    #[test]
    fn threshold_keeps_the_best_share_of_each_lang(
        script in toggles(scored(30), 30),
        manner in manners(),
        rate in prop_oneof![Just(0.0), Just(0.25), Just(0.5), Just(0.9), Just(1.0)],
    ) {
        let settings = ThresholdSettings { fixed: None, target_rate: Some(rate) };
        let answers = replay(&script, manner, move |rows| threshold(rows, &settings));
        agree(&script, answers, |rows| support::selection::above(rows, rate))?;
    }

    #[test]
    fn near_instruction_keeps_the_best_of_each_cluster(
        script in toggles(scored(24), 30),
        manner in manners(),
        least_resemblance in prop_oneof![Just(0.4), Just(0.7)],
    ) {
        let settings = NearInstructionSettings { least_resemblance };
        let answers = replay(&script, manner, move |rows| near_instruction(rows, &settings));
        agree(&script, answers, |rows| support::selection::asked_once(rows, least_resemblance))?;
    }

    #[test]
    fn quota_keeps_the_best_of_each_cell(
        script in toggles(scored(30), 30),
        manner in manners(),
        target_rate in prop_oneof![Just(0.25), Just(0.5), Just(0.75)],
        twice_alpha in 0..=2u32,
        floor in prop_oneof![Just(-1.0), Just(0.0)],
    ) {
        let settings = QuotaSettings { target_rate, alpha: f64::from(twice_alpha) / 2.0, floor: Some(floor) };
        let answers = replay(&script, manner, move |rows| quota(rows, &settings));
        // λ of place q in a cell of n is q/n^α; its square is told in whole numbers.
        let square = |n: u64| n.pow(twice_alpha);
        let sooner = |(p, m): (u64, u64), (q, n): (u64, u64)| p * p * square(n) < q * q * square(m);
        agree(&script, answers, |rows| support::selection::within_quota(rows, target_rate, floor, sooner))?;
    }

    #[test]
    fn selection_is_a_function_of_the_set(script in toggles(scored(24), 30), manner in manners()) {
        let settings = SelectSettings {
            quota: QuotaSettings { target_rate: 0.7, ..QuotaSettings::default() },
            ..SelectSettings::default()
        };
        let again = settings.clone();
        let last: Vec<Scored> = present(&script);
        let answers = replay(&script, manner, move |rows| select(rows, &settings));
        let scratch = vec![last.iter().map(|scored| (scored.clone(), 1)).collect()];
        let fresh = replay(&scratch, Manner { workers: 1, wait: true }, move |rows| select(rows, &again));
        let (answer, fresh) = (&answers[answers.len() - 1], &fresh[0]);
        prop_assert_eq!(&answer.kept, &fresh.kept);
        prop_assert_eq!(&answer.dropped, &fresh.dropped);
        prop_assert_eq!(answer.kept.len() + answer.dropped.len(), last.len());
    }
}

#[test]
fn threshold_by_a_fixed_score_is_at_least_it() {
    let pool =
        scored(30).new_tree(&mut proptest::test_runner::TestRunner::deterministic()).unwrap().current();
    let script = vec![pool.iter().map(|scored| (scored.clone(), 1)).collect()];
    let settings = ThresholdSettings { fixed: Some(0.25), target_rate: None };
    let answer =
        replay(&script, Manner { workers: 2, wait: true }, move |rows| threshold(rows, &settings)).remove(0);
    assert!(answer.kept.keys().all(|scored| scored.score >= 250_000));
    assert!(answer.dropped.keys().all(|note| note.verdict.value < 250_000));
    assert_eq!(answer.kept.len() + answer.dropped.len(), pool.len());
}

mod hubs {
    //! Shapes that hurt: long paths, stars, crowds. Seconds are bounded generously, for a busy machine.
    use super::*;
    use isogloss::model::{Signature, Signed};
    use isogloss::telemetry::Stopwatch;
    use support::scripts::{hash_of, row_of};

    const WAITING: Manner = Manner { workers: 2, wait: true };

    fn node(at: usize, bands: Vec<u64>, sketch: Vec<u8>) -> Signed {
        Signed { row: row_of(at, at as u64, 0, 0), signature: Signature { bands, sketch } }
    }

    fn all(rows: &[Signed], diff: isize) -> Changes<Signed> {
        rows.iter().map(|row| (row.clone(), diff)).collect()
    }

    /// As [`super::agree`], and the seconds it took.
    fn check(script: &[Changes<Signed>], settings: &DedupSettings) -> f64 {
        let given = settings.clone();
        let watch = Stopwatch::start();
        let answers = replay(script, WAITING, move |rows| dedup(rows, &given));
        let took = watch.seconds();
        agree(script, answers, |rows| support::dedup::expected(rows, settings)).expect("outcomes agree");
        took
    }

    #[test]
    fn cutting_a_long_path_is_quick() {
        // Each node resembles all, but shares a band with its two neighbours only.
        let path: Vec<Signed> =
            (0..3_000).map(|at| node(at, vec![at as u64, at as u64 + 1], vec![7; 8])).collect();
        let cut = vec![(path[1_500].clone(), -1)];
        let mend = vec![(path[1_500].clone(), 1)];
        let took = check(&[all(&path, 1), cut, mend], &DedupSettings::default());
        assert!(took < 40.0, "{took} s");
    }

    #[test]
    fn a_star_falls_apart_with_its_centre() {
        let mut star = vec![node(0, (1..400).collect(), vec![7; 8])];
        star.extend((1..400).map(|at| node(at, vec![at as u64], vec![7; 8])));
        let took = check(
            &[all(&star, 1), all(&star[..1], -1), all(&star, -1).split_off(1)],
            &DedupSettings::default(),
        );
        assert!(took < 20.0, "{took} s");
    }

    #[test]
    fn a_crowd_that_resembles_nobody_hides_no_pair() {
        // 5,000 nodes of one band; each sketch is that of one other node only.
        let sketch = |at: usize| hash_of(at as u64 % 2_500).to_le_bytes().to_vec();
        let crowd: Vec<Signed> = (0..5_000).map(|at| node(at, vec![1], sketch(at))).collect();
        let script = [all(&crowd, 1), all(&crowd[..4_950], -1), all(&crowd[..10], 1)];
        let given = DedupSettings::default();
        let watch = Stopwatch::start();
        let answers = replay(&script, WAITING, move |rows| dedup(rows, &given));
        assert!(watch.seconds() < 60.0, "{} s", watch.seconds());
        assert_eq!(answers.iter().map(|answer| answer.kept.len()).collect::<Vec<_>>(), [2_500, 50, 60]);
        assert_eq!(answers.iter().map(|answer| answer.dropped.len()).collect::<Vec<_>>(), [2_500, 0, 0]);
    }

    #[test]
    fn past_the_most_leaders_a_crowd_links_to_those_it_has() {
        let settings = DedupSettings { most_leaders: 1, whole_band: 2, ..DedupSettings::default() };
        let crowd: Vec<Signed> =
            (0..40).map(|at| node(at, vec![1], vec![u8::try_from(at % 4).unwrap(); 8])).collect();
        let answer = replay(&[all(&crowd, 1)], WAITING, move |rows| dedup(rows, &settings)).remove(0);
        // The leader and the nine like it give one survivor; the other thirty stay alone.
        assert_eq!((answer.kept.len(), answer.dropped.len()), (31, 9));
    }
}
