use super::*;
use crate::llm::models::{Cache, LID};
use fasttext_pure_rs::FastText;
use std::path::PathBuf;

/// The model file, or a word that it is away.
fn path() -> Option<PathBuf> {
    let path = Cache::at(None).ok().and_then(|cache| cache.find(&LID));
    if path.is_none() {
        println!("skipped: the model file is not there, fetch it with `isogloss models --fetch`");
    }
    path
}

#[test]
fn ten_languages_are_told_apart() {
    let Some(path) = path() else { return };
    let lid = Lid::open(&path).expect("loads");
    let texts = [
        ("por_Latn", "As marés são causadas pela atração da Lua\ne do Sol sobre os oceanos."),
        ("spa_Latn", "Las mareas se deben a la atracción de la Luna y del Sol sobre los océanos."),
        ("eng_Latn", "Tides are caused by the pull of the Moon and the Sun on the oceans."),
        ("rus_Cyrl", "Приливы вызваны притяжением Луны и Солнца."),
        ("ell_Grek", "Οι παλίρροιες οφείλονται στην έλξη της Σελήνης και του Ήλιου."),
        ("arb_Arab", "يحدث المد والجزر بسبب جاذبية القمر والشمس."),
        ("hin_Deva", "ज्वार-भाटा चंद्रमा और सूर्य के आकर्षण से होता है।"),
        ("tha_Thai", "น้ำขึ้นน้ำลงเกิดจากแรงดึงดูดของดวงจันทร์และดวงอาทิตย์"),
        ("jpn_Jpan", "潮の満ち引きは月と太陽の引力によって起こります。"),
        ("kor_Hang", "밀물과 썰물은 달과 태양의 인력 때문에 생긴다."),
    ];
    for (tag, text) in texts {
        let (lang, confidence) = lid.identify(text).expect("says something");
        assert_eq!(lang.tag(), tag, "{confidence}");
    }
}

/// The library reads the same file with its own code.
#[test]
fn labels_and_probabilities_are_those_of_a_fasttext_library() {
    let Some(path) = path() else { return };
    let lid = Lid::open(&path).expect("loads");
    let library = FastText::load(&path).expect("loads");
    let long = format!("{} fim", "pneumoultramicroscopicossilicovulcanoconiótico".repeat(9));
    let odd = [
        "",
        " \n\t",
        "</s>",
        "de",
        "__label__pt __label__",
        "a",
        "é",
        "< >",
        "<",
        "1 2 3",
        "\0",
        "\u{feff}x",
        &long,
    ];
    let mut texts: Vec<String> = odd.map(str::to_owned).to_vec();
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/data/corpora/sources/**/*.*");
    for file in glob::glob(sources).expect("a pattern").flatten() {
        let page = std::fs::read_to_string(file).expect("text");
        texts.extend(page.lines().map(str::to_owned));
        texts.push(page);
    }
    assert!(texts.len() > 1_000, "{}", texts.len());
    let mut told = 0;
    for text in &texts {
        let expected = library.predict(text, 1, 0.0).ok().and_then(|all| all.into_iter().next());
        let expected = expected
            .map(|one| (one.label.trim_start_matches("__label__").to_owned(), one.probability.to_bits()));
        let found = lid.label_of(text).map(|(label, probability)| (label.to_owned(), probability.to_bits()));
        assert_eq!(found, expected, "{text:?}");
        told += usize::from(found.is_some());
    }
    assert!(told > 1_000, "{told}");
}

#[test]
fn a_file_that_is_no_such_model_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken.ftz");
    let told = |bytes: &[u8]| {
        std::fs::write(&broken, bytes).expect("written");
        Lid::open(&broken).expect_err("refused").to_string()
    };
    assert!(told(b"").contains("broken.ftz"));
    assert!(told(&[0; 4096]).contains("language model unreadable"));
    assert!(Lid::open(&folder.path().join("away.ftz")).is_err());
    let Some(path) = path() else { return };
    let whole = std::fs::read(path).expect("read");
    // Every cut, and every flipped byte of the headers, is read without a panic.
    for cut in (0..4_000).chain((4_000..whole.len()).step_by(9_973)) {
        assert!(file::parse(&whole[..cut]).is_err(), "{cut}");
    }
    for at in 0..4_000 {
        let mut flipped = whole[..300_000].to_vec();
        flipped[at] ^= 0xff;
        assert!(file::parse(&flipped).is_err(), "{at}");
    }
}
