//! Each reason has a text that it drops; good pages pass, thin and spam pages do not.

use super::*;
use crate::model::{Draft, Drafts, Lang, Place, Reason, Weight};

const PROSE: &str = "A luz do Sol parece branca, mas é uma mistura de todas as cores do arco-íris, cada uma com o seu comprimento de \
onda. O vermelho tem ondas mais longas e o azul tem ondas curtas. Quando essa mistura entra na atmosfera, encontra moléculas que são \
centenas de vezes menores do que a onda da luz. Essas moléculas desviam uma parte da luz em todas as direções, fenômeno que chamamos \
de espalhamento.";

fn judged(text: &str, tag: &str) -> Option<Reason> {
    let mut judge = Judge::new(&QualitySettings::default());
    judge.judge(text, Lang::from_tag(tag).unwrap_or(Lang::UND)).err().map(|verdict| verdict.reason)
}

#[test]
fn prose_passes_in_many_scripts() {
    assert_eq!(judged(PROSE, "por_Latn"), None);
    for (tag, text) in [
        (
            "jpn_Jpan",
            "潮の満ち引きは、主に月の引力によって起こる。地球の海水は月に近い側で引き寄せられ、海面が高くなる。太陽の引力も関係しており、新月や満月のころには二つの力が重なって、潮の差が大きくなる。",
        ),
        (
            "cmn_Hani",
            "潮汐主要是由月球的引力引起的。靠近月球一侧的海水受到的引力更大，海面因此升高。太阳也有影响，在新月和满月的时候，两种力量叠加在一起，潮差就会变得更大。",
        ),
        (
            "tha_Thai",
            "น้ำขึ้นน้ำลงเกิดจากแรงดึงดูดของดวงจันทร์และดวงอาทิตย์ที่กระทำต่อน้ำทะเลบนโลก ด้านที่อยู่ใกล้ดวงจันทร์จะถูกดึงดูดมากกว่าด้านอื่น ทำให้ระดับน้ำสูงขึ้น",
        ),
        (
            "amh_Ethi",
            "የባሕር ማዕበል የሚፈጠረው በጨረቃ እና በፀሐይ ስበት ምክንያት ነው። ጨረቃ ወደ ምድር በምትቀርብበት ጊዜ ውኃው ወደ ላይ ይነሳል። ይህ ሁኔታ በቀን ሁለት ጊዜ ይከሰታል።",
        ),
        (
            "rus_Cyrl",
            "Приливы вызваны притяжением Луны и Солнца. Вода на той стороне Земли, которая ближе к Луне, притягивается сильнее, и уровень моря растёт. Когда Солнце и Луна стоят на одной линии, приливы становятся выше.",
        ),
    ] {
        assert_eq!(judged(text, tag), None, "{tag}");
    }
}

#[test]
fn each_reason_has_its_text() {
    let broken = PROSE.replace('é', "\u{fffd}").replace("ç", "\u{fffd}");
    let decoded = PROSE.replace('é', "Ã©").replace('ã', "Ã£").replace('ç', "Ã§");
    let words =
        "moléculas atmosfera comprimento vermelho arco mistura encontra espalhamento ondas azul branca ";
    let spam = "Melhor cassino online do Brasil, cassino online com bônus. Jogue agora no cassino online que paga na hora. ";
    let cases = [
        (broken.as_str(), Reason::BrokenText),
        (decoded.as_str(), Reason::BrokenText),
        (&PROSE.replace(' ', " \0 "), Reason::BrokenText),
        (&PROSE.repeat(3), Reason::Repetition),
        (&format!("{PROSE} {}", spam.repeat(2)), Reason::Boilerplate),
        (
            &PROSE
                .replace("onda", "cassino")
                .replace("luz", "cassino")
                .replace("cores", "cassino")
                .replace("de", "cassino"),
            Reason::Repetition,
        ),
        (
            &PROSE.replace(", ", " | ").replace(" uma ", " ++ ").replace(" que ", " == ").replace(' ', " | "),
            Reason::Symbols,
        ),
        (&PROSE.replace(' ', " 123 "), Reason::Digits),
        (&PROSE.to_uppercase(), Reason::Capitals),
        (&PROSE.replace(". ", " https://a.example/b. "), Reason::Links),
        (&PROSE.replace('.', ","), Reason::FewSentences),
        (&format!("{words}."), Reason::FewStopWords),
        (&PROSE.replace(' ', "\n"), Reason::ShortLines),
        (
            &PROSE.split(' ').collect::<Vec<_>>().chunks(4).map(<[_]>::concat).collect::<Vec<_>>().join(" "),
            Reason::WordLength,
        ),
    ];
    for (text, reason) in cases {
        assert_eq!(judged(text, "por_Latn"), Some(reason), "{text}");
    }
}

#[test]
fn a_container_keeps_its_credits_and_notes_what_it_drops() {
    let draft = |row, start, end| Draft {
        place: Place { shard: 1, row, start: 3 },
        lang: Lang::UND,
        spans: vec![],
        start,
        end,
    };
    let weight = Weight { rows: 2, bytes: 7 };
    let drafts = Drafts { text: "bomruim".into(), drafts: vec![draft(0, 0, 3), draft(1, 3, 7)], weight };
    let rule = |_: &mut Draft, text: &str| {
        let verdict = crate::model::Verdict::dropped(crate::model::Stage::Quality, Reason::Links, 1.0);
        if text == "bom" { Ok(()) } else { Err((Lang::UND, verdict)) }
    };
    let (kept, notes) = retain(drafts.clone(), rule);
    assert_eq!((kept.drafts.len(), kept.weight, kept.response(&kept.drafts[0])), (1, weight, "bom"));
    assert_eq!(notes.iter().map(|note| note.place.row).collect::<Vec<_>>(), [1]);
    let (none, notes) = retain(Drafts { drafts: vec![draft(1, 3, 7)], ..drafts }, rule);
    assert_eq!((none.drafts.len(), none.weight, notes.len()), (0, weight, 1));
}
