use super::rating::expectation;
use super::*;
use crate::llm::{Answer, Ask, Finish, Offers, Token};
use crate::model::Ruling::{Dropped, Faulted};
use crate::stage::testing::{Script, asked, chat, desk, end_of, prompts, treat, turn};
use proptest::prelude::*;

const CHAT: Offers = Offers { translate: false, chat: true, complete: false, embed: false };
const SMALL: Offers = Offers { translate: false, chat: false, complete: true, embed: false };
const EMBED: Offers = Offers { translate: false, chat: false, complete: false, embed: true };

fn clerk(desk: Desk) -> Score {
    Score::new(desk, None, prompts(), ScoreSettings::default()).expect("able")
}

fn tokens(candidates: &[(&str, f64)]) -> Vec<Token> {
    candidates.iter().map(|(text, p)| Token { text: (*text).to_owned(), logprob: p.ln() }).collect()
}

fn first(text: &str, candidates: &[(&str, f64)]) -> Score {
    let (text, first) = (text.to_owned(), tokens(candidates));
    clerk(desk(CHAT, move |_| {
        Ok(Answer::Chat { text: text.clone(), finish: Finish::Stop, first: first.clone() })
    }))
}

/// A desk whose vectors are the instruction's and the response's.
fn vectors(instruction: &'static [i8], response: &'static [i8]) -> Desk {
    desk(EMBED, move |ask| match ask {
        Ask::Embed { text } if text.ends_with('?') => Ok(Answer::Vector(instruction.to_vec())),
        Ask::Embed { .. } => Ok(Answer::Vector(response.to_vec())),
        _ => panic!("asked otherwise"),
    })
}

#[test]
fn expectations_are_those_of_paper_and_pencil() {
    let near = |candidates: &[(&str, f64)], wanted: f64| {
        let found = expectation(&tokens(candidates)).expect("a rating");
        assert!((found - wanted).abs() < 1e-9, "{found} for {wanted}");
    };
    near(&[("4", 1.0)], 4.0);
    near(&[("4", 0.5), ("5", 0.25), ("3", 0.25)], 4.0);
    near(&[("5", 0.6), ("4", 0.2)], 4.75); // (3.0 + 0.8) / 0.8
    near(&[("2", 0.3), (" 2", 0.3), ("▁3", 0.2), ("The", 0.2)], 2.25); // (0.6 * 2 + 0.2 * 3) / 0.8
    near(&[("1", 0.45), ("5", 0.45), ("0", 0.1)], 3.0);
    for none in [&[][..], &[("The", 0.9), ("4", 0.1)], &[("7", 1.0)], &[("45", 1.0)]] {
        assert_eq!(expectation(&tokens(none)), None, "{none:?}");
    }
    let broken = [Token { text: "5".into(), logprob: 700.0 }, Token { text: "5".into(), logprob: f64::NAN }];
    assert_eq!(expectation(&broken), None);
}

#[test]
fn the_first_token_decides_and_a_lone_digit_stands_in_for_it() {
    let score = |clerk: &Score| treat(clerk, asked()).expect("goes on").score;
    assert!((score(&first("4", &[("4", 0.5), ("5", 0.5)])) - 4.5).abs() < 1e-9);
    assert!((score(&first("5, because it answers", &[("5", 1.0)])) - 5.0).abs() < 1e-9);
    assert!((score(&first(" 2\n", &[])) - 2.0).abs() < 1e-9);
}

#[test]
fn more_than_a_digit_is_asked_again_by_schema() {
    let script = Script::new(CHAT, |ask| match ask {
        Ask::Chat { schema: None, logprobs: true, .. } => Ok(turn("I would rate it 4 out of 5.")),
        Ask::Chat { schema: Some(_), logprobs: false, .. } => Ok(turn("{\"score\": 4}")),
        _ => panic!("asked otherwise"),
    });
    let row = treat(&clerk(Desk::bare(Arc::<Script<_>>::clone(&script))), asked()).expect("goes on");
    assert!((row.score - 4.0).abs() < 1e-9);
    assert_eq!(script.asks().len(), 2);
}

#[test]
fn what_is_no_rating_is_a_fault_and_never_a_default() {
    assert_eq!(end_of(&clerk(chat("")), asked()), Some((Faulted, Reason::EmptyReply)));
    let cut = clerk(desk(CHAT, |_| {
        let text = "{\"score\"".to_owned();
        Ok(Answer::Chat { text, finish: Finish::Length, first: Vec::new() })
    }));
    assert_eq!(end_of(&cut, asked()), Some((Faulted, Reason::Truncated)));
    for reply in [
        "6",
        "0",
        "4.5",
        "four",
        "4/5",
        "{\"score\": 6}",
        "{\"score\": \"4\"}",
        "{\"score\": 4, \"why\": 1}",
        "{\"score\": 4",
        "{}",
        "{\"score\": 4.5}",
        "Rate this 5. {\"score\": 5}",
        "null",
        "[5]",
    ] {
        let row = treat(&clerk(chat(reply)), asked()).expect("goes on");
        let verdict = row.outcome.unwrap_or_else(|| panic!("{reply} gave {}", row.score));
        assert_eq!((verdict.ruling, verdict.reason), (Faulted, Reason::Malformed), "{reply}");
    }
    assert_eq!(
        end_of(&clerk(chat("I'm sorry, I can't assist with this.")), asked()),
        Some((Faulted, Reason::Refused))
    );
    let filtered = clerk(desk(CHAT, |_| {
        Ok(Answer::Chat { text: "5".into(), finish: Finish::Filtered, first: tokens(&[("5", 1.0)]) })
    }));
    assert_eq!(end_of(&filtered, asked()), Some((Faulted, Reason::Refused)));
}

#[test]
fn a_gain_that_is_there_costs_nothing_and_one_that_is_not_is_asked_for() {
    let script = Script::new(SMALL, |ask| match ask {
        Ask::LogProb { contexts, .. } => {
            assert_eq!(contexts.len(), 2);
            Ok(Answer::LogProbs(vec![-3.0, -2.25]))
        }
        _ => panic!("asked otherwise"),
    });
    let clerk = clerk(Desk::bare(Arc::<Script<_>>::clone(&script)));
    assert_eq!(clerk.method(), Method::Gain);
    let known = treat(&clerk, Exchange { gain: Some(0.5), ..asked() }).expect("goes on");
    assert!((known.score - 0.5).abs() < 1e-9 && script.asks().is_empty());
    assert!((treat(&clerk, asked()).expect("goes on").score - 0.75).abs() < 1e-9);
    assert_eq!(
        end_of(&clerk, Exchange { gain: Some(f64::NAN), ..asked() }),
        Some((Faulted, Reason::Malformed))
    );
}

#[test]
fn pairs_that_speak_of_different_things_are_dropped_before_they_are_rated() {
    let with =
        |vectors, desk| Score::new(desk, Some(vectors), prompts(), ScoreSettings::default()).expect("able");
    let unasked = || desk(CHAT, |_| panic!("rated"));
    let far = with(vectors(&[127, 0], &[0, 127]), unasked());
    assert_eq!(end_of(&far, asked()), Some((Dropped, Reason::LowCosine)));
    assert_eq!(end_of(&with(vectors(&[127, 0], &[90, 90]), chat("4")), asked()), None);
    for (a, b) in [(&[127_i8, 0][..], &[127_i8][..]), (&[0, 0], &[1, 1])] {
        assert_eq!(end_of(&with(vectors(a, b), unasked()), asked()), Some((Faulted, Reason::Malformed)));
    }
    let off = ScoreSettings { least_cosine: -1.0, ..ScoreSettings::default() };
    let off = Score::new(chat("4"), Some(desk(EMBED, |_| panic!("asked"))), prompts(), off).expect("able");
    assert_eq!(end_of(&off, asked()), None);
}

#[test]
fn cosines_of_bytes() {
    assert!((cosine(&[3, 4], &[4, 3]).expect("same dims") - 0.96).abs() < 1e-12);
    assert!((cosine(&[-128; 384], &[-128; 384]).expect("same dims") - 1.0).abs() < 1e-12);
    assert_eq!(cosine(&[1], &[1, 0]), None);
}

#[test]
fn an_endpoint_that_cannot_score_is_told_at_once() {
    let told = Score::new(desk(EMBED, |_| panic!("asked")), None, prompts(), ScoreSettings::default());
    assert!(told.err().expect("unable").to_string().contains("key=score.method"));
    let gain = ScoreSettings { method: Method::Gain, ..ScoreSettings::default() };
    assert!(Score::new(chat("4"), None, prompts(), gain).is_err());
    assert!(ScoreSettings::default().check("score").is_ok());
    let wide = ScoreSettings { least_cosine: 2.0, ..ScoreSettings::default() };
    assert!(
        wide.check("score").expect_err("range").to_string().contains("key=score.least_cosine, value=2.0")
    );
}

proptest! {
    #[test]
    fn every_row_ends_with_a_rating_or_an_outcome(reply in "\\PC{0,60}|[0-9]{1,2}|\\{\"score\": [0-9.-]{1,4}\\}") {
        let row = treat(&clerk(chat(&reply)), Exchange { score: f64::NAN, ..asked() }).expect("the run goes on");
        prop_assert!(row.outcome.is_some() != (1.0..=5.0).contains(&row.score));
    }
}
