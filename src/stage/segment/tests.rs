//! What holds for the fragments of any text, and what they are on pages as the web has them.

use super::*;
use crate::model::{Lang, Row, Rows, Span, Weight, response_of};
use crate::source::pages;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use unicode_segmentation::UnicodeSegmentation;

fn lang(tag: &str) -> Lang {
    Lang::from_tag(tag).expect("known")
}

fn responses(text: &str, tag: &str) -> Vec<String> {
    let segmenter = Segmenter::new(&SegmentSettings::default());
    let fragments = segmenter.segment(text, lang(tag));
    fragments.iter().map(|spans| response_of(text, spans).expect("on boundaries")).collect()
}

/// Checks what must hold whatever the text is; gives the responses.
fn checked(text: &str, lang: Lang, settings: &SegmentSettings) -> Vec<String> {
    let fragments = Segmenter::new(settings).segment(text, lang);
    assert_eq!(fragments, Segmenter::new(settings).segment(text, lang), "same again");
    let mut last = 0;
    for spans in &fragments {
        assert!(!spans.is_empty());
        for Span { start, end } in spans {
            assert!(last <= *start && start < end, "ordered, disjoint, not empty");
            last = *end;
        }
    }
    let graphemes: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
    let scale = |chars: usize, dense: bool| if dense { chars * 2 / 5 } else { chars };
    fragments
        .iter()
        .map(|spans| {
            let response = response_of(text, spans).expect("on boundaries");
            for Span { start, end } in spans {
                for at in [*start as usize, *end as usize] {
                    assert!(graphemes.binary_search(&at).is_ok(), "inside a grapheme: {at} of {text:?}");
                }
            }
            let chars = response.chars().count();
            // An undetermined text may be taken for dense or not.
            let least = scale(settings.least_chars, lang.dense() || lang == Lang::UND);
            let most = scale(settings.most_chars, lang.dense());
            assert!((least..=most).contains(&chars), "{chars} characters");
            assert!(!response.starts_with(char::is_whitespace) && !response.ends_with(char::is_whitespace));
            assert!(!response.contains("\n\n\n"), "blank lines are thinned out");
            response
        })
        .collect()
}

fn small() -> SegmentSettings {
    SegmentSettings { least_chars: 20, target_chars: 60, most_chars: 150, ..SegmentSettings::default() }
}

/// Sentences, marks, menus and accidents, in many scripts.
fn pieces() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "\n",
        "\n",
        "\r\n",
        "\n\n",
        " ",
        ". ",
        "。",
        "! ",
        "؟ ",
        "। ",
        "። ",
        "\t",
        "\0",
        "\u{301}",
        "\u{200d}",
        "👩‍👩‍👧",
        "A maré sobe duas vezes por dia e desce outras duas. ",
        "Por quê? ",
        "Início | Física | Contato\n",
        "Home > Receitas\n",
        "潮の満ち引きは月と太陽の引力によって起こる。",
        "น้ำขึ้นน้ำลงเกิดจากแรงดึงดูดของดวงจันทร์ ",
        "ज्वार-भाटा चंद्रमा के आकर्षण से होता है। ",
        "- um\n- dois\n",
        "Título\n",
        "https://a.example/b ",
        "「はい」",
        "بحدث المد والجزر بسبب جاذبية القمر. ",
        "```\ncode\n```\n",
        "Sr. ",
        "3.14 ",
        "...",
        "”",
        "한국어 문장이다. ",
    ]);
    prop_oneof![4 => fixed.prop_map(str::to_owned), 1 => "\\PC{0,12}", 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn fragments_of_any_text_are_sound(parts in prop::collection::vec(pieces(), 0..60), which in 0..6_usize) {
        let text = parts.concat();
        let lang = [Lang::UND, lang("por_Latn"), lang("jpn_Jpan"), lang("tha_Thai"), lang("hin_Deva"), lang("kor_Hang")][which];
        checked(&text, lang, &small());
        checked(&text, lang, &SegmentSettings { titles: true, ..small() });
    }
}

#[test]
fn hard_texts_are_cut_in_time_and_soundly() {
    let prose = "A maré sobe duas vezes por dia, e desce outras duas, por causa da Lua e do Sol. ";
    let settings = SegmentSettings::default();
    let giant = prose.repeat(60_000 / prose.len());
    let fragments = checked(&giant, lang("por_Latn"), &settings);
    assert!(
        fragments.len() >= 40 && fragments.iter().all(|response| response.ends_with('.')),
        "{}",
        fragments.len()
    );
    assert!(
        checked(&"palavra ".repeat(8000), lang("por_Latn"), &settings).is_empty(),
        "no sentence ends in it"
    );
    assert!(checked(&"\n".repeat(200_000), lang("por_Latn"), &settings).is_empty());
    assert!(checked(&"\r\n \t".repeat(50_000), lang("por_Latn"), &settings).is_empty());
    assert!(checked(&"\0".repeat(50_000), lang("por_Latn"), &settings).is_empty());
    checked(&"A. ".repeat(50_000), lang("por_Latn"), &settings);
    checked(&"Oi!\n\n".repeat(50_000), lang("por_Latn"), &settings);
    checked(&format!("{prose}\n").repeat(3000), lang("por_Latn"), &settings);
    let dense = checked(&"潮は月の引力で動く。太陽も引く。".repeat(4000), lang("jpn_Jpan"), &settings);
    assert!(dense.len() >= 100 && dense.iter().all(|response| response.ends_with('。')));
    let thai = "น้ำขึ้นน้ำลงเกิดจากแรงดึงดูดของดวงจันทร์และดวงอาทิตย์ที่กระทำต่อโลก ".repeat(500);
    assert!(checked(&thai, lang("tha_Thai"), &settings).len() >= 20);
}

const PARAGRAPH: &str = "A luz do Sol parece branca, mas é uma mistura de todas as cores do arco-íris, cada uma com o seu comprimento \
de onda. O vermelho tem ondas mais longas e o azul tem ondas curtas. Quando essa mistura entra na atmosfera, encontra moléculas que \
são centenas de vezes menores do que a onda da luz. Essas moléculas desviam uma parte da luz em todas as direções.";

#[test]
fn menus_notices_comments_and_footers_are_left_out() {
    let other = PARAGRAPH.replace("luz", "cor");
    let text = format!(
        "Início | Física | Contato\nVocê está em: Início > Física\nPor que o céu é azul\nPublicado em 12/02/2024\n\n{PARAGRAPH}\n\n\
         Este site utiliza cookies. Aceitar | Recusar\n\n{other}\n\nCompartilhe no Facebook\nMaria S. disse: Fiz com meus alunos!\n\
         Ana: e em Marte?\n© 2024 Ciência. Todos os direitos reservados.\n"
    );
    assert_eq!(responses(&text, "por_Latn"), [format!("{PARAGRAPH}\n\n{other}")]);
    let segmenter = Segmenter::new(&SegmentSettings { titles: true, ..SegmentSettings::default() });
    let spans = segmenter.segment(&text.replace("Publicado em 12/02/2024\n", ""), lang("por_Latn"));
    assert_eq!(spans.len(), 1);
}

#[test]
fn fragments_start_at_sections_and_end_at_sentences() {
    let part = |n: usize| PARAGRAPH.replace("luz", &format!("luz{n}"));
    let section =
        |n: usize, title: &str| format!("{title}\n\n{}\n\n{}\n\n{}\n\n", part(n), part(n + 1), part(n + 2));
    let sections = section(1, "Como se forma") + &section(4, "Onde se vê");
    let text = format!("{PARAGRAPH}\n\n{}\n\n{sections}{} E este não acaba", part(8), part(7));
    let found = responses(&text, "por_Latn");
    assert!(found.iter().any(|response| response.starts_with("Como se forma\n\n")), "{found:#?}");
    assert!(found.iter().any(|response| response.starts_with("Onde se vê\n\n")), "{found:#?}");
    assert!(found.iter().all(|response| response.ends_with('.')));
}

#[test]
fn lists_stay_with_what_leads_to_them() {
    let text =
        format!("{PARAGRAPH}\n\nIngredientes:\n\n- 500 g de polvilho\n- 2 ovos\n- sal\n\n{PARAGRAPH} Fim.\n");
    let found = responses(&text, "por_Latn");
    assert!(
        found
            .iter()
            .any(|response| response.contains("Ingredientes:\n\n- 500 g de polvilho\n- 2 ovos\n- sal")),
        "{found:#?}"
    );
    let menu = format!("{PARAGRAPH}\n\nCategorias\nFísica\nQuímica\nBiologia\n\n{PARAGRAPH} Fim.\n");
    assert!(responses(&menu, "por_Latn").iter().all(|response| !response.contains("Química")));
}

#[test]
fn carriage_returns_and_wrapped_lines_are_read_as_such() {
    let text = format!("Menu\r\n\r\n{PARAGRAPH}\r\n\r\n{}\r\n", PARAGRAPH.replace("luz", "cor"));
    let found = responses(&text, "por_Latn");
    assert!(found.len() == 1 && found[0].contains("\r\n\r\n"));
    let wrapped = PARAGRAPH.replace(" de ", "\nde ").replace(" em ", "\nem ");
    assert_eq!(responses(&wrapped, "por_Latn"), std::slice::from_ref(&wrapped));
}

#[test]
fn rows_are_conserved_and_credits_go_on() {
    let row = |row, text: &str| Row { row, text: text.to_owned(), lang: lang("por_Latn"), ..Row::default() };
    let rows = vec![row(3, PARAGRAPH), row(4, "Entrar\nSenha"), row(9, ""), row(10, &PARAGRAPH.repeat(9))];
    let weight = Weight { rows: 4, bytes: 99 };
    let segmenter = Segmenter::new(&SegmentSettings::default());
    let (drafts, notes) = stage::cut(&segmenter, Rows { shard: 7, rows: rows.clone(), weight });
    assert_eq!(drafts.weight, weight);
    let mut seen: Vec<u32> = drafts.drafts.iter().map(|draft| draft.place.row).collect();
    seen.dedup();
    assert_eq!(seen, [3, 10]);
    assert_eq!(
        notes.iter().map(|note| (note.place.row, note.place.start)).collect::<Vec<_>>(),
        [(4, 0), (9, 0)]
    );
    for draft in &drafts.drafts {
        let source = rows.iter().find(|row| row.row == draft.place.row).expect("its row");
        assert_eq!(response_of(&source.text, &draft.spans).as_deref(), Some(drafts.response(draft)));
        assert!(
            drafts_of(&segmenter, 7, source).contains(&(draft.place, draft.spans.clone())),
            "same on second reading"
        );
    }
}

/// Every good page of the corpora gives fragments, and none holds what stands around the text.
#[test]
fn pages_of_the_corpora_come_out_clean() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/corpora/sources");
    let segmenter = Segmenter::new(&SegmentSettings::default());
    let mut folders: Vec<_> =
        std::fs::read_dir(folder).expect("there").map(|entry| entry.expect("entry").path()).collect();
    folders.sort();
    for folder in folders {
        let tag = folder.file_name().expect("name").to_string_lossy().into_owned();
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).expect("there").map(|entry| entry.expect("entry").path()).collect();
        files.sort();
        let mut earlier = BTreeMap::new();
        let (mut rows, mut with, mut count) = (0, 0, 0);
        for file in files {
            let source = std::fs::read_to_string(&file).expect("readable");
            for page in pages::pages_of(&source, &mut earlier).expect("parses") {
                let fragments = segmenter.segment(&page.text, lang(&tag));
                rows += 1;
                with += usize::from(!fragments.is_empty());
                for spans in fragments {
                    count += 1;
                    let response = response_of(&page.text, &spans).expect("sound");
                    for sign in ["©", " | ", " » "] {
                        assert!(!response.contains(sign), "{}: {response}", page.url);
                    }
                    if std::env::args().any(|arg| arg == "--show-output") {
                        println!("== {} {spans:?}\n{response}\n", page.url);
                    }
                }
            }
        }
        println!("{tag}: {with} of {rows} pages give {count} fragments");
        assert!(with * 10 >= rows * 7, "{tag}");
    }
}
