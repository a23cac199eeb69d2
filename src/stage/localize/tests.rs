use super::*;
use crate::llm::{Answer, Offers};
use crate::model::Ruling::Faulted;
use crate::stage::testing::{NATIVE, Script, asked, chat, desk, end_of, lang, prompts, treat, turn};
use proptest::prelude::*;

const MT: Offers = Offers { translate: true, chat: false, complete: false, embed: false };
const CHAT: Offers = Offers { translate: false, chat: true, complete: false, embed: false };
const GOOD: &str = "Por que os oceanos têm marés?";

struct Ear;

impl Identifier for Ear {
    fn identify(&self, text: &str) -> Option<(Lang, f32)> {
        match text {
            t if t.contains("¿") => Some((lang("spa_Latn"), 0.95)),
            t if t.contains("Por que hai") => Some((lang("glg_Latn"), 0.6)),
            _ => Some((lang("por_Latn"), 0.9)),
        }
    }
}

fn clerk(desk: Desk) -> Localize {
    Localize::new(desk, prompts(), Some(Arc::new(Ear)), LocalizeSettings::default())
        .expect("English is there")
}

fn mt(reply: &str) -> Localize {
    let reply = reply.to_owned();
    clerk(desk(MT, move |_| Ok(Answer::Text(reply.clone()))))
}

#[test]
fn a_good_instruction_is_taken_without_the_quotes_around_it() {
    for clerk in [mt(GOOD), clerk(chat(&format!("\"{GOOD}\"\n"))), clerk(chat(&format!("«{GOOD}»")))] {
        assert_eq!(treat(&clerk, asked()).expect("goes on").instruction, GOOD);
    }
    let quoted = "\"Ser\" ou \"estar\": qual é a diferença?";
    assert_eq!(treat(&clerk(chat(quoted)), asked()).expect("goes on").instruction, quoted);
}

#[test]
fn hostile_and_broken_replies_are_faults() {
    let replies = [
        ("", Reason::EmptyReply),
        ("I'm sorry, but I can't assist with that.", Reason::Refused),
        ("Por que os oceanos têm marés?\nPorque a Lua os atrai.", Reason::Malformed),
        ("Why do the oceans have tides?", Reason::Copy),
        ("Tradução: why do the oceans have tides?", Reason::Copy),
        ("¿Por qué los océanos tienen mareas?", Reason::WrongLang),
        ("Почему в океанах есть приливы?", Reason::WrongLang),
        (
            "As marés são causadas pela atração da Lua e do Sol sobre os oceanos, que sobem e descem duas vezes por dia.",
            Reason::LengthRatio,
        ),
        ("Por que os oceanos têm 137 marés?", Reason::DigitsDiffer),
        ("marés marés marés marés marés marés marés marés", Reason::Loop),
    ];
    for (reply, reason) in replies {
        for clerk in [mt(reply), clerk(chat(reply))] {
            assert_eq!(end_of(&clerk, asked()), Some((Faulted, reason)), "{reply}");
        }
    }
    // A neighbour's guess on a short text is no proof.
    assert_eq!(end_of(&mt("Por que hai mareas nos océanos?"), asked()), None);
}

#[test]
fn english_is_asked_nobody_and_an_unknown_pair_is_a_fault() {
    let nobody = clerk(desk(MT, |_| panic!("asked")));
    let row = treat(&nobody, Exchange { lang: lang("eng_Latn"), ..asked() }).expect("goes on");
    assert_eq!(row.instruction, row.instruction_en);
    let thai = Exchange { lang: lang("tha_Thai"), ..asked() };
    assert_eq!(end_of(&nobody, thai), Some((Faulted, Reason::NoTranslator)));
    let und = Exchange { lang: Lang::UND, ..asked() };
    assert_eq!(end_of(&clerk(chat(GOOD)), und), Some((Faulted, Reason::NoTranslator)));
}

#[test]
fn a_chat_model_sees_the_response_fenced_and_bounded() {
    let script = Script::new(CHAT, |_| Ok(turn(GOOD)));
    let clerk = clerk(Desk::bare(Arc::<Script<_>>::clone(&script)));
    treat(&clerk, Exchange { response: NATIVE.repeat(40), ..asked() }).expect("goes on");
    let asks = script.asks();
    let [Ask::Chat { user, .. }] = asks.as_slice() else { panic!("one turn") };
    assert!(user.contains(NATIVE) && user.contains("Why do the oceans have tides?"));
    assert!(
        user.contains("Portuguese (Português)") && user.chars().count() < 2200,
        "{}",
        user.chars().count()
    );
    assert_eq!(user.matches("[[").count(), 2);
}

#[test]
fn settings_out_of_range_are_named() {
    assert!(LocalizeSettings::default().check("localize").is_ok());
    let wide = LocalizeSettings { other_lang: 1.5, ..LocalizeSettings::default() };
    assert!(
        wide.check("localize").expect_err("range").to_string().contains("key=localize.other_lang, value=1.5")
    );
}

proptest! {
    #[test]
    fn every_row_ends_with_its_field_or_an_outcome(reply in "\\PC{0,120}", request in "\\PC{0,120}", tag in 0..130_usize) {
        let lang = Lang::all().nth(tag).unwrap_or(Lang::UND);
        for clerk in [mt(&reply), clerk(chat(&reply))] {
            let row = Exchange { instruction_en: request.clone(), lang, ..asked() };
            let row = treat(&clerk, row).expect("the run goes on");
            prop_assert!(row.outcome.is_some() == row.instruction.is_empty());
        }
    }
}
