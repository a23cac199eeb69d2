//! Language identification with the fastText model `lid.176` (176 labels, Joulin et al. 2016).

use crate::error::{Error, Result};
use crate::model::Lang;
use crate::stage::identify::Identifier;
use fasttext_pure_rs::FastText;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// The model, loaded once and shared by every worker.
pub struct Lid {
    model: FastText,
}

impl Lid {
    /// Loads the model file.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the file is away or is no fastText model.
    pub fn open(path: &Path) -> Result<Self> {
        let away = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::unavailable(format!("language model unreadable: path={}", path.display())).because(cause)
        };
        let file = File::open(path).map_err(|cause| away(cause.into()))?;
        let model = FastText::load_from_reader(BufReader::new(file))
            .map_err(|cause| away(cause.to_string().into()))?;
        Ok(Self { model })
    }
}

impl Identifier for Lid {
    fn identify(&self, text: &str) -> Option<(Lang, f32)> {
        // fastText reads one line: a newline would end the text.
        let line = text.replace(['\n', '\r'], " ");
        let predictions = self.model.predict(&line, 1, 0.0).ok()?;
        let best = predictions.first()?;
        let label = best.label.trim_start_matches("__label__");
        Some((Lang::from_lid(label).unwrap_or(Lang::UND), best.probability))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::models::{Cache, LID};

    #[test]
    fn ten_languages_are_told_apart() {
        let Some(path) = Cache::at(None).ok().and_then(|cache| cache.find(&LID)) else {
            println!("skipped: the model file is not there, fetch it with `isogloss models --fetch`");
            return;
        };
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
}
