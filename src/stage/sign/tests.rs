//! Signatures against plain set arithmetic: estimates, recall and precision by Jaccard, in spaced and dense scripts.

use super::*;
use crate::model::{Lang, Signature};
use std::collections::BTreeSet;

/// A small generator of its own (Lehmer), so that no test shares code with the lanes.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }
}

const KANJI: &str = "日一国会人年大十二本中長出三同時政事自行社見月分議後前民生連五発間対上部東者党地合市業内相方四定今回新場金員九入選立開手米力学問高代明実円関決子動京全目表戦経通外最言氏現理調体化田当八六約主題下首意法";

/// A text of about `length` units in which no window repeats by design but by chance only.
fn text_of(dice: &mut Dice, length: usize, dense: bool) -> Vec<String> {
    let kanji: Vec<char> = KANJI.chars().collect();
    (0..length)
        .map(
            |_| {
                if dense {
                    kanji[dice.roll(kanji.len())].to_string()
                } else {
                    format!("w{}", dice.roll(4000))
                }
            },
        )
        .collect()
}

fn joined(units: &[String], dense: bool) -> String {
    units.join(if dense { "" } else { " " })
}

/// Jaccard of the windows of five units, as a plain set.
fn jaccard(one: &[String], other: &[String]) -> f64 {
    let set = |units: &[String]| units.windows(5).map(<[String]>::to_vec).collect::<BTreeSet<_>>();
    let (one, other) = (set(one), set(other));
    one.intersection(&other).count() as f64 / one.union(&other).count() as f64
}

/// Replaces units one by one until the Jaccard has fallen to `goal`.
fn edited(dice: &mut Dice, units: &[String], goal: f64, dense: bool) -> (Vec<String>, f64) {
    let mut copy = units.to_vec();
    loop {
        let reached = jaccard(units, &copy);
        if reached <= goal {
            return (copy, reached);
        }
        let at = dice.roll(copy.len());
        copy[at] = text_of(dice, 1, dense).remove(0);
    }
}

fn meets(one: &Signature, other: &Signature) -> bool {
    one.bands.iter().zip(&other.bands).any(|(one, other)| one == other)
}

/// The threshold that `stage::dedup` verifies with by default.
const THRESHOLD: f64 = 0.73;

#[test]
fn pairs_are_found_and_verified_by_their_jaccard() {
    let signer = Signer::new(&SignSettings::default());
    let mut scratch = Scratch::default();
    for dense in [false, true] {
        let mut dice = Dice(7);
        for (goal, pairs) in [(0.85, 150), (0.8, 300), (0.64, 300), (0.5, 60), (0.3, 60)] {
            let (mut found, mut merged, mut error, mut square) = (0, 0, 0.0, 0.0);
            for _ in 0..pairs {
                // Shorter steps at the top: a window is 5 of about 200.
                let units = text_of(&mut dice, 400, dense);
                let (copy, real) = edited(&mut dice, &units, goal, dense);
                let one = signer.sign(&joined(&units, dense), Lang::UND, &mut scratch);
                let other = signer.sign(&joined(&copy, dense), Lang::UND, &mut scratch);
                let estimate = one.resemblance(&other);
                found += usize::from(meets(&one, &other));
                merged += usize::from(meets(&one, &other) && estimate >= THRESHOLD);
                error += estimate - real;
                square += (estimate - real) * (estimate - real);
            }
            let n = f64::from(pairs);
            let (bias, deviation) = (error / n, (square / n).sqrt());
            println!(
                "dense={dense} jaccard<={goal}: {found} of {pairs} meet, {merged} merge, bias={bias:.4} deviation={deviation:.4}"
            );
            assert!(bias.abs() < 0.006, "{goal} {bias}");
            assert!(deviation < 0.027, "{goal} {deviation}");
            if goal >= 0.8 {
                assert!(merged as f64 >= n * 0.985, "{merged} of {pairs} at {goal}");
            } else {
                assert_eq!(merged, 0, "{goal}");
            }
        }
    }
}

#[test]
fn form_case_space_and_punctuation_do_not_change_a_signature() {
    let signer = Signer::new(&SignSettings::default());
    let mut scratch = Scratch::default();
    let mut sign = |text: &str| signer.sign(text, Lang::UND, &mut scratch);
    let one = sign("A maré sobe duas vezes por dia, e desce outras duas.");
    assert_eq!(one, sign("  a MARE\u{301} sobe\nduas vezes por dia e desce outras duas"));
    assert_ne!(one, sign("A maré sobe duas vezes por dia, e desce outras três."));
    assert_eq!((one.bands.len(), one.sketch.len()), (16, 256));
}

#[test]
fn short_and_empty_texts_have_signatures() {
    let signer = Signer::new(&SignSettings::default());
    let mut scratch = Scratch::default();
    for text in ["", "a", "?", "春", "\0"] {
        let (content, one) = signer.sign_content(text, Lang::UND, &mut scratch);
        assert_eq!((content, one.clone()), signer.sign_content(text, Lang::UND, &mut scratch), "{text:?}");
        assert!((one.resemblance(&one) - 1.0).abs() < 1e-9);
    }
    let a = signer.sign("春", Lang::UND, &mut scratch);
    assert!(a.resemblance(&signer.sign("夏", Lang::UND, &mut scratch)) < 0.1);
}

#[test]
fn instructions_that_say_the_same_resemble_each_other() {
    let signer = Signer::new(&SignSettings::instructions());
    let mut scratch = Scratch::default();
    let mut sign = |text: &str| signer.sign(text, Lang::UND, &mut scratch);
    let one = sign("How does a pressure cooker work?");
    assert!(one.resemblance(&sign("how does a Pressure Cooker work")) > 0.99);
    assert!(one.resemblance(&sign("How does a modern pressure cooker work?")) > 0.7);
    assert!(one.resemblance(&sign("What is the history of the city of Ouro Preto?")) < 0.3);
}

#[test]
fn all_feature_sets_sign_alike() {
    let shape = SignSettings::default();
    let mut scratch = Scratch::default();
    let text = "Приливы вызваны притяжением Луны и Солнца. 潮の満ち引きは月と太陽の引力による。 Tides rise twice a day.";
    let plain = Signer::with(&shape, Dispatch::Portable).sign(text, Lang::UND, &mut scratch);
    for dispatch in Dispatch::available() {
        assert_eq!(Signer::with(&shape, *dispatch).sign(text, Lang::UND, &mut scratch), plain, "{dispatch}");
    }
}

#[test]
fn credits_come_back_and_every_draft_is_signed() {
    use crate::model::{Draft, Drafts, Place, Signed, Span, Weight};
    use crate::source::credits::Credits;
    use std::sync::{Arc, Mutex};
    use timely::dataflow::InputHandle;
    use timely::dataflow::operators::{Input, Inspect};
    let seen: Arc<Mutex<Vec<(Signed, u64, isize)>>> = Arc::default();
    let (sink, left) = (Arc::clone(&seen), Arc::new(Mutex::new(0)));
    let after = Arc::clone(&left);
    timely::execute_directly(move |worker| {
        let credits = Credits::new(5, 50);
        let weight = Weight { rows: 5, bytes: 50 };
        credits.take(weight);
        let mut input =
            InputHandle::<u64, timely::container::CapacityContainerBuilder<Drafts>>::new_with_builder();
        let keys: Arc<[String]> = vec!["a".to_owned()].into();
        let given = std::rc::Rc::clone(&credits);
        worker.dataflow(|scope| {
            let drafts = scope.input_from(&mut input);
            let sink = Arc::clone(&sink);
            sign(drafts, &SignSettings::default(), keys, given, 1)
                .inspect(move |row| sink.lock().expect("one thread").push(row.clone()));
        });
        let draft = |row, start, end| Draft {
            place: Place { shard: 0, row, start: 0 },
            lang: Lang::UND,
            spans: vec![Span { start: 0, end: 4 }],
            start,
            end,
        };
        let drafts = vec![draft(0, 0, 4), draft(1, 4, 8)];
        input.send_batch(&mut Drafts {
            text: "umadois!".into(),
            drafts,
            weight: Weight { rows: 2, bytes: 20 },
        });
        input.send_batch(&mut Drafts { weight: Weight { rows: 3, bytes: 30 }, ..Drafts::default() });
        input.close();
        while worker.step() {}
        *after.lock().expect("one thread") = u32::from(credits.open());
        credits.take(Weight { rows: 4, bytes: 49 });
        assert!(credits.open(), "all of it came back");
    });
    let seen = seen.lock().expect("one thread");
    assert_eq!((seen.len(), *left.lock().expect("one thread")), (2, 1));
    assert!(seen.iter().all(|(_, time, diff)| (*time, *diff) == (0, 1)));
    assert_ne!(seen[0].0.row.tick, seen[1].0.row.tick);
}
